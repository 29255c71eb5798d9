"""How long training steps take on this machine."""

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

from ganas.learning.loop import Loop

WARM_UP, STEPS = 3, 5  # before, and while it is timed: memory is asked for in the first ones
TIME_LIMIT = 20.0  # seconds after which fewer have to do


def noise(domains: int, batch: int, resolution: int) -> tuple[Tensor, ...]:
    """A batch in [-1, 1]: of each domain [batch, 3, resolution, resolution]."""
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(domains, batch, 3, resolution, resolution, generator=generator) * 2 - 1).unbind()


def step_seconds(loop: Loop, images: tuple[Tensor, ...], *, warm_up: int = WARM_UP, steps: int = STEPS) -> float:
    """Median seconds of `steps` steps after `warm_up` others; fewer if they are slow."""
    seconds: list[float] = []
    for number in range(warm_up + steps):
        if number > 1 and sum(seconds) > TIME_LIMIT:
            break
        seconds.append(_seconds(lambda: loop.step(*images), loop.config.device))
    return median(seconds[min(warm_up, len(seconds) - 1) :])


def _seconds(step: Callable[[], None], device: str) -> float:
    began = time.perf_counter()
    step()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - began
