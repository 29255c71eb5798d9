"""Evolution of a front against brute force, and that it is a function of its scores."""

import hashlib
import random
from itertools import product
from math import inf, nan

import pytest

from ganas.cyclegan.evolution import Choices, Evolution, _distances, _front

SLOTS = [("a", "b", "c"), ("d", "e"), ("f", "g", "h"), ("i", "j", "k", "l")]
ALL = [*product(*SLOTS)]


def number(choices: Choices, of: str) -> float:
    """Each option has a value of its own, and each choice a little more."""
    parts = [f"{of} {option}" for option in choices] + [f"{of} {choices}"]
    values = [int.from_bytes(hashlib.sha256(part.encode()).digest()[:4], "big") / 2**32 for part in parts]
    return sum(values[:-1]) + 0.3 * values[-1]


def cost(choices: Choices) -> float:
    return number(choices, "cost")


def run(shuffle: int = 0, **settings: object) -> Evolution:
    evolution = Evolution(SLOTS, cost, **settings)  # type: ignore[arg-type]
    while asked := evolution.ask():
        asked = list(asked)
        random.Random(shuffle).shuffle(asked)
        for one in asked:
            evolution.tell(one, number(one, "score"))
    return evolution


def brute_force(choices: list[Choices], limit: float = inf) -> list[Choices]:
    fit = [one for one in choices if cost(one) <= limit]
    beaten = {
        one
        for one, other in product(fit, repeat=2)
        if cost(other) <= cost(one) and number(other, "score") <= number(one, "score") and one != other
    }
    return sorted((one for one in fit if one not in beaten), key=cost)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("limit", [inf, 2.4])
def test_the_front_of_a_small_space_is_that_of_brute_force(seed: int, limit: float) -> None:
    """Nearly: it tries a part of the space, and finds at least four fifths of the front."""
    admits = lambda one: cost(one) <= limit  # noqa: E731
    found, expected = run(population=12, generations=5, seed=seed, admits=admits), brute_force(ALL, limit)
    assert expected and len(found.scores) < len(ALL)
    assert all(cost(one) <= limit for one in found.scores)
    assert len({*expected} & {*found.front()}) >= 0.8 * len(expected)


def test_its_front_is_that_of_what_it_tried() -> None:
    found = run(population=6, generations=4)
    assert found.front() == brute_force(list(found.scores))
    aims = {one: (cost(one), score) for one, score in found.scores.items()}
    assert _front(list(found.scores), aims) == found.front()


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
            evolution.tell(one, number(one, "score"))
    assert len(seen) <= len(ALL)
    with pytest.raises(ValueError, match="expected"):
        evolution.tell(ALL[0], 1.0)


def test_what_has_no_score_ends_last() -> None:
    """Even if it is nearly everything: NaN is worse than any number, and no parent while others are left."""
    evolution = Evolution(SLOTS, cost, population=4, generations=6)
    scored = ALL[::9]
    while asked := evolution.ask():
        for one in asked:
            evolution.tell(one, number(one, "score") if one in scored else nan)
    (best, *_) = sorted(evolution.scores, key=lambda one: evolution.scores[one])
    assert best in scored and len(evolution.scores) == 24


def test_mutations_are_drawn_as_the_first_generation() -> None:
    """Of choices that are always equal, children have nothing else."""
    evolution = Evolution(SLOTS, cost, population=6, generations=2, draw=lambda chance: ALL[chance.randrange(2)])
    while asked := evolution.ask():
        for one in asked:
            evolution.tell(one, number(one, "score"))
    assert {*evolution.scores} == {*ALL[:2]}


def test_crowding_by_hand() -> None:
    aims = {("a",): (0.0, 10.0), ("b",): (1.0, 4.0), ("c",): (3.0, 2.0), ("d",): (4.0, 0.0)}
    found = _distances(list(aims), aims)
    assert found[("a",)] == found[("d",)] == inf
    assert found[("b",)] == pytest.approx(3 / 4 + 8 / 10) and found[("c",)] == pytest.approx(3 / 4 + 4 / 10)
