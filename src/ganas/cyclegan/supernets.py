"""Trained supernets, and the architectures that can be derived from them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor

from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.budget import Budget, handmade_size
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.derive import derive, read_choices
from ganas.cyclegan.layout import Layout
from ganas.cyclegan.model import CycleGAN
from ganas.cyclegan.projection import Losses, projected_weights, projection_losses


@dataclass
class Supernets:
    """The supernets of a search, its budget, and images to judge projections on."""

    config: RunConfig
    layout: Layout
    gan: CycleGAN
    budget: Budget | None
    images: Callable[[], tuple[Tensor, Tensor]]  # of A and B, as many: float [n, 3, h, w], held out from training
    projects: bool = False  # whether the architecture was derived by projections

    def leading_ops(self) -> Architecture:
        """Derive the ops of the highest alphas; under a budget, the highest sum of log-weights within it."""
        alphas = self.gan.alphas()
        if self.budget:
            return self.budget.derive(self.layout, alphas)
        return derive(self.layout, read_choices(self.layout, alphas))

    def best_projections(self) -> Architecture:
        """Derive the ops whose projections raise the loss least in sum, within `limits`."""
        self.projects = True
        scores = {name: [[-loss for loss in slot] for slot in slots] for name, slots in self.losses.items()}
        architecture = self.leading_ops()  # all ops of which are replaced
        for limit in self.limits:
            architecture = limit.best(architecture, scores)
        return architecture

    @property
    def limits(self) -> tuple[Budget, ...]:
        """The budget; projections are also limited by the size of hand-made networks, where it has no limit."""
        budgets = (self.budget,) if self.budget else ()
        if not self.projects:
            return budgets
        handmade = handmade_size(self.config, self.layout)
        limits = {k: v for k, v in handmade.limits.items() if not any(k in budget.limits for budget in budgets)}
        return *budgets, replace(handmade, limits=limits)

    @cached_property
    def losses(self) -> Losses:
        """How much the loss rises by each op's projection."""
        a, b = self.images()
        device = self.config.training.device
        return projection_losses(self.gan, a.to(device), b.to(device), self.config.loss)

    def projected_weights(self, architecture: Architecture) -> dict[str, Tensor]:
        """The reduced weights of projections, from which final networks can start; none if derived by alphas."""
        return projected_weights(self.gan, architecture) if self.projects else {}
