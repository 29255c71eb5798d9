"""Phases: what one training step does, as a list for the loop. A GAN and a strategy are such lists."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

ImageBatch = tuple[Tensor, ...]  # of each domain [n, 3, h, w]
Terms = dict[str, Tensor]  # name of a loss term -> its weighted scalar; the loss is their sum
PhaseTerms = Callable[[ImageBatch, torch.Generator], Terms]  # of a batch, and of what draws


class GAN(nn.Module, ABC):
    """Networks that learn against each other, by name."""

    @abstractmethod
    def network(self, name: str) -> nn.Module:
        """One of them."""

    @property
    @abstractmethod
    def generators(self) -> Mapping[str, Any]:
        """Those that make images, by name."""


@dataclass(frozen=True)
class Phase:
    """One optimiser step: the terms of its loss on a batch, and who learns from them: what the optimiser holds."""

    name: str  # of the optimiser's state, and in messages
    optimizer: torch.optim.Optimizer
    networks: tuple[str, ...]  # whose parameters learn, all of them or some
    uses: tuple[str, ...]  # all that the terms send images through, those that learn included
    terms: PhaseTerms

    def is_active(self, nimg: int) -> bool:
        """Whether anything learns yet."""
        return any(nimg >= group["start_image"] for group in self.optimizer.param_groups)

    def freeze_others(self, gan: GAN) -> None:
        """Gradients for what the optimiser holds alone."""
        learners = {id(parameter) for group in self.optimizer.param_groups for parameter in group["params"]}
        for parameter in gan.parameters():
            parameter.requires_grad_(id(parameter) in learners)
