"""Find a front of translators, from tiny to full, in elastic supernets: `ganas search --strategy sampled`.

A subnetwork is scored by how far its translations of held-out images (of training images, if too few are held out) are
from those of the largest one, which learned together with it. Its cost is the milliseconds of one image on one thread
of this machine: predicted as the sum over its slots while the evolution runs, measured as a whole for the points of the
front.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from math import inf
from typing import Any

import torch
from torch import Tensor

from ganas.config import load_config
from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.build import SlotModule, only_op
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.elastic import ElasticNetwork, Ops, largest, smallest
from ganas.cyclegan.evolution import Evolution
from ganas.cyclegan.layout import GENERATORS, Slot
from ganas.cyclegan.model import CycleGAN
from ganas.cyclegan.size import input_sides, macs, parameters
from ganas.document import parsing, read_record, write_record
from ganas.errors import ConfigError, RunError
from ganas.learning.timing import median_seconds
from ganas.paths import StrPath
from ganas.settings import Values
from ganas.store import Run

WARM_UP, REPEATS = 2, 7
WHOLE_REPEATS = 15  # of a whole network


@dataclass(frozen=True)
class Translator:
    """One generator of a point."""

    ops: Ops
    milliseconds: float  # of one image, one thread, this machine
    predicted: float  # the sum of its slots'
    macs: int
    parameters: int
    distance: float  # mean absolute difference of its translations from the largest network's, in [-1, 1] images


@dataclass(frozen=True)
class Point:
    """The best translator of each direction within a number of milliseconds."""

    limit: float  # milliseconds
    generator_ab: Translator
    generator_ba: Translator

    @property
    def architecture(self) -> Architecture:
        return Architecture("elastic", generator_ab=self.generator_ab.ops, generator_ba=self.generator_ba.ops)


@dataclass(frozen=True)
class Front:
    """Points by ascending limit."""

    points: tuple[Point, ...]
    resolution: int  # of the image that milliseconds are of
    images: int  # pairs that the supernets had seen

    def to_json(self) -> str:
        """The text of a ``front.json``."""
        return write_record({"kind": "front", **asdict(self)})

    @classmethod
    def from_json(cls, text: str, origin: str) -> "Front":
        """Read what `to_json` wrote; raises `RunError` that names `origin`."""
        way_out = "search again"
        document = read_record(text, origin, "front", way_out)
        with parsing(origin, way_out=way_out):
            points = tuple(
                Point(one["limit"], *(_translator(one[name]) for name in GENERATORS)) for one in document["points"]
            )
            return cls(points, document["resolution"], document["images"])

    def within(self, milliseconds: float) -> Point:
        """The point of the largest translators within a budget; raises `ConfigError` if even the smallest is slower."""
        fitting = [
            one
            for one in self.points
            if max(one.generator_ab.milliseconds, one.generator_ba.milliseconds) <= milliseconds
        ]
        if not fitting:
            first = self.points[0]
            least = max(first.generator_ab.milliseconds, first.generator_ba.milliseconds)
            raise ConfigError(f"--budget-ms {milliseconds:g}: the smallest translators take {least:.1f} ms")
        return fitting[-1]

    def lines(self) -> list[str]:
        """A human-readable line per point."""
        return [
            f"point {number}: within {point.limit:.1f} ms, "
            + ", ".join(
                f"{name[-2:]} {one.milliseconds:.1f} ms, {one.parameters:,} parameters, distance {one.distance:.4f}"
                for name, one in zip(GENERATORS, (point.generator_ab, point.generator_ba), strict=True)
            )
            for number, point in enumerate(self.points)
        ]


def _translator(document: Mapping[str, Any]) -> Translator:
    return Translator(**{**document, "ops": tuple(document["ops"])})


def read_front(run: Run) -> Front:
    """Read the front of a search; raises `RunError`."""
    file = run.front
    if not file.is_file():
        raise RunError(f"{str(run.path)!r} has no front: give the run of a finished ganas search --strategy sampled")
    return Front.from_json(file.read_text(encoding="utf-8"), str(file))


def open_point(run: StrPath, number: int | None, milliseconds: float | None) -> tuple[Architecture, Values]:
    """Choose a point of a search by its number or by a budget; returns also the config values that fine-tune it.

    Raises `ConfigError` for a number that the front does not have, and for a budget that nothing fits.
    """
    folder = Run(run)
    front = read_front(folder)
    if milliseconds is not None:
        point = front.within(milliseconds)
    elif number is not None and number < len(front.points):
        point = front.points[number]
    else:
        raise ConfigError(f"--point {number}: {str(folder.path)!r} has points 0 to {len(front.points) - 1}")
    config = load_config(RunConfig, folder.config.read_bytes(), str(folder.config))
    widths = {f"nets.{name}": getattr(config.nets, name) for name in ("width", "width_ab", "width_ba")}
    return point.architecture, {**widths, "training.inherit": folder.path}


@torch.no_grad()
def find_front(gan: CycleGAN, a: Tensor, b: Tensor, config: RunConfig) -> Front:
    """Evolve a front for each direction, and combine them. a and b are images [n, 3, h, w] in [-1, 1]."""
    assert config.search
    found = {
        name: _evolve(gan.network(name), images, config, seed)
        for seed, (name, images) in enumerate(zip(GENERATORS, (a, b), strict=True))
    }
    both = [one.milliseconds for some in found.values() for one in some]
    low = max(some[0].milliseconds for some in found.values())
    steps = config.search.points - 1
    limits = [low * (max(both) / low) ** (number / steps) for number in range(steps + 1)]
    points = [Point(limit, *(_best_within(found[name], limit) for name in GENERATORS)) for limit in limits]
    different = {(point.generator_ab.ops, point.generator_ba.ops): point for point in reversed(points)}
    return Front(tuple(reversed(different.values())), config.search.latency_resolution, config.total_images)


def _best_within(translators: Sequence[Translator], limit: float) -> Translator:
    fitting = [one for one in translators if one.milliseconds <= limit * (1 + 1e-9)]
    return min(fitting, key=lambda one: one.distance)


def _evolve(network: ElasticNetwork, images: Tensor, config: RunConfig, seed: int) -> list[Translator]:
    """The front of one direction, the fastest first, with measured milliseconds."""
    search = config.search
    assert search
    layout, width, side = network.layout, network.width, search.latency_resolution
    wanted = _translate(network, largest(layout), images)

    def distance(ops: Ops) -> float:
        return (_translate(network, ops, images) - wanted).abs().mean().item()

    def predicted(ops: Ops) -> float:
        final = layout.final(ops)
        sides = zip(final.slots, input_sides(final, side), strict=True)
        return sum(_milliseconds(slot, side, width) for slot, side in sides)

    evolution = Evolution(
        [slot.ops for slot in layout.slots],
        cache(predicted),
        population=search.population,
        generations=search.generations,
        first=[smallest(layout), largest(layout)],
        seed=config.seed * len(GENERATORS) + seed,
    )
    while asked := evolution.ask():
        for ops in asked:
            evolution.tell(ops, distance(ops))
    translators = [
        Translator(
            ops,
            _milliseconds_of(network, ops, side),
            predicted(ops),
            macs(layout, ops, width, side),
            parameters(layout, ops, width),
            evolution.scores[ops],
        )
        for ops in evolution.front()
    ]
    best, front = inf, []
    for one in sorted(translators, key=lambda one: one.milliseconds):
        if one.distance < best:
            best = one.distance
            front.append(one)
    return front


def _translate(network: ElasticNetwork, ops: Ops, images: Tensor) -> Tensor:
    usual, network.ops = network.ops, ops
    try:
        return torch.cat([network(part).float() for part in torch.split(images, 8)])
    finally:
        network.ops = usual


@cache
def _of_slot(slot: Slot, side: int, c_in: int, width: float) -> float:
    module = SlotModule(slot, width, only_op).eval().to(memory_format=torch.channels_last)
    image = torch.rand(1, c_in, side, side).to(memory_format=torch.channels_last)
    with _one_thread():
        return 1000 * median_seconds(lambda: module(image), "cpu", WARM_UP, REPEATS)


def _milliseconds(slot: Slot, side: int, width: float) -> float:
    """Of a slot of one op, by itself; equal slots are measured once."""
    return _of_slot(replace(slot, name=""), side, slot.c_in.at(width), width)


def _milliseconds_of(network: ElasticNetwork, ops: Ops, side: int) -> float:
    alone = network.cut_out(ops).cpu().eval()
    image = torch.rand(1, 3, side, side)
    with _one_thread():
        return 1000 * median_seconds(lambda: alone(image), "cpu", WARM_UP, WHOLE_REPEATS)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
