"""Ways to merge a slot: all of them are the naive mixture, whatever the slot and the size of its map."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ganas.cyclegan.build import build_op
from ganas.cyclegan.config import SearchConfig
from ganas.cyclegan.grouping import MOVE_COST, CheapestGrouping, Grouping, merge_all, naive, split_dilated
from ganas.cyclegan.layout import LAYOUTS, Channels, Slot
from ganas.cyclegan.merging import form_of
from ganas.cyclegan.mixed import MixedOp, mixtures
from ganas.cyclegan.ops import OPS, Op
from ganas.layers import normalize_spectrally
from small import MIXTURES, small_config, small_gan

# Slots that differ in nothing but their name, channels and what follows the op are one kind.
KINDS = {
    replace(slot, name="", c_in=Channels(1), c_out=Channels(1), norm=True, activation=None)
    for layout in MIXTURES.values()
    for network in (layout.generator, layout.discriminator)
    for slot in network.searched
}
GROUPINGS = {
    "merge_all": merge_all,
    "split_dilated": split_dilated,
    "each": lambda _, __, ops: [[name] for name in ops],
}

every_kind = pytest.mark.parametrize(
    "slot", sorted(KINDS, key=repr), ids=lambda slot: f"{slot.scale}-{len(slot.ops)}-{slot.reflect}-{slot.trim}"
)


def mixed_op(slot: Slot, grouping: Grouping, dtype: torch.dtype, c_in: int = 3, c_out: int = 5) -> MixedOp:
    torch.manual_seed(0)
    ops = {name: build_op(name, c_in, c_out, slot) for name in slot.ops}
    mixed = MixedOp(ops, grouping("", slot, ops))
    for op in ops.values() if slot.spectral else ():
        if isinstance(op, nn.Conv2d):
            normalize_spectrally(op)
    for parameter in mixed.parameters():
        nn.init.normal_(parameter)
    return mixed.to(dtype).to(memory_format=torch.channels_last)


def outcome(mixed: MixedOp, size: tuple[int, int], dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """The output of two passes with one draw, and every gradient."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 3, *size, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    with parametrize.cached():
        mixed.set_weights(torch.softmax(mixed.alpha, dim=0))
        y = mixed(x) * 2 + mixed(x.flip(3))
    y.backward(torch.randn(y.shape, generator=generator, dtype=torch.float64).to(dtype))
    yield "output", y.detach()
    yield "image", x.grad
    for name, parameter in mixed.named_parameters():
        yield name, parameter.grad


@every_kind
@pytest.mark.parametrize("way", GROUPINGS)
@pytest.mark.parametrize(
    "size, dtype, tolerance", [((12, 18), torch.float64, 1e-10), ((16, 16), torch.float32, 1e-5)], ids=str
)
def test_every_way_is_the_naive_mixture(
    slot: Slot, way: str, size: tuple[int, int], dtype: torch.dtype, tolerance: float
) -> None:
    expected = dict(outcome(mixed_op(slot, naive, dtype), size, dtype))
    found = dict(outcome(mixed_op(slot, GROUPINGS[way], dtype), size, dtype))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (found[name] - tensor).abs().max() <= tolerance * tensor.abs().max(), name


@every_kind
def test_a_way_leaves_no_op_out_and_takes_none_twice(slot: Slot) -> None:
    ops = {name: build_op(name, 3, 5, slot) for name in slot.ops}
    for way in GROUPINGS.values():
        names = [name for group in way("", slot, ops) for name in group]
        assert set(names) == set(ops)
        assert len(names) == len(set(names))
    assert all(form_of(name, op) for name, op in ops.items())


@pytest.mark.parametrize(
    "precision, side, expected", [("float32", 64, [1, 2, 2]), ("bf16", 64, [1, 1, 2]), ("bf16", 8, [1, 1, 1])]
)
def test_a_count_takes_kernels_apart_where_they_and_their_maps_are_large(
    precision: str, side: int, expected: list[int]
) -> None:
    slot = LAYOUTS["framed"].generator.searched[2]
    counted = CheapestGrouping({("generator_ab", slot.name): side * side}, MOVE_COST[precision])
    ops = [{name: build_op(name, channels, channels, slot) for name in slot.ops} for channels in (8, 64, 128)]
    assert [len(counted("generator_ab", slot, each)) for each in ops] == expected


def test_a_depthwise_op_is_computed_by_itself_and_refused_in_a_shared_convolution(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(OPS, "separable", Op(3, depthwise=True))  # type: ignore[arg-type]
    slot = replace(LAYOUTS["framed"].generator.searched[2], ops=("conv3", "separable", "conv5"))
    expected = dict(outcome(mixed_op(slot, naive, torch.float64), (8, 8), torch.float64))
    merged = mixed_op(slot, merge_all, torch.float64)
    assert [shared.names for shared in merged._shared] == [("conv3", "conv5")]
    for name, tensor in outcome(merged, (8, 8), torch.float64):
        torch.testing.assert_close(tensor, expected[name], rtol=1e-10, atol=1e-10)
    with pytest.raises(ValueError, match="'separable' cannot share a convolution with others: its kernel is depthwise"):
        mixed_op(slot, lambda *_: [["conv3", "separable"]], torch.float64)


def test_kernels_are_summed_once_a_draw() -> None:
    slot = LAYOUTS["framed"].generator.searched[2]
    mixed = mixed_op(slot, merge_all, torch.float32)
    mixed.set_weights(torch.softmax(mixed.alpha, dim=0))
    (_, kernel), *_ = mixed._kernels
    x = torch.randn(1, 3, 8, 8)
    mixed(x), mixed(x)
    assert mixed._kernels[0][1] is kernel
    mixed.set_weights(torch.softmax(mixed.alpha, dim=0))
    assert mixed._kernels[0][1] is not kernel


@pytest.mark.parametrize("mixing", ["naive", "merged"])
def test_ops_share_convolutions_in_every_searched_slot_or_in_none(mixing: Literal["merged", "naive"]) -> None:
    gan = small_gan(small_config("framed", SearchConfig(), mixing))
    assert {bool(mixed._shared) for network in gan.children() for mixed in mixtures(network)} == {mixing == "merged"}
