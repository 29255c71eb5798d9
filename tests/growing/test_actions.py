"""Growing actions and legal states, without torch: hundreds of cases a second."""

import re
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
    FadeIn,
    Grow,
    Space,
    fade_to,
    growing_actions,
    parse_action,
    proggan_route,
)
from ganas.growing.architecture import DOUBLE, SIDES, Conv, Double, GrowthArchitecture, doublings

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
        space.fade(architecture) if action == FADE else action
        for action in space.actions
        if done < space.depth and reaches(fades + (action == FADE), space.depth - done - 1)
    }
    assert set(space.legal(architecture, done)) == expected


@given(spaces(), st.randoms(use_true_random=False))
def test_even_doublings_come_after_equal_shares(space: Space, random: object) -> None:
    space = replace(space, doublings="even", max_parameters=None)
    architecture, route = GrowthArchitecture(latent=4, channels=8), []
    while actions := space.legal(architecture, len(route)):
        assert actions == (space.fade(architecture),) or not any(isinstance(action, FadeIn) for action in actions)
        route.append(random.choice(actions))  # type: ignore[attr-defined]
        architecture = route[-1](architecture)
    count = doublings(space.resolution)
    convs = space.depth - count
    assert len(route) == space.depth
    fades = [number for number, action in enumerate(route) if isinstance(action, FadeIn)]
    before = [number - already for already, number in enumerate(fades)]
    assert before == [k * convs // (count + 1) for k in range(1, count + 1)]


def test_every_resolution_has_its_share() -> None:
    assert Space(PAPER, 5, 32, doublings="even").growths == (1, 1, 1)
    assert Space(PAPER, 8, 32, doublings="even").growths == (2, 2, 2)
    assert Space(PAPER, 8, 32).growths == (6, 6, 6)


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


@pytest.mark.parametrize(
    "text", ["fades", "g-double", "x-conv3x8", "g-conv4x8", "conv3x8", "", "d-conv3x0", "fade0", "fade-8", "g-fade8"]
)
def test_an_unknown_action_is_refused(text: str) -> None:
    with pytest.raises(ArchitectureError):
        parse_action(text)


def test_widths_are_those_on_the_image_side() -> None:
    architecture = GrowthArchitecture(16, 8, (Conv(3, 4), DOUBLE, Conv(7, 2)), (DOUBLE, Conv(3, 6)))
    assert [placed[1:] for placed in architecture.placed("generator")] == [(8, 4, 8), (4, 4, 16), (4, 2, 16)]
    assert [placed[1:] for placed in architecture.placed("discriminator")] == [(8, 8, 16), (8, 6, 16)]


def test_doublings_have_the_widths_of_proggan_or_less() -> None:
    """min(fmap_base / 2^stage, fmap_max), where the current width is fmap_max (Karras et al. 2018, table 2)."""
    assert [fade_to(8 << n).filters for n in range(8)] == [None, None, None, 256, 128, 64, 32, 16]
    assert proggan_route(256) == ["fade", "fade", "fade256", "fade128", "fade64"]
    assert proggan_route(64, base=4) == ["fade", "fade", "fade", "fade256"]
    assert proggan_route(128, fmap_base=None) == ["fade"] * 4
    assert proggan_route(256, fmap_base=16 * 64)[2:] == ["fade32", "fade16", "fade8"], "64 up to 32×32, then halves"
    for width, expected in ((512, [512, 512, 256, 128, 64]), (100, [100, 100, 100, 100, 64]), (32, [32] * 5)):
        architecture = grown(GrowthArchitecture(4, width), map(parse_action, proggan_route(256)))
        assert [placed.outer for placed in architecture.placed("generator")] == expected
        assert GrowthArchitecture.from_json(architecture.to_json()) == architecture
    wide = grown(GrowthArchitecture(4, 64), map(parse_action, ("fade", "g-conv3x1024", "fade", "fade256")))
    assert wide.generator[-2:] == (DOUBLE, Double(256)), "grown filters are kept up to 32×32"
    assert wide.discriminator == (DOUBLE,) * 3, "each network by its own width"


@given(st.lists(st.sampled_from(PAPER), max_size=5))
def test_a_doubling_that_keeps_the_width_is_the_one_of_the_first_version(route: list[Action]) -> None:
    """Up to 32×32 nothing changed: names, files, ids."""
    space = Space(PAPER, 8, 32)
    architecture = GrowthArchitecture(4, 64)
    for action in route:
        if action in space.legal(architecture, 0):
            architecture = action(architecture)
            assert not re.search(r"double\d|base", architecture.to_json())


def test_a_base_of_4_pixels_is_grown_alike() -> None:
    start = GrowthArchitecture(4, 8, base=4)
    assert start.doubled().resolution == 8 and start.id != GrowthArchitecture(4, 8).id
    assert GrowthArchitecture.from_json(start.to_json()) == start and '"base": 4' in start.to_json()
    space = Space(PAPER, 3, 32, base=4)
    assert space.legal(start, 0) == (FADE,) and space.growths == (0, 0, 0, 0)
    with pytest.raises(ArchitectureError, match="choose 4, 8, 16"):
        doublings(12, 4)


PROGGAN_BLOCKS = {  # filters before and after each doubling (Karras et al. 2018, table 2), by resolution
    8: (512, 512),
    16: (512, 512),
    32: (512, 512),
    64: (512, 256),
    128: (256, 128),
    256: (128, 64),
}


@pytest.mark.parametrize("resolution, millions", [(64, 22.49), (128, 22.93), (256, 23.04)])
def test_the_route_is_proggan_layer_by_layer(resolution: int, millions: float) -> None:
    """Counted by hand: base at 4×4, latent 512; two 3×3 convolutions per resolution."""
    base = GrowthArchitecture(512, 512, base=4)
    architecture = grown(base, map(parse_action, proggan_route(resolution, base=4)))
    blocks = {side: pair for side, pair in PROGGAN_BLOCKS.items() if side <= resolution}
    width = blocks[resolution][1]
    weights = sum(9 * (before + after) * after for before, after in blocks.values())
    work = sum(9 * (before + after) * after * side**2 for side, (before, after) in blocks.items())
    # linear 512 -> 512·4·4, 3×3, 1×1 to RGB
    generator = 512 * 8192 + 8192 + 9 * 512 * 512 + 512 + 3 * width + 3
    generator += weights + sum(2 * after for _, after in blocks.values())
    assert architecture.parameters("generator") == generator
    assert round(generator / 1e6, 2) == millions, "as pytorch_GAN_zoo's"
    assert architecture.macs("generator") == 512 * 8192 + 9 * 512 * 512 * 16 + 3 * width * resolution**2 + work
    # 3×3 with one more channel, linear 8192 -> 512 -> 1, 1×1 from RGB
    discriminator = 9 * 513 * 512 + 512 + 8192 * 512 + 512 + 512 + 1 + 3 * width + width
    discriminator += weights + sum(before + after for before, after in blocks.values())
    assert architecture.parameters("discriminator") == discriminator
    expected = 9 * 513 * 512 * 16 + 8192 * 512 + 512 + 3 * width * resolution**2 + work
    assert architecture.macs("discriminator") == expected


@pytest.mark.parametrize("resolution, giga, constant", [(64, 13.5, 25.5), (128, 20.7, 102.9), (256, 28.0, 412.2)])
def test_widths_that_stay_cost_much_more_than_proggan(resolution: int, giga: float, constant: float) -> None:
    """Multiply-accumulates of a generator grown from 8×8, in billions."""
    for fmap_base, expected in ((8192, giga), (None, constant)):
        route = proggan_route(resolution, fmap_base=fmap_base)
        architecture = grown(GrowthArchitecture(512, 512), map(parse_action, route))
        assert round(architecture.macs("generator") / 1e9, 1) == expected


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
        ('"double"|"double0"', "unknown layer 'double0'"),
        ('"channels": 512|"channels": 512, "base": 0', "dimensions of at least 1"),
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
