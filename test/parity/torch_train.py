"""Trains the paper's U-Net with PyTorch on a plan that ./plan wrote.

    python3 torch_train.py --plan DIR --out losses.txt [--threads N]

Architecture, initial weights, and each step's images, noise and timesteps are the
plan's; the arithmetic is PyTorch's, in float32: autograd, clip_grad_norm_,
optim.Adam with linear warm-up. The network is diffusers' UNet2DModel where that
is installed, else paper_unet.py. losses.txt gets a line a step: L_simple.

Needs PyTorch and numpy. Last run with torch 1.13.0 and numpy 1.24.2, with and
without diffusers 0.21.4.
"""

import argparse
import json
import pathlib
import sys
import time

import numpy as np
import torch

from paper_unet import PaperUNet


def diffusers_unet(config):
    """UNet2DModel for a config in the terms of the product's unet.Config."""
    from diffusers import UNet2DModel

    levels = len(config["channels"])
    attends = [(config["size"] >> i) in config["attention"] for i in range(levels)]
    net = UNet2DModel(
        sample_size=config["size"],
        in_channels=config["in_channels"],
        out_channels=config["out_channels"],
        block_out_channels=tuple(config["channels"]),
        layers_per_block=config["res_blocks"],
        down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attends),
        up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)),
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
        norm_eps=config["norm_eps"],
        norm_num_groups=config["groups"],
        attention_head_dim=None,
    )
    return net, lambda x, t: net(x, t).sample


def build(config):
    """The network, its forward function, and its name."""
    try:
        return *diffusers_unet(config), "diffusers' UNet2DModel"
    except ImportError:
        net = PaperUNet(config)
        return net, net, "paper_unet.py"


class Plan:
    def __init__(self, folder):
        index = json.loads((folder / "plan.json").read_text())
        self.spec, self.steps, self.params = index["spec"], index["steps"], index["params"]
        model = self.spec["model"]
        if model["dropout"]:
            raise SystemExit("torch_train.py: the plan has dropout, whose masks it can't hand over; use a preset without")
        shape = (self.steps, self.spec["batch"], model["size"], model["size"], model["in_channels"])
        self.x0 = np.memmap(folder / "x0.bin", "<f4", "r", shape=shape)
        self.eps = np.memmap(folder / "eps.bin", "<f4", "r", shape=shape)
        self.t = np.memmap(folder / "t.bin", "<i4", "r", shape=shape[:2])
        self.weights = np.fromfile(folder / "weights.bin", "<f4")

    def state(self):
        state, offset = {}, 0
        for p in self.params:
            n = int(np.prod(p["shape"]))
            state[p["name"]] = torch.from_numpy(self.weights[offset : offset + n].reshape(p["shape"]).copy())
            offset += n
        if offset != len(self.weights):
            raise SystemExit(f"torch_train.py: weights.bin has {len(self.weights)} values, the parameters {offset}")
        return state

    def batch(self, step):
        """x0 and eps [B, C, H, W], t [B]."""
        x0, eps = (torch.from_numpy(v[step].copy()).permute(0, 3, 1, 2).contiguous() for v in (self.x0, self.eps))
        return x0, eps, torch.from_numpy(self.t[step].astype(np.int64))


def alpha_bars(diffusion):
    betas = torch.linspace(diffusion["beta_start"], diffusion["beta_end"], diffusion["steps"], dtype=torch.float64)
    return torch.cumprod(1 - betas, dim=0)


def train(plan, forward, params, each_step):
    """Calls each_step(step, loss) for every step of the plan."""
    o = plan.spec["optimizer"]
    bars = alpha_bars(plan.spec["diffusion"])
    adam = torch.optim.Adam(params, lr=o["learning_rate"], betas=(o["beta1"], o["beta2"]), eps=o["epsilon"])
    warmup = torch.optim.lr_scheduler.LambdaLR(adam, lambda k: min(k / max(o["warmup_steps"], 1), 1))
    for step in range(plan.steps):
        x0, eps, t = plan.batch(step)
        bar = bars[t].reshape(-1, 1, 1, 1)
        xt = bar.sqrt().float() * x0 + (1 - bar).sqrt().float() * eps
        adam.zero_grad()
        loss = torch.nn.functional.mse_loss(forward(xt, t), eps)
        loss.backward()
        if o["clip_norm"]:
            torch.nn.utils.clip_grad_norm_(params, o["clip_norm"])
        adam.step()
        warmup.step()
        each_step(step, loss.item())


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--plan", type=pathlib.Path, required=True)
    args.add_argument("--out", type=pathlib.Path, required=True)
    args.add_argument("--threads", type=int, default=2)
    args = args.parse_args()
    torch.set_num_threads(args.threads)
    plan = Plan(args.plan)
    net, forward, name = build(plan.spec["model"])
    net.load_state_dict(plan.state(), strict=True)
    net.train()
    print(f"PyTorch {torch.__version__}, {name}, {len(plan.weights)} parameters, {args.threads} threads", file=sys.stderr)
    start = time.monotonic()
    with args.out.open("w") as out:

        def each_step(step, loss):
            print(repr(loss), file=out, flush=True)
            if (step + 1) % 25 == 0:
                rate = (step + 1) / (time.monotonic() - start)
                print(f"  step {step + 1} of {plan.steps}: loss {loss:.4f}, {rate:.2f} steps/s", file=sys.stderr)

        train(plan, forward, list(net.parameters()), each_step)


if __name__ == "__main__":
    main()
