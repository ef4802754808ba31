"""Compares the product's losses with PyTorch's, step by step and at the end.

    python3 compare.py --metrics metrics.jsonl --torch losses.txt [--last 50] [--within 0.03]

Exit code 1: the means of the last steps are further apart than that.
"""

import argparse
import json
import pathlib

WINDOWS = 6


def mean(values):
    return sum(values) / len(values)


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--metrics", type=pathlib.Path, required=True)
    args.add_argument("--torch", type=pathlib.Path, required=True)
    args.add_argument("--last", type=int, default=50)
    args.add_argument("--within", type=float, default=0.03)
    args = args.parse_args()
    torch = [float(line) for line in args.torch.read_text().split()]
    lines = [json.loads(line) for line in args.metrics.read_text().splitlines()]
    ours = {line["step"]: line["loss"] for line in lines}
    steps = sorted(ours)
    # The product counts completed steps: step 1 is the first.
    if steps != list(range(1, len(torch) + 1)) or len(lines) != len(steps):
        raise SystemExit(f"compare.py: {args.metrics} has {len(lines)} steps, {args.torch} {len(torch)}: not the same run")
    if len(torch) < args.last:
        raise SystemExit(f"compare.py: {len(torch)} steps are fewer than the last {args.last}")
    ours = [ours[s] for s in steps]

    print("mean L_simple      product    PyTorch    ratio")
    n = len(torch)
    for w in range(WINDOWS):
        lo, hi = w * n // WINDOWS, (w + 1) * n // WINDOWS
        report(f"steps {lo + 1}-{hi}", ours[lo:hi], torch[lo:hi])
    first = max(abs(a / b - 1) for a, b in zip(ours[:10], torch[:10]))
    print(f"largest difference of one step's loss: {first:.1e} in the first 10 steps, "
          f"{max(abs(a / b - 1) for a, b in zip(ours, torch)):.1e} in all")
    ratio = report(f"the last {args.last}", ours[-args.last :], torch[-args.last :])
    if not abs(ratio - 1) <= args.within:
        raise SystemExit(f"compare.py: the ratio is further than {args.within:.0%} from 1")


def report(what, ours, torch):
    ratio = mean(ours) / mean(torch)
    print(f"{what:16} {mean(ours):10.6f} {mean(torch):10.6f} {ratio:8.4f}")
    return ratio


if __name__ == "__main__":
    main()
