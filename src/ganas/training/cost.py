"""What a run would cost, measured on this machine: parameters, MACs, memory, seconds a step, total time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ganas.config import GrowConfig, RunConfig
from ganas.gan.cyclegan import ImagePool
from ganas.nets.architecture import Architecture
from ganas.nets.layout import NETWORKS, Layout
from ganas.progress import readable_seconds
from ganas.training.architectures import NetworkSize, describe_sizes
from ganas.training.loop import Loop
from ganas.training.networks import open_gan
from ganas.training.phases import PhaseBuilder, no_penalty

WARM_UP, STEPS = 3, 5  # before, and while it is timed: memory is asked for in the first ones
PATIENCE = 20.0  # seconds after which fewer have to do


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
    images, warmup = noise(config), config.search.warmup if config.search else 0.0
    early = step_seconds(loop) if not all(phase.begun(0) for phase in loop.phases) else 0.0
    loop.nimg = ceil(warmup * config.total_images)  # from here on everything learns
    activations = _saved_bytes(lambda: loop.step(*images))
    late = step_seconds(loop)
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
    return Loop(gan, phases(gan, pools, config, no_penalty), None, config)


def noise(config: RunConfig | GrowConfig) -> tuple[Tensor, ...]:
    """A batch of the run's size, in [-1, 1]: of each domain [n, 3, r, r]."""
    side, domains = config.data.resolution, 1 if config.kind == "grow" else 2
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(domains, config.training.batch, 3, side, side, generator=generator) * 2 - 1).unbind()


def step_seconds(loop: Loop) -> float:
    """The median of a few steps on noise, after some to warm up; of large steps fewer."""
    images = noise(loop.config)
    seconds: list[float] = []
    for number in range(WARM_UP + STEPS):
        if number > 1 and sum(seconds) > PATIENCE:
            break
        seconds.append(_seconds(lambda: loop.step(*images), loop.config.device))
    return median(seconds[min(WARM_UP, len(seconds) - 1) :])


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


def _seconds(step: Callable[[], None], device: str) -> float:
    began = time.perf_counter()
    step()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - began


def describe(cost: Cost, repeats: int = 1) -> list[str]:
    """For people, a line a fact."""
    return [
        *describe_sizes(cost.networks),
        f"memory           about {cost.memory_bytes / 10**6:,.0f} MB",
        f"a step           {cost.step_seconds:.2f} s, measured here",
        f"in all           {cost.images:,} pairs, {readable_seconds(cost.total_seconds)} of steps",
        *([f"{repeats} repeats       {readable_seconds(repeats * cost.total_seconds)}"] if repeats > 1 else []),
    ]
