"""Makes folders as Hugging Face diffusers writes them, and what it computes of them.

    python3 make_fixtures.py

Each folder holds a small UNet2DModel with random weights, in one of the layouts
that diffusers reads, and beside it NAME.json: inputs and the network's output in
float32. Last run with Python 3.11, torch 1.13.0, diffusers 0.27.2, numpy 1.24.2
(pip install 'diffusers==0.27.2' 'huggingface_hub<0.26' 'safetensors==0.4.5').
"""

import json
import pathlib
import shutil

import numpy as np
import safetensors.torch
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

HERE = pathlib.Path(__file__).parent

# As google/ddpm-cifar10-32 has it, but small.
PAPER = dict(
    sample_size=8, in_channels=3, out_channels=3, layers_per_block=1, block_out_channels=(8, 16),
    down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    norm_num_groups=4, norm_eps=1e-6, downsample_padding=0, flip_sin_to_cos=False, freq_shift=1,
    attention_head_dim=None,
)
# The constructor's defaults but for the size; the folder leaves them out.
DEFAULTS = dict(
    sample_size=8, layers_per_block=1, block_out_channels=(16, 16, 32), norm_num_groups=8,
    down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
    up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
)
OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def build(seed, config):
    torch.manual_seed(seed)
    model = UNet2DModel(**config).eval()
    with torch.no_grad():
        for p in model.parameters():  # biases and norms too
            p.add_(torch.randn_like(p) * 0.1)
    return model


def answer(name, model):
    generator = np.random.default_rng(7)
    size, channels = model.config.sample_size, model.config.in_channels
    x = generator.standard_normal((2, channels, size, size)).astype(np.float32)
    t = [3, 871]
    with torch.no_grad():
        y = model(torch.from_numpy(x), torch.tensor(t)).sample.numpy()
    text = json.dumps({"t": t, "x": x.ravel().tolist(), "output": y.ravel().tolist()})
    (HERE / f"{name}.json").write_text(text + "\n")


def fresh(name):
    shutil.rmtree(HERE / name, ignore_errors=True)
    return HERE / name


def main():
    scheduler = DDPMScheduler(variance_type="fixed_large")

    # As pipelines are saved now.
    model = build(1, PAPER)
    DDPMPipeline(model, scheduler).save_pretrained(fresh("nested"))
    answer("nested", model)

    # As they were in 2022: everything at the top, attention by its old names, and a
    # convolution by two names.
    folder = fresh("old")
    folder.mkdir()
    tensors = {}
    for name, value in model.state_dict().items():
        for new, old in OLD_NAMES.items():
            name = name.replace(f".{new}.", f".{old}.")
        tensors[name] = value.contiguous()
        if "downsamplers.0.conv." in name:
            tensors[name.replace(".conv.", ".Conv2d_0.")] = value.clone()
    safetensors.torch.save_file(tensors, folder / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
    config = {k: v for k, v in model.config.items() if k in PAPER or k.startswith("_class")}
    (folder / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel", **config}, indent=2))
    (folder / "scheduler_config.json").write_text(json.dumps(
        {"_class_name": "DDPMScheduler", "beta_end": 0.02, "beta_schedule": "linear", "beta_start": 0.0001,
         "clip_sample": True, "num_train_timesteps": 1000, "trained_betas": None, "variance_type": "fixed_large"}))
    shutil.copy(HERE / "nested.json", HERE / "old.json")

    # The defaults of the class, with weights in shards.
    model = build(2, DEFAULTS)
    folder = fresh("defaults")
    (folder / "unet").mkdir(parents=True)
    (folder / "scheduler").mkdir()
    names, shards, where = sorted(model.state_dict()), 2, {}
    for i in range(shards):
        file = f"diffusion_pytorch_model-{i + 1:05d}-of-{shards:05d}.safetensors"
        part = {n: model.state_dict()[n].contiguous() for n in names[i::shards]}
        safetensors.torch.save_file(part, folder / "unet" / file, metadata={"format": "pt"})
        where.update(dict.fromkeys(part, file))
    index = {"metadata": {"total_size": sum(4 * v.numel() for v in model.state_dict().values())}, "weight_map": where}
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index, indent=2))
    config = {k: v for k, v in model.config.items() if k in DEFAULTS}
    (folder / "unet" / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel", **config}, indent=2))
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps({"_class_name": "DDPMScheduler"}))
    answer("defaults", model)

    # Half precision.
    folder = fresh("half")
    model = build(1, PAPER)
    model.half()
    DDPMPipeline(model, scheduler).save_pretrained(folder)
    answer("half", model.float())


if __name__ == "__main__":
    main()
