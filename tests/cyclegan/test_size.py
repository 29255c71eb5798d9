"""Sizes counted on paper are those of the networks; a matching width is the one that comes nearest."""

from math import inf

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from ganas.cyclegan.architecture import random_architecture
from ganas.cyclegan.build import SlotModule, build, only_op
from ganas.cyclegan.layout import DISCRIMINATORS, GENERATORS, LAYOUTS, NETWORKS, NetworkLayout, find_layout
from ganas.cyclegan.size import macs, output_sides, parameters, width_of_size
from small import MIXTURES

HANDMADE = find_layout("resnet9").generator
SEARCHED = [name for name, layout in MIXTURES.items() if layout.size > 1]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(4))
def test_counts_are_those_of_the_networks(layout: str, seed: int) -> None:
    architecture = random_architecture(find_layout(layout), seed)
    width = 2 + 0.37 * seed
    for name in NETWORKS:
        network_layout = find_layout(layout).network(name)
        network = build(network_layout.final(architecture.ops(name)), width, only_op)
        found = sum(p.numel() for p in network.parameters())
        assert parameters(network_layout, architecture.ops(name), width) == found
        if name in GENERATORS:
            side = 48
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                network(torch.zeros(1, 3, side, side))
            assert 2 * macs(network_layout, architecture.ops(name), width, side) == counter.get_total_flops()


@pytest.mark.parametrize("name", SEARCHED)
@pytest.mark.parametrize("kind", ["generator", "discriminator"])
def test_output_sides_are_those_of_the_slots(name: str, kind: str) -> None:
    layout = find_layout(name)
    network: NetworkLayout = getattr(layout, kind)
    seen: list[int] = []
    module = build(network.final([slot.ops[-1] for slot in network.searched]), 1, only_op)
    for slot in module.modules():
        if isinstance(slot, SlotModule):
            slot.register_forward_hook(lambda _, inputs, output: seen.append(output.shape[-1]))
    side = layout.minimum + layout.multiple
    module(torch.zeros(1, 3, side, side))
    assert seen == [*output_sides(network, side)]


def test_the_hand_made_networks_have_the_published_sizes() -> None:
    """Zhu et al. 2017, and the widths of CycleGANAS."""
    millions = [parameters(HANDMADE, (), width) / 1e6 for width in (16, 32, 48, 64, 96)]
    assert millions == pytest.approx([0.716, 2.851, 6.405, 11.378179, 25.58], rel=1e-3)
    assert [parameters(HANDMADE, (), width) for width in (32, 64)] == [2_850_563, 11_378_179]
    assert parameters(find_layout("resnet9").discriminator, (), 64) == 2_764_737


@pytest.mark.parametrize("layout", SEARCHED)
@pytest.mark.parametrize("width, allowed", [(64, 0.01), (32, 0.015)])
def test_fifty_random_architectures_match_a_hand_made_pair(layout: str, width: float, allowed: float) -> None:
    wanted = 2 * parameters(HANDMADE, (), width)
    generator = find_layout(layout).generator
    for seed in range(50):
        architecture = random_architecture(find_layout(layout), seed)

        def size(width: float, ops: tuple[tuple[str, ...], ...] = tuple(map(architecture.ops, GENERATORS))) -> int:
            return sum(parameters(generator, one, width) for one in ops)

        found = width_of_size(generator, size, wanted)
        off = abs(size(found) - wanted)
        assert off <= allowed * wanted
        others = [found * factor for factor in (0.5, 0.9, 0.99, 0.999, 1.001, 1.01, 1.1, 2)]
        others += [found + step / 16 for step in range(-32, 33) if found + step / 16 > 0.2]
        assert all(abs(size(other) - wanted) >= off for other in others), "no other width comes nearer"


@given(width=st.floats(1.25, 200), seed=st.integers(0, 100))
def test_the_width_of_a_size_has_that_size(width: float, seed: int) -> None:
    layout = find_layout("framed").generator
    ops = random_architecture(find_layout("framed"), seed).generator_ab
    wanted = parameters(layout, ops, width)
    found = width_of_size(layout, lambda width: parameters(layout, ops, width), wanted)
    assert parameters(layout, ops, found) == wanted


def test_architectures_drawn_by_lot_are_uniform() -> None:
    """Each op of each slot about as often as the others: chi-squared, with room for hundreds of slots."""
    layout = find_layout("framed")
    drawn = [random_architecture(layout, seed) for seed in range(400)]
    assert len({architecture.id for architecture in drawn}) == 400
    assert random_architecture(layout, 7) == drawn[7]
    assert drawn[7] != random_architecture(find_layout("paper"), 7)
    worst = -inf
    for name in (*GENERATORS, *DISCRIMINATORS):
        for place, slot in enumerate(layout.network(name).searched):
            counts = [sum(one.ops(name)[place] == op for one in drawn) for op in slot.ops]
            expected = 400 / len(slot.ops)
            statistic = sum((count - expected) ** 2 for count in counts) / expected
            worst = max(worst, statistic - 8 * len(slot.ops))
    assert worst < 0
