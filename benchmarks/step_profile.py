"""Where a step's time goes, beside what this machine can do at best.

python benchmarks/step_profile.py [--resolution 256] [--width 16] [--threads 2]

Convolutions: their time, their multiply-accumulates and so their rate. At best: the rate of a 3×3 convolution of 256
channels on a 64×64 map, forward, in the same run. What a step of another architecture must cost at least is its
multiply-accumulates at that rate.
"""

import time
from statistics import median

import torch
from contest import arguments, machine, print_table
from steps import noise, our_loop
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

STEPS = (("search", "paper"), ("search", "framed"), ("search", "reference"), ("train", "resnet9"))
HANDMADE = 64


def best_rate(precision: str) -> float:
    """Multiply-accumulates a second, in 1e9."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    x, kernel = torch.randn(2, 256, 64, 64, dtype=dtype), torch.randn(256, 256, 3, 3, dtype=dtype)
    x, kernel = (tensor.to(memory_format=torch.channels_last) for tensor in (x, kernel))
    seconds = []
    for _ in range(30):
        began = time.perf_counter()
        functional.conv2d(x, kernel, padding=1)
        seconds.append(time.perf_counter() - began)
    return 2 * 64**2 * 256**2 * 9 / median(seconds) / 1e9


def main() -> None:
    """Measure and print."""
    given = arguments(__doc__, resolution=256, width=16.0)
    torch.set_num_threads(given.threads)
    rows = []
    for precision in ("float32", "bf16"):
        for kind, layout in STEPS:
            width = given.width if kind == "search" else HANDMADE
            loop = our_loop(kind, layout, width=width, resolution=given.resolution, precision=precision)
            a, b = noise(2, loop.config.training.batch, loop.config.data.resolution)
            for _ in range(3):
                loop.step(a, b)
            seconds = []
            for _ in range(3):
                began = time.perf_counter()
                loop.step(a, b)
                seconds.append(time.perf_counter() - began)
            with profile(activities=[ProfilerActivity.CPU]) as recorded:
                loop.step(a, b)
            total = sum(event.self_cpu_time_total for event in recorded.key_averages())
            convolving = sum(e.self_cpu_time_total for e in recorded.key_averages() if "convolution" in e.key) / total
            with FlopCounterMode(display=False) as counter:
                loop.step(a, b)
            macs, best = counter.get_total_flops() / 2e9, best_rate(precision)
            whole = median(seconds)
            rows.append(
                (
                    *(f"{kind} {layout}", precision, f"{whole:.2f}", f"{convolving:.0%}", f"{macs:.0f}"),
                    *(f"{macs / (whole * convolving):.0f}", f"{best:.0f}", f"{macs / best:.2f}"),
                )
            )
    header = ("step", "precision", "seconds", "in convolutions", "GMAC", "GMAC/s there", "GMAC/s at best")
    print_table((*header, "seconds at best"), rows)
    print(f"\n{given.resolution}², batch 1; {machine(given.threads)}")


if __name__ == "__main__":
    main()
