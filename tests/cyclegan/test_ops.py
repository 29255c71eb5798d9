"""Ops: every one, in every kind of slot that may hold it. A new line in OPS is tested by being offered by a slot."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from ganas.cyclegan.layout import LAYOUTS, Channels, Slot
from ganas.cyclegan.ops import OPS

# Slots that differ in nothing but their name, channels and what follows the op are one kind.
KINDS = {
    replace(slot, name="", ops=(op,), c_in=Channels(1), c_out=Channels(1), norm=True, activation=None, spectral=False)
    for layout in LAYOUTS.values()
    for network in (layout.generator, layout.discriminator)
    for slot in network.slots
    for op in slot.ops
}
SCALES = {"down": 0.5, "same": 1, "up": 2}

every_kind = pytest.mark.parametrize("slot", sorted(KINDS, key=repr), ids=lambda slot: f"{slot.ops[0]}-{slot.scale}")


def test_every_op_is_offered_by_some_slot() -> None:
    assert {slot.ops[0] for slot in KINDS} == set(OPS)


@every_kind
@pytest.mark.parametrize("size", [(8, 8), (10, 14)])
def test_an_op_halves_keeps_or_doubles_even_sizes_as_its_slot_says(slot: Slot, size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    y = OPS[slot.ops[0]](3, 5, slot)(functional.pad(x, [slot.reflect] * 4, mode="reflect"))
    lost = 2 * (slot.trim - slot.reflect)  # the reference discriminator's last slots trim what nothing has padded
    kernel_4 = slot.ops[0] == "conv4" and slot.scale == "same"  # an even kernel loses a pixel more
    expected = [int(side * SCALES[slot.scale]) - lost - kernel_4 for side in size]
    assert list(y.shape) == [2, 5, *expected]


@every_kind
def test_an_op_has_biases_and_weights_of_one_convolution(slot: Slot) -> None:
    op = OPS[slot.ops[0]](3, 5, slot)
    (convolution,) = (module for module in op.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d))
    assert convolution.bias is not None
    assert {id(parameter) for parameter in op.parameters()} == {id(convolution.weight), id(convolution.bias)}


@every_kind
def test_an_op_looks_at_the_place_it_writes_to(slot: Slot) -> None:
    """Padding and stride are placed so that ops in one slot are about aligned: their outputs are added."""
    x = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    op = OPS[slot.ops[0]](1, 1, slot).double()
    for parameter in op.parameters():
        nn.init.constant_(parameter, 1.0)
    x[..., 8, 8] = 1
    with_spot, without = op(x), op(torch.zeros_like(x))
    spot = (with_spot - without)[0, 0].nonzero().double().mean(dim=0)  # centre of what the spot at 8.5 reaches
    here = (spot + 0.5 + slot.trim) / SCALES[slot.scale]
    assert (here - 8.5).abs().max() <= 1


@pytest.mark.parametrize("name, mode", [("nearest", "nearest"), ("bilinear", "bilinear")])
def test_an_interpolation_is_computed_at_the_small_size_and_is_the_papers(name: str, mode: str) -> None:
    """Interpolation ×2, then 1×1 (section 3.2)."""
    slot = LAYOUTS["framed"].generator.searched[-1]
    op = OPS[name](3, 5, slot).double()
    x = torch.randn(2, 3, 6, 8, dtype=torch.float64)
    literal = op[1](functional.interpolate(x, scale_factor=2, mode=mode))
    torch.testing.assert_close(op(x), literal, rtol=1e-12, atol=1e-12)
