"""Estimate the cost of a growing search before it starts: candidates, images and hours per generation.

The search is simulated with random scores. Step times are measured on this machine along the ProgGAN route, at each
resolution, on noise; the step time of a candidate is taken as proportional to its multiply-accumulates. The overhead of
a candidate, a process start and two scorings, is measured too.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import torch

from ganas.growing.architecture import SIDES
from ganas.growing.autogan import AutoGANArchitecture, GANArchitecture
from ganas.growing.baseline_cache import BaselineCache
from ganas.growing.candidates import Spec, work
from ganas.growing.config import GrowConfig
from ganas.growing.images import image_bytes
from ganas.growing.plan import ROUTE, baseline_route, doubling_steps, remaining_stages, route_specs
from ganas.growing.trainer import CandidateTrainer, open_features
from ganas.jobs.job import Job
from ganas.jobs.local import Local
from ganas.jobs.queue import Queue
from ganas.jobs.result import Result
from ganas.learning.timing import STEPS, WARM_UP, activation_bytes, median_seconds, noise
from ganas.metrics.features import FeatureNetwork
from ganas.metrics.reference import Reference
from ganas.progress import Reporter, readable_seconds
from ganas.signals import StopSignal
from ganas.store import Run, default_cache

PAPER_SCALE = 10**9  # runs of more images quote the paper's cost
PAPER_COST = (
    "the paper spent 580 GPU-days on about 2,000 candidates for CIFAR-10, and 1,720 on about 1,000 for LSUN bedrooms"
)
TIMED_IMAGES = 256  # generated to time a scoring
KINDS = {"noop": "ganas.growing.forecast:run_noop"}  # in this module, so that the worker imports the training code


@dataclass(frozen=True)
class Stage:
    """One generation, the ProgGAN route, or the extra training of the winner."""

    name: str
    candidates: int
    images: int
    seconds: float  # with one worker

    def __str__(self) -> str:
        length = readable_seconds(self.seconds)
        return f"{self.name:14} {self.candidates:5} candidates {self.images:13,} images {length}"


@dataclass(frozen=True)
class Timing:
    """Times of the ProgGAN route's architecture at one resolution, on this machine."""

    step: float  # seconds, on average where the generator does not take each of them
    scoring: float  # seconds
    work: int  # multiply-accumulates of a step
    memory: int = 0  # bytes of weights, gradients, moments, EMA and stored activations


@dataclass(frozen=True)
class Forecast:
    """The estimated cost of a run."""

    stages: tuple[Stage, ...]
    timings: Mapping[int, Timing]  # by resolution
    start: float  # seconds to start a worker
    cached: int  # candidates of the route whose scores are known from an earlier run
    networks: tuple[GANArchitecture, ...] = ()  # those that were timed
    largest: GANArchitecture | None = None  # of the simulated candidates, by parameters
    disk: int = 0  # bytes of images, checkpoints and weights at most, with one worker

    @property
    def seconds(self) -> float:
        """In total, with one worker."""
        return sum(stage.seconds for stage in self.stages)

    def without_route(self) -> "Forecast":
        """The same for a search after a run of the ProgGAN route, whose scores it takes."""
        return replace(self, stages=tuple(stage for stage in self.stages if stage.name != ROUTE))

    def lines(self, workers: int) -> list[str]:
        """Human-readable lines."""
        steps = ", ".join(f"{timing.step:.3f} s at {side}×{side}" for side, timing in self.timings.items())
        scores = ", ".join(f"{timing.scoring:.1f} s at {side}×{side}" for side, timing in self.timings.items())
        total = Stage(
            "total",
            sum(stage.candidates for stage in self.stages),
            sum(stage.images for stage in self.stages),
            self.seconds,
        )
        at_best = f", {readable_seconds(total.seconds / workers)} with {workers} at best" if workers > 1 else ""
        name = "AutoGAN" if any(isinstance(one, AutoGANArchitecture) for one in self.networks) else "the ProgGAN route"
        known = f"the scores of {self.cached} candidates of the ProgGAN route are known from an earlier run"
        return [
            *(_size_line(one, self.timings[one.resolution].memory) for one in self.networks),
            *([f"largest candidate of a simulated search: {_parameters(self.largest)}"] if self.largest else []),
            f"disk: about {self.disk / 10**6:,.0f} MB at most for images, checkpoints and weights",
            f"a step of {name}, measured here: {steps}",
            f"overhead of a candidate: {self.start:.2g} s to start, and two scorings of {scores}",
            *([known] if self.cached else []),
            *map(str, self.stages),
            f"{total} with one worker{at_best}",
            *([PAPER_COST] if total.images > PAPER_SCALE else []),
        ]


def forecast(config: GrowConfig, images: int = 0, known: Mapping[str, Result] = MappingProxyType({})) -> Forecast:
    """Simulate a search or a route without training.

    config    resolved
    images    number of real images
    known     results of candidates that are trained already, by id
    """
    network = open_features(config)
    route = [spec.architecture for spec in route_specs(config, doubling_steps(config))]
    timings = {architecture.resolution: _measure(config, architecture, network) for architecture in route}
    start = _start_seconds()

    def seconds(spec: Spec) -> float:
        timing = timings[spec.architecture.resolution]
        return start + (1 + spec.evaluations) * timing.scoring + timing.step * work(spec) / timing.work

    def stage(name: str, specs: Sequence[Spec]) -> Stage:
        return Stage(name, len(specs), sum(spec.images for spec in specs), sum(map(seconds, specs)))

    cache = BaselineCache(default_cache(), config)
    cached: dict[str, Result] = {}
    for spec in reversed(dict(remaining_stages(config, {})).get(ROUTE, [])):
        if not (result := cache.read(spec)):
            break  # it must be trained, and its ancestors too, for their weights
        cached[spec.id] = result
    ahead = [(name, specs) for name, specs in remaining_stages(config, {**cached, **known}) if specs]
    found = [spec.architecture for _, specs in ahead for spec in specs if config.growth.route is None]
    return Forecast(
        tuple(stage(name, specs) for name, specs in ahead),
        timings,
        start,
        len(cached),
        networks=tuple(route),
        largest=max(found, key=_count, default=None),
        disk=image_bytes(config, images) + _weight_bytes(config, [specs for _, specs in ahead]),
    )


def disk_bytes(config: GrowConfig) -> int:
    """Bytes of a run's weights at most, with one worker; images come on top. `config` need not be resolved."""
    return _weight_bytes(config, [specs for _, specs in remaining_stages(config, {}) if specs])


def _weight_bytes(config: GrowConfig, stages: Sequence[Sequence[Spec]]) -> int:
    """Bytes of weights that are kept at the same time: a generation, its parents, the route, and two checkpoints.

    Candidates without children lose their weights at the end of their generation.
    """

    def weights(spec: Spec) -> int:  # networks and EMA, with Adam's moments where they are inherited
        generator, discriminator = (spec.architecture.parameters(side) for side in SIDES)
        moments = 2 * (generator + discriminator) if config.growth.inherit_moments else 0
        return 4 * (2 * generator + discriminator + moments)

    if not stages:
        return 0
    largest = max((spec for specs in stages for spec in specs), key=lambda spec: _count(spec.architecture))
    generation = max(sum(map(weights, specs)) for specs in stages)
    checkpoints = 2 * 4 * (3 * _count(largest.architecture) + largest.architecture.parameters("generator"))
    route = sum(map(weights, baseline_route(config) if config.growth.route is None else []))
    parents = config.growth.keep * weights(largest) if config.growth.route is None else 0
    return generation + parents + route + checkpoints


def _count(architecture: GANArchitecture) -> int:
    """The parameters of both networks."""
    return sum(map(architecture.parameters, SIDES))


def _parameters(architecture: GANArchitecture) -> str:
    generator, discriminator = (architecture.parameters(side) for side in SIDES)
    return f"{generator:,} parameters in the generator, {discriminator:,} in the discriminator"


def _size_line(architecture: GANArchitecture, memory: int) -> str:
    size, (generator, discriminator) = architecture.resolution, [architecture.macs(side) / 1e6 for side in SIDES]
    return (
        f"{size}×{size}: {_parameters(architecture)}; {generator:,.1f} and {discriminator:,.1f} million MACs an image; "
        f"memory about {memory / 10**6:,.0f} MB"
    )


def _measure(config: GrowConfig, architecture: GANArchitecture, network: FeatureNetwork | None) -> Timing:
    metrics, side = config.metrics, architecture.resolution
    batch = config.batch_at(side)
    spec = Spec(architecture.id, architecture, None, None, 0, config.seed, batch)
    count = min(TIMED_IMAGES, metrics.images)
    few = config.model_copy(update={"metrics": metrics.model_copy(update={"images": count})})
    images = torch.randint(256, (count, 3, side, side), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    reference = Reference(images, [metrics.select], network)
    with TemporaryDirectory() as folder:
        candidate = CandidateTrainer(Run(Path(folder)), spec, few, None, None)
        images_of_step = noise(1, batch, config.data.resolution)
        cycle = config.training.critic_steps

        def steps() -> None:  # as many as the generator takes its turn in
            for _ in range(cycle):
                candidate.loop.step(*images_of_step)

        generator, discriminator = (architecture.parameters(side) for side in SIDES)
        candidate.loop.nimg = (cycle - 1) * batch  # the generator's turn is next
        activations = activation_bytes(lambda: candidate.loop.step(*images_of_step))
        memory = 4 * (4 * (generator + discriminator) + generator) + activations
        step = median_seconds(steps, candidate.loop.config.device, WARM_UP, STEPS) / cycle
        began = time.perf_counter()
        candidate.measure(reference)
        scoring = (time.perf_counter() - began) * metrics.images / count
    return Timing(step, scoring, work(spec), memory)


def _start_seconds() -> float:
    """Seconds of a job that does nothing, with a warm worker: the second of two."""
    with TemporaryDirectory() as folder:
        queue = Queue(Local(1, __name__), StopSignal(), prepare=lambda job: job.path.mkdir(), eta=lambda: None)
        with queue.running():
            for name in ("first", "second"):
                began = time.perf_counter()
                queue.add(Job("noop", Path(folder) / name, images=1))
                while name not in queue.results:
                    queue.step()
            return time.perf_counter() - began


def run_noop(job: Job, stop: StopSignal, reporter: Reporter) -> Result:
    """Do nothing."""
    return Result("done", job.images)
