"""Growing actions and legal states, without torch: hundreds of cases a second."""

from collections.abc import Iterable
from dataclasses import replace
from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganas.errors import ArchitectureError
from ganas.growing.actions import (
    FADE,
    TRAIN_ON,
    Action,
    Grow,
    Space,
    growing_actions,
    parse_action,
)
from ganas.growing.architecture import DOUBLE, SIDES, Conv, GrowthArchitecture, doublings

PAPER = growing_actions((3, 7), (32, 64, 128, 256, 512, 1024))
BASE = GrowthArchitecture(latent=128, channels=512)


def grown(architecture: GrowthArchitecture, route: Iterable[Action]) -> GrowthArchitecture:
    for action in route:
        architecture = action(architecture)
    return architecture


@pytest.mark.parametrize("action", PAPER, ids=str)
def test_an_action_is_one_layer_more(action: Action) -> None:
    grown = action(BASE)
    assert parse_action(str(action)) == action
    if isinstance(action, Grow):
        other = next(side for side in SIDES if side != action.side)
        assert grown.layers(action.side) == (action.conv,) and not grown.layers(other)
        assert grown.width(action.side) == action.conv.filters and grown.width(other) == 512
        assert grown.resolution == 8
    else:
        assert grown.generator == grown.discriminator == (DOUBLE,) and grown.resolution == 16


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    sizes = draw(st.lists(st.sampled_from((1, 3, 5, 7)), min_size=1, max_size=2, unique=True))
    filters = draw(st.lists(st.sampled_from((4, 8, 16)), min_size=1, max_size=3, unique=True))
    resolution = draw(st.sampled_from((8, 16, 32, 64)))
    depth = draw(st.integers(doublings(resolution), doublings(resolution) + 4))
    limit, when = draw(st.sampled_from((None, 30_000, 100_000))), draw(st.sampled_from(("late", "even", "early")))
    return Space(growing_actions(sizes, filters), depth, resolution, max_parameters=limit, doublings=when)


@given(spaces(), st.randoms(use_true_random=False))
def test_every_walk_of_legal_actions_ends_at_the_final_resolution(space: Space, random: object) -> None:
    start = GrowthArchitecture(latent=4, channels=8)
    architecture, done = start, 0
    if not space._can_finish(start):
        return  # no way at all
    while actions := space.legal(architecture, done):
        architecture = random.choice(actions)(architecture)  # type: ignore[attr-defined]
        done += 1
        assert space.admits(architecture)
        assert GrowthArchitecture.from_json(architecture.to_json()) == architecture
    assert architecture.resolution == space.resolution
    # only a limit ends a walk before its depth
    assert done == space.depth or space.max_parameters


@given(spaces(), st.data())
def test_legal_is_what_brute_force_finds(space: Space, data: st.DataObject) -> None:
    """Without limits: exactly the actions from which some way of the right length ends at the resolution."""
    space = Space(space.actions, min(space.depth, 4), space.resolution)
    route = data.draw(st.lists(st.sampled_from(space.actions), max_size=4))

    def reaches(fades: int, left: int) -> bool:
        wanted = int(log2(space.resolution / 8))
        return fades <= wanted <= fades + left

    fades, done = route.count(FADE), len(route)
    architecture = grown(GrowthArchitecture(4, 8), route)
    if done > space.depth or not reaches(fades, space.depth - done):
        return
    expected = {
        action
        for action in space.actions
        if done < space.depth and reaches(fades + (action == FADE), space.depth - done - 1)
    }
    assert set(space.legal(architecture, done)) == expected


@given(spaces(), st.randoms(use_true_random=False))
def test_even_doublings_come_after_equal_shares(space: Space, random: object) -> None:
    space = replace(space, doublings="even", max_parameters=None)
    architecture, route = GrowthArchitecture(latent=4, channels=8), []
    while actions := space.legal(architecture, len(route)):
        assert actions == (FADE,) or FADE not in actions
        route.append(random.choice(actions))  # type: ignore[attr-defined]
        architecture = route[-1](architecture)
    count = doublings(space.resolution)
    convs = space.depth - count
    assert len(route) == space.depth
    before = [number - route[:number].count(FADE) for number, action in enumerate(route) if action == FADE]
    assert before == [k * convs // (count + 1) for k in range(1, count + 1)]


def test_every_resolution_has_its_share() -> None:
    assert Space(PAPER, 5, 32, doublings="even").growths == (1, 1, 1)
    assert Space(PAPER, 8, 32, doublings="even").growths == (2, 2, 2)


def test_early_doublings_come_first() -> None:
    space = Space(PAPER, 5, 32, doublings="early")
    assert space.growths == (0, 0, 3)
    architecture, resolutions = GrowthArchitecture(4, 8), []
    for done in range(5):
        action = space.legal(architecture, done)[0]
        architecture = action(architecture)
        resolutions.append(architecture.resolution)
    assert resolutions == [16, 32, 32, 32, 32] and space.legal(architecture, 5) == ()


def test_more_training_may_be_an_action() -> None:
    assert TRAIN_ON not in growing_actions((3,), (8,))
    assert growing_actions((3,), (8,), train_on=True).count(TRAIN_ON) == 1
    assert Space(PAPER, 8, 32).growths == (6, 6, 6)


def test_a_limit_keeps_the_way_to_the_final_resolution_open() -> None:
    start = GrowthArchitecture(latent=4, channels=8)
    exact = sum(start.doubled().parameters(side) for side in SIDES)
    actions = growing_actions((3,), (8, 64))
    assert Space(actions, 3, 16, max_parameters=exact).legal(start, 0) == (FADE,)
    assert not Space(actions, 3, 16, max_parameters=exact - 1).legal(start, 0)
    macs = sum(start.doubled().macs(side) for side in SIDES)
    assert FADE in Space(actions, 3, 16, max_macs=macs).legal(start, 0)
    assert not Space(actions, 3, 16, max_macs=macs - 1).legal(start, 0)


@pytest.mark.parametrize("resolution", [0, -8, 4, 12, 24, 100])
def test_a_resolution_that_is_no_doubling_is_refused(resolution: int) -> None:
    with pytest.raises(ArchitectureError, match=f"cannot grow to {resolution} pixels: choose 8, 16, 32"):
        doublings(resolution)


@pytest.mark.parametrize("text", ["fades", "g-double", "x-conv3x8", "g-conv4x8", "conv3x8", "", "d-conv3x0"])
def test_an_unknown_action_is_refused(text: str) -> None:
    with pytest.raises(ArchitectureError):
        parse_action(text)


def test_widths_are_those_on_the_image_side() -> None:
    architecture = GrowthArchitecture(16, 8, (Conv(3, 4), DOUBLE, Conv(7, 2)), (DOUBLE, Conv(3, 6)))
    assert [placed[1:] for placed in architecture.placed("generator")] == [(8, 4, 8), (4, 4, 16), (4, 2, 16)]
    assert [placed[1:] for placed in architecture.placed("discriminator")] == [(8, 8, 16), (8, 6, 16)]


def test_an_id_depends_on_the_content_alone() -> None:
    """These are the ids of the first version, which stored runs refer to."""
    assert BASE.id == "6abf5f07c3"
    assert BASE.doubled().grown("generator", Conv(3, 32)).id == "8fac2a8982"
    assert BASE.id != BASE.doubled().id != BASE.doubled().grown("generator", Conv(3, 32)).id


@pytest.mark.parametrize(
    "change, reason",
    [
        ('"kind": "growth"|"kind": "cyclegan"', "is of kind 'cyclegan', not 'growth'"),
        ('"schema": 1|"schema": 2', "schema 2"),
        ('"double"|"triple"', "unknown layer 'triple'"),
        ('"conv3x32"|"conv4x32"', "kernel sizes are odd"),
        ('["double"]|[]', "doubles its resolution 1 times and the discriminator 0 times"),
        ('"latent": 128|"latent": 127', "was edited"),
        ('"channels": 512,|', "lacks 'channels'"),
        ("{|[", "not complete JSON"),
    ],
)
def test_a_broken_file_is_refused_in_one_line(change: str, reason: str) -> None:
    architecture = BASE.doubled().grown("generator", Conv(3, 32))
    old, new = change.split("|")
    with pytest.raises(ArchitectureError, match=reason) as error:
        GrowthArchitecture.from_json(architecture.to_json().replace(old, new), "a.json")
    assert "\n" not in str(error.value) and "a.json" in str(error.value)
