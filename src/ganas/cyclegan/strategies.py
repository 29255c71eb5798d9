"""Search strategies (CycleGANAS sections 3.3 and 4.1): a strategy is a list of phases and what images they see.

- of    one step over alphas and weights on everything (Algorithm 1); the paper's default
- tf    two steps, weights and then alphas, on the same pair
- th    the same, but weights learn from one half of each domain and alphas from the other
- ths   as th, and the halves change roles in the middle: with a warm-up, of the rest, in which alphas learn
"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import torch
from torch import nn

from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.layout import DISCRIMINATORS, GENERATORS, NETWORKS
from ganas.cyclegan.mixed import draw, mixtures
from ganas.cyclegan.model import CycleGAN, Fakes, ImagePool, LossWeights, discriminator_loss, generator_loss
from ganas.data.loaders import halves
from ganas.data.sources import ImageSource
from ganas.learning.ema import EMA
from ganas.learning.loop import Loop
from ganas.learning.phases import ImageBatch, Phase, PhaseTerms, Terms
from ganas.learning.schedules import temperature

Learning = Literal["everything", "weights", "alphas"]
Penalty = Callable[[CycleGAN], Terms]  # what else the alphas of generators learn from
PhaseBuilder = Callable[[CycleGAN, dict[str, ImagePool], RunConfig, Penalty], list[Phase]]


def no_penalty(gan: CycleGAN) -> Terms:
    """Nothing else."""
    return {}


@dataclass(frozen=True)
class Strategy:
    """The phases of a step, and which images they see."""

    phases: PhaseBuilder
    halved: bool = False  # each domain has a half for the weights and another one for the alphas, fixed for the run
    swapped: bool = False  # they change roles in the middle of what the alphas learn from

    def sources(self, a: ImageSource, b: ImageSource, seed: int) -> tuple[ImageSource, ...]:
        """Whose images a step is given: of a and b, or of both their first and both their second halves."""
        if not self.halved:
            return a, b
        (first_a, second_a), (first_b, second_b) = halves(len(a), seed), halves(len(b), seed)
        return a.subset(first_a), b.subset(first_b), a.subset(second_a), b.subset(second_b)

    def roles(self, batches: Iterable[ImageBatch], nimg: int, config: RunConfig) -> Generator[ImageBatch, None, None]:
        """The batches from `nimg` on: what the weights learn from first, what the alphas learn from last."""
        for images in batches:
            exchanged = self.swapped and nimg >= exchange_at(config)
            yield (*images[2:], *images[:2]) if exchanged else images
            nimg += config.training.batch


def alphas_begin(config: RunConfig) -> float:
    """The image from which alphas learn."""
    return config.search.warmup * config.total_images if config.search else 0.0


def exchange_at(config: RunConfig) -> float:
    """The image from which halves have changed roles: the middle of what alphas learn from."""
    warmup = config.search.warmup if config.search else 0.0
    return config.total_images * (1 + warmup) / 2


def joint_phases(
    gan: CycleGAN, pools: dict[str, ImagePool], config: RunConfig, penalty: Penalty = no_penalty
) -> list[Phase]:
    """Algorithm 1: the generators, then the discriminators, each with its alphas and its weights in one Adam.

    For final networks, which have no alphas, this is the ordinary training step of a CycleGAN.
    """
    return _adversaries(gan, config, pools, "everything", penalty)


def two_step_phases(
    gan: CycleGAN, pools: dict[str, ImagePool], config: RunConfig, penalty: Penalty = no_penalty
) -> list[Phase]:
    """Section 4.1: a step of all weights, as in `joint_phases`, then one of all alphas, each with an Adam of its own.

    The weights learn from the first two domains of a step, the alphas from the last two, which may be the same. The
    pools are the weights': alphas see fresh fakes.
    """
    return [
        *_adversaries(gan, config, pools, "weights", no_penalty),
        *_adversaries(gan, config, None, "alphas", penalty),
    ]


def _adversaries(
    gan: CycleGAN, config: RunConfig, pools: dict[str, ImagePool] | None, learning: Learning, penalty: Penalty
) -> list[Phase]:
    """A step of the generators and one of the discriminators, which learn from what the generators have just made."""
    weights = LossWeights(**config.loss.model_dump(include=set(LossWeights._fields)))
    latest: list[Fakes] = []
    prefix, domains = ("alpha_", slice(-2, None)) if learning == "alphas" else ("", slice(2))

    def generators(images: ImageBatch, generator: torch.Generator) -> Terms:
        a, b = images[domains]
        terms, fakes = generator_loss(gan, a, b, adversarial=config.loss.adversarial, weights=weights)
        latest[:] = [fakes]
        return {f"{prefix}{name}": term for name, term in (terms | penalty(gan)).items()}

    def discriminators(images: ImageBatch, generator: torch.Generator) -> Terms:
        a, b = images[domains]
        (fakes,) = latest
        if pools:
            fakes = Fakes(a=pools["a"].exchange(fakes.a, generator), b=pools["b"].exchange(fakes.b, generator))
        terms = discriminator_loss(gan, a, b, fakes, adversarial=config.loss.adversarial)
        return {f"{prefix}{name}": term for name, term in terms.items()}

    def phase(name: str, networks: tuple[str, ...], uses: tuple[str, ...], terms: PhaseTerms) -> Phase:
        return Phase(f"{prefix}{name}", _adam(gan, networks, config, learning), networks, uses, terms)

    return [
        phase("generators", GENERATORS, NETWORKS, generators),
        phase("discriminators", DISCRIMINATORS, DISCRIMINATORS, discriminators),
    ]


def _adam(gan: CycleGAN, names: Sequence[str], config: RunConfig, learning: Learning) -> torch.optim.Adam:
    """Adam over weights, alphas or both. "initial_lr": before the schedule; "start_image": when learning starts."""
    networks = [gan.network(name) for name in names]
    alphas = [*chain.from_iterable(map(alphas_of, networks))]
    known = {id(alpha) for alpha in alphas}
    weights = [p for network in networks for p in network.parameters() if id(p) not in known]
    lr = config.training.lr
    groups: list[dict[str, object]] = []
    if learning != "alphas":
        groups.append({"params": weights, "lr": lr, "initial_lr": lr, "start_image": 0.0})
    if learning != "weights" and alphas and config.search:
        alpha_lr = config.search.alpha_lr or lr
        groups.append({"params": alphas, "lr": alpha_lr, "initial_lr": alpha_lr, "start_image": alphas_begin(config)})
    return torch.optim.Adam(groups, betas=config.training.betas, fused=True)


def alphas_of(network: nn.Module) -> list[nn.Parameter]:
    """The architecture weights of a supernet, from input to output; none of other networks."""
    return [mixed.alpha for mixed in mixtures(network)]


def mixture_draw(gan: CycleGAN, config: RunConfig) -> Callable[[Sequence[str], int, torch.Generator], None]:
    """One draw of mixture weights per network and optimiser step, for the loop; final networks have none."""
    search, total = config.search, config.total_images

    def draw_weights(names: Sequence[str], nimg: int, generator: torch.Generator) -> None:
        if search is None:
            return
        tau = temperature(nimg, total=total, start=search.temperature_start, end=search.temperature_end)
        for name in names:
            draw(gan.network(name), search.sampling, tau, generator)

    return draw_weights


def open_loop(gan: CycleGAN, phases: Sequence[Phase], ema: EMA | None, config: RunConfig) -> Loop:
    """The loop of a CycleGAN, or of its supernets."""
    return Loop(gan, phases, ema, config, draw=mixture_draw(gan, config))


STRATEGIES: Mapping[str, Strategy] = {
    "of": Strategy(joint_phases),
    "tf": Strategy(two_step_phases),
    "th": Strategy(two_step_phases, halved=True),
    "ths": Strategy(two_step_phases, halved=True, swapped=True),
}
