"""The U-Net of Ho, Jain and Abbeel (2020), appendix B, in plain PyTorch, under the
parameter names of diffusers' UNet2DModel.

It stands in for UNet2DModel where diffusers isn't installed.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F


class ResBlock(nn.Module):
    def __init__(self, c_in, c_out, time, config):
        super().__init__()
        groups, eps = config["groups"], config["norm_eps"]
        self.norm1 = nn.GroupNorm(groups, c_in, eps)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.time_emb_proj = nn.Linear(time, c_out)
        self.norm2 = nn.GroupNorm(groups, c_out, eps)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()

    def forward(self, x, temb):
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.time_emb_proj(F.silu(temb))[:, :, None, None]
        return self.conv_shortcut(x) + self.conv2(F.silu(self.norm2(h)))


class Attention(nn.Module):
    """One head over all positions."""

    def __init__(self, c, config):
        super().__init__()
        self.group_norm = nn.GroupNorm(config["groups"], c, config["norm_eps"])
        self.to_q, self.to_k, self.to_v = nn.Linear(c, c), nn.Linear(c, c), nn.Linear(c, c)
        self.to_out = nn.ModuleList([nn.Linear(c, c)])

    def forward(self, x):
        h = self.group_norm(x).flatten(2).transpose(1, 2)  # [N, H·W, C]
        q, k, v = self.to_q(h), self.to_k(h), self.to_v(h)
        weights = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(h.shape[2]), dim=-1)
        return x + self.to_out[0](weights @ v).transpose(1, 2).reshape(x.shape)


class Resample(nn.Module):
    def __init__(self, c, down):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, stride=2) if down else nn.Conv2d(c, c, 3, padding=1)
        self.down = down

    def forward(self, x):
        if self.down:  # pads the right and the bottom alone
            return self.conv(F.pad(x, (0, 1, 0, 1)))
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Block(nn.Module):
    """Residual blocks, each followed by attention or not, then a resampling."""

    def __init__(self, widths_in, c_out, time, config, attentions, resample=None):
        super().__init__()
        self.resnets = nn.ModuleList(ResBlock(c, c_out, time, config) for c in widths_in)
        if attentions:
            self.attentions = nn.ModuleList(Attention(c_out, config) for _ in range(attentions))
        if resample:
            setattr(self, resample, nn.ModuleList([Resample(c_out, resample == "downsamplers")]))
        self.resample = resample

    def step(self, j, x, temb):
        x = self.resnets[j](x, temb)
        if hasattr(self, "attentions") and j < len(self.attentions):
            x = self.attentions[j](x)
        return x

    def change_size(self, x):
        return getattr(self, self.resample)[0](x)


class PaperUNet(nn.Module):
    """eps_theta(x_t, t) for a config in the terms of the product's unet.Config."""

    def __init__(self, config):
        super().__init__()
        ch, n, levels = config["channels"], config["res_blocks"], len(config["channels"])
        time = 4 * ch[0]
        attends = [(config["size"] >> i) in config["attention"] for i in range(levels)]
        self.half = ch[0] // 2
        self.time_embedding = nn.ModuleDict(dict(linear_1=nn.Linear(ch[0], time), linear_2=nn.Linear(time, time)))
        self.conv_in = nn.Conv2d(config["in_channels"], ch[0], 3, padding=1)
        skips = [ch[0]]
        self.down_blocks = nn.ModuleList()
        for i, c in enumerate(ch):
            last = i == levels - 1
            widths = [ch[max(i - 1, 0)]] + [c] * (n - 1)
            self.down_blocks.append(
                Block(widths, c, time, config, n * attends[i], None if last else "downsamplers")
            )
            skips += [c] * (n if last else n + 1)
        self.mid_block = Block([ch[-1]] * 2, ch[-1], time, config, 1)
        self.up_blocks = nn.ModuleList()
        width = ch[-1]
        for i in reversed(range(levels)):
            widths = []
            for _ in range(n + 1):
                widths.append(width + skips.pop())
                width = ch[i]
            self.up_blocks.append(
                Block(widths, ch[i], time, config, (n + 1) * attends[i], "upsamplers" if i else None)
            )
        self.conv_norm_out = nn.GroupNorm(config["groups"], ch[0], config["norm_eps"])
        self.conv_out = nn.Conv2d(ch[0], config["out_channels"], 3, padding=1)

    def embed(self, t):
        j = torch.arange(self.half, dtype=torch.float32)
        angle = t[:, None].float() * torch.exp(-math.log(10000) * j / (self.half - 1))
        h = self.time_embedding["linear_1"](torch.cat([angle.sin(), angle.cos()], dim=1))
        return self.time_embedding["linear_2"](F.silu(h))

    def forward(self, x, t):
        temb = self.embed(t)
        x = self.conv_in(x)
        skips = [x]
        for block in self.down_blocks:
            for j in range(len(block.resnets)):
                x = block.step(j, x, temb)
                skips.append(x)
            if block.resample:
                x = block.change_size(x)
                skips.append(x)
        for j in range(2):
            x = self.mid_block.step(j, x, temb)
        for block in self.up_blocks:
            for j in range(len(block.resnets)):
                x = block.step(j, torch.cat([x, skips.pop()], dim=1), temb)
            if block.resample:
                x = block.change_size(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))
