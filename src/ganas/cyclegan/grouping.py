"""Which ops of a slot share a merged convolution: a choice that changes speed, never results.

The 5×5 kernel of dilation 2 stretches the merged kernel to 9×9: 81 taps, where the ops have 65 different ones. So all
ops share a convolution (`merge_all`), or those with a dilated kernel have one of their own (`split_dilated`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from ganas.cyclegan.layout import Slot
from ganas.cyclegan.merging import SharedConvolution, forms_of, mergeable
from ganas.cyclegan.mixed import Groups

Grouping = Callable[[str, Slot, Mapping[str, nn.Module]], Groups]  # network's name, slot and its ops -> groups

# Costs in multiply-accumulates, of moving one more number and of calling one more convolution. Measured on two AVX-512
# cores with bf16 at twice the rate of float32 (benchmarks/mixed_ops.py).
MOVE_COST = {"float32": 60, "bf16": 190}
CALL_COST = 20_000_000


def naive(network: str, slot: Slot, ops: Mapping[str, nn.Module]) -> Groups:
    """Merge nothing: the mixture is literally the sum of weight times op."""
    return ()


def merge_all(network: str, slot: Slot, ops: Mapping[str, nn.Module]) -> Groups:
    return mergeable(forms_of(ops.items()))


def split_dilated(network: str, slot: Slot, ops: Mapping[str, nn.Module]) -> Groups:
    """Merge like `merge_all`, but dilated kernels apart from dense ones."""
    forms = forms_of(ops.items())
    groups = []
    for names in mergeable(forms):
        dilated = [name for name in names if forms[name].dilation > 1]
        groups += [group for group in ([name for name in names if name not in dilated], dilated) if group]
    return groups


GROUPINGS: Mapping[str, Grouping] = {"merge_all": merge_all, "split_dilated": split_dilated}


@dataclass(frozen=True)
class CheapestGrouping:
    """The grouping of `GROUPINGS` with the lowest estimated cost, which is the same on every machine."""

    pixels: Mapping[tuple[str, str], float]  # (network, slot) -> output pixels of one forward pass
    move_cost: float  # multiply-accumulates in the time that moving a number takes

    def __call__(self, network: str, slot: Slot, ops: Mapping[str, nn.Module]) -> Groups:
        candidates = [grouping(network, slot, ops) for grouping in GROUPINGS.values()]
        return min(candidates, key=lambda groups: self._cost(self.pixels[network, slot.name], ops, groups))

    def _cost(self, pixels: float, ops: Mapping[str, nn.Module], groups: Groups) -> float:
        """Estimate the cost of a forward pass: arithmetic, memory traffic, calls."""
        total, forms = 0.0, forms_of(ops.items())
        for names in groups:
            convolution = SharedConvolution(names, [forms[name] for name in names])
            c_out, c_in = forms[names[0]].kernel.shape[:2]
            if convolution.transposed:
                c_in, c_out = c_out, c_in
            area = convolution.stride ** (-2 if convolution.transposed else 2)  # input pixels per output pixel
            arithmetic = convolution.kernel_size**2 * c_in * c_out * min(area, 1)
            moved = c_in * area + 3 * c_out  # the output is written, then read and written by the sum
            total += pixels * (arithmetic + self.move_cost * moved) + CALL_COST
        return total
