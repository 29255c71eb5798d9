"""Phases: the optimizer steps of one training step, as a list that each method gives to the loop."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

ImageBatch = tuple[Tensor, ...]  # [n, 3, h, w] per domain
Terms = dict[str, Tensor]  # name of a loss term -> its weighted scalar; the loss is their sum
PhaseTerms = Callable[[ImageBatch, torch.Generator], Terms]  # of a batch, with the step's random generator


class GAN(nn.Module, ABC):
    """Generators and discriminators, by name."""

    def network(self, name: str) -> Any:
        """Return a network by name."""
        return getattr(self, name)

    @property
    @abstractmethod
    def generators(self) -> Mapping[str, Any]:
        """The generators by name."""


@dataclass(frozen=True)
class Phase:
    """One optimizer step: the loss terms of a batch, and the optimizer of the parameters that learn from them."""

    name: str  # key of the optimizer's state, also used in messages
    optimizer: torch.optim.Optimizer  # its groups have "initial_lr" and "start_image", when they start to learn
    networks: tuple[str, ...]  # whose parameters learn, all or some of them
    uses: tuple[str, ...]  # networks that the terms use, including those that learn
    terms: PhaseTerms
    interval: int = 1  # it takes the last step of so many

    def is_active(self, nimg: int) -> bool:
        """Whether any parameter learns after `nimg` images."""
        return any(nimg >= group["start_image"] for group in self.optimizer.param_groups)

    def freeze_others(self, gan: GAN) -> None:
        """Enable gradients for the parameters of the optimizer only."""
        learners = {id(parameter) for group in self.optimizer.param_groups for parameter in group["params"]}
        for parameter in gan.parameters():
            parameter.requires_grad_(id(parameter) in learners)
