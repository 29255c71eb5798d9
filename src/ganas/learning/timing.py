"""Measure how long training steps take on this machine."""

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

from ganas.learning.loop import Loop

WARM_UP, STEPS = 3, 5  # the first steps allocate memory
TIME_LIMIT = 20.0  # seconds after which fewer steps have to do


def noise(domains: int, batch: int, resolution: int) -> tuple[Tensor, ...]:
    """A random batch in [-1, 1]: [batch, 3, resolution, resolution] per domain."""
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(domains, batch, 3, resolution, resolution, generator=generator) * 2 - 1).unbind()


def step_seconds(loop: Loop, images: tuple[Tensor, ...], *, warm_up: int = WARM_UP, steps: int = STEPS) -> float:
    """Return the median seconds of `steps` training steps after `warm_up` others; of fewer if they are slow."""
    return median_seconds(lambda: loop.step(*images), loop.config.device, warm_up, steps)


def median_seconds(call: Callable[[], object], device: str, warm_up: int, repeats: int) -> float:
    """Return the median seconds of `repeats` calls after `warm_up` others; of fewer if they are slow."""
    seconds: list[float] = []
    for number in range(warm_up + repeats):
        if number > 1 and sum(seconds) > TIME_LIMIT:
            break
        start = time.perf_counter()
        call()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return median(seconds[min(warm_up, len(seconds) - 1) :])


def activation_bytes(step: Callable[[], None]) -> int:
    """Return the bytes of the distinct tensors that autograd stores for backward in a step, all phases together."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(storages.values())
