"""How long training steps take on this machine."""

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

from ganas.learning.loop import Loop

WARM_UP, STEPS = 3, 5  # before, and while it is timed: memory is asked for in the first ones
PATIENCE = 20.0  # seconds after which fewer have to do


def noise(domains: int, batch: int, resolution: int) -> tuple[Tensor, ...]:
    """A batch in [-1, 1]: of each domain [batch, 3, resolution, resolution]."""
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(domains, batch, 3, resolution, resolution, generator=generator) * 2 - 1).unbind()


def step_seconds(loop: Loop, images: tuple[Tensor, ...]) -> float:
    """The median of a few steps on these images, after some to warm up; of large steps fewer."""
    seconds: list[float] = []
    for number in range(WARM_UP + STEPS):
        if number > 1 and sum(seconds) > PATIENCE:
            break
        seconds.append(_seconds(lambda: loop.step(*images), loop.config.device))
    return median(seconds[min(WARM_UP, len(seconds) - 1) :])


def _seconds(step: Callable[[], None], device: str) -> float:
    began = time.perf_counter()
    step()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - began
