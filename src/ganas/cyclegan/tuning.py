"""How each slot of a supernet is merged: by count, or by a measurement on this machine that the run keeps."""

import json
import time
from collections.abc import Mapping
from math import prod
from statistics import median

import torch
from torch import Tensor, nn

from ganas.cyclegan.build import build, mixture
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.grouping import MOVE, WAYS, Counted, Grouping, naive
from ganas.cyclegan.layout import NETWORKS, Layout, Slot
from ganas.cyclegan.mixed import Groups, MixedOp, mixtures, softmax_weights
from ganas.cyclegan.ops import OPS
from ganas.errors import RunError
from ganas.learning.loop import autocast
from ganas.store import Run

CANDIDATES: Mapping[str, Grouping] = {**WAYS, "naive": naive}
ROUNDS = 5  # of which the median counts, after one to warm up

PASS = 1.5  # batches in one pass on the average: translations and identities are two, reconstructions one

Ways = dict[str, dict[str, str]]  # network -> slot -> way


def open_grouping(run: Run | None, config: RunConfig, layout: Layout) -> Grouping:
    """The grouping that `nets.mixing` asks for; `timed` measures once and keeps what it found in the run."""
    if config.nets.mixing == "naive":
        return naive
    if config.nets.mixing == "merged":
        return _counted(config, layout)
    if run and run.mixing.is_file():
        return recorded(_read(run, layout))
    ways = measure_ways(config, layout)
    if run:
        run.write_text(run.mixing, json.dumps(ways, indent=1) + "\n")
    return recorded(ways)


def _counted(config: RunConfig, layout: Layout) -> Grouping:
    pixels = {
        (name, slot.name): PASS * shape[0] * prod(size)
        for name in NETWORKS
        for slot, shape, size in _maps(name, layout, config)
    }
    return Counted(pixels, MOVE[config.training.precision])


def recorded(ways: Ways) -> Grouping:
    """The grouping that `measure_ways` found."""

    def grouping(network: str, slot: Slot, ops: Mapping[str, nn.Module]) -> Groups:
        return CANDIDATES[ways[network][slot.name]](network, slot, ops)

    return grouping


def _read(run: Run, layout: Layout) -> Ways:
    try:
        ways: Ways = json.loads(run.mixing.read_text())
        named = all(ways[name][slot.name] in CANDIDATES for name in NETWORKS for slot in layout.network(name).searched)
    except (ValueError, TypeError, LookupError):
        named = False
    if not named:
        raise RunError(f"{str(run.mixing)!r} is damaged: take an intact copy of it, or begin a new run")
    return ways


def measure_ways(config: RunConfig, layout: Layout) -> Ways:
    """The fastest way of every searched slot: forward and backward, at the run's size, batch and precision."""
    known: dict[tuple[object, ...], str] = {}  # slots that are alike are measured once
    ways: Ways = {}
    for name in NETWORKS:
        ways[name] = {}
        for slot, shape, _ in _maps(name, layout, config):
            c_out = slot.c_out.at(config.nets.width_of(name))
            likeness = (slot.ops, slot.scale, slot.trim, shape, c_out)
            if likeness not in known:
                known[likeness] = _fastest(name, slot, shape, c_out, config)
            ways[name][slot.name] = known[likeness]
    return ways


def _maps(name: str, layout: Layout, config: RunConfig) -> list[tuple[Slot, tuple[int, ...], tuple[int, int]]]:
    """Every searched slot of a network, the shape of what its op is given, height and width of what it makes."""
    shapes: list[tuple[tuple[int, ...], tuple[int, int]]] = []

    def note(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        shapes.append((tuple(inputs[0].shape), (output.shape[2], output.shape[3])))

    network = layout.network(name)
    with torch.device("meta"), torch.no_grad():
        supernet = build(network, config.nets.width_of(name), mixture(name, naive))
        for mixed in mixtures(supernet):
            mixed.register_forward_hook(note)
        supernet(torch.empty(config.training.batch, 3, config.data.resolution, config.data.resolution))
    return [(slot, *shape) for slot, shape in zip(network.searched, shapes, strict=True)]


def _fastest(name: str, slot: Slot, shape: tuple[int, ...], c_out: int, config: RunConfig) -> str:
    device = config.device
    n, c_in, height, width = shape
    generator = torch.Generator().manual_seed(0)
    # what goes through a generator's slot in one step: translations with identities, and reconstructions; a
    # discriminator's sees as many images
    batches = [
        torch.rand(count, c_in, height, width, generator=generator)
        .to(device, memory_format=torch.channels_last)
        .requires_grad_()
        for count in (2 * n, n)
    ]
    mixed: dict[str, MixedOp] = {}
    for way, grouping in CANDIDATES.items():
        ops = {op: OPS[op](c_in, c_out, slot) for op in slot.ops}
        mixed[way] = MixedOp(ops, grouping(name, slot, ops)).to(device).to(memory_format=torch.channels_last)
    times: dict[str, list[float]] = {way: [] for way in CANDIDATES}
    for number in range(ROUNDS + 1):
        for way, op in mixed.items():
            began = time.perf_counter()
            _pass(op, batches, config)
            if number:
                times[way].append(time.perf_counter() - began)
    return min(times, key=lambda way: median(times[way]))


def _pass(op: MixedOp, batches: list[Tensor], config: RunConfig) -> None:
    with autocast(config):
        op.use(softmax_weights(op.alpha))
        outputs = [op(batch) for batch in batches]
    torch.autograd.backward(outputs, [torch.ones_like(output) for output in outputs])
    op.zero_grad()
    if config.device.startswith("cuda"):
        torch.cuda.synchronize()
