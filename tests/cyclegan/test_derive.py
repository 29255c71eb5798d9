"""Derivation: from alphas to an architecture, and how clearly it was found."""

import json
from dataclasses import replace
from math import log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ganas.cyclegan.derive import Choice, derive, read_choices, records, summarize
from ganas.cyclegan.layout import LAYOUTS, NETWORKS, Layout
from ganas.cyclegan.model import CycleGAN
from small import MIXTURES

SEARCHED = [layout for layout in MIXTURES.values() if layout.size > 1]
every_search = pytest.mark.parametrize("layout", SEARCHED, ids=lambda layout: layout.name)
FRAMED = LAYOUTS["framed"]
SLOT = FRAMED.discriminator.searched[0]


def zeros(layout: Layout = FRAMED) -> dict[str, list[Tensor]]:
    return {name: [torch.zeros(len(slot.ops)) for slot in layout.network(name).searched] for name in NETWORKS}


def choice_of(alpha: Tensor) -> Choice:
    """What becomes of one slot with eight ops."""
    alphas = zeros()
    alphas["discriminator_a"][0] = alpha
    return next(choice for choice in read_choices(FRAMED, alphas) if choice.network == "discriminator_a")


@every_search
def test_the_largest_alpha_of_each_slot_of_each_network_is_taken(layout: Layout) -> None:
    generator = torch.Generator().manual_seed(0)
    alphas = {name: [torch.randn(len(a), generator=generator) for a in slots] for name, slots in zeros(layout).items()}
    choices = read_choices(layout, alphas)
    architecture = derive(layout, choices)
    assert architecture.layout == layout.name
    for name in NETWORKS:
        slots = layout.network(name).searched
        assert architecture.ops(name) == tuple(s.ops[a.argmax()] for s, a in zip(slots, alphas[name], strict=True))
        assert [c.slot for c in choices if c.network == name] == [slot.name for slot in slots]


@every_search
def test_the_alphas_of_supernets_fit(layout: Layout) -> None:
    choices = read_choices(layout, CycleGAN(layout, None, 1, 1).alphas())
    assert len(choices) == sum(len(layout.network(name).searched) for name in NETWORKS)
    derive(layout, choices)


def test_a_tie_goes_to_the_op_that_comes_first() -> None:
    assert choice_of(torch.zeros(8)).op == SLOT.ops[0]
    assert choice_of(torch.tensor([0.0, 0, 1, 0, 1, 0, 0, 1])).op == SLOT.ops[2]


@pytest.mark.parametrize(
    "weights, weight, margin, entropy",
    [
        ([1 / 8] * 8, 1 / 8, 0, 1),
        ([1, 1e-30, 1e-30, 1e-30, 1e-30, 1e-30, 1e-30, 1e-30], 1, 1, 0),
        ([1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 16, 1e-30, 1e-30, 1e-30], 1 / 2, 1 / 4, 1.875 / 3),  # in bits, of 3
    ],
)
def test_weight_margin_and_entropy_by_hand(weights: list[float], weight: float, margin: float, entropy: float) -> None:
    choice = choice_of(torch.tensor(weights, dtype=torch.float64).log())
    assert (choice.weight, choice.margin) == (pytest.approx(weight), pytest.approx(margin))
    assert choice.entropy == pytest.approx(entropy)


@pytest.mark.parametrize("ratio, decided", [(1.0, False), (1.99, False), (2.01, True), (50.0, True)])
def test_a_slot_is_decided_when_its_op_weighs_twice_the_second(ratio: float, decided: bool) -> None:
    assert choice_of(torch.tensor([0, log(ratio), -1, -1, -1, -1, -1, -1])).decided == decided


@given(st.lists(st.floats(-20, 20), min_size=8, max_size=8), st.floats(-100, 100))
def test_a_choice_does_not_change_when_all_alphas_rise_alike(alpha: list[float], rise: float) -> None:
    one, other = (choice_of(torch.tensor(alpha, dtype=torch.float64) + by) for by in (0.0, rise))
    assert 0 <= one.margin <= one.weight <= 1
    assert 0 <= one.entropy <= 1 + 1e-9
    for name in ("weight", "margin", "entropy"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-9)


def test_the_summary_counts_decided_slots_and_takes_medians() -> None:
    plain = Choice("generator_ab", "r1.1", "conv3", weight=0.2, margin=0.0, entropy=1.0)
    clear = replace(plain, weight=0.9, margin=0.85, entropy=0.2)
    medians = {"median_entropy": 0.2, "median_margin": 0.85}
    assert summarize([plain, clear, clear]) == {"decided": 2, "slots": 3, **medians}


def test_choices_are_json() -> None:
    lines = json.loads(json.dumps(records(read_choices(FRAMED, zeros()))))
    assert len(lines) == 2 * 22 + 2 * 4
    assert set(lines[0]) >= {"network", "slot", "op", "weight", "margin", "entropy"}
