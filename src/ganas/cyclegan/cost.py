"""Estimate the cost of a run on this machine: parameters, MACs, memory, disk, seconds per step, total time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.distillation import open_distillation
from ganas.cyclegan.elastic import ElasticNetwork
from ganas.cyclegan.layout import GENERATORS, NETWORKS, ElasticLayout, Layout, NetworkLayout, find_layout
from ganas.cyclegan.networks import open_gan
from ganas.cyclegan.search import open_search
from ganas.cyclegan.size import BYTES_PER_PARAMETER, NetworkSize, describe_sizes, slot_parameters
from ganas.cyclegan.steps import open_loop, open_pools
from ganas.cyclegan.strategies import find_strategy
from ganas.cyclegan.train import open_training
from ganas.learning.loop import Loop
from ganas.learning.timing import activation_bytes, noise, step_seconds
from ganas.paths import StrPath
from ganas.progress import readable_seconds
from ganas.store import KEPT_CHECKPOINTS, Run


@dataclass(frozen=True)
class Cost:
    networks: Sequence[NetworkSize]  # generators first
    memory_bytes: int  # of weights, gradients, Adam's moments and stored activations, not of recomputed ones
    step_seconds: float  # median on this machine


def measure_cost(config: RunConfig, layout: Layout, architecture: Architecture | None) -> Cost:
    """Build the run's networks and time a few real steps on noise. `config` is resolved."""
    batch, resolution = config.training.batch, config.data.resolution
    loop = trial_loop(config, layout, architecture)
    networks = [
        _measured_size(name, loop.gan.network(name), config.nets.width_of(name), resolution) for name in NETWORKS
    ]
    images, warmup = noise(2, batch, resolution), config.search.warmup if config.search else 0.0
    early = step_seconds(loop, images) if not all(phase.is_active(0) for phase in loop.phases) else 0.0
    loop.nimg = ceil(warmup * config.total_images)  # from here on all parameters learn
    activations = activation_bytes(lambda: loop.step(*images))
    late = step_seconds(loop, images)
    seconds = warmup * early + (1 - warmup) * late if early else late
    memory = 4 * sum(network.bytes for network in networks) + activations
    return Cost(networks, memory, seconds)


def disk_bytes(config: RunConfig, architecture: Architecture | None = None) -> int:
    """Return the bytes of a run's checkpoints and networks at most; a training without architecture has the largest."""
    layout = find_layout(architecture.layout if architecture else config.nets.layout)

    def count(name: str) -> int:
        network, width = layout.network(name), config.nets.width_of(name)
        if name not in GENERATORS and not config.search and config.nets.discriminator == "patchgan":
            network = find_layout("resnet9").discriminator
        elif architecture:
            network = network.final(architecture.ops(name))
        if isinstance(network, ElasticLayout):
            return sum(parameter.numel() for parameter in ElasticNetwork(network, width).parameters())
        return _parameters(network, width, sum if config.search else max)

    generators, networks = (sum(map(count, names)) for names in (GENERATORS, NETWORKS))
    average = generators if config.training.ema_half_life else 0
    pools = 2 * config.loss.pool * 3 * config.data.resolution**2
    # the two that are kept, and one that is being written; networks have Adam's two moments
    checkpoints = (KEPT_CHECKPOINTS + 1) * (3 * networks + average + pools)
    return BYTES_PER_PARAMETER * (checkpoints + generators)


def _parameters(network: NetworkLayout, width: float, of_ops: Callable[[Iterator[int]], int]) -> int:
    """Return the parameters of a network whose slots hold the sum, or the maximum, of their ops."""
    return sum(of_ops(slot_parameters(slot, op, width) for op in slot.ops) for slot in network.slots)


def trial_loop(config: RunConfig, layout: Layout, architecture: Architecture | None) -> Loop:
    """Build the training loop of a config without a run folder, to time its steps. `config` is resolved."""
    gan = open_gan(config, layout, architecture)
    return open_loop(gan, open_pools(config), config, distillation=open_distillation(gan, architecture, config))


def _measured_size(name: str, network: nn.Module, width: float, resolution: int) -> NetworkSize:
    parameters = [*network.parameters()]
    image = torch.zeros(1, 3, resolution, resolution, device=parameters[0].device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(image)
    return NetworkSize(name, width, sum(p.numel() for p in parameters), counter.get_total_flops() // 2)


def dry_run(
    config: RunConfig,
    out: StrPath,
    architecture: Architecture | None = None,  # None: a search
    *,
    repeats: int = 1,
) -> tuple[RunConfig, list[str]]:
    """Return the resolved config of a run and its cost in human-readable lines, without writing anything."""
    if config.search:
        config, *_ = open_search(config, Run(out))
    else:
        assert architecture, "a training has an architecture"
        config, *_ = open_training(config, architecture, Run(out))
    cost = measure_cost(config, find_layout(config.nets.layout), architecture)
    images = config.total_images
    seconds = cost.step_seconds * images / config.training.batch
    lines = [
        *describe_sizes(cost.networks),
        f"memory           about {cost.memory_bytes / 10**6:,.0f} MB",
        f"disk             about {disk_bytes(config, architecture) / 10**6:,.0f} MB for checkpoints and networks",
        f"one step         {cost.step_seconds:.2f} s, measured here",
        f"in total         {images:,} pairs, {readable_seconds(seconds)} of steps",
    ]
    if repeats > 1:
        lines.append(f"{repeats} repeats       {readable_seconds(repeats * seconds)}")
    if config.search and find_strategy(config).sandwich:
        most = len(GENERATORS) * config.search.population * config.search.generations
        lines.append(f"then             an evolution, which compares up to {most:,} subnetworks with the teacher")
    elif config.search and config.search.budget == "ms":
        lines.append("budget           in milliseconds: the search measures latencies first, then checks that it fits")
    return config, lines
