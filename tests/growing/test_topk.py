"""`TopK` against a brute-force implementation of algorithm 1, with results in any order."""

import random
from collections import Counter
from collections.abc import Sequence
from math import inf, log
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganas.growing.actions import Space, growing_actions, parse_action
from ganas.growing.architecture import Conv, GrowthArchitecture
from ganas.growing.children import sample_children, training_seed, uniform
from ganas.growing.estimate import Observation, pooled_estimates
from ganas.growing.strategy import Candidate, Score
from ganas.growing.topk import RACE, Rung, TopK

BASE = GrowthArchitecture(latent=4, channels=8)
SPACE = Space(growing_actions((3, 7), (4, 16)), depth=4, resolution=32)
BASELINES = {8: 2.0, 16: 10.0, 32: 50.0}


def score_of(candidate: str, resolution: int, failing: float = 0.1) -> Score | None:
    """A fixed random score; some candidates fail, but not the first."""
    if candidate != BASE.id and uniform("fails", candidate) < failing:
        return None
    return Score(uniform("score", candidate) * resolution, BASELINES[resolution])


def top_k(initial: Sequence[GrowthArchitecture] = (BASE,), **settings: Any) -> TopK:
    return TopK(initial, SPACE, images=32, **settings)


def run(search: TopK, shuffle: int = 0, failing: float = 0.1) -> TopK:
    """Run a search to its end, with scores told in a random order."""
    while asked := search.ask():
        random.Random(shuffle).shuffle(asked)
        for candidate, images in asked:
            search.tell(candidate.id, images, score_of(candidate.id, candidate.architecture.resolution, failing))
    return search


def algorithm_1(keep: int, probability: float, seed: int, by: str) -> list[list[str]]:
    """Top-K greedy pruning as the paper writes it, on routes: the beams. A parent's only action is always tried."""
    import hashlib

    def identity(route: tuple[str, ...]) -> str:
        name = BASE.id
        for action in route:
            name = hashlib.sha256(f"{name} {action}".encode()).hexdigest()[:10]
        return name

    def architecture(route: tuple[str, ...]) -> GrowthArchitecture:
        result = BASE
        for action in route:
            result = parse_action(action)(result)
        return result

    def worth(route: tuple[str, ...]) -> tuple[float, str] | None:
        resolution = architecture(route).resolution
        score = score_of(identity(route), resolution)
        if score is None:
            return None
        return score.value / (BASELINES[resolution] if by == "normalized" else 1), identity(route)

    def order(route: tuple[str, ...], alive: Sequence[tuple[str, ...]]) -> tuple[object, ...]:
        """The sort key of a route among those that did not fail."""
        if by == "chance":
            return (uniform(seed, "survival", identity(route)),)
        if by != "per_resolution":
            return (worth(route),)
        size = architecture(route).resolution
        better = [one for one in alive if architecture(one).resolution == size and worth(one) < worth(route)]  # type: ignore[operator]
        return len(better), -size

    parents: list[tuple[str, ...]] = [()] if worth(()) else []
    beams = [[identity(route) for route in parents]]
    for done in range(SPACE.depth):
        pairs = []
        for parent in parents:
            missing = 2 - parent.count("fade")
            for action in map(str, SPACE.actions):
                after = missing - (action == "fade")
                if 0 <= after <= SPACE.depth - done - 1:
                    pairs.append((parent, action))
        children: list[tuple[str, ...]] = []
        attempt = 0
        while pairs and not children:
            children = [
                (*parent, action)
                for parent, action in pairs
                if uniform(seed, f"draw {attempt}", identity(parent), action) < probability
                or [one for one, _ in pairs].count(parent) == 1
            ]
            attempt += 1
        alive = [route for route in children if worth(route)]
        parents = sorted(alive, key=lambda route: order(route, alive))[:keep]
        beams.append([identity(route) for route in parents])
        if not parents:
            break
    return beams


@given(
    st.integers(1, 5),
    st.sampled_from((0.05, 0.3, 0.6, 1.0)),
    st.integers(0, 10**6),
    st.sampled_from(("normalized", "raw", "per_resolution", "chance")),
)
def test_beams_are_those_of_algorithm_1(keep: int, probability: float, seed: int, by: str) -> None:
    kind: dict[str, Any] = {"random": True} if by == "chance" else {"rank_by": by}
    search = run(top_k(keep=keep, probability=probability, seed=seed, **kind), shuffle=seed)
    expected = algorithm_1(keep, probability, seed, by)
    while len(expected) < len(search.beams):
        expected.append([])
    assert search.beams == expected[: len(search.beams)] and not any(expected[len(search.beams) :])


def score_at(candidate: Candidate, images: int) -> Score | None:
    """A fixed score that a longer training reorders; some candidates fail, at any rung."""
    if candidate.parent and uniform("fails", candidate.id, images) < 0.1:
        return None
    return Score(1 + uniform("score", candidate.id) + 20 / images * uniform("noise", candidate.id, images))


def race(keep: int, seed: int, shuffle: int) -> tuple[list[list[str]], int]:
    """The beams of a race, and the images spent, with scores told in a random order."""
    search = top_k(keep=keep, probability=0.7, seed=seed, rank_by="raw", rungs=RACE)
    reached: dict[str, int] = {}
    while asked := search.ask():
        random.Random(shuffle).shuffle(asked)
        assert len({images for _, images in asked}) == 1, "rungs are synchronous"
        for candidate, images in asked:
            assert reached.get(candidate.id, 0) < images, "nothing is trained twice"
            reached[candidate.id] = images
            search.tell(candidate.id, images, score_at(candidate, images))
            going_on = [name for name in reached if search.may_continue(name)]
        assert {candidate.id for candidate, _ in search.ask() if candidate.id in reached} <= set(going_on)
    winner = search.winner()
    assert winner and (reached[winner.id] == 32 or max(reached.values()) < 32)
    return search.beams, sum(reached.values())


@given(st.integers(1, 3), st.integers(0, 10**6))
def test_a_race_stops_two_thirds_and_then_all_but_the_best(keep: int, seed: int) -> None:
    """Against successive halving written out generation by generation."""
    beams, spent = race(keep, seed, shuffle=seed)
    parents, expected, images = [Candidate(BASE.id, BASE)], [[BASE.id]], 32
    while parents:
        racing = sample_children(parents, SPACE, 0.7, seed)
        for target, before in ((8, 0), (16, 8), (32, 16)) if len(racing) > keep else ((32, 0),):
            images += len(racing) * (target - before)
            scores = {one.id: score_at(one, target) for one in racing}
            racing = sorted(
                (one for one in racing if scores[one.id]),
                key=lambda one: (scores[one.id].value, one.id),  # type: ignore[union-attr]
            )
            count = len(racing)
            racing = racing[: {8: max(keep, -(-count // 3)), 16: keep + 1, 32: keep}[target]]
        expected.append([one.id for one in racing])
        parents = racing
    assert [beam for beam in beams if beam] == [beam for beam in expected if beam] and spent == images
    assert race(keep, seed, shuffle=seed + 1) == (beams, spent)


@given(st.integers(0, 10**6), st.floats(0.05, 1))
def test_the_winner_is_the_best_at_the_final_resolution(seed: int, probability: float) -> None:
    search = run(top_k(keep=2, probability=probability, seed=seed), failing=0)
    winner = search.winner()
    assert winner and winner.architecture.resolution == 32
    final = [c for c in search.candidates.values() if c.architecture.resolution == 32]
    assert all(search.scores[winner.id].value <= search.scores[c.id].value for c in final)  # type: ignore[union-attr]


@pytest.mark.parametrize("rungs", [(), RACE])
def test_the_best_so_far_is_known_within_a_generation(rungs: Sequence[Rung]) -> None:
    search = top_k(keep=2, probability=1, seed=0, rank_by="raw", rungs=rungs)
    search.tell(BASE.id, 32, Score(5.0))
    (best, images), *_ = search.ask()
    search.tell(best.id, images, Score(1.0))
    winner = search.winner()
    assert winner and winner.id == (BASE.id if rungs else best.id), "of those trained to the end"


def test_pooled_ranks_are_those_of_the_estimate() -> None:
    space = Space(SPACE.actions, 3, 16, doublings="even")
    search = TopK([BASE], space, images=32, keep=2, probability=1, seed=0, rank_by="pooled")
    observed = []
    while asked := search.ask():
        for candidate, images in asked:
            score = 1 + uniform("score", candidate.id)
            line, grown = candidate, Counter[str]()
            while line.parent:
                grown[f"{line.action} at {line.architecture.resolution}"] += 1
                line = search.candidates[line.parent]
            stage = candidate.generation
            observed.append(Observation(candidate.id, stage, grown, log(score)))
            search.tell(candidate.id, images, Score(score))
        estimates = pooled_estimates(observed)
        assert search.beams[-1] == sorted((one.id for one, _ in asked), key=estimates.__getitem__)[:2]
    winner = search.winner()
    assert winner and winner.id == search.beams[-1][0]


@given(st.integers(0, 10**6), st.integers(2, 3), st.sampled_from((0.0, 0.4, 1.0)), st.sampled_from(("raw", "pooled")))
def test_finalists_are_repeated_with_seeds_in_common(seed: int, count: int, failing: float, by: str) -> None:
    """The mean over repeats decides between finalists, the best training of one of them wins."""
    space = Space(SPACE.actions, 3, 16, doublings="even")
    settings: Any = {"images": 32, "keep": 1, "probability": 1, "seed": seed, "rank_by": by, "rungs": RACE}
    plain = run(TopK([BASE], space, **settings), failing=0)
    search = TopK([BASE], space, **settings, finalists=count)
    ended = []
    while not (asked := search.ask()) or not asked[0][0].repeat:
        for candidate, images in asked:
            ended += [candidate] if images == 32 and candidate.architecture.resolution == 16 else []
            search.tell(candidate.id, images, score_of(candidate.id, candidate.architecture.resolution, 0))
    assert search.beams == plain.beams and search.winner() == plain.winner()
    repeats = [candidate for candidate, _ in asked]
    finalists: dict[tuple[str | None, str | None], list[Candidate]] = {}
    for one in repeats:
        assert one.id not in plain.candidates and one.architecture.resolution == 16
        finalists.setdefault((one.parent, one.action), []).append(one)
    original = {(one.parent, one.action): one for one in plain.candidates.values()}
    assert plain.winner() in [original[key] for key in finalists]
    if by == "pooled":  # of the last generation, where K + 1 were trained to the end
        assert len(finalists) == 2 and {one.generation for one in repeats} == {3}
    else:
        ended.sort(key=lambda one: plain.scores[one.id].value)  # type: ignore[union-attr]
        assert [original[key] for key in finalists] == ended[:count]
    seeds = {key: [training_seed(7, one) for one in some] for key, some in finalists.items()}
    assert len(set(map(tuple, seeds.values()))) == 1
    assert len({*next(iter(seeds.values())), *(training_seed(7, original[key]) for key in finalists)}) == 3 + len(
        finalists
    )

    scores = {one.id: score_of(one.id, 16, failing) for one in repeats}
    for one in reversed(repeats):
        search.tell(one.id, 32, scores[one.id])
    assert not search.ask() and search.beams == plain.beams

    def mean(key: tuple[str | None, str | None]) -> float:
        return sum(score.value if (score := scores[one.id]) else inf for one in finalists[key]) / 3

    best = min(finalists, key=lambda key: (mean(key), original[key].id))
    trainings = [original[best], *finalists[best]]
    known = {**plain.scores, **scores}
    alive = [one for one in trainings if known[one.id]]
    assert search.winner() == min(alive, key=lambda one: known[one.id].value)  # type: ignore[union-attr]


def test_a_single_finalist_is_not_repeated() -> None:
    search = run(top_k(keep=1, probability=0.01, seed=0, finalists=2), failing=0)
    last = [one for one in search.candidates.values() if one.generation == 4]
    assert len(last) == 1 and search.winner() == last[0]


@pytest.mark.parametrize("bad", [None, Score(float("nan"), 1.0), Score(float("inf"), 1.0)])
def test_if_all_fail_the_search_ends_with_the_best_so_far(bad: Score | None) -> None:
    search = top_k(keep=2, probability=1, seed=0)
    search.tell(BASE.id, 32, Score(1.0, 1.0))
    for child, _ in search.ask():
        search.tell(child.id, 32, bad)
    assert not search.ask() and search.winner() == Candidate(BASE.id, BASE)


def test_a_child_is_tried_however_small_p_is() -> None:
    search = top_k(keep=1, probability=1e-12, seed=0)
    search.tell(BASE.id, 32, Score(1.0, 1.0))
    assert len(search.ask()) == 1


def test_several_initial_candidates_are_a_generation() -> None:
    other = GrowthArchitecture(latent=4, channels=16)
    search = top_k([BASE, other], keep=1, probability=1, seed=0)
    search.tell(other.id, 32, Score(1.0, 1.0))
    assert not search.beams
    search.tell(BASE.id, 32, Score(2.0, 1.0))
    assert len(search.beams) == 1 and {child.parent for child, _ in search.ask()} == {BASE.id, other.id}, "all of them"


def test_the_same_architecture_from_another_parent_is_another_candidate() -> None:
    search = run(
        TopK([BASE], Space(growing_actions((3,), (4,)), 4, 16), images=32, keep=20, probability=1, seed=0), failing=0
    )
    wanted = BASE.grown("generator", Conv(3, 4)).grown("discriminator", Conv(3, 4)).doubled()
    same = [candidate for candidate in search.candidates.values() if candidate.architecture == wanted]
    assert len(same) == 2 and len({candidate.id for candidate in same}) == 2
    assert len({training_seed(0, candidate) for candidate in same}) == 2


@pytest.mark.parametrize("keep, probability", [(0, 0.5), (-1, 0.5), (1, 0.0), (1, 1.1), (1, float("nan"))])
def test_impossible_settings_are_refused(keep: int, probability: float) -> None:
    with pytest.raises(ValueError, match="keep must be at least 1"):
        top_k(keep=keep, probability=probability, seed=0)


def test_an_unexpected_score_is_refused() -> None:
    search = top_k([BASE, GrowthArchitecture(latent=4, channels=16)], keep=1, probability=1, seed=0)
    search.tell(BASE.id, 32, Score(1.0, 1.0))
    for name, images in (("nobody", 32), (search.ask()[0][0].id, 16), (BASE.id, 32)):
        with pytest.raises(ValueError, match="is expected"):
            search.tell(name, images, Score(1.0, 1.0))


def test_normalization_needs_a_positive_baseline() -> None:
    search = top_k(keep=1, probability=1, seed=0)
    with pytest.raises(ValueError, match="positive baseline"):
        search.tell(BASE.id, 32, Score(1.0, None))
