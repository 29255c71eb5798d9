"""Layouts: slots that fit each other, and the sizes that networks accept."""

import re
from itertools import pairwise

import pytest

from ganas.cyclegan.layout import LAYOUTS, Channels, find_layout
from ganas.errors import ArchitectureError
from small import MIXTURES

NAMES = list(MIXTURES)  # the slots of others are choices


@pytest.mark.parametrize("name", NAMES)
def test_channels_of_neighbouring_slots_fit_and_images_come_in_and_out(name: str) -> None:
    for network in (LAYOUTS[name].generator, LAYOUTS[name].discriminator):
        slots = network.slots
        assert all(one.c_out == other.c_in for one, other in pairwise(slots))
        assert slots[0].c_in.fixed == 3
        assert len({slot.name for slot in slots}) == len(slots)
    assert LAYOUTS[name].generator.slots[-1].c_out.fixed == 3
    assert LAYOUTS[name].discriminator.slots[-1].c_out.fixed == 1


def test_a_width_is_a_real_number_and_no_layer_is_empty() -> None:
    assert [Channels(multiple).at(10.3) for multiple in (1, 2, 4)] == [10, 21, 41]
    assert Channels(1).at(0.1) == 1
    assert Channels(fixed=3).at(10.3) == 3


@pytest.mark.parametrize("name", NAMES)
def test_a_resolution_is_accepted_or_refused_by_name_with_one_that_is_accepted(name: str) -> None:
    layout = LAYOUTS[name]
    accepted = []
    for resolution in range(1, 300):
        try:
            layout.check_resolution(resolution)
            accepted.append(resolution)
        except ArchitectureError as error:
            assert f"resolution {resolution} " in str(error) and repr(name) in str(error)
            suggested = re.search(r"--resolution (\d+)$", str(error))
            assert suggested
            layout.check_resolution(int(suggested[1]))
    assert accepted == list(range(layout.minimum, 300, layout.multiple))


def test_an_unknown_layout_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ArchitectureError, match=r"'resnet7'.* framed, paper, reference"):
        find_layout("resnet7")
