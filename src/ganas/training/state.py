"""The parts of a run's state that are neither networks nor optimisers: averages of weights and of losses."""

import copy
from typing import Any

import torch
from torch import Tensor

from ganas.gan.cyclegan import CycleGAN, Terms
from ganas.gan.unconditional import GrownGAN
from ganas.training.schedules import ema_decay

GAN = CycleGAN | GrownGAN  # what a loop trains


class Average:
    """An exponential moving average of the weights of a GAN's generators, by half-life in images."""

    def __init__(self, gan: GAN, *, half_life: float, batch: int, seen: int = 0) -> None:
        self._gan = gan
        self._seen = seen  # images that an inherited average has seen already
        self._half_life = half_life
        self._batch = batch
        self.generators = {
            name: copy.deepcopy(network).requires_grad_(False) for name, network in gan.generators.items()
        }

    @torch.no_grad()
    def update(self, nimg: int) -> None:
        """Take the weights after `nimg` images in."""
        decay = ema_decay(self._seen + nimg, batch=self._batch, half_life=self._half_life)
        for name, average in self.generators.items():
            for mean, current in zip(average.parameters(), self._gan.network(name).parameters(), strict=True):
                mean.lerp_(current, 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights."""
        return {name: generator.state_dict() for name, generator in self.generators.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        for name, generator in self.generators.items():
            generator.load_state_dict(state[name])


class Meters:
    """Means of loss terms since the last log; on the device until they are read."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, terms: Terms) -> None:
        """Count the terms of one phase."""
        for name, term in terms.items():
            self._sums[name] = self._sums.get(name, torch.zeros((), device=term.device)) + term.detach()
            self._counts[name] = self._counts.get(name, 0) + 1

    def read(self) -> dict[str, float]:
        """The means, and start again."""
        means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means

    def state_dict(self) -> dict[str, Any]:
        """Sums and counts."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self._sums, self._counts = dict(state["sums"]), dict(state["counts"])


def averaged_or_current(gan: GAN, average: Average | None) -> dict[str, Any]:
    """The generators to look at, to measure and to keep, networks of the GAN's own kind."""
    return average.generators if average else dict(gan.generators)
