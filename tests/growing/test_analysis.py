"""The analysis of a growing search: counts against hand-made examples, its simulation against a brute-force reading."""

from math import log, sqrt

import pytest

from ganas.growing.actions import growing_actions, parse_action
from ganas.growing.analysis import analyse, heredity_by_score, kinds_of, points_of, simulate
from ganas.growing.architecture import GrowthArchitecture
from ganas.growing.candidates import Spec
from ganas.growing.children import child, uniform
from ganas.growing.history import History, Record
from ganas.growing.plan import Space
from ganas.growing.strategy import Candidate, Score
from ganas.growing.topk import TopK
from ganas.jobs.result import Result
from ganas.stats import share_interval

BASE = GrowthArchitecture(latent=4, channels=8)
SPACE = Space(growing_actions((3, 7), (8, 16)), 4, 16)


def record(candidate: Candidate, normalized: float, kept: bool = True) -> Record:
    action = None if candidate.action == "on" else candidate.action
    spec = Spec(candidate.id, candidate.architecture, candidate.parent, action, candidate.generation, seed=0, images=8)
    result = Result("done", 8, scores={"fid@squeezenet-clean-64": 10 * normalized})
    return Record(spec, result, "done", normalized, kept, "search")


def strategy(keep: int, probability: float, seed: int) -> TopK:
    return TopK([BASE], SPACE, images=8, keep=keep, probability=probability, seed=seed)


def quality(candidate: Candidate) -> float:
    return 0.5 + uniform("quality", candidate.id)


def searched(keep: int, probability: float, seed: int) -> History:
    """A search in which every candidate has a random score."""
    search = strategy(keep, probability, seed)
    while asked := search.ask():
        for one, images in asked:
            search.tell(one.id, images, Score(10 * quality(one), 10.0))
    kept = {name for beam in search.beams for name in beam}
    records = tuple(record(one, quality(one), one.id in kept) for one in search.candidates.values())
    return History(records, tuple(map(tuple, search.beams)), None, ())


def family() -> History:
    """A base at 1, two children by one action of it at 0.5 and 2, and grandchildren by another one."""
    base = Candidate("base", BASE)
    good, bad = (child(base, parse_action(action)) for action in ("g-conv3x8", "g-conv7x8"))
    grown = parse_action("d-conv3x16")
    found = [record(base, 1.0), record(good, 0.5), record(bad, 2.0)]
    found += [record(child(good, grown), 0.25), record(child(bad, grown), 4.0)]
    found += [record(child(good, parse_action("on")), 0.5)]
    return History(tuple(found), (), None, ())


def test_children_are_counted_by_action_and_kind() -> None:
    found = analyse(family())
    by_name = {one.name: one for one in (*found.by_action, *found.by_kind)}
    grown = by_name["d-conv3x16"]
    assert (grown.children, grown.improved.estimate) == (2, 0.5)
    assert grown.gain.estimate == pytest.approx((log(2) + log(0.5)) / 2)
    assert grown.deviation == pytest.approx(sqrt(2) * log(2))
    kernel, filters = by_name["generator, kernel 3"], by_name["generator, 8 filters"]
    assert (kernel.children, kernel.improved.estimate, kernel.gain.estimate) == (1, 1.0, pytest.approx(log(2)))
    assert (filters.children, filters.improved.estimate) == (2, 0.5)
    assert by_name["more training"].improved.estimate == 0.0  # as good as its parent is not better
    assert found.by_action[0].name == "g-conv3x8" and found.by_action[-1].name == "g-conv7x8"
    assert kinds_of("fade") == ["doubling"] and kinds_of(None) == ["more training"]


def test_scores_of_different_resolutions_are_not_compared_unless_normalized() -> None:
    base = Candidate("base", BASE)
    doubled = child(base, parse_action("fade"))
    plain = [
        Record(one.spec, one.result, "done", None, True, "search") for one in (record(base, 1), record(doubled, 9))
    ]
    assert not analyse(History(tuple(plain), (), None, ())).by_action
    normalized = History((record(base, 1.0), record(doubled, 0.5)), (), None, ())
    assert [one.name for one in analyse(normalized).by_action] == ["fade"]


def test_good_parents_and_good_children_are_counted_as_in_the_paper() -> None:
    history = searched(keep=4, probability=0.6, seed=3)
    points = {one.id: one for one in points_of(history)}
    for one in heredity_by_score([*points.values()], (0.7, 0.9)):
        pairs = [(points[c.parent], c) for c in points.values() if c.parent]
        of_these = [c for parent, c in pairs if (parent.score < one.threshold) == (one.parents == "good")]
        assert one.children == len(of_these)
        assert one.good.estimate == sum(c.score < one.threshold for c in of_these) / len(of_these)


def test_a_search_under_way_compares_normalized_scores_alone() -> None:
    base = Candidate("base", BASE)
    grown = child(base, parse_action("g-conv3x8"))
    untold = record(grown, 300.0)
    untold = Record(untold.spec, untold.result, "done", None, False, "search")
    history = History((record(base, 0.9), untold), (), None, ())
    assert not analyse(history).by_action and len(analyse(history).points) == 1
    assert simulate(history, strategy(2, 0.5, 0)).trained <= 1


def test_what_a_race_stopped_is_said_and_one_of_a_kind_has_no_rank() -> None:
    base = Candidate("base", BASE)
    grown = [child(base, parse_action(action)) for action in ("g-conv3x8", "g-conv7x8", "on")]
    found = [record(base, 1.0), record(grown[0], 0.5), record(grown[1], 0.7)]
    found += [record(child(grown[0], parse_action("fade")), 0.4)]
    plain = [Record(one.spec, one.result, "done", None, True, "search") for one in found]
    plain += [Record(record(grown[2], 0.9).spec, found[0].result, "stopped", None, False, "search")]
    analysis = analyse(History(tuple(plain), (), None, ()))
    assert analysis.stopped == 1 and len(analysis.points) == 4
    assert not analysis.heredity, "each generation of parents has one or none"


def test_the_share_has_wilsons_interval() -> None:
    found, z, share, total = share_interval(7, 20), 1.959964, 7 / 20, 20
    center = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    margin = z / (1 + z**2 / total) * sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    assert (found.low, found.high) == (pytest.approx(center - margin), pytest.approx(center + margin))
    assert found.percent == "35% [18%, 57%]"


def test_a_simulation_with_the_same_settings_is_the_search() -> None:
    history = searched(keep=3, probability=0.5, seed=1)
    found = simulate(history, strategy(3, 0.5, 1))
    last = [one.normalized for one in history.records if one.spec.architecture.resolution == 16 and one.normalized]
    assert (found.trained, found.ignored, found.best) == (len(history.records), 0, pytest.approx(min(last)))


@pytest.mark.parametrize("seed", range(5))
def test_a_simulation_ignores_what_was_not_trained(seed: int) -> None:
    history = searched(keep=4, probability=0.6, seed=1)
    found = simulate(history, strategy(2, 0.3, seed))
    assert (found.trained, found.best) == pytest.approx(by_brute_force(history, keep=2, probability=0.3, seed=seed))
    assert found.ignored or seed


def by_brute_force(history: History, keep: int, probability: float, seed: int) -> tuple[int, float]:
    """The paper's simulation, written from its text."""
    known = {one.spec.id: one.normalized for one in history.records if one.normalized}
    parents, reached = [Candidate(BASE.id, BASE)], [Candidate(BASE.id, BASE)]
    while parents:
        pairs = [(p, action) for p in parents for action in SPACE.legal(p.architecture, p.generation)]
        alone = {p.id for p in parents if len([*SPACE.legal(p.architecture, p.generation)]) == 1}
        attempts = (
            [
                pair
                for pair in pairs
                if uniform(seed, f"draw {n}", pair[0].id, pair[1]) < probability or pair[0].id in alone
            ]
            for n in range(1000)
        )
        sampled = next(filter(None, attempts), []) if pairs else []
        children = [child(p, action) for p, action in sampled]
        trained = sorted((one for one in children if one.id in known), key=lambda one: (known[one.id], one.id))
        reached += trained
        parents = trained[:keep]
    highest = max(one.architecture.resolution for one in reached)
    return len(reached), min(known[one.id] for one in reached if one.architecture.resolution == highest)
