"""What a growing search will cost, before it is begun: candidates, images and hours a generation, measured here.

The search is gone through with scores drawn by lot. A step is measured along the ProgGAN route at each resolution, on
noise; that of a candidate is taken to be in proportion to its multiply-accumulates.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ganas.candidates import Spec
from ganas.config import GrowConfig
from ganas.nets.layers import SIDES, GrowthArchitecture
from ganas.progress import readable_seconds
from ganas.searching.growth import follow, proggan_route
from ganas.searching.plan import baseline_route, bases, parse_route, route_specs, search_of, spec_of
from ganas.searching.topk import Score, uniform
from ganas.store import Run
from ganas.training.candidate import Candidate
from ganas.training.cost import step_seconds

PAPER_COST = "the paper spent 580 GPU-days on CIFAR-10 at this scale, and 1,720 on LSUN bedrooms at 256×256"


@dataclass(frozen=True)
class Stage:
    """One generation, the route, or the longer training of the winner."""

    name: str
    candidates: int
    images: int
    seconds: float  # of training, one worker


@dataclass(frozen=True)
class Forecast:
    """What a run will cost."""

    stages: tuple[Stage, ...]
    step_seconds: Mapping[int, float]  # resolution -> of the ProgGAN route's architecture there

    def lines(self, workers: int) -> list[str]:
        """For people."""
        shown = [
            f"{stage.name:14} {stage.candidates:5} candidates {stage.images:13,} images "
            f"{readable_seconds(stage.seconds)}"
            for stage in self.stages
        ]
        total = sum(stage.seconds for stage in self.stages)
        steps = ", ".join(f"{seconds:.3f} s at {side}×{side}" for side, seconds in self.step_seconds.items())
        return [
            f"a step of the ProgGAN route: {steps}, measured here",
            *shown,
            f"in all         {sum(stage.candidates for stage in self.stages):5} candidates "
            f"{sum(stage.images for stage in self.stages):13,} images {readable_seconds(total)} of training with one "
            f"worker" + (f", {readable_seconds(total / workers)} with {workers} at best" if workers > 1 else ""),
        ]


def forecast(config: GrowConfig) -> Forecast:
    """Go through a search, or a route where there are steps, without training; `config` is resolved."""
    measured = {
        architecture.resolution: (_step_seconds(config, architecture), _macs(architecture))
        for architecture in follow(bases(config)[0], proggan_route(config.data.resolution))
    }

    def seconds(spec: Spec) -> float:
        step, macs = measured[spec.architecture.resolution]
        return step * _macs(spec.architecture) / macs * spec.images / config.training.batch

    def stage(name: str, specs: Sequence[Spec]) -> Stage:
        return Stage(name, len(specs), sum(spec.images for spec in specs), sum(map(seconds, specs)))

    if config.growth.route is not None:
        specs = [*route_specs(config, parse_route(config.growth.route))]
        stages, last = [stage("route", specs)], specs[-1]
    else:
        stages, last = _search_stages(config, stage)
    longer = replace(last, images=config.training.final_images)
    if longer.images:
        stages.append(stage("winner, longer", [longer]))
    return Forecast(tuple(stages), {side: step for side, (step, _) in measured.items()})


def _search_stages(config: GrowConfig, stage: Callable[[str, Sequence[Spec]], Stage]) -> tuple[list[Stage], Spec]:
    search, route, stages = search_of(config), baseline_route(config), []
    while asked := search.ask():
        specs = [spec_of(config, candidate) for candidate in asked]
        stages.append(stage(f"generation {search.generation}", specs))
        for candidate in asked:
            search.tell(candidate.id, Score(1 + uniform("forecast", candidate.id), 1.0))
    beside = [spec for spec in route if spec.id not in search.candidates]
    if beside:
        stages.append(stage("ProgGAN route", beside))
    winner = search.winner()
    assert winner is not None
    return stages, spec_of(config, winner)


def _step_seconds(config: GrowConfig, architecture: GrowthArchitecture) -> float:
    spec = Spec(architecture.id, architecture, None, None, 0, config.seed, config.training.batch)
    with TemporaryDirectory() as folder:
        return step_seconds(Candidate(Run(Path(folder)), spec, config, None, None).loop)


def _macs(architecture: GrowthArchitecture) -> int:
    return sum(architecture.macs(side) for side in SIDES)
