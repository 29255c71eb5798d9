"""Phases: what one training step does, as a list. A search strategy is another list of phases for the same loop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ganas.config import RunConfig
from ganas.gan.cyclegan import CycleGAN, Fakes, ImagePool, LossWeights, Terms, discriminator_loss, generator_loss
from ganas.nets.layout import DISCRIMINATORS, GENERATORS, NETWORKS
from ganas.nets.mixed import mixtures
from ganas.training.state import GAN


@dataclass(frozen=True)
class Phase:
    """One optimiser step: the terms of its loss on a batch, and who learns from them."""

    name: str  # of the optimiser's state, and in messages
    optimizer: torch.optim.Optimizer
    networks: tuple[str, ...]  # whose parameters learn; all others are frozen meanwhile
    uses: tuple[str, ...]  # all that the terms send images through, those that learn included
    terms: Callable[..., Terms]  # of the images of each domain, [n, 3, h, w], and a torch.Generator


def joint_phases(gan: CycleGAN, pools: dict[str, ImagePool], config: RunConfig) -> list[Phase]:
    """Algorithm 1: the generators, then the discriminators, each with its alphas and its weights in one Adam.

    For final networks, which have no alphas, this is the ordinary training step of a CycleGAN.
    """
    weights = LossWeights(**config.loss.model_dump(include=set(LossWeights._fields)))
    latest: list[Fakes] = []

    def generators(a: Tensor, b: Tensor, generator: torch.Generator) -> Terms:
        terms, fakes = generator_loss(gan, a, b, adversarial=config.loss.adversarial, weights=weights)
        latest[:] = [fakes]
        return terms

    def discriminators(a: Tensor, b: Tensor, generator: torch.Generator) -> Terms:
        fakes = Fakes(
            a=pools["a"].exchange(latest[0].a, generator),
            b=pools["b"].exchange(latest[0].b, generator),
        )
        return discriminator_loss(gan, a, b, fakes, adversarial=config.loss.adversarial)

    return [
        Phase("generators", _adam(gan, GENERATORS, config), GENERATORS, NETWORKS, generators),
        Phase("discriminators", _adam(gan, DISCRIMINATORS, config), DISCRIMINATORS, DISCRIMINATORS, discriminators),
    ]


def _adam(gan: CycleGAN, names: Sequence[str], config: RunConfig) -> torch.optim.Adam:
    """One Adam over weights and alphas; "initial_lr" is what the schedule scales, "begins" the image to learn from."""
    networks = [gan.network(name) for name in names]
    alphas = [mixed.alpha for network in networks for mixed in mixtures(network)]
    known = {id(alpha) for alpha in alphas}
    weights = [p for network in networks for p in network.parameters() if id(p) not in known]
    lr = config.training.lr
    groups: list[dict[str, object]] = [{"params": weights, "lr": lr, "initial_lr": lr, "begins": 0.0}]
    if alphas and config.search:
        alpha_lr = config.search.alpha_lr or lr
        begins = config.search.warmup * config.total_images
        groups.append({"params": alphas, "lr": alpha_lr, "initial_lr": alpha_lr, "begins": begins})
    return torch.optim.Adam(groups, betas=config.training.betas, fused=True)


def freeze_all_but(gan: GAN, names: Sequence[str]) -> None:
    """Gradients for the named networks alone."""
    learning: set[nn.Module] = {gan.network(name) for name in names}
    for network in gan.children():
        network.requires_grad_(network in learning)
