"""The history of a growing search, read from its folder. No torch here."""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from ganas.config import load_config
from ganas.errors import ConfigError, RunError
from ganas.growing.architecture import SIDES
from ganas.growing.candidates import Spec, State, best_by_resolution, candidates, cost, is_finished, score_of
from ganas.growing.config import GrowConfig
from ganas.growing.plan import baseline_route, candidate_spec, lineage_of, open_strategy, route_specs, tell_finished
from ganas.growing.strategy import Candidate
from ganas.jobs.result import Result
from ganas.paths import StrPath
from ganas.store import Run


@dataclass(frozen=True)
class Record:
    """One candidate and its state."""

    spec: Spec
    result: Result | None
    state: State
    normalized: float | None  # score over that of the ProgGAN route at the same stage
    kept: bool  # whether it has children, or may have
    role: str  # search, repeat (of a finalist), route (of the baseline), or longer (of the winner)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        architecture = self.spec.architecture
        return {
            **{key: value for key, value in vars(self.spec).items() if key != "architecture"},
            "resolution": architecture.resolution,
            **{side: [str(layer) for layer in architecture.layers(side)] for side in SIDES},
            "cost": cost(architecture),
            "state": self.state,
            "role": self.role,
            "kept": self.kept,
            "normalized": self.normalized,
            "result": vars(self.result) if self.result else None,
        }


@dataclass(frozen=True)
class History:
    """A search so far."""

    records: tuple[Record, ...]  # by generation and score, the route last
    beams: tuple[tuple[str, ...], ...]  # the parents of each finished generation, the best first
    best: str | None  # id
    lineage: tuple[str, ...]  # ids from the base to the best

    def record(self, name: str) -> Record:
        """Find a candidate by id."""
        return next(record for record in self.records if record.spec.id == name)

    def by_resolution(self) -> dict[int, Record]:
        """At each resolution the best candidate of a search; of a route, the one that was trained longest."""
        if all(one.role in ("route", "longer") for one in self.records):
            done = [one for one in self.records if one.state == "done" and one.role == "route"]
            ordered = sorted(done, key=lambda one: one.spec.generation)
            return {one.spec.architecture.resolution: one for one in ordered}
        searched = [(one.spec, one.result) for one in self.records if one.role == "search" and one.result]
        return {resolution: self.record(name) for resolution, name in best_by_resolution(searched).items()}

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "candidates": [record.as_json() for record in self.records],
            "beams": self.beams,
            "best": self.best,
            "lineage": self.lineage,
        }


@dataclass(frozen=True)
class ResolutionCost:
    """What the finished candidates of one resolution took."""

    resolution: int
    candidates: int
    seconds: float  # of training per image, median
    memory: int  # bytes that a candidate's process, or its GPU, held at most; 0: unknown


def cost_by_resolution(history: History) -> list[ResolutionCost]:
    """Sum up what training took at each resolution, the lowest first."""
    found: dict[int, list[Result]] = defaultdict(list)
    for one in history.records:
        if one.result and one.result.state == "done" and one.result.images:
            found[one.spec.architecture.resolution].append(one.result)
    return [
        ResolutionCost(
            resolution,
            len(results),
            median(result.seconds / result.images for result in results),
            max(result.memory for result in results),
        )
        for resolution, results in sorted(found.items())
    ]


def read_history(folder: StrPath) -> History:
    """Read the folder of a run; raises `RunError` if it is not a run of ``ganas grow``."""
    run = Run(folder)
    if not run.config.is_file():
        raise RunError(f"{str(folder)!r} is not a run: give the folder that ganas grow wrote")
    try:
        config = load_config(GrowConfig, run.config.read_bytes(), str(run.config))
    except ConfigError as error:
        raise RunError(f"{str(folder)!r} is not a run of ganas grow ({error})") from None
    found = {spec.id: (spec, result) for spec, result in candidates(run)}
    results = {name: result for name, (_, result) in found.items() if result}
    search = open_strategy(config)
    if config.growth.route is not None:  # the strategy gets no scores
        route = planned = [*route_specs(config, config.growth.route)]
        kept = {spec.id for spec in route}
        searched: Mapping[str, Candidate] = {}
        lineage = [spec.id for spec in route if (result := results.get(spec.id)) and result.state == "done"]
    else:
        route = baseline_route(config)
        while tell_finished(search, results, route):
            pass
        planned = [candidate_spec(config, candidate) for candidate, _ in search.ask()]
        kept = {name for beam in search.beams for name in beam}
        searched = search.candidates
        winner = search.winner()
        lineage = [candidate.id for candidate in lineage_of(search, winner)] if winner else []
    on_route, asked = {spec.id for spec in route}, {candidate.id for candidate, _ in search.ask()}
    records = [
        Record(
            spec,
            result,
            state=_state(run.candidate(name), spec, result, waits=name in asked),
            normalized=score.value / score.baseline if (score := search.scores.get(name)) and score.baseline else None,
            kept=name in kept,
            role=_role(searched.get(name), name in on_route),
        )
        for name, (spec, result) in ({spec.id: (spec, None) for spec in planned} | found).items()
    ]
    return History(
        records=tuple(sorted(records, key=_rank if searched else lambda record: record.spec.generation)),
        beams=tuple(map(tuple, search.beams)),
        best=lineage[-1] if lineage else None,
        lineage=tuple(lineage),
    )


def _role(searched: Candidate | None, on_route: bool) -> str:
    if searched:
        return "repeat" if searched.repeat else "search"
    return "route" if on_route else "longer"


def _state(folder: Run, spec: Spec, result: Result | None, *, waits: bool) -> State:
    """How far a candidate is; `waits`: the search asks for its training, or for more of it."""
    if result and result.state == "failed":
        return "failed"
    if result and is_finished(spec, result):
        return "done"
    if waits or result is None:
        return "running" if folder.is_locked else "pending"
    return "stopped"


def _rank(record: Record) -> tuple[int, int, bool, int, float, str]:
    """The search, its repeats, the longer training, the route; by generation, images and score, failures last."""
    score = score_of(record.result) if record.result else None
    rank = record.normalized if record.normalized is not None else score if score is not None else math.inf
    role = ("search", "repeat", "longer", "route").index(record.role)
    images = record.result.images if record.result else 0
    return role, record.spec.generation, record.normalized is None, -images, rank, record.spec.id
