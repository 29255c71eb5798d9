"""The optimizer steps of a search or a training, and the images that each of them sees."""

from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor

from ganas.cyclegan.config import LossConfig, RunConfig
from ganas.cyclegan.distillation import Compare, Distillation
from ganas.cyclegan.elastic import below_with, largest, random_choice, smallest
from ganas.cyclegan.layout import DISCRIMINATORS, GENERATORS, NETWORKS
from ganas.cyclegan.mixed import draw
from ganas.cyclegan.model import CycleGAN, Fakes, ImagePool, discriminator_loss, generator_loss
from ganas.cyclegan.strategies import Learning, alphas_begin, find_sampler, find_strategy, swap_at
from ganas.data.loaders import halves
from ganas.data.sources import ImageSource
from ganas.learning.ema import EMA
from ganas.learning.loop import Loop
from ganas.learning.phases import ImageBatch, Phase, PhaseTerms, Terms
from ganas.learning.schedules import temperature

Pools = dict[str, ImagePool]  # by domain
Penalty = Callable[[CycleGAN], Terms]  # added to the generators' loss in steps in which alphas learn


def no_penalty(gan: CycleGAN) -> Terms:
    return {}


def step_sources(a: ImageSource, b: ImageSource, config: RunConfig) -> tuple[ImageSource, ...]:
    """Return the sources of a step's images: a and b, or the first halves of both and then the second halves."""
    if not find_strategy(config).halved:
        return a, b
    (first_a, second_a), (first_b, second_b) = (halves(len(source), config.split_seed) for source in (a, b))
    return a.subset(first_a), b.subset(first_b), a.subset(second_a), b.subset(second_b)


def assign_roles(batches: Iterable[ImageBatch], nimg: int, config: RunConfig) -> Generator[ImageBatch, None, None]:
    """Yield the batches from `nimg` on, the images of the weights' steps first, those of the alphas' steps last."""
    swaps = find_strategy(config).images == "swapped"
    for images in batches:
        yield (*images[2:], *images[:2]) if swaps and nimg >= swap_at(config) else images
        nimg += config.training.batch


def open_pools(config: RunConfig) -> Pools:
    return {domain: ImagePool(config.loss.pool) for domain in "ab"}


def build_phases(
    gan: CycleGAN,
    pools: Pools,
    config: RunConfig,
    penalty: Penalty = no_penalty,
    distillation: Distillation | None = None,
) -> list[Phase]:
    """Return the phases of one step: the generators, then the discriminators, for each entry of the strategy's phases.

    Each phase has its own Adam. Weights learn from the first two domains of a batch, alphas from the last two, which
    may be the same. The pools belong to the weights; steps of alphas alone see fresh fakes.
    """
    return [
        phase
        for learning in find_strategy(config).phases
        for phase in _adversaries(gan, pools, config, learning, penalty, distillation)
    ]


def _adversaries(
    gan: CycleGAN,
    pools: Pools,
    config: RunConfig,
    learning: Learning,
    penalty: Penalty,
    distillation: Distillation | None,
) -> tuple[Phase, Phase]:
    """Return a step of the generators, and one of the discriminators on the fakes of that step."""
    latest: list[Fakes] = []
    prefix, domains = ("alpha_", slice(-2, None)) if learning == "alphas" else ("", slice(2))
    extra = no_penalty if learning == "weights" else penalty

    def generators(images: ImageBatch, generator: torch.Generator) -> Terms:
        a, b = images[domains]
        compare = distillation.comparison(a, b) if distillation else None
        if find_strategy(config).sandwich:
            terms, fakes = sandwich_loss(gan, a, b, config.loss, generator, compare)
        else:
            terms, fakes = generator_loss(gan, a, b, config.loss, compare)
        latest[:] = [fakes]
        return {f"{prefix}{name}": term for name, term in (terms | extra(gan)).items()}

    def discriminators(images: ImageBatch, generator: torch.Generator) -> Terms:
        a, b = images[domains]
        (fakes,) = latest
        if learning != "alphas":
            fakes = Fakes(a=pools["a"].exchange(fakes.a, generator), b=pools["b"].exchange(fakes.b, generator))
        terms = discriminator_loss(gan, a, b, fakes, config.loss)
        return {f"{prefix}{name}": term for name, term in terms.items()}

    def phase(name: str, networks: tuple[str, ...], uses: tuple[str, ...], terms: PhaseTerms) -> Phase:
        more = [*distillation.parameters()] if distillation and networks == GENERATORS else []
        return Phase(f"{prefix}{name}", _adam(gan, networks, config, learning, more), networks, uses, terms)

    return (
        phase("generators", GENERATORS, NETWORKS, generators),
        phase("discriminators", DISCRIMINATORS, DISCRIMINATORS, discriminators),
    )


def sandwich_loss(
    gan: CycleGAN,
    a: Tensor,
    b: Tensor,
    config: LossConfig,
    generator: torch.Generator,
    compare: Compare | None = None,
) -> tuple[Terms, Fakes]:
    """Return the sum of the terms of the largest, the smallest and a random subnetwork, and the fakes of all three."""
    total: Terms = {}
    found = []
    for choose in (largest, smallest, partial(random_choice, below=below_with(generator))):
        for network in map(gan.network, GENERATORS):
            network.ops = choose(network.layout)
        terms, fakes = generator_loss(gan, a, b, config, compare)
        total = {name: total[name] + term if total else term for name, term in terms.items()}
        found.append(fakes)
    for network in map(gan.network, GENERATORS):
        network.ops = largest(network.layout)
    return total, Fakes(a=torch.cat([one.a for one in found]), b=torch.cat([one.b for one in found]))


def _adam(
    gan: CycleGAN, names: Sequence[str], config: RunConfig, learning: Learning, more: Sequence[torch.nn.Parameter]
) -> torch.optim.Adam:
    """Return Adam over weights, alphas or both; "start_image" is the image from which a group learns.

    more    parameters that learn as weights do
    """
    by_network = gan.alphas()
    alphas = [alpha for name in names for alpha in by_network[name]]
    known = {id(alpha) for alpha in alphas}
    weights = [p for name in names for p in gan.network(name).parameters() if id(p) not in known]
    lr = config.training.lr
    groups: list[dict[str, object]] = []
    if learning != "alphas":
        groups.append({"params": [*weights, *more], "lr": lr, "initial_lr": lr, "start_image": 0.0})
    if learning != "weights" and alphas and config.search:
        alpha_lr = config.search.alpha_lr or lr
        groups.append({"params": alphas, "lr": alpha_lr, "initial_lr": alpha_lr, "start_image": alphas_begin(config)})
    return torch.optim.Adam(groups, betas=config.training.betas, fused=True)


def open_loop(
    gan: CycleGAN,
    pools: Pools,
    config: RunConfig,
    *,
    penalty: Penalty = no_penalty,
    ema: EMA | None = None,
    distillation: Distillation | None = None,
) -> Loop:
    """Return the training loop of a CycleGAN or of its supernets."""
    search, total = config.search, config.total_images

    def sample_weights(names: Sequence[str], nimg: int, generator: torch.Generator) -> None:
        if search is None:
            return
        tau = temperature(nimg, total=total, start=search.temperature_start, end=search.temperature_end)
        for name in names:
            draw(gan.network(name), find_sampler(search), tau, generator)

    return Loop(gan, build_phases(gan, pools, config, penalty, distillation), ema, config, draw=sample_weights)
