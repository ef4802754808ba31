"""Makes unet.json and unet.bin: what diffusers' UNet2DModel computes.

For each case: the output, and the gradient of mean((output - target)^2) by every
parameter. The reference is computed in float64 and rounded once to float32. The
weights, x and target are not stored: counted.py makes them here and package rng
makes them in the test, to the same bits.

    python3 make_fixtures.py

Last run with Python 3.11, torch 1.13.0, diffusers 0.21.4, numpy 1.24.2
(pip install 'diffusers==0.21.4' 'huggingface_hub<0.26' 'numpy<2').
"""

import json
import math
import pathlib
import re

import numpy as np
import torch
from diffusers import UNet2DModel

import counted

HERE = pathlib.Path(__file__).parent
SEED = 20200619

# Keys of "config" are those of unet.Config's JSON. Between them the cases have
# attention at the coarsest, a middle and the finest level, odd sizes, widths
# that no vector length divides, one to three images, an epsilon that cannot be
# overlooked, and dropout.
CASES = [
    dict(
        name="attention at the coarsest level",
        config=dict(size=8, in_channels=1, channels=[8, 16], res_blocks=1, attention=[4], groups=4),
        t=[0, 999],
    ),
    dict(
        name="attention at a middle level, two residual blocks",
        config=dict(size=16, in_channels=3, channels=[4, 8, 8], res_blocks=2, attention=[8], groups=2),
        t=[1, 250, 731],
    ),
    dict(
        name="attention at every level, odd sizes",
        config=dict(
            size=10, in_channels=2, channels=[12, 20], res_blocks=1, attention=[10, 5], groups=4, norm_eps=0.01
        ),
        t=[500],
    ),
    dict(
        name="dropout",
        config=dict(size=8, in_channels=1, channels=[8, 8], res_blocks=1, attention=[], groups=2, dropout=0.25),
        t=[17, 640],
        keys=[[5, 0], [5, 9]],  # (step, slot) of each image
    ),
]


def build(config):
    """The paper's network as diffusers builds it."""
    levels = len(config["channels"])
    attends = [(config["size"] >> i) in config["attention"] for i in range(levels)]
    return UNet2DModel(
        sample_size=config["size"],
        in_channels=config["in_channels"],
        out_channels=config["in_channels"],
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


ORDER = (
    "conv_in time_embedding down_blocks mid_block up_blocks conv_norm_out conv_out "
    "resnets linear_1 linear_2 norm1 conv1 time_emb_proj norm2 conv2 conv_shortcut "
    "attentions group_norm to_q to_k to_v to_out downsamplers upsamplers conv weight bias"
).split()


def flat_order(name):
    """Sorts parameter names into the flat vector's order: down, middle, up;
    each residual block before the attention that follows it."""
    m = re.fullmatch(r"((?:down|up)_blocks\.\d+|mid_block)\.(resnets|attentions)\.(\d+)\.(.*)", name)
    if m:
        name = f"{m[1]}.resnets.{m[3]}.{m[2]}.{m[4]}"
    return [int(part) if part.isdigit() else ORDER.index(part) for part in name.split(".")]


def fill_rule(name, shape):
    """(base, a): the tensor is base plus uniforms in (-a, a)."""
    if len(shape) > 1:
        return 0.0, math.sqrt(3 / math.prod(shape[1:]))
    if "norm" in name and name.endswith("weight"):
        return 1.0, 0.2
    return 0.0, 0.1


def weights(net):
    """The network's tensors in flat order: (name, shape, base, a, values)."""
    tensors = []
    state = net.state_dict()
    for number, name in enumerate(sorted(state, key=flat_order)):
        shape = list(state[name].shape)
        base, a = fill_rule(name, shape)
        u = counted.uniforms(math.prod(shape), a, SEED, counted.INIT, 0, number)
        tensors.append((name, shape, base, a, (np.float32(base) + u).reshape(shape)))
    return tensors


def images(count, config, step):
    """Channels-last images with elements in (-2, 2), float32."""
    size, channels = config["size"], config["in_channels"]
    rows = [counted.uniforms(size * size * channels, 2.0, SEED, counted.NOISE, step, i) for i in range(count)]
    return np.stack(rows).reshape(count, size, size, channels)


class Sinusoid(torch.nn.Module):
    """The embedding of diffusers' Timesteps, which always works in float32, in
    float64."""

    def __init__(self, dim):
        super().__init__()
        self.half = dim // 2

    def forward(self, t):
        j = torch.arange(self.half, dtype=torch.float64)
        angle = t[:, None].double() * torch.exp(-math.log(10000) * j / (self.half - 1))
        return torch.cat([angle.sin(), angle.cos()], dim=1)


class CountedDropout(torch.nn.Module):
    """Dropout with the product's counted mask: element i of a channels-last image
    has word i of the stream that starts at block layer * 2^22."""

    def __init__(self, layer, p, keys):
        super().__init__()
        self.layer, self.p, self.keys = layer, p, keys

    def forward(self, x):
        n, c, h, w = x.shape
        drawn = np.stack([
            counted.words(c * h * w, SEED, counted.DROPOUT, step, slot, self.layer << 22) for step, slot in self.keys
        ])
        keep = torch.from_numpy(drawn >= int(self.p * 2**32)).reshape(n, h, w, c).permute(0, 3, 1, 2)
        return x * keep / (1 - self.p)


def set_dropout(net, p, keys):
    blocks = [*net.down_blocks, net.mid_block, *net.up_blocks]
    for layer, resnet in enumerate(r for b in blocks for r in b.resnets):
        resnet.dropout = CountedDropout(layer, p, keys)


def in_float64(net):
    """Makes the network compute in float64 throughout."""
    net = net.double()
    net.time_proj = Sinusoid(net.config.block_out_channels[0])
    for module in net.modules():
        if hasattr(module, "upcast_softmax"):
            module.upcast_softmax = False  # it would mean float32
    return net


def run(net, x, target, t):
    """The output, channels last, and the gradients by name."""
    net.zero_grad()
    out = net(x, t).sample
    torch.nn.functional.mse_loss(out, target).backward()
    grads = {name: p.grad.detach().numpy().copy() for name, p in net.named_parameters()}
    return out.detach().permute(0, 2, 3, 1).contiguous().numpy(), grads


def check_float64(net, x, target, t, grads):
    """The gradient along a direction against a central difference: a float32
    step hidden in the reference would show as an error of 1e-4 or more."""
    torch.manual_seed(1)
    params = dict(net.named_parameters())
    direction = {name: torch.randn_like(p) for name, p in params.items()}
    slope = sum(float((direction[n].numpy() * grads[n]).sum()) for n in params)
    h, losses = 1e-6, []
    with torch.no_grad():
        for sign in (1, -2, 1):
            for name, p in params.items():
                p += sign * h * direction[name]
            losses.append(float(torch.nn.functional.mse_loss(net(x, t).sample, target)))
    error = abs((losses[0] - losses[1]) / (2 * h) - slope) / abs(slope)
    if error > 1e-7:
        raise SystemExit(f"central difference is off by {error:.1e}: the reference is not float64 throughout")


def relative(got, want):
    return float(np.linalg.norm((got - want).ravel()) / np.linalg.norm(want.ravel()))


def make_case(case):
    config = case["config"] = dict(
        dict(out_channels=case["config"]["in_channels"], norm_eps=1e-6, dropout=0), **case["config"]
    )
    net = build(config)
    tensors = weights(net)
    net.load_state_dict({name: torch.from_numpy(v) for name, _, _, _, v in tensors}, strict=True)
    if case.get("keys"):
        set_dropout(net, config["dropout"], case["keys"])
    t = torch.tensor(case["t"])
    x, target = (
        torch.from_numpy(images(len(t), config, step)).permute(0, 3, 1, 2).contiguous() for step in (0, 1)
    )
    out32, grads32 = run(net, x, target, t)
    net = in_float64(net)
    out, grads = run(net, x.double(), target.double(), t)
    check_float64(net, x.double(), target.double(), t, grads)
    report(case, out, grads, out32, grads32)
    case["tensors"] = [dict(name=n, shape=s, base=b, a=a) for n, s, b, a, _ in tensors]
    case["embedding"] = Sinusoid(config["channels"][0])(t).reshape(-1).tolist()
    return [out] + [grads[name] for name, *_ in tensors]


def report(case, out, grads, out32, grads32):
    whole = math.sqrt(sum(float((g**2).sum()) for g in grads.values()))
    zero = [n for n, g in grads.items() if np.linalg.norm(g) < 1e-9 * whole]
    worst = max((n for n in grads if n not in zero), key=lambda n: relative(grads32[n], grads[n]))
    print(f"{case['name']}: {sum(g.size for g in grads.values())} parameters; float32 torch against float64:")
    print(f"  output {relative(out32, out):.1e}, worst gradient {relative(grads32[worst], grads[worst]):.1e} ({worst})")
    print(f"  gradients that are zero by structure: {', '.join(zero)}")


def main():
    counted.self_check()
    torch.set_num_threads(1)
    parts = [a.astype("<f4").tobytes() for case in CASES for a in make_case(case)]
    (HERE / "unet.bin").write_bytes(b"".join(parts))
    index = dict(seed=SEED, torch=torch.__version__, cases=CASES)
    text = json.dumps(index, indent=1)
    # One line for each tensor and for each list of numbers.
    text = re.sub(r"[\[{][^\[\]{}]*[\]}]", lambda m: " ".join(m[0].split()), text)
    text = re.sub(r"\{[^{}]*\}", lambda m: " ".join(m[0].split()) if '"shape"' in m[0] else m[0], text)
    (HERE / "unet.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
