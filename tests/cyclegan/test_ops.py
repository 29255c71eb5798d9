"""Ops: every one, in every kind of slot that may hold it. A new line in OPS is tested by being there."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from ganas.cyclegan.build import build, build_op, mixture, only_op, slot_modules
from ganas.cyclegan.derive import derive, read_choices
from ganas.cyclegan.grouping import merge_all, naive
from ganas.cyclegan.layout import LAYOUTS, NETWORKS, Cell, Channels, Layout, NetworkLayout, Slot
from ganas.cyclegan.mixed import mixtures
from ganas.cyclegan.ops import OPS, Op
from ganas.cyclegan.size import macs, parameters
from small import MIXTURES

# Every slot, but for its name, channels and what follows the op, with every op that fits it.
KINDS = {
    replace(slot, name="", ops=(op,), c_in=Channels(1), c_out=Channels(1), norm=True, activation=None, spectral=False)
    for layout in MIXTURES.values()
    for network in (layout.generator, layout.discriminator)
    for slot in network.slots
    for op in OPS
    if OPS[op].fits(slot)
}
SCALES = {"down": 0.5, "same": 1, "up": 2}

every_kind = pytest.mark.parametrize("slot", sorted(KINDS, key=repr), ids=lambda slot: f"{slot.ops[0]}-{slot.scale}")


def test_every_op_is_tried_and_none_is_built_where_it_does_not_fit() -> None:
    assert {slot.ops[0] for slot in KINDS} == set(OPS)
    with pytest.raises(ValueError, match=r"op 'maxpool' does not fit slot 'r1\.1' of scale same"):
        build_op("maxpool", 3, 5, LAYOUTS["framed"].generator.searched[2])


@every_kind
@pytest.mark.parametrize("size", [(8, 8), (10, 14)])
def test_an_op_halves_keeps_or_doubles_even_sizes_as_its_slot_says(slot: Slot, size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    y = build_op(slot.ops[0], 3, 5, slot)(functional.pad(x, [slot.reflect] * 4, mode="reflect"))
    lost = 2 * (slot.trim - slot.reflect)  # the reference discriminator's last slots trim what nothing has padded
    kernel_4 = OPS[slot.ops[0]].kernel_size % 2 == 0 and slot.scale == "same"  # an even kernel loses a pixel more
    expected = [int(side * SCALES[slot.scale]) - lost - kernel_4 for side in size]
    assert list(y.shape) == [2, 5, *expected]


@every_kind
def test_an_op_has_biases_and_as_many_parameters_as_it_says(slot: Slot) -> None:
    op = build_op(slot.ops[0], 3, 5, slot)
    assert all(m.bias is not None for m in op.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d))
    assert sum(parameter.numel() for parameter in op.parameters()) == OPS[slot.ops[0]].num_parameters(3, 5)


@every_kind
def test_an_op_looks_at_the_place_it_writes_to(slot: Slot) -> None:
    """Padding and stride are placed so that ops in one slot are about aligned: their outputs are added."""
    x = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    op = build_op(slot.ops[0], 1, 1, slot).double()
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
    op = build_op(name, 3, 5, slot).double()
    x = torch.randn(2, 3, 6, 8, dtype=torch.float64)
    literal = op[1](functional.interpolate(x, scale_factor=2, mode=mode))
    torch.testing.assert_close(op(x), literal, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("op", [Op(3, depthwise=True), Op(7)], ids=["separable", "dense"])
def test_an_op_is_added_by_one_entry(op: Op, monkeypatch: pytest.MonkeyPatch) -> None:
    """And its name in a layout: it is built, mixed, counted and derived."""
    monkeypatch.setitem(OPS, "new", op)  # type: ignore[arg-type]
    slot = replace(LAYOUTS["framed"].generator.searched[2], ops=("conv3", "new", "dilconv3"))
    layout = NetworkLayout((Cell((slot, replace(slot, name="r1.2")), residual=True),))
    monkeypatch.setitem(LAYOUTS, "trial", Layout("trial", layout, layout, 1, 1))  # type: ignore[arg-type]
    x = torch.randn(1, 8, 12, 12, dtype=torch.float64)
    for grouping in (naive, merge_all):
        supernet = build(layout, 2, mixture("", grouping)).double()
        assert [name for m in mixtures(supernet) for name in m.ops] == 2 * list(slot.ops)
        final = build(layout.final(("new", "new")), 2, only_op).double()
        for (name, weight), mixed in zip(slot_modules(layout, ("new", "new")), mixtures(supernet), strict=True):
            final.get_submodule(name).load_state_dict(mixed.ops[weight].state_dict())
            mixed.set_weights(torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))
        torch.testing.assert_close(supernet(x), final(x), rtol=1e-10, atol=1e-10)
    assert parameters(layout, ("new", "new"), 2) == sum(p.numel() for p in final.parameters())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        final(x)
    assert 2 * macs(layout, ("new", "new"), 2, 12) == counter.get_total_flops()
    alphas = [torch.tensor([0.0, 1.0, 0.0])] * 2
    found = derive(LAYOUTS["trial"], read_choices(LAYOUTS["trial"], dict.fromkeys(NETWORKS, alphas)))
    assert all(found.ops(name) == ("new", "new") for name in NETWORKS)
