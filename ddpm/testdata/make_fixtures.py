"""Makes update.json: what torch.optim.Adam, clip_grad_norm_ and a moving average
do to a small vector in the order and with the settings of a training step.

Weights and gradients are counted uniforms that the test makes again; the
reference computes in float64.

    python3 make_fixtures.py

Last run with Python 3.11, torch 1.13.0, numpy 1.24.2.
"""

import json
import pathlib
import re
import sys

import numpy as np
import torch

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "unet" / "testdata"))
import counted  # noqa: E402

SEED = 7
N = 37
# Gradients of step k are in ±AMPLITUDES[k]: their norms are on both sides of the
# clip. Element 0 has none, element 1 so little that epsilon decides its update.
AMPLITUDES = [2.0, 0.05, 1.0, 0.1, 5.0]
TINY = np.float32(1e-7)
OPTIMIZER = dict(
    learning_rate=1e-2, warmup_steps=3, beta1=0.9, beta2=0.999, epsilon=1e-8, clip_norm=1.0, ema_decay=0.2
)


def gradient(step):
    g = counted.uniforms(N, AMPLITUDES[step], SEED, counted.NOISE, step, 0)
    g[0] = 0
    g[1] *= TINY
    return torch.from_numpy(g).double()


def rounded(v):
    return [float(f"{x:.10g}") for x in v.reshape(-1).tolist()]


def main():
    counted.self_check()
    o = OPTIMIZER
    start = counted.uniforms(N, 1.0, SEED, counted.INIT, 0, 0)
    w = torch.nn.Parameter(torch.from_numpy(start).double())
    ema = w.detach().clone()
    adam = torch.optim.Adam([w], lr=o["learning_rate"], betas=(o["beta1"], o["beta2"]), eps=o["epsilon"])
    warmup = torch.optim.lr_scheduler.LambdaLR(adam, lambda k: min(k / o["warmup_steps"], 1))
    steps = []
    for k in range(len(AMPLITUDES)):
        w.grad = gradient(k)
        norm = torch.nn.utils.clip_grad_norm_([w], o["clip_norm"])
        rate = warmup.get_last_lr()[0]
        adam.step()
        warmup.step()
        decay = min(o["ema_decay"], (1 + k) / (10 + k))
        ema = decay * ema + (1 - decay) * w.detach()
        moments = adam.state[w]
        steps.append(dict(
            amplitude=AMPLITUDES[k], gradient_norm=float(norm), learning_rate=rate, weights=rounded(w.detach()),
            m=rounded(moments["exp_avg"]), v=rounded(moments["exp_avg_sq"]), ema=rounded(ema),
        ))
        print(f"step {k}: gradient norm {float(norm):.3g}, rate {rate:.3g}, decay {decay:.3g}")
    index = dict(seed=SEED, n=N, tiny=float(TINY), optimizer=o, steps=steps)
    text = re.sub(r"\[[^\[\]{}]*\]", lambda m: " ".join(m[0].split()), json.dumps(index, indent=1))
    (HERE / "update.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
