"""Find a front of translators, from tiny to full, in elastic supernets: `ganas search --strategy sampled`.

A subnetwork is scored by how far its translations of held-out images (of training images, if too few are held out) are
from those of the teacher, or else of the largest one, which learned together with it. Its cost is the milliseconds of
one image on one thread of this machine: predicted as the sum over its slots while the evolution runs, measured as a
whole for what it found. The best few within each limit are then compared by the real score, where there are images for
one. All that is computed is kept in the run's folder.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from math import inf, isnan

import torch
from torch import Tensor

from ganas.config import load_config
from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.build import Network
from ganas.cyclegan.config import RunConfig, SearchConfig
from ganas.cyclegan.elastic import ElasticNetwork, Ops, largest, random_choice, smallest
from ganas.cyclegan.evolution import Evolution
from ganas.cyclegan.front import Front, Point, Subnetwork, fine_tuning, read_front
from ganas.cyclegan.latency import REPEATS, WARM_UP, slot_call
from ganas.cyclegan.layout import GENERATORS, ElasticLayout, Slot, find_layout
from ganas.cyclegan.model import CycleGAN
from ganas.cyclegan.result_cache import ResultCache
from ganas.cyclegan.size import input_sides, macs, parameters
from ganas.errors import ConfigError
from ganas.learning.timing import median_seconds
from ganas.machine import cpu, keep_freed_memory
from ganas.metrics.measurement import loss_of
from ganas.paths import StrPath
from ganas.progress import Bar, Reporter
from ganas.settings import Values
from ganas.store import Run

WHOLE_REPEATS = 15  # of a whole network
DRAWS = 2000  # most steps of a random walk to choices that take about as long as given ones
SAME_TIME = 0.02  # relative difference of predicted times that is about none
FINALISTS = 3  # within each limit, which are compared by the real score
BATCH = 8  # images that are translated at once


def open_evolution(run: Run, images: int, *, writes: bool = True) -> ResultCache:
    """What the evolution of supernets computed that had seen so many pairs; the times of another CPU begin anew."""
    return ResultCache(run.evolution, {"images": images, "cpu": cpu()}, writes=writes)


def draw_point(run: StrPath, number: int, seed: int) -> tuple[Architecture, Values]:
    """As `open_point`, but of random choices that take about as long as the point does.

    What a search has to beat. Times are predicted, as in the evolution.
    """
    folder = Run(run)
    front = read_front(folder)
    config = load_config(RunConfig, folder.config.read_bytes(), str(folder.config))
    kept = open_evolution(folder, front.images, writes=False)
    layout, point = find_layout("elastic").generator, front.points[number]
    assert isinstance(layout, ElasticLayout)
    drawn = {}
    for name, translator in zip(GENERATORS, (point.generator_ab, point.generator_ba), strict=True):
        width = config.nets.width_of(name)
        time = partial(predicted_milliseconds, layout, width, side=front.resolution, kept=kept)
        drawn[name] = _as_slow(layout, time, translator.ops, random.Random(f"{seed} {number} {name}"))
    return Architecture("elastic", **drawn), fine_tuning(folder, config)


def _as_slow(layout: ElasticLayout, time: Callable[[Ops], float], model: Ops, chance: random.Random) -> Ops:
    """Random choices but the model's, of which random slots were changed while that brought their time closer to it.

    Few independent choices take as little time as the smallest network, and hardly any as much as the largest.
    """
    wanted, ops = time(model), random_choice(layout, chance.randrange)
    for _ in range(DRAWS):
        if ops != model and abs(time(ops) - wanted) <= SAME_TIME * wanted:
            break
        # two at a time also leave what any single one would make worse
        changed, fresh = chance.sample(range(len(ops)), chance.choice((1, 2))), random_choice(layout, chance.randrange)
        other = tuple(fresh[slot] if slot in changed else op for slot, op in enumerate(ops))
        ops = min(ops, other, key=lambda one: (one == model, abs(time(one) - wanted)))
    return ops


Translate = Callable[[Tensor], Tensor]
Judge = Callable[[str, Network], tuple[str, float, float | None]]


def limit_of(search: SearchConfig, name: str) -> float:
    """What a generator may take of the unit of `search.budget`; infinite without a limit."""
    limit = search.budget_ab if name == GENERATORS[0] else search.budget_ba
    return inf if limit is None else limit


def amount(
    search: SearchConfig, layout: ElasticLayout, ops: Ops, width: float, milliseconds: Callable[[Ops], float]
) -> float:
    """What a subnetwork takes of it: parameters, multiply-accumulates or milliseconds."""
    if search.budget == "params":
        return parameters(layout, ops, width)
    return macs(layout, ops, width, search.latency_resolution) if search.budget == "macs" else milliseconds(ops)


def check_limits(config: RunConfig) -> None:
    """Raise `ConfigError` if even the smallest subnetwork exceeds a limit."""
    layout, search = find_layout(config.nets.layout).generator, config.search
    assert search and isinstance(layout, ElasticLayout)
    for name in GENERATORS:
        if (limit := limit_of(search, name)) == inf:
            continue
        width, side = config.nets.width_of(name), search.latency_resolution
        measured = partial(measured_milliseconds, ElasticNetwork(layout, width), side=side)
        if (least := amount(search, layout, smallest(layout), width, measured)) > limit:
            raise ConfigError(
                f"search.budget: the smallest subnetwork of {name} takes {least:,.4g} {search.budget}, more than "
                f"{limit:,g}: raise the limit, or lower nets.width"
            )


@torch.no_grad()
def find_front(
    gan: CycleGAN,
    a: Tensor,
    b: Tensor,
    config: RunConfig,
    kept: ResultCache,
    *,
    teachers: Mapping[str, Translate] | None = None,  # of both generators: what they should translate like
    judge: Judge | None = None,  # (generator, subnetwork) -> key, score, error; None: distances have to do
    reporter: Reporter | None = None,  # shows progress
) -> Front:
    """Evolve a front for each direction, and combine them. a and b are images [n, 3, h, w] in [-1, 1]."""
    assert config.search
    most = len(GENERATORS) * config.search.population * config.search.generations
    reporter = reporter or Reporter(quiet=True)
    found = {}
    with reporter.bar("evolution", kept.count("distance"), most, "subnetworks") as bar:
        for seed, (name, images) in enumerate(zip(GENERATORS, (a, b), strict=True)):
            teacher = teachers[name] if teachers else None
            direction = _Direction(name, gan.network(name), images, config, kept, teacher, bar)
            found[name] = direction.evolve(seed)
    both = [one.milliseconds for some in found.values() for one in some]
    low = max(some[0].milliseconds for some in found.values())
    steps = config.search.points - 1
    limits = [low * (max(both) / low) ** (number / steps) for number in range(steps + 1)]
    if judge:
        reporter.say("measuring the scores of the best of them")
        found = {name: _judged(name, gan.network(name), some, limits, kept, judge) for name, some in found.items()}
    points = [Point(limit, *(_best(_within(found[name], limit)) for name in GENERATORS)) for limit in limits]
    different = {(point.generator_ab.ops, point.generator_ba.ops): point for point in reversed(points)}
    return Front(tuple(reversed(different.values())), config.search.latency_resolution, config.total_images)


def _within(translators: Sequence[Subnetwork], limit: float) -> list[Subnetwork]:
    return [one for one in translators if one.milliseconds <= limit * (1 + 1e-9)]


def _best(translators: Sequence[Subnetwork]) -> Subnetwork:
    """The best score of those that have one, else the least distance."""
    scored = [one for one in translators if one.metric]
    if scored:
        return min(scored, key=lambda one: loss_of(one.metric or "", one.score))
    return min(translators, key=lambda one: one.distance)


def _judged(
    name: str,
    network: ElasticNetwork,
    translators: Sequence[Subnetwork],
    limits: Sequence[float],
    kept: ResultCache,
    judge: Judge,
) -> list[Subnetwork]:
    """Score the `FINALISTS` closest ones within each limit."""
    finalists = {
        one.ops
        for limit in limits
        for one in sorted(_within(translators, limit), key=lambda one: one.distance)[:FINALISTS]
    }

    def score(one: Subnetwork) -> Subnetwork:
        measure = partial(judge, name, network.cut_out(one.ops))
        key, value, error = kept.value(f"score {name} {_text(one.ops)}", measure)
        return replace(one, metric=key, score=None if isnan(value) else value, error=error)

    return [score(one) if one.ops in finalists else one for one in translators]


class _Direction:
    """The evolution of one generator's subnetworks."""

    def __init__(
        self,
        name: str,
        network: ElasticNetwork,
        images: Tensor,
        config: RunConfig,
        kept: ResultCache,
        teacher: Translate | None,
        bar: Bar,
    ) -> None:
        assert config.search
        self._name, self._network, self._images = name, network, images
        self._config, self._search, self._kept, self._bar = config, config.search, kept, bar
        self._side = config.search.latency_resolution
        self._teacher = teacher or (lambda images: _translate(network, largest(network.layout), images))

    def evolve(self, seed: int) -> list[Subnetwork]:
        """The front, the fastest first, with measured milliseconds."""
        layout, kept, wanted = self._network.layout, self._kept, self._wanted()
        predicted = cache(self._predicted)
        limit, least = limit_of(self._search, self._name), smallest(layout)
        takes = partial(amount, self._search, layout, width=self._network.width)
        evolution = Evolution(
            [slot.ops for slot in layout.slots],
            predicted,
            admits=lambda ops: ops == least or takes(ops, milliseconds=predicted) <= limit,
            population=self._search.population,
            generations=self._search.generations,
            draw=lambda chance: random_choice(layout, chance.randrange),
            first=[least, largest(layout)],
            seed=self._config.seed * len(GENERATORS) + seed,
        )
        while asked := evolution.ask():
            for ops in asked:
                distance = partial(self._distance, ops, wanted)
                evolution.tell(ops, kept.value(f"distance {self._name} {_text(ops)}", distance))
                self._bar.update(kept.count("distance"))
        translators = [
            Subnetwork(
                ops,
                kept.value(f"milliseconds {self._name} {_text(ops)}", partial(self._measured, ops)),
                predicted(ops),
                macs(layout, ops, self._network.width, self._side),
                parameters(layout, ops, self._network.width),
                evolution.scores[ops],
                width=self._network.width,
            )
            for ops in evolution.front()
        ]
        measured = {one.ops: one.milliseconds for one in translators}
        best, front = inf, list[Subnetwork]()
        for one in sorted(translators, key=lambda one: one.milliseconds):
            fits = takes(one.ops, milliseconds=measured.__getitem__) <= limit
            # the smallest did fit when the search began (`check_limits`); measured again, it can take a little longer
            if one.distance < best and (fits or not front):
                best = one.distance
                front.append(one)
        return front

    def _wanted(self) -> Tensor:
        return torch.cat([self._teacher(part).float() for part in torch.split(self._images, BATCH)])

    def _distance(self, ops: Ops, wanted: Tensor) -> float:
        return (_translate(self._network, ops, self._images) - wanted).abs().mean().item()

    def _predicted(self, ops: Ops) -> float:
        return predicted_milliseconds(self._network.layout, self._network.width, ops, self._side, self._kept)

    def _measured(self, ops: Ops) -> float:
        return measured_milliseconds(self._network, ops, self._side)


def _text(ops: Ops) -> str:
    return ", ".join(ops)


def _translate(network: ElasticNetwork, ops: Ops, images: Tensor) -> Tensor:
    usual, network.ops = network.ops, ops
    try:
        return torch.cat([network(part).float() for part in torch.split(images, BATCH)])
    finally:
        network.ops = usual


def predicted_milliseconds(layout: ElasticLayout, width: float, ops: Ops, side: int, kept: ResultCache) -> float:
    """The sum over a subnetwork's slots, for an image of side × side; equal slots are measured once, by themselves."""
    final, total = layout.final(ops), 0.0
    for slot, inner in zip(final.slots, input_sides(final, side), strict=True):
        unnamed = replace(slot, name="")
        total += kept.value(f"slot of width {width:g} at {inner}: {unnamed}", partial(_of_slot, unnamed, inner, width))
    return total


@torch.no_grad()
def _of_slot(slot: Slot, side: int, width: float) -> float:
    call = slot_call(slot, side, width)
    with _steady():
        return 1000 * median_seconds(call, "cpu", WARM_UP, REPEATS)


def measured_milliseconds(network: ElasticNetwork, ops: Ops, side: int) -> float:
    """Of a subnetwork as a whole, cut out, for an image of side × side on one thread."""
    return whole_milliseconds(network.cut_out(ops), side)


@torch.no_grad()
def whole_milliseconds(network: Network, side: int) -> float:
    """Of a final generator, for an image of side × side on one thread."""
    alone, image = network.cpu().eval(), torch.rand(1, 3, side, side)
    with _steady():
        return 1000 * median_seconds(lambda: alone(image), "cpu", WARM_UP, WHOLE_REPEATS)


@contextmanager
def _steady() -> Iterator[None]:
    """One thread, and no page faults, which come and go: times of one network jumped by half with them (LOG.md)."""
    keep_freed_memory()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
