#!/usr/bin/env python3
"""Compares the product's DDIM on cifar10 with PyTorch's forward passes, in turn, on this
machine: rounds of one and the other, and of each the median.

    test/parity/sampling_speed.py [--batch 8] [--threads 2] [--steps 50] [--rounds 5] [--at-least 2]

Needs Go, and PyTorch 1.13 or later in the Python that runs it. PyTorch has the layout
in memory that is faster here, which a first round finds. CPU seconds are printed too:
on a machine that others use they vary less than the time does. Exits with 1 where the
product's images a second are less than --at-least times PyTorch's.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def run(*command):
    """Runs a command that prints JSON; with it the CPU seconds of the process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return json.loads(out), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    args = argparse.ArgumentParser(description=__doc__)
    for name, value in dict(batch=8, threads=2, steps=50, rounds=5).items():
        args.add_argument("--" + name, type=int, default=value)
    args.add_argument("--at-least", type=float, default=2)
    args.add_argument("--ddpmctl", help="a build of it (default: one that is made now)")
    a = args.parse_args()
    sizes = ["--batch", str(a.batch), "--threads", str(a.threads)]

    with tempfile.TemporaryDirectory() as folder:
        ctl = a.ddpmctl
        if not ctl:
            ctl = os.path.join(folder, "ddpmctl")
            subprocess.run(["go", "build", "-o", ctl, "./cmd/ddpmctl"], cwd=ROOT, check=True)

        def ours(steps):
            return run(ctl, "bench", "sample", "--preset", "cifar10", "--json", *sizes, "--steps", str(steps))

        def torch(steps, *layout):
            return run(sys.executable, os.path.join(HERE, "torch_forward.py"), *sizes, "--steps", str(steps), *layout)[0]

        few = max(2, min(a.steps, 5))
        layout = min([], ["--channels-last"], key=lambda l: torch(few, *l)["seconds_per_step"])
        # What a process costs beside its steps, to take from the CPU time of one that draws.
        start = ours(1)[1]
        speeds, cpus = ([], []), ([], [])
        for i in range(a.rounds):
            theirs = torch(a.steps, *layout)
            mine, cpu = ours(a.steps)
            cpu = (cpu - start) / max(a.steps - 1, 1)
            if mine["params"] != theirs["params"]:
                sys.exit(f"the networks differ: {mine['params']} and {theirs['params']} parameters")
            speeds[0].append(mine["images_per_second"]), speeds[1].append(theirs["images_per_second"])
            cpus[0].append(cpu), cpus[1].append(theirs["cpu_seconds_per_step"])
            print(f"round {i + 1}: here {speeds[0][-1]:.2f}, PyTorch {speeds[1][-1]:.2f} steps of an image/s; "
                  f"CPU seconds a step of the batch: {cpus[0][-1]:.2f}, {cpus[1][-1]:.2f}", flush=True)
    here, there = map(statistics.median, speeds)
    ratio, cpu = here / there, statistics.median(cpus[1]) / statistics.median(cpus[0])
    print(f"cifar10, batch {a.batch}, {a.threads} threads, {' '.join(layout) or '--contiguous'}, PyTorch {theirs['torch']}: "
          f"here {here:.2f}, PyTorch {there:.2f} steps of an image/s (medians): {ratio:.2f} times; by CPU time {cpu:.2f} times")
    if ratio < a.at_least:
        sys.exit(f"less than {a.at_least} times")


main()
