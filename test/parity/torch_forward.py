"""Times the forward pass of a preset's U-Net in PyTorch, as a sampler makes it: one
pass on the whole batch is one step of the batch's images.

    torch_forward.py --batch 8 --threads 2 --steps 10 [--channels-last]

Prints a line of JSON: the median seconds of a pass, images a second, and CPU seconds.
"""

import argparse
import json
import statistics
import time

import torch

from paper_unet import PaperUNet

# The paper's network for CIFAR-10 (appendix B), in the terms of the product's config.
CIFAR10 = dict(
    size=32, in_channels=3, out_channels=3, channels=[128, 256, 256, 256], res_blocks=2,
    attention=[16], groups=32, norm_eps=1e-6,
)


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--batch", type=int, default=8)
    args.add_argument("--threads", type=int, default=2)
    args.add_argument("--steps", type=int, default=10)
    args.add_argument("--channels-last", action="store_true")
    a = args.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    net = PaperUNet(CIFAR10).eval()
    x = torch.randn(a.batch, 3, 32, 32)
    if a.channels_last:
        net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    t = torch.linspace(0, 999, a.batch).long()
    times = []
    with torch.inference_mode():
        net(x, t)  # finds its memory and its kernels
        cpu = time.process_time()
        for _ in range(a.steps):
            begin = time.perf_counter()
            net(x, t)
            times.append(time.perf_counter() - begin)
        cpu = time.process_time() - cpu
    median = statistics.median(times)
    print(json.dumps(dict(
        torch=torch.__version__, params=sum(p.numel() for p in net.parameters()), batch=a.batch, threads=a.threads,
        seconds_per_step=median, images_per_second=a.batch / median, cpu_seconds_per_step=cpu / a.steps,
    )))


main()
