"""Evolution of a front against brute force, and that it is a function of its scores."""

import hashlib
import random
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import product
from math import inf, nan
from statistics import fmean, median

import pytest

from ganas.cyclegan.evolution import Choices, Evolution, _distances
from ganas.stats import hypervolume

SLOTS = [("a", "b", "c"), ("d", "e"), ("f", "g", "h"), ("i", "j", "k", "l")]
ALL = [*product(*SLOTS)]
LARGE = ["abc"] * 8  # 6,561 choices


def number(choices: Choices, of: str) -> float:
    """Each option has a value of its own, and each choice a little more."""
    parts = [f"{of} {option}" for option in choices] + [f"{of} {choices}"]
    values = [int.from_bytes(hashlib.sha256(part.encode()).digest()[:4], "big") / 2**32 for part in parts]
    return sum(values[:-1]) + 0.3 * values[-1]


def cost(choices: Choices) -> float:
    return number(choices, "cost")


def score(choices: Choices) -> float:
    return number(choices, "score")


def run(
    shuffle: int = 0,
    slots: Sequence[Sequence[str]] = SLOTS,
    cost: Callable[[Choices], float] = cost,
    score: Callable[[Choices], float] = score,
    **settings: object,
) -> Evolution:
    evolution = Evolution(slots, cost, **settings)  # type: ignore[arg-type]
    while asked := evolution.ask():
        asked = list(asked)
        random.Random(shuffle).shuffle(asked)
        for one in asked:
            evolution.tell(one, score(one))
    return evolution


def brute_force(choices: list[Choices]) -> list[Choices]:
    beaten = {
        one
        for one, other in product(choices, repeat=2)
        if cost(other) <= cost(one) and score(other) <= score(one) and one != other
    }
    return sorted((one for one in choices if one not in beaten), key=cost)


@cache
def table(of: str) -> dict[Choices, float]:
    """A number for each choice of a large space: the sum of its options' own, which depend on the option before."""
    chance, found = random.Random(of), dict[Choices, float]({(): 0.0})
    for options in LARGE:
        own = {one: chance.random() for one in options}
        after = {pair: 0.5 * chance.random() for pair in product(["", *options], options)}
        found = {
            (*before, one): total + own[one] + after["".join(before[-1:]), one]
            for (before, total), one in product(found.items(), options)
        }
    return found


def volume(choices: Iterable[Choices], costs: dict[Choices, float], scores: dict[Choices, float]) -> float:
    """What choices dominate of the better half of the scores."""
    return hypervolume([(costs[one], scores[one]) for one in choices], (max(costs.values()), median(scores.values())))


@pytest.mark.parametrize("part", [1.0, 0.5])
def test_the_front_of_a_large_space_is_nearly_that_of_brute_force(part: float) -> None:
    """After a tenth at most of the choices within a limit; as many random ones find far less."""
    evolved, drawn = list[float](), list[float]()
    for seed in range(4):
        costs, scores, sizes = (table(f"{of} {seed}") for of in ("cost", "score", "size"))
        limit = sorted(sizes.values())[round(part * len(sizes)) - 1]
        left = {one for one, size in sizes.items() if size <= limit}
        spent = {"population": 20, "generations": 16, "seed": seed, "admits": left.__contains__}
        for shares, settings in ((evolved, {}), (drawn, {"mutation": 1.0})):
            found = run(0, LARGE, costs.__getitem__, scores.__getitem__, **spent, **settings)
            assert len(found.scores) == 320 <= 0.1 * len(left) and found.scores.keys() <= left
            shares.append(volume(found.front(), costs, scores) / volume(left, costs, scores))
    assert min(evolved) >= 0.9 and fmean(evolved) >= 0.95
    assert fmean(evolved) >= fmean(drawn) + 0.1


def test_its_front_is_that_of_what_it_tried() -> None:
    found = run(population=6, generations=4)
    assert found.front() == brute_force(list(found.scores))


def test_the_order_of_scores_does_not_matter() -> None:
    one, other = run(shuffle=1, population=8, generations=5), run(shuffle=2, population=8, generations=5)
    assert one.scores == other.scores and one.front() == other.front()
    assert run(population=8, generations=5, seed=1).scores != one.scores


def test_nothing_is_tried_twice_and_first_members_are() -> None:
    first = [ALL[3], ALL[5]]
    evolution = Evolution(SLOTS, cost, population=10, generations=20, first=first)
    seen: set[Choices] = set()
    assert list(evolution.ask()[:2]) == first
    while asked := evolution.ask():
        assert not seen & {*asked}
        seen |= {*asked}
        for one in asked:
            evolution.tell(one, score(one))
    assert len(seen) <= len(ALL)
    with pytest.raises(ValueError, match="expected"):
        evolution.tell(ALL[0], 1.0)


@pytest.mark.parametrize("nothing", [nan, inf])
def test_what_has_no_score_ends_last(nothing: float) -> None:
    """Even if it is nearly everything: it is worse than any number, and no parent while others are left."""
    scored = ALL[::9]
    found = run(score=lambda one: score(one) if one in scored else nothing, population=4, generations=6)
    best = min(found.scores, key=lambda one: found.scores[one])
    assert best in scored and len(found.scores) == 24


@pytest.mark.parametrize("nothing", [nan, inf])
def test_an_evolution_without_any_score_ends(nothing: float) -> None:
    found = run(score=lambda _: nothing, population=4, generations=3)
    assert len(found.scores) == 12 and found.front() == [min(found.scores, key=cost)]


def test_mutations_are_drawn_as_the_first_generation() -> None:
    """Of choices that are always equal, children have nothing else."""
    evolution = Evolution(SLOTS, cost, population=6, generations=2, draw=lambda chance: ALL[chance.randrange(2)])
    while asked := evolution.ask():
        for one in asked:
            evolution.tell(one, score(one))
    assert {*evolution.scores} == {*ALL[:2]}


def test_crowding_by_hand() -> None:
    aims = {("a",): (0.0, 10.0), ("b",): (1.0, 4.0), ("c",): (3.0, 2.0), ("d",): (4.0, 0.0)}
    found = _distances(list(aims), aims)
    assert found[("a",)] == found[("d",)] == inf
    assert found[("b",)] == pytest.approx(3 / 4 + 8 / 10) and found[("c",)] == pytest.approx(3 / 4 + 4 / 10)
