"""Writes lsun/data.mdb with the lmdb package and Pillow, as LSUN's databases are: keys of
40 hex digits, values WebP files. 60 values, small ones in leaves and large ones in
overflow pages; keys.txt lists key, size and SHA-256 of each. Run: python3 make.py"""

import hashlib
import io
import random
import shutil

import lmdb
from PIL import Image

random.seed(5)
shutil.rmtree("lsun", ignore_errors=True)
env = lmdb.open("lsun", map_size=1 << 24)
entries = {}
for i in range(60):
    side = 256 if i % 20 == 0 else 16
    picture = Image.new("RGB", (side + i % 7, side), (4 * i, 255 - 3 * i, 90))
    for _ in range(side // 2):
        x, y = random.randrange(side), random.randrange(side)
        picture.paste(tuple(random.randrange(256) for _ in range(3)), (x, y, x + 5, y + 5))
    file = io.BytesIO()
    picture.save(file, "webp", quality=90)
    entries[hashlib.sha1(b"%d" % i).hexdigest().encode()] = file.getvalue()
for chunk in range(3):  # several transactions, and something deleted
    with env.begin(write=True) as txn:
        txn.put(b"deleted", b"x" * 10000)
        for key in list(entries)[chunk * 20 : chunk * 20 + 20]:
            txn.put(key, entries[key])
        txn.delete(b"deleted")
env.close()
shutil.os.remove("lsun/lock.mdb")
with open("keys.txt", "w") as out:
    for key in sorted(entries):
        value = entries[key]
        print(key.decode(), len(value), hashlib.sha256(value).hexdigest(), file=out)
