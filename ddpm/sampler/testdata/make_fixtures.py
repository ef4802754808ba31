"""Makes sampler.json: what diffusers' schedulers do with a network that is a formula.

The network is the exact one for data whose elements are independent normals
N(mean_i, deviation^2):

    eps(x, t) = (x - sqrt(abar) mean) sqrt(1 - abar) / (abar deviation^2 + 1 - abar)

The means reach so far out that some x_0 are clipped to [-1, 1]. The schedulers
get their tables in float64 (their own are float32) and their noise from the
counted numbers that the product uses. Where DDIMScheduler does not go to the next
timestep that it visits (it goes to t - T // steps, whatever the spacing), it is
told to: the product does, and quadratic spacing is not diffusers' own.

    python3 make_fixtures.py

Last run with Python 3.11, torch 1.13.0, diffusers 0.29.2, numpy 1.24.2
(pip install 'diffusers==0.29.2' 'huggingface_hub<0.26' 'numpy<2').
"""

import json
import pathlib
import re
import sys

import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    HeunDiscreteScheduler,
    UniPCMultistepScheduler,
)
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
    dict(method="ancestral", variance="fixed_large", steps=1000),
    dict(method="ancestral", variance="fixed_small", steps=1000),
    dict(method="ancestral", variance="fixed_large", steps=10),
    dict(method="ancestral", variance="fixed_small", steps=10),
    # fixed_small: after its last step, to t = -1, DDPMScheduler still adds noise.
    dict(method="ancestral", variance="fixed_small", steps=10, spacing="trailing"),
    dict(method="ancestral", variance="fixed_large", steps=10, clip=False),
    dict(method="ddim", steps=10),
    dict(method="ddim", steps=50),
    dict(method="ddim", steps=30),  # does not divide 1000
    dict(method="ddim", steps=20, eta=0.5),
    dict(method="ddim", steps=20, eta=1),
    dict(method="ddim", steps=10, clip=False),
    dict(method="ddim", steps=20, spacing="trailing"),
    dict(method="ddim", steps=20, spacing="linspace", eta=0.5),
    dict(method="ddim", steps=10, spacing="quadratic"),
    dict(method="ddim", steps=80, spacing="quadratic"),  # some timesteps fall together
    *(
        dict(method=method, steps=steps, spacing=spacing, clip=clip)
        for method in ("dpmpp_2m", "unipc")
        for steps, spacing, clip in (
            (10, "linspace", True),
            (10, "linspace", False),
            (20, "leading", True),
            (20, "trailing", True),
            (1, "linspace", True),
            (999, "linspace", False),
        )
    ),
    dict(method="heun", steps=10, spacing="linspace"),  # 111 divides 999: no timestep is rounded
    dict(method="heun", steps=10, spacing="leading"),
    dict(method="heun", steps=10, spacing="trailing", clip=False),
    dict(method="heun", steps=1, spacing="trailing"),
]


def noise(purpose, step):
    rows = [counted.normals(IMAGE_LEN, SEED, purpose, step, image) for image in IMAGES]
    return torch.from_numpy(np.stack(rows)).double().reshape(len(IMAGES), IMAGE_LEN, 1, 1)


def make_scheduler(case):
    spacing = case["spacing"]
    common = dict(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule="linear",
                  timestep_spacing="leading" if spacing == "quadratic" else spacing)
    if case["method"] == "ddim":
        return DDIMScheduler(**common, clip_sample=case["clip"], set_alpha_to_one=True)
    if case["method"] == "ancestral":
        return DDPMScheduler(**common, clip_sample=case["clip"], variance_type=case["variance"])
    if case["method"] == "heun":
        return HeunDiscreteScheduler(**common, clip_sample=case["clip"])
    # Thresholding with a largest value of 1 is clipping.
    solvers = dict(dpmpp_2m=DPMSolverMultistepScheduler, unipc=UniPCMultistepScheduler)
    return solvers[case["method"]](**common, solver_order=2, final_sigmas_type="zero",
                                   thresholding=case["clip"], sample_max_value=1.0)


def in_float64(scheduler):
    scheduler.betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    scheduler.alphas = 1 - scheduler.betas
    scheduler.alphas_cumprod = torch.cumprod(scheduler.alphas, dim=0)
    return scheduler


def sigmas_in_float64(scheduler):
    """The noise levels of the solvers, whose timesteps here are all whole."""
    bars = scheduler.alphas_cumprod[scheduler.timesteps.long()]
    scheduler.sigmas = torch.cat([((1 - bars) / bars).sqrt(), torch.zeros(1, dtype=torch.float64)])


def quadratic(steps):
    """As in the code of DDIM's paper, without what falls together."""
    return np.unique((np.linspace(0, np.sqrt(1000 * 0.8), steps) ** 2 + 1e-9).astype(int))[::-1].copy()


def predict(x, t, bars):
    bar = bars[t]
    means = torch.from_numpy(MEANS).reshape(1, IMAGE_LEN, 1, 1)
    return (x - bar.sqrt() * means) * (1 - bar).sqrt() / (bar * DEVIATION**2 + 1 - bar)


def draw(case, scheduler, bars, exact):
    """Every timestep, the network's input there, and the result."""
    torch.set_default_dtype(torch.float64 if exact else torch.float32)
    scheduler.set_timesteps(case["steps"])
    if case["spacing"] == "quadratic":
        scheduler.timesteps = torch.from_numpy(quadratic(case["steps"]))
    if exact and hasattr(scheduler, "sigmas"):
        sigmas_in_float64(scheduler)
    x = noise(counted.SAMPLE_START, 0)
    timesteps, inputs = [int(t) for t in scheduler.timesteps], []
    if case["method"] == "heun":
        x = x * (scheduler.sigmas[0] ** 2 + 1).sqrt()
    for k, t in enumerate(scheduler.timesteps):
        seen = scheduler.scale_model_input(x, t)
        inputs.append(seen)
        eps, z = predict(seen, int(t), bars), noise(counted.SAMPLE_NOISE, int(t))
        if case["method"] == "ddim":
            following = timesteps[k + 1] if k + 1 < len(timesteps) else -1
            scheduler.register_to_config(num_train_timesteps=int(t) - following)
            scheduler.num_inference_steps = 1  # so that its next timestep is the following one
            x = scheduler.step(eps, int(t), x, eta=case["eta"], variance_noise=z if case["eta"] else None).prev_sample
        else:
            scheduling_ddpm.randn_tensor = lambda *_, z=z, **__: z
            x = scheduler.step(eps, t, x).prev_sample
    return timesteps, inputs + [x]


def rounded(x):
    return [float(f"{v:.9g}") for v in x.reshape(-1).tolist()]


def main():
    counted.self_check()
    torch.set_num_threads(1)
    for case in CASES:
        for key, default in dict(variance="", eta=0, spacing="leading", clip=True).items():
            case.setdefault(key, default)
    bars = in_float64(make_scheduler(CASES[0])).alphas_cumprod
    for case in CASES:
        timesteps, xs = draw(case, in_float64(make_scheduler(case)), bars, exact=True)
        _, own = draw(case, make_scheduler(case), bars, exact=False)
        clipped = float((xs[-1].abs() > 0.999).double().mean())
        print(case, f"diffusers' float32 tables are off by {float((own[-1] - xs[-1]).abs().max()):.1e};",
              f"{clipped:.0%} of the result at the clip")
        case["timesteps"] = timesteps[-KEEP:]
        case["inputs"] = [rounded(x) for x in xs[:-1][-KEEP:]]
        case["result"] = rounded(xs[-1])
        case["evaluations"] = len(timesteps)
    index = dict(seed=SEED, images=IMAGES, means=MEANS.tolist(), deviation=DEVIATION, cases=CASES)
    text = json.dumps(index, indent=1)
    text = re.sub(r"\[[^\[\]{}]*\]", lambda m: " ".join(m[0].split()), text)
    (HERE / "sampler.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
