"""Makes sampler.json: what diffusers' DDPMScheduler and DDIMScheduler do with a
network that is a formula.

The network is the exact one for data whose elements are independent normals
N(mean_i, deviation^2):

    eps(x, t) = (x - sqrt(abar) mean) sqrt(1 - abar) / (abar deviation^2 + 1 - abar)

The means reach so far out that some x_0 are clipped to [-1, 1]. The schedulers
get their tables in float64 (their own are float32) and their noise from the
counted numbers that the product uses.

    python3 make_fixtures.py

Last run with Python 3.11, torch 1.13.0, diffusers 0.21.4, numpy 1.24.2
(pip install 'diffusers==0.21.4' 'huggingface_hub<0.26' 'numpy<2').
"""

import json
import pathlib
import re
import sys

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from diffusers.schedulers import scheduling_ddpm

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent / "unet" / "testdata"))
import counted  # noqa: E402

SEED = 11
IMAGES = [0, 5]
IMAGE_LEN = 12
MEANS = np.linspace(-0.9, 0.9, IMAGE_LEN)
DEVIATION = 0.8
KEEP = 10  # how many of the last network inputs are stored

CASES = [
    dict(method="ancestral", variance="fixed_large", steps=1000, eta=0),
    dict(method="ancestral", variance="fixed_small", steps=1000, eta=0),
    dict(method="ancestral", variance="fixed_large", steps=10, eta=0),
    dict(method="ancestral", variance="fixed_small", steps=10, eta=0),
    dict(method="ddim", variance="fixed_large", steps=10, eta=0),
    dict(method="ddim", variance="fixed_large", steps=50, eta=0),
    dict(method="ddim", variance="fixed_large", steps=30, eta=0),  # does not divide 1000
    dict(method="ddim", variance="fixed_large", steps=20, eta=0.5),
    dict(method="ddim", variance="fixed_large", steps=20, eta=1),
]


def noise(purpose, step):
    rows = [counted.normals(IMAGE_LEN, SEED, purpose, step, image) for image in IMAGES]
    return torch.from_numpy(np.stack(rows)).double().reshape(len(IMAGES), IMAGE_LEN, 1, 1)


def make_scheduler(case):
    common = dict(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule="linear", clip_sample=True)
    if case["method"] == "ddim":
        return DDIMScheduler(**common, timestep_spacing="leading", set_alpha_to_one=True, steps_offset=0)
    return DDPMScheduler(**common, timestep_spacing="leading", variance_type=case["variance"])


def in_float64(scheduler):
    scheduler.betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    scheduler.alphas = 1 - scheduler.betas
    scheduler.alphas_cumprod = torch.cumprod(scheduler.alphas, dim=0)
    return scheduler


def predict(x, t, bars):
    bar = bars[t]
    means = torch.from_numpy(MEANS).reshape(1, IMAGE_LEN, 1, 1)
    return (x - bar.sqrt() * means) * (1 - bar).sqrt() / (bar * DEVIATION**2 + 1 - bar)


def draw(case, scheduler, bars):
    """Every timestep, the network's input there, and the result."""
    scheduler.set_timesteps(case["steps"])
    x = noise(counted.SAMPLE_START, 0)
    timesteps, inputs = scheduler.timesteps.tolist(), []
    for t in timesteps:
        inputs.append(x)
        eps, z = predict(x, t, bars), noise(counted.SAMPLE_NOISE, t)
        if case["method"] == "ddim":
            z = z if case["eta"] else None
            x = scheduler.step(eps, t, x, eta=case["eta"], variance_noise=z).prev_sample
        else:
            scheduling_ddpm.randn_tensor = lambda *_, z=z, **__: z
            x = scheduler.step(eps, t, x).prev_sample
    return timesteps, inputs + [x]


def rounded(x):
    return [float(f"{v:.9g}") for v in x.reshape(-1).tolist()]


def main():
    counted.self_check()
    torch.set_num_threads(1)
    bars = in_float64(make_scheduler(CASES[0])).alphas_cumprod
    for case in CASES:
        timesteps, xs = draw(case, in_float64(make_scheduler(case)), bars)
        _, own = draw(case, make_scheduler(case), bars)
        clipped = float((xs[-1].abs() > 0.999).double().mean())
        print(case, f"diffusers' float32 tables are off by {float((own[-1] - xs[-1]).abs().max()):.1e};",
              f"{clipped:.0%} of the result at the clip")
        case["timesteps"] = timesteps[-KEEP:]
        case["inputs"] = [rounded(x) for x in xs[:-1][-KEEP:]]
        case["result"] = rounded(xs[-1])
    index = dict(seed=SEED, images=IMAGES, means=MEANS.tolist(), deviation=DEVIATION, cases=CASES)
    text = json.dumps(index, indent=1)
    text = re.sub(r"\[[^\[\]{}]*\]", lambda m: " ".join(m[0].split()), text)
    (HERE / "sampler.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
