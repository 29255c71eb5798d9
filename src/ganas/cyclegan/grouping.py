"""Which ops of a slot share a convolution, once they are merged: a decision about speed that changes no result.

The 5×5 kernel of dilation 2 stretches the footprint of all to 9×9: 81 taps where the ops have 65 different ones. So
two ways are worth weighing: all ops that can share a convolution do (`whole`); or those with a dilated kernel keep one
of their own, 7×7 and 5×5 taps (`split`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from ganas.cyclegan.layout import Slot
from ganas.cyclegan.merging import SharedConvolution, forms_of, mergeable
from ganas.cyclegan.mixed import Groups

Grouping = Callable[[str, Slot, Mapping[str, nn.Module]], Groups]  # network's name, slot and its ops -> groups

# What a count weighs, in multiply-accumulates: moving one number more, and calling one convolution more. Of two
# AVX-512 cores with bf16 at twice the rate of float32 (benchmarks/mixed_ops.py).
MOVE = {"float32": 60, "bf16": 190}
CALL = 20_000_000


def naive(network: str, slot: Slot, ops: Mapping[str, nn.Module]) -> Groups:
    """None: the mixture is literally the sum of weight times op."""
    return ()


def whole(network: str, slot: Slot, ops: Mapping[str, nn.Module]) -> Groups:
    """All that can share a convolution do."""
    return mergeable(forms_of(ops.items()))


def split(network: str, slot: Slot, ops: Mapping[str, nn.Module]) -> Groups:
    """As `whole`, but dilated kernels do not share one with the others."""
    forms = forms_of(ops.items())
    groups = []
    for names in mergeable(forms):
        dilated = [name for name in names if forms[name].dilation > 1]
        groups += [group for group in ([name for name in names if name not in dilated], dilated) if group]
    return groups


WAYS: Mapping[str, Grouping] = {"whole": whole, "split": split}


@dataclass(frozen=True)
class Counted:
    """The way of `WAYS` that costs least by count: the same on every machine."""

    pixels: Mapping[tuple[str, str], float]  # (network, slot) -> how many one forward pass puts out
    move: float  # multiply-accumulates in whose time a number is moved

    def __call__(self, network: str, slot: Slot, ops: Mapping[str, nn.Module]) -> Groups:
        """The groups of one slot."""
        candidates = [way(network, slot, ops) for way in WAYS.values()]
        return min(candidates, key=lambda groups: self._cost(self.pixels[network, slot.name], ops, groups))

    def _cost(self, pixels: float, ops: Mapping[str, nn.Module], groups: Groups) -> float:
        """Of a forward pass: arithmetic, numbers read and written, calls."""
        total, forms = 0.0, forms_of(ops.items())
        for names in groups:
            convolution = SharedConvolution(names, [forms[name] for name in names])
            one, other = forms[names[0]].kernel.shape[:2]
            c_in, c_out = (one, other) if convolution.transposed else (other, one)
            area = convolution.stride ** (-2 if convolution.transposed else 2)  # inputs to an output
            arithmetic = convolution.taps**2 * c_in * c_out * min(area, 1)
            moved = c_in * area + 3 * c_out  # written, then read and written by a sum
            total += pixels * (arithmetic + self.move * moved) + CALL
        return total
