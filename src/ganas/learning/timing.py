"""Measure how long training steps take on this machine."""

import time
from statistics import median

import torch
from torch import Tensor

from ganas.learning.loop import Loop

WARM_UP, STEPS = 3, 5  # the first steps allocate memory, and are not timed
TIME_LIMIT = 20.0  # seconds after which fewer steps must do


def noise(domains: int, batch: int, resolution: int) -> tuple[Tensor, ...]:
    """A random batch in [-1, 1]: [batch, 3, resolution, resolution] per domain."""
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(domains, batch, 3, resolution, resolution, generator=generator) * 2 - 1).unbind()


def step_seconds(loop: Loop, images: tuple[Tensor, ...], *, warm_up: int = WARM_UP, steps: int = STEPS) -> float:
    """Median seconds of `steps` steps after `warm_up` untimed ones; fewer steps if they are slow."""
    seconds: list[float] = []
    for number in range(warm_up + steps):
        if number > 1 and sum(seconds) > TIME_LIMIT:
            break
        began = time.perf_counter()
        loop.step(*images)
        if loop.config.device.startswith("cuda"):
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return median(seconds[min(warm_up, len(seconds) - 1) :])
