"""The history of a growing search, read from its folder, to print and to analyze. No torch here."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ganas.config import load_config
from ganas.errors import ConfigError, RunError
from ganas.growing.candidates import Spec, State, candidates, cost, score_of
from ganas.growing.config import GrowConfig
from ganas.growing.plan import (
    baseline_route,
    candidate_spec,
    open_search_state,
    parse_route,
    route_specs,
    tell_finished,
)
from ganas.growing.topk import TopK
from ganas.jobs.result import Result
from ganas.paths import StrPath
from ganas.store import Run


@dataclass(frozen=True)
class Record:
    """One candidate with its result and its role in the search."""

    spec: Spec
    result: Result | None
    state: State
    normalized: float | None  # score divided by that of the ProgGAN route at the same stage
    kept: bool  # it survived its generation
    role: str  # search, route (the baseline), or longer (the winner's extra training)

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        architecture = self.spec.architecture
        return {
            **{key: value for key, value in asdict(self.spec).items() if key != "architecture"},
            "resolution": architecture.resolution,
            "generator": [str(layer) for layer in architecture.generator],
            "discriminator": [str(layer) for layer in architecture.discriminator],
            "cost": cost(architecture),
            "state": self.state,
            "role": self.role,
            "kept": self.kept,
            "normalized": self.normalized,
            "result": asdict(self.result) if self.result else None,
        }


@dataclass(frozen=True)
class History:
    """A search so far."""

    records: tuple[Record, ...]  # by generation and score; the route last
    beams: tuple[tuple[str, ...], ...]  # survivors of each finished generation, best first
    best: str | None  # id
    lineage: tuple[str, ...]  # ids from the base to the best

    def record(self, name: str) -> Record:
        """Find a candidate by id."""
        return next(record for record in self.records if record.spec.id == name)

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "candidates": [record.as_json() for record in self.records],
            "beams": self.beams,
            "best": self.best,
            "lineage": self.lineage,
        }


def read_history(place: StrPath) -> History:
    """Read the history of a run; raises `RunError` if the folder is not a run of ``ganas grow``."""
    run = Run(place)
    if not run.config.is_file():
        raise RunError(f"{str(place)!r} is not a run: give the folder that ganas grow wrote")
    try:
        config = load_config(GrowConfig, run.config.read_bytes(), str(run.config))
    except ConfigError as error:
        raise RunError(f"{str(place)!r} is not a run of ganas grow ({error})") from None
    found = {spec.id: (spec, result) for spec, result in candidates(run)}
    results = {name: result for name, (_, result) in found.items() if result}
    if config.growth.route is not None:
        return _route_history(run, [*route_specs(config, parse_route(config.growth.route))], found)
    search, route = open_search_state(config), baseline_route(config)
    while tell_finished(search, results, route):
        pass
    for candidate in search.ask():
        found.setdefault(candidate.id, (candidate_spec(config, candidate), None))
    kept = {name for beam in search.beams for name in beam}
    on_route = {spec.id for spec in route}
    records = [
        Record(
            spec,
            result,
            _state(run, spec, result),
            _normalized(search, spec.id),
            spec.id in kept,
            "search" if spec.id in search.candidates else "route" if spec.id in on_route else "longer",
        )
        for spec, result in found.values()
    ]
    best = search.winner()
    return History(
        records=tuple(sorted(records, key=_sort_key)),
        beams=tuple(map(tuple, search.beams)),
        best=best.id if best else None,
        lineage=tuple(_ancestors(search, best.id))[::-1] if best else (),
    )


def _sort_key(record: Record) -> tuple[int, int, bool, float, str]:
    """Search, extra training, route; within a generation by score, candidates without one last."""
    score = score_of(record.result) if record.result else None
    rank = record.normalized if record.normalized is not None else score if score is not None else math.inf
    role = ("search", "longer", "route").index(record.role)
    return role, record.spec.generation, record.normalized is None, rank, record.spec.id


def _route_history(run: Run, route: list[Spec], found: dict[str, tuple[Spec, Result | None]]) -> History:
    """A route without a search: all of its candidates are kept, and the last finished one is the best."""
    known = {spec.id for spec in route}
    for spec in route:
        found.setdefault(spec.id, (spec, None))
    records = [
        Record(
            spec, result, _state(run, spec, result), None, spec.id in known, "route" if spec.id in known else "longer"
        )
        for spec, result in found.values()
    ]
    done = [spec.id for spec in route if (result := found[spec.id][1]) and result.state == "done"]
    return History(
        records=tuple(sorted(records, key=lambda record: (record.spec.generation, record.spec.id))),
        beams=(),
        best=done[-1] if done else None,
        lineage=tuple(done),
    )


def _state(run: Run, spec: Spec, result: Result | None) -> State:
    if result:
        return result.state
    return "running" if run.candidate(spec.id).is_locked else "pending"


def _normalized(search: TopK, name: str) -> float | None:
    score = search.scores.get(name)
    return score.value / score.baseline if score and score.baseline else None


def _ancestors(search: TopK, name: str | None) -> Iterator[str]:
    """Yield a candidate's id, then those of its ancestors."""
    while name:
        yield name
        name = search.candidates[name].parent
