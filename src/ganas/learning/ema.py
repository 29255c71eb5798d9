"""An exponential moving average (EMA) of a GAN's generators."""

import copy
from collections.abc import Mapping
from typing import Any

import torch

from ganas.learning.phases import GAN
from ganas.learning.schedules import ema_decay


class EMA:
    """An exponential moving average of the weights of a GAN's generators; `half_life` is in images."""

    def __init__(self, gan: GAN, *, half_life: float, batch: int, seen: int = 0) -> None:
        self._gan, self._half_life, self._batch = gan, half_life, batch
        self._seen = seen  # images that an inherited average has seen already
        self.generators = {
            name: copy.deepcopy(network).requires_grad_(False) for name, network in gan.generators.items()
        }

    @torch.no_grad()
    def update(self, nimg: int) -> None:
        """Add the weights after `nimg` images to the average."""
        decay = ema_decay(self._seen + nimg, batch=self._batch, half_life=self._half_life)
        for name, average in self.generators.items():
            for mean, current in zip(average.parameters(), self._gan.network(name).parameters(), strict=True):
                mean.lerp_(current, 1 - decay)
            for kept, buffer in zip(average.buffers(), self._gan.network(name).buffers(), strict=True):
                kept.copy_(buffer)  # running statistics are averages already

    def state_dict(self) -> dict[str, Any]:
        return {name: generator.state_dict() for name, generator in self.generators.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, generator in self.generators.items():
            generator.load_state_dict(state[name])


def averaged_or_current(gan: GAN, average: EMA | None) -> Mapping[str, Any]:
    """The generators to sample from, evaluate and save, by name."""
    return average.generators if average else gan.generators
