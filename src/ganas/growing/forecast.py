"""What a growing search will cost, before it is begun: candidates, images and hours a generation, measured here.

The search is gone through with scores drawn by lot. A step is measured along the ProgGAN route at each resolution, on
noise; that of a candidate is taken to be in proportion to its multiply-accumulates. What a candidate takes beside its
steps, the start of a process and two measurements, is measured too.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ganas.growing.actions import follow, proggan_route
from ganas.growing.architecture import GrowthArchitecture
from ganas.growing.baseline_cache import BaselineCache
from ganas.growing.candidates import Spec, work
from ganas.growing.config import GrowConfig
from ganas.growing.plan import ROUTE, bases, remaining_stages
from ganas.growing.trainer import Candidate, open_features
from ganas.jobs.job import Job
from ganas.jobs.local import Local
from ganas.jobs.queue import Queue
from ganas.jobs.result import Result
from ganas.learning.timing import noise, step_seconds
from ganas.metrics.evaluate import Reference
from ganas.metrics.features import FeatureNetwork
from ganas.progress import Reporter, readable_seconds
from ganas.signals import StopSignal
from ganas.store import Run, default_cache

PAPER_COST = (
    "the paper spent 580 GPU-days on about 2,000 candidates for CIFAR-10, and 1,720 on about 1,000 for LSUN bedrooms"
)
TRIED = 256  # images that a measurement is tried with
KINDS = {"nothing": "ganas.growing.forecast:nothing"}  # of a worker that has imported what candidates need


@dataclass(frozen=True)
class Stage:
    """One generation, the route, or the longer training of the winner."""

    name: str
    candidates: int
    images: int
    seconds: float  # one worker


@dataclass(frozen=True)
class Pace:
    """How fast this machine is with the ProgGAN route's architecture of one resolution."""

    step: float  # seconds
    measurement: float  # seconds
    work: int  # a step's, in multiply-accumulates


@dataclass(frozen=True)
class Forecast:
    """What a run will cost."""

    stages: tuple[Stage, ...]
    paces: Mapping[int, Pace]  # by resolution
    start: float  # seconds until a worker is ready
    kept: int  # candidates of the route whose scores are known from an earlier run

    def lines(self, workers: int) -> list[str]:
        """For people."""
        total = sum(stage.seconds for stage in self.stages)
        steps = ", ".join(f"{pace.step:.3f} s at {side}×{side}" for side, pace in self.paces.items())
        scores = ", ".join(f"{pace.measurement:.1f} s at {side}×{side}" for side, pace in self.paces.items())
        known = f"the scores of {self.kept} candidates of the ProgGAN route are known from an earlier run"
        return [
            f"a step of the ProgGAN route: {steps}, measured here",
            f"beside its steps a candidate takes {self.start:.2g} s to start, and twice, to be scored, {scores}",
            *([known] if self.kept else []),
            *(
                f"{stage.name:14} {stage.candidates:5} candidates {stage.images:13,} images "
                f"{readable_seconds(stage.seconds)}"
                for stage in self.stages
            ),
            f"in all         {sum(stage.candidates for stage in self.stages):5} candidates "
            f"{sum(stage.images for stage in self.stages):13,} images {readable_seconds(total)} with one worker"
            + (f", {readable_seconds(total / workers)} with {workers} at best" if workers > 1 else ""),
        ]


def forecast(config: GrowConfig) -> Forecast:
    """Go through a search, or a route where there is one, without training; `config` is resolved."""
    network = open_features(config)
    paces = {
        architecture.resolution: _pace(config, architecture, network)
        for architecture in follow(bases(config)[0], proggan_route(config.data.resolution))
    }
    start = _start_seconds()

    def seconds(spec: Spec) -> float:
        pace = paces[spec.architecture.resolution]
        return start + 2 * pace.measurement + pace.step * work(spec) / pace.work

    def stage(name: str, specs: Sequence[Spec]) -> Stage:
        return Stage(name, len(specs), sum(spec.images for spec in specs), sum(map(seconds, specs)))

    shelf = BaselineCache(default_cache(), config)
    kept: dict[str, Result] = {}
    for spec in reversed(dict(remaining_stages(config, {})).get(ROUTE, [])):
        if not (result := shelf.read(spec)):
            break  # it is trained, and so are those before it, for the weights
        kept[spec.id] = result
    stages = tuple(stage(name, specs) for name, specs in remaining_stages(config, kept) if specs)
    return Forecast(stages, paces, start, len(kept))


def _pace(config: GrowConfig, architecture: GrowthArchitecture, network: FeatureNetwork | None) -> Pace:
    spec = Spec(architecture.id, architecture, None, None, 0, config.seed, config.training.batch)
    metrics, side = config.metrics, architecture.resolution
    tried = min(TRIED, metrics.images)
    few = config.model_copy(update={"metrics": metrics.model_copy(update={"images": tried})})
    images = torch.randint(256, (tried, 3, side, side), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    reference = Reference(images, [metrics.select], network)
    with TemporaryDirectory() as folder:
        candidate = Candidate(Run(Path(folder)), spec, few, None, None)
        step = step_seconds(candidate.loop, noise(1, config.training.batch, config.data.resolution))
        began = time.perf_counter()
        candidate.measure(reference)
        measurement = (time.perf_counter() - began) * metrics.images / tried
    return Pace(step, measurement, work(spec))


def _start_seconds() -> float:
    """From when a worker is wanted to when its job is known to be done, where that is nothing; not of the first."""
    with TemporaryDirectory() as folder:
        queue = Queue(Local(1, __name__), StopSignal(), prepare=lambda job: job.path.mkdir(), eta=lambda: None)
        with queue.running():
            for name in ("first", "second"):
                began = time.perf_counter()
                queue.add(Job("nothing", Path(folder) / name, images=1))
                while name not in queue.results:
                    queue.step()
            return time.perf_counter() - began


def nothing(job: Job, stop: StopSignal, reporter: Reporter) -> Result:
    """A job that a worker is done with as soon as it begins."""
    return Result("done", job.images)
