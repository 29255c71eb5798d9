"""Which ops of a slot share a convolution, once they are merged: a decision about speed that changes no result.

The 5×5 kernel of dilation 2 stretches the footprint of all to 9×9: 81 taps where the ops have 65 different ones. So
three ways are worth weighing: all ops that can share a convolution do (`whole`); those with a dilated kernel keep one
of their own, 7×7 and 5×5 taps (`split`); or only what lies outside the others does, in two thin convolutions (`ring`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from torch import nn

from ganas.cyclegan.layout import Slot
from ganas.cyclegan.merging import Form, SharedConvolution, forms_of, mergeable, named_form, op_of, parts
from ganas.cyclegan.mixed import Groups

Grouping = Callable[[str, Slot, Mapping[str, nn.Module]], Groups]  # network's name, slot and its ops -> groups

# What a count weighs, in multiply-accumulates: moving one number more, and calling one convolution more. Of two
# AVX-512 cores with bf16 at twice the rate of float32 (benchmarks/mixed_ops.py); how right they are elsewhere is for
# nets.mixing=timed to say.
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
        dilated = [name for name in names if forms[name].dilation != (1, 1)]
        groups += [group for group in ([name for name in names if name not in dilated], dilated) if group]
    return groups


def ring(network: str, slot: Slot, ops: Mapping[str, nn.Module]) -> Groups:
    """As `whole`, but the rim of the kernel that reaches further than all others is computed apart from them."""
    forms = forms_of(ops.items())
    groups = []
    for names in mergeable(forms):
        *others, furthest = sorted(names, key=lambda name: _reach(forms[name]))
        alone = not others or _reach(forms[others[-1]]) == _reach(forms[furthest])
        if alone or forms[furthest].kernel.shape[-1] <= 3:  # too small to have a core worth a name
            groups.append(names)
        else:
            core, *rim = parts(furthest)
            groups += [[*others, core], *([part] for part in rim)]
    return groups


def _reach(form: Form) -> int:
    """Pixels from the first to the last of a kernel's taps."""
    return form.dilation[0] * (form.kernel.shape[2] - 1)


WAYS: Mapping[str, Grouping] = {"whole": whole, "split": split, "ring": ring}


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
            convolution = SharedConvolution(names, [named_form(forms, name) for name in names])
            one, other = forms[op_of(names[0])].kernel.shape[:2]
            c_in, c_out = (one, other) if convolution.transposed else (other, one)
            area = convolution.stride ** (-2 if convolution.transposed else 2)  # inputs to an output
            arithmetic = prod(convolution.taps) * c_in * c_out * min(area, 1)
            moved = c_in * area + 3 * c_out  # written, then read and written by a sum
            total += pixels * (arithmetic + self.move * moved) + CALL
        return total
