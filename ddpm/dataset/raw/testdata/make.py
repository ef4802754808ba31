"""Writes files as numpy, pyarrow and tar write them: image i of 5 is 6x4 pixels of the
colour (i, 2i, 3i), its class i mod 3. Run: python3 make.py"""

import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

N = 5
images = np.zeros((N, 4, 6, 3), np.uint8)
for i in range(N):
    images[i] = (i, 2 * i, 3 * i)
labels = np.arange(N) % 3
np.savez("stored.npz", images, labels)
np.savez_compressed("deflated.npz", images)
np.savez("grey.npz", images[..., 2], labels.astype(np.uint8))


def png(i):
    file = io.BytesIO()
    Image.fromarray(images[i]).save(file, "png")
    return file.getvalue()


features = {
    "image": {"_type": "Image"},
    "label": {"names": ["ant", "bee", "cow"], "_type": "ClassLabel"},
}
schema = pa.schema(
    [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("label", pa.int64()),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": features}})},
)
for codec in ("snappy", "zstd"):
    table = pa.table(
        {
            "image": [{"bytes": png(i), "path": None} for i in range(N)],
            "label": [int(v) for v in labels],
        },
        schema=schema,
    )
    pq.write_table(table, codec + ".parquet", compression=codec, row_group_size=2)


def archive(name, mode, members):
    with tarfile.open(name, mode) as tar:
        for path, content in members:
            info = tarfile.TarInfo(path)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


names = ["ant", "bee", "cow"]
archive(
    "folders.tar",
    "w",
    [("./._x.png", b"a Mac's"), ("./README", b"text")]
    + [(f"./{names[i % 3]}/a.{i}.png", png(i)) for i in range(N)],
)
archive(
    "shard.tar.gz",
    "w:gz",
    [
        member
        for i in range(N)
        for member in (
            (f"{i:04}.cls", str(i % 3).encode()),
            (f"{i:04}.json", b"{}"),
            (f"{i:04}.png", png(i)),
        )
    ],
)
