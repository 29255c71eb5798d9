"""What a run would cost, measured on this machine: parameters, MACs, memory, seconds a step, total time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.find import NetworkSize, describe_sizes
from ganas.cyclegan.layout import NETWORKS, Layout
from ganas.cyclegan.model import ImagePool
from ganas.cyclegan.networks import open_gan
from ganas.cyclegan.strategies import PhaseBuilder, no_penalty, open_loop
from ganas.learning.loop import Loop
from ganas.learning.timing import noise, step_seconds
from ganas.progress import readable_seconds


@dataclass(frozen=True)
class Cost:
    """What one run needs."""

    networks: Sequence[NetworkSize]  # generators first
    # an estimate: weights, gradients, Adam's moments and what the backward pass needs, but for the one cell that
    # training.checkpointing computes again at a time
    memory_bytes: int
    step_seconds: float  # median on this machine
    images: int  # pairs in all
    total_seconds: float  # steps alone


def measure_cost(config: RunConfig, layout: Layout, architecture: Architecture | None, phases: PhaseBuilder) -> Cost:
    """Build the run's networks and take a few real steps on noise. `config` is resolved."""
    training, nets = config.training, config.nets
    loop = trial_loop(config, layout, architecture, phases)
    gan = loop.gan
    networks = [
        _measured_size(name, gan.network(name), nets.width_of(name), config.data.resolution) for name in NETWORKS
    ]
    images, warmup = noise(2, training.batch, config.data.resolution), config.search.warmup if config.search else 0.0
    early = step_seconds(loop, images) if not all(phase.is_active(0) for phase in loop.phases) else 0.0
    loop.nimg = ceil(warmup * config.total_images)  # from here on everything learns
    activations = _saved_bytes(lambda: loop.step(*images))
    late = step_seconds(loop, images)
    seconds = warmup * early + (1 - warmup) * late if early else late
    weights = sum(network.bytes for network in networks)
    return Cost(
        networks=networks,
        memory_bytes=4 * weights + activations,
        step_seconds=seconds,
        images=config.total_images,
        total_seconds=seconds * config.total_images / training.batch,
    )


def trial_loop(config: RunConfig, layout: Layout, architecture: Architecture | None, phases: PhaseBuilder) -> Loop:
    """The loop of a run that is not there: its networks, fresh, and nothing written. `config` is resolved."""
    gan = open_gan(config, layout, architecture)
    pools = {domain: ImagePool(config.loss.pool) for domain in "ab"}
    return open_loop(gan, phases(gan, pools, config, no_penalty), None, config)


def _measured_size(name: str, network: nn.Module, width: float, resolution: int) -> NetworkSize:
    parameters = [*network.parameters()]
    image = torch.zeros(1, 3, resolution, resolution, device=parameters[0].device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(image)
    return NetworkSize(
        network=name,
        width=width,
        parameters=sum(parameter.numel() for parameter in parameters),
        macs=counter.get_total_flops() // 2,
    )


def _saved_bytes(step: Callable[[], None]) -> int:
    """Bytes of the distinct tensors that autograd keeps for the backward passes of a step, all phases together."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    def unpack(tensor: Any) -> Any:
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        step()
    return sum(storages.values())


def describe(cost: Cost, repeats: int = 1) -> list[str]:
    """For people, a line a fact."""
    return [
        *describe_sizes(cost.networks),
        f"memory           about {cost.memory_bytes / 10**6:,.0f} MB",
        f"a step           {cost.step_seconds:.2f} s, measured here",
        f"in all           {cost.images:,} pairs, {readable_seconds(cost.total_seconds)} of steps",
        *([f"{repeats} repeats       {readable_seconds(repeats * cost.total_seconds)}"] if repeats > 1 else []),
    ]
