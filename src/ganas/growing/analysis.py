"""The paper's analysis of a growing search, as plain numbers with intervals (DGGAN, "Analysis", figure 3). No torch.

Scores are compared only where they can be: normalized by the ProgGAN route, or else within a resolution. Intervals are
95 %; candidates of one search share ancestors and luck, so that intervals over candidates are narrower than those over
searches would be.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite, log
from statistics import stdev

from ganas.growing.actions import FadeIn, Grow, parse_action
from ganas.growing.autogan import GANArchitecture
from ganas.growing.candidates import score_of
from ganas.growing.config import GrowConfig
from ganas.growing.history import History, Record
from ganas.growing.plan import open_strategy
from ganas.growing.strategy import GrowingStrategy, Score
from ganas.stats import Interval, mean_interval, share_interval

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of normalized scores: good is below
MIN_CHILDREN = 3  # of a share that is worth a line
KEEP, PROBABILITY = (1, 2, 4, 8, 12, 16), (0.1, 0.2, 0.3, 0.4)  # that are simulated, up to those of the search
SIMULATIONS = 20  # of each


@dataclass(frozen=True)
class Point:
    """A candidate with a score."""

    id: str
    parent: str | None
    action: str | None  # that grew it; None: a base, or more training
    generation: int
    architecture: GANArchitecture
    score: float  # normalized, if any is; lower is better
    kept: bool  # whether it may have children

    @property
    def ratio(self) -> float:
        """Parameters of the generator over those of the discriminator."""
        return self.architecture.parameters("generator") / self.architecture.parameters("discriminator")


@dataclass(frozen=True)
class Group:
    """Children that were grown alike."""

    name: str
    children: int
    improved: Interval  # share of children that are better than their parent
    gain: Interval  # mean of log(parent's score / child's); positive is better
    deviation: float  # of the gain


@dataclass(frozen=True)
class Heredity:
    """How often a parent's children are good."""

    threshold: float  # a score, or the share of a generation that is called good
    parents: str  # good or other
    children: int
    good: Interval  # share of them


@dataclass(frozen=True)
class Analysis:
    """What a search says about growing."""

    normalized: bool  # whether scores are over the ProgGAN route's
    stopped: int  # candidates that a rung of a race stopped; nothing else counts them
    points: tuple[Point, ...]
    lineage: tuple[str, ...]  # ids from the base to the best
    by_action: tuple[Group, ...]  # the best first
    by_kind: tuple[Group, ...]  # kernel sizes and filters, of each network
    heredity: tuple[Heredity, ...]


def analyse(history: History) -> Analysis:
    """Analyse a search."""
    points, normalized = points_of(history), is_normalized(history)
    stopped = sum(one.state == "stopped" for one in history.records)
    grown = gains(points, normalized)
    inherited = heredity_by_score(points) if normalized else heredity_by_rank(points)
    actions = [(one.action or "on", gain) for one, gain in grown]
    kinds = [(name, gain) for one, gain in grown for name in kinds_of(one.action)]
    return Analysis(normalized, stopped, points, history.lineage, _groups(actions), _groups(kinds), inherited)


def points_of(history: History, roles: Sequence[str] = ("search",)) -> tuple[Point, ...]:
    """The candidates that were trained to their end: of a race, those that no rung stopped.

    If any score is normalized, only those that are: the others are not comparable with them.
    """
    normalized = is_normalized(history)
    return tuple(
        Point(
            one.spec.id, one.spec.parent, one.spec.action, one.spec.generation, one.spec.architecture, score, one.kept
        )
        for one in history.records
        if one.role in roles and one.state == "done" and (score := _score(one, normalized)) is not None
    )


def is_normalized(history: History) -> bool:
    """Whether scores are divided by the ProgGAN route's."""
    return any(one.normalized is not None for one in history.records)


def _score(one: Record, normalized: bool) -> float | None:
    score = one.normalized if normalized else score_of(one.result) if one.result else None
    return score if score is not None and isfinite(score) and score > 0 else None


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def gains(points: Iterable[Point], normalized: bool) -> list[tuple[Point, float]]:
    """log(parent's score / child's) of the children whose scores can be compared with their parents'."""
    by_id = {one.id: one for one in points}
    pairs = [(one, by_id[one.parent]) for one in by_id.values() if one.parent in by_id]
    return [
        (child, log(parent.score / child.score))
        for child, parent in pairs
        if normalized or child.architecture.resolution == parent.architecture.resolution
    ]


def kinds_of(action: str | None) -> list[str]:
    """The groups that an action belongs to: its network with its kernel size, and with its filters."""
    grown = parse_action(action) if action else None
    if isinstance(grown, FadeIn):
        return ["doubling"]
    if not isinstance(grown, Grow):
        return ["more training"]
    return [f"{grown.side}, kernel {grown.conv.size}", f"{grown.side}, {grown.conv.filters} filters"]


def _groups(children: Iterable[tuple[str, float]]) -> tuple[Group, ...]:
    found: dict[str, list[float]] = defaultdict(list)
    for name, gain in children:
        found[name].append(gain)
    groups = (
        Group(
            name,
            len(values),
            share_interval(sum(gain > 0 for gain in values), len(values)),
            mean_interval(values),
            stdev(values) if len(values) > 1 else 0.0,
        )
        for name, values in found.items()
    )
    return tuple(sorted(groups, key=lambda group: (-group.gain.estimate, group.name)))


# ── good parents, good children ──────────────────────────────────────────────────────────────────────────────────────


def heredity_by_score(points: Sequence[Point], thresholds: Sequence[float] = THRESHOLDS) -> tuple[Heredity, ...]:
    """The paper's reading: good is a normalized score below a threshold, the same for parents and children."""
    by_id = {one.id: one for one in points}
    pairs = [(by_id[one.parent].score, one.score) for one in points if one.parent in by_id]
    return _heredity(pairs, thresholds)


def heredity_by_rank(points: Sequence[Point], shares: Sequence[float] = THRESHOLDS[:-1]) -> tuple[Heredity, ...]:
    """For scores that are not normalized: good is among the best of a generation.

    A child is ranked among its generation, a parent among the parents of its generation.
    """
    as_child, as_parent = _ranks(points), _ranks([one for one in points if one.kept])
    pairs = [
        (as_parent[one.parent], as_child[one.id]) for one in points if one.parent in as_parent and one.id in as_child
    ]
    return _heredity(pairs, shares)


def _heredity(pairs: Sequence[tuple[float, float]], thresholds: Sequence[float]) -> tuple[Heredity, ...]:
    found = []
    for threshold in thresholds:
        for name, good_parents in (("good", True), ("other", False)):
            children = [child for parent, child in pairs if (parent < threshold) == good_parents]
            if len(children) >= MIN_CHILDREN:
                good = share_interval(sum(child < threshold for child in children), len(children))
                found.append(Heredity(threshold, name, len(children), good))
    return tuple(found)


def _ranks(points: Iterable[Point]) -> dict[str | None, float]:
    """The place of each among its generation and resolution, from 0 for the best up to below 1; none of one alone."""
    stages: dict[tuple[int, int], list[tuple[float, str]]] = defaultdict(list)
    for one in points:
        stages[one.generation, one.architecture.resolution].append((one.score, one.id))
    return {
        name: place / len(stage)
        for stage in stages.values()
        if len(stage) > 1
        for place, (_, name) in enumerate(sorted(stage))
    }


# ── the paper's simulation of other K and p ──────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Simulation:
    """A search with other settings, on the candidates of one that was run."""

    trained: int  # candidates of the search that the simulated one asked for
    ignored: int  # others that it asked for
    best: float | None  # the lowest score at the highest resolution it reached


def simulate(history: History, strategy: GrowingStrategy) -> Simulation:
    """Run a strategy on the candidates of a search; those that were not trained are ignored, as in the paper.

    The strategy must not race. With the search's seed and a smaller p it samples some of the search's actions; with
    another seed it samples anew, so that even with the same p it misses most of them.
    """
    known = {one.spec.id: one for one in history.records if one.role == "search"}
    normalized = is_normalized(history)
    scored: dict[str, float] = {}
    trained = ignored = 0
    while asked := strategy.ask():
        for candidate, images in asked:
            score = _told(known.get(candidate.id), normalized)
            strategy.tell(candidate.id, images, score)
            trained, ignored = trained + (score is not None), ignored + (score is None)
            if score is not None:
                scored[candidate.id] = score.value / (score.baseline or 1.0)
    sides = {name: known[name].spec.architecture.resolution for name in scored}
    highest = max(sides.values(), default=0)
    return Simulation(trained, ignored, min((scored[name] for name in scored if sides[name] == highest), default=None))


def _told(one: Record | None, normalized: bool) -> Score | None:
    value = score_of(one.result) if one and one.result else None
    if one is None or value is None or (normalized and not one.normalized):
        return None
    return Score(value, value / one.normalized if one.normalized else None)


@dataclass(frozen=True)
class Setting:
    """A K and a p, and what the simulated searches with them found, on average over seeds."""

    keep: int
    probability: float
    trained: Interval  # candidates
    best: Interval  # score


def simulated(history: History, config: GrowConfig) -> tuple[Setting, ...]:
    """Simulate algorithm 1 with K and p up to those of the search; none for a search that was not algorithm 1.

    Intervals are over seeds of the sampling of actions, within this one search.
    """
    growth = config.growth
    if growth.strategy != "topk" or growth.route is not None:
        return ()
    keeps = [keep for keep in KEEP if keep < growth.keep] + [growth.keep]
    probabilities = [p for p in PROBABILITY if p < growth.probability] + [growth.probability]
    found = []
    for keep in keeps:
        for probability in probabilities:
            values = {"growth.keep": keep, "growth.probability": probability, "growth.finalists": 0}
            runs = [
                simulate(history, open_strategy(config.with_values(values | {"seed": config.seed + 1 + number})))
                for number in range(SIMULATIONS)
            ]
            best = [one.best for one in runs if one.best is not None]
            if best:
                trained = mean_interval([one.trained for one in runs])
                found.append(Setting(keep, probability, trained, mean_interval(best)))
    return tuple(found)
