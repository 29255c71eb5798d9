"""Compare runs: the same measurement for all of them, and a verdict that knows its noise.

Two models are compared over images: pairs where the right answers are known, else bootstrap resamples in which both
models translate the same images, or start from the same latents. Two methods are compared over seeds, at least three a
side, by Welch's t. Nothing is ranked that cannot be told apart.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, stdev
from typing import Any, Literal

from ganas.errors import ConfigError, RunError, shown
from ganas.evaluation import evaluate_grown, evaluate_translations
from ganas.metrics.cache import Cache
from ganas.metrics.measurement import SPREADS, Measurement, differences, higher_is_better, metric_of
from ganas.paths import StrPath, as_path
from ganas.records import RunRecord, read_run
from ganas.stats import (
    SEEDS_FOR_A_METHOD,
    Interval,
    detectable_difference,
    detectable_margins,
    difference,
    interval,
    paired_difference,
    pooled_deviation,
)

Verdict = Literal["better", "worse", "cannot tell"]
Scope = Literal["models", "methods"]
RESAMPLES = 100


@dataclass(frozen=True)
class Group:
    """One side: a run, its repeats, or several runs."""

    name: str
    models: tuple[Mapping[str, Measurement], ...]  # of each seed: by part, ab and ba, or images

    def scores(self, part: str, key: str) -> list[float]:
        """One score of every seed."""
        return [model[part].scores[key] for model in self.models]


@dataclass(frozen=True)
class Contrast:
    """One score of two groups."""

    sides: tuple[int, int]  # indices of the groups
    part: str  # ab or ba; images: of a grown network
    key: str  # of the score, which names its protocol
    one: str  # name of a group
    other: str
    means: tuple[float, float]
    deviations: tuple[float, float]  # over seeds; NaN for one
    seeds: tuple[int, int]
    difference: Interval  # one - other, 95 %
    detectable: float  # the smallest true difference found four times out of five; inf: none, too few seeds
    verdict: Verdict  # on the first group
    scope: Scope  # what the verdict is on


@dataclass(frozen=True)
class Comparison:
    """All groups, and every score of every two of them."""

    groups: tuple[Group, ...]
    contrasts: tuple[Contrast, ...]
    notes: tuple[str, ...] = ()  # why scores may mislead, one line each

    def between(self, one: int, other: int) -> list[Contrast]:
        """The contrasts of two groups, by index."""
        return [found for found in self.contrasts if found.sides == (one, other)]

    def as_json(self) -> dict[str, Any]:
        """Return JSON values, and infinite and unknown numbers as they are."""
        return {
            "groups": [
                {"name": group.name, "seeds": len(group.models)}
                | {"scores": {part: _scores_by_key(group, part) for part in group.models[0]}}
                for group in self.groups
            ],
            "notes": list(self.notes),
            "contrasts": [{**vars(contrast), "difference": vars(contrast.difference)} for contrast in self.contrasts],
        }


def compare(
    runs: Sequence[StrPath],
    against: Sequence[StrPath] = (),  # another group; empty: every two of `runs` are compared
    *,
    a: StrPath | None = None,  # test images, as in `evaluate_run`
    b: StrPath | None = None,
    paired: StrPath | None = None,
    metrics: Sequence[str] | None = None,
    features: str | None = None,
    cache: Cache | None = None,
) -> Comparison:
    """Evaluate runs of `ganas train` or `ganas grow` alike and compare them; a run of repeats has a model per seed.

    Raises `ConfigError` for fewer than two groups, runs of different kinds, or scores of different protocols.
    """
    if not against and len(runs) < 2:
        raise ConfigError("one run cannot be compared: give another one, or --against")
    sides = [list(runs), list(against)] if against else [[run] for run in runs]
    records = [[record for run in side for record in _models(read_run(run))] for side in sides]
    for side in records:
        paths = [record.path.resolve() for record in side]
        if twice := next((path for path in paths if paths.count(path) > 1), None):
            raise ConfigError(f"{shown(twice)} is given twice: a seed counts once")
    kinds = {record.kind for side in records for record in side}
    if len(kinds) > 1:
        raise ConfigError(f"runs of {' and '.join(sorted(kinds))} cannot be compared: give runs of one kind")
    options: dict[str, Any] = {"metrics": metrics, "features": features, "cache": cache}
    if all(len(side) == 1 for side in records):
        options["bootstrap"] = RESAMPLES
    if kinds == {"grow"}:
        if a is not None or b is not None or paired is not None:
            raise ConfigError("--a, --b and --paired are for translators: grown networks have one set of images")
    else:
        options |= {"a": a, "b": b, "paired": paired}

    def measure(record: RunRecord) -> Mapping[str, Measurement]:
        if record.kind == "grow":
            return {"images": evaluate_grown(record.path, **options)}
        return evaluate_translations(record.path, **options)

    groups = tuple(
        Group(" + ".join(shown(as_path(run)) for run in side), tuple(map(measure, models)))
        for side, models in zip(sides, records, strict=True)
    )
    _refuse_protocols(groups)
    return Comparison(groups, tuple(contrasts(groups)), tuple(_notes(groups)))


def _notes(groups: Sequence[Group]) -> Iterator[str]:
    """Yield scores left out, each group's warnings once, and what its models were selected on if that differs."""
    for part, measured in groups[0].models[0].items():
        for key in (key for key in measured.scores if metric_of(key) not in SPREADS):
            if not all(_is_comparable(key, part, *pair) for pair in combinations(groups, 2)):
                yield f"{part}: {key} is left out, its resamples take minutes: name it with --metrics"
    chosen = {model[part].protocol.get("chosen_on") for group in groups for model in group.models for part in model}
    for group in groups:
        warnings = (f"{part}: {line}" for model in group.models for part in model for line in model[part].warnings)
        yield from (f"{group.name}: {line}" for line in dict.fromkeys(warnings))
        if len(chosen) > 1:
            own = {str(measured.protocol.get("chosen_on")) for model in group.models for measured in model.values()}
            yield f"{group.name}: selected on {' and '.join(sorted(own))}"


def meaning(one: Group, other: Group) -> str:
    """Say in one line what a verdict on two groups is about, and how to get a stronger one."""
    seeds, needed = (len(one.models), len(other.models)), f"{SEEDS_FOR_A_METHOD} seeds a side"
    if min(seeds) >= SEEDS_FOR_A_METHOD:
        return f"a verdict on methods, over {seeds[0]} and {seeds[1]} seeds: first is {one.name}, second {other.name}"
    if seeds == (1, 1):
        return (
            f"a verdict on these two models only, first {one.name}, second {other.name}; one on methods takes {needed}"
        )
    return (
        f"no verdict: {seeds[0]} and {seeds[1]} seeds, and it takes {needed}; first is {one.name}, second {other.name}"
    )


def _models(record: RunRecord) -> Sequence[RunRecord]:
    """Return the runs of one model each that a run consists of."""
    if record.kind not in ("train", "repeats", "grow"):
        raise RunError(f"{shown(record.path)} is the run of a {record.kind}, which makes no images: give one of train")
    return record.repeats or (record,)


def _refuse_protocols(groups: Sequence[Group]) -> None:
    first = groups[0].models[0]
    for group in groups:
        for model in group.models:
            for part, measured in model.items():
                found = (fact for fact in differences(first[part], measured) if not fact.startswith("chosen_on"))
                if fact := next(found, None):
                    raise ConfigError(
                        f"scores of {group.name} have another protocol ({fact}): give --paired, or --a and --b"
                    )


def contrasts(groups: Sequence[Group]) -> Iterator[Contrast]:
    """Yield every score of every two groups, measured by one protocol."""
    for (first, one), (second, other) in combinations(enumerate(groups), 2):
        for part, measured in one.models[0].items():
            for key in measured.scores:
                if metric_of(key) not in SPREADS and _is_comparable(key, part, one, other):
                    yield _contrast((first, second), part, key, one, other)


def _is_comparable(key: str, part: str, one: Group, other: Group) -> bool:
    """Whether the spread of a score is known: over seeds, or of one model a side over images."""
    alone = len(one.models) == len(other.models) == 1
    return not alone or key in one.models[0][part].per_image or key in one.models[0][part].resampled


def _contrast(sides: tuple[int, int], part: str, key: str, one: Group, other: Group) -> Contrast:
    scores = one.scores(part, key), other.scores(part, key)
    seeds = len(scores[0]), len(scores[1])
    methods = min(seeds) >= SEEDS_FOR_A_METHOD
    if seeds == (1, 1):
        found, detectable = _between_models(one.models[0][part], other.models[0][part], key)
    else:
        found = difference(*scores)
        detectable = detectable_difference(pooled_deviation(*scores), *seeds) if methods else math.inf
    verdict: Verdict = "cannot tell"
    if found.excludes_zero and (methods or seeds == (1, 1)):
        verdict = "better" if (found.estimate > 0) == higher_is_better(key) else "worse"
    return Contrast(
        sides,
        part,
        key,
        one.name,
        other.name,
        means=(fmean(scores[0]), fmean(scores[1])),
        deviations=(_deviation(scores[0]), _deviation(scores[1])),
        seeds=seeds,
        difference=found,
        detectable=detectable,
        verdict=verdict,
        scope="methods" if methods else "models",
    )


def _between_models(one: Measurement, other: Measurement, key: str) -> tuple[Interval, float]:
    """Return the difference of two models' scores, and the smallest one that as many images would show."""
    if key in one.per_image:
        found, freedom = paired_difference(one.per_image[key], other.per_image[key]), len(one.per_image[key]) - 1.0
        margin = found.high - found.estimate
    else:
        error = stdev(a - b for a, b in zip(one.resampled[key], other.resampled[key], strict=True))
        found, freedom = interval(one.scores[key] - other.scores[key], error, math.inf), math.inf
        margin = found.high - found.estimate
    return found, margin * detectable_margins(freedom)


def _deviation(values: Sequence[float]) -> float:
    return stdev(values) if len(values) > 1 else math.nan


def _scores_by_key(group: Group, part: str) -> dict[str, Any]:
    values = {key: group.scores(part, key) for key in group.models[0][part].scores}
    return {key: {"values": scores, "mean": fmean(scores)} for key, scores in values.items()}
