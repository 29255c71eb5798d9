"""Ops as convolutions, and several of them as one: a sum of convolutions of one input is one convolution.

Its kernel is the sum of theirs, each at its place within a common footprint. What the layouts' ops amount to:

- convolutions of any size and dilation, and 2×2 average pooling before 1×1, share one;
- transposed convolutions and nearest-neighbour interpolation before 1×1 share one;
- max pooling and bilinear interpolation stay what they are, and the 1×1 beside them is a convolution by itself.

A kernel may also be taken apart, so that few taps at its rim do not stretch the footprint of all (`parts`).
"""

from collections.abc import Iterable, Mapping, Sequence
from math import gcd
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from ganas.layers import kernel_and_scale

PARTS = ("core", "rows", "sides")  # of a kernel: the taps inside, those of the first and last row, and those between

Pair = tuple[int, int]  # vertical, horizontal


class Form(NamedTuple):
    """An op, or a part of one, as a convolution between what may come before and after it."""

    kernel: Tensor  # [c_out, c_in, kh, kw]; [c_in, c_out, kh, kw] if transposed
    bias: Tensor | None  # [c_out]; of an op in parts, the core has it
    stride: int = 1
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    transposed: bool = False
    scale: Tensor | None = None  # that the kernel is to be multiplied by, a scalar
    before: nn.Module | None = None  # need not be linear
    after: nn.Module | None = None  # linear, on each channel by itself, and keeps constants


def form_of(op: nn.Module) -> Form | None:
    """The op as a convolution, if it is one between other things."""
    if isinstance(op, nn.Conv2d | nn.ConvTranspose2d) and not isinstance(op.padding, str):
        assert op.bias is not None
        kernel, scale = kernel_and_scale(op)
        (one, other), (down, right) = op.padding, op.dilation
        transposed = isinstance(op, nn.ConvTranspose2d)
        return Form(kernel, op.bias, op.stride[0], (one, other), (down, right), transposed, scale)
    if not (isinstance(op, nn.Sequential) and len(op) == 2 and isinstance(op[1], nn.Conv2d)):
        return None
    beside, point = op[0], op[1]  # something, and a 1×1 convolution
    if isinstance(beside, nn.AvgPool2d):  # 2×2: every tap has a quarter of the weight
        return Form((point.weight / 4).expand(-1, -1, 2, 2), point.bias, stride=2)
    if isinstance(beside, nn.Upsample) and beside.mode == "nearest":  # every pixel is put out four times
        return Form(point.weight.transpose(0, 1).expand(-1, -1, 2, 2), point.bias, stride=2, transposed=True)
    if isinstance(beside, nn.Upsample):
        return Form(point.weight, point.bias, after=beside)
    return Form(point.weight, point.bias, before=beside)


def forms_of(ops: Iterable[tuple[str, nn.Module]]) -> dict[str, Form]:
    """Name of op -> its form, of those that are convolutions."""
    return {name: form for name, op in ops if (form := form_of(op))}


def parts(name: str) -> list[str]:
    """The names of the parts of an op."""
    return [f"{name}/{part}" for part in PARTS]


def op_of(name: str) -> str:
    """The op that a name of an op, or of a part of one, belongs to."""
    return name.partition("/")[0]


def named_form(forms: Mapping[str, Form], name: str) -> Form:
    """The form of an op, or of a part of it."""
    form, part = forms[op_of(name)], name.partition("/")[2]
    kernel, (down, right), (dy, dx) = form.kernel, form.padding, form.dilation
    last_row, last_column = kernel.shape[2] - 1, kernel.shape[3] - 1
    if part == "core":
        return form._replace(kernel=kernel[:, :, 1:-1, 1:-1], padding=(down - dy, right - dx))
    if part == "rows":
        return form._replace(kernel=kernel[:, :, ::last_row], dilation=(dy * last_row, dx), bias=None)
    if part == "sides":
        sides = kernel[:, :, 1:-1, ::last_column]
        return form._replace(kernel=sides, padding=(down - dy, right), dilation=(dy, dx * last_column), bias=None)
    return form


def mergeable(forms: Mapping[str, Form]) -> list[list[str]]:
    """The ops that can share one convolution together."""
    families: dict[tuple[Any, ...], list[str]] = {}
    for name, form in forms.items():
        single = name if form.before or form.after else None
        families.setdefault((form.stride, form.transposed, single), []).append(name)
    return list(families.values())


class _Axis:
    """One dimension of a shared kernel: its padding, its dilation, its taps, and where each form's taps lie."""

    def __init__(self, forms: Sequence[Form], axis: int) -> None:
        self.padding = max(form.padding[axis] for form in forms)
        starts = [self.padding - form.padding[axis] for form in forms]
        sizes = [form.kernel.shape[2 + axis] for form in forms]
        steps = [form.dilation[axis] for form in forms]
        lasts = [start + step * (size - 1) for start, step, size in zip(starts, steps, sizes, strict=True)]
        # taps that lie on a common lattice make a dilated kernel
        self.dilation = gcd(*starts, *(step for step, size in zip(steps, sizes, strict=True) if size > 1)) or 1
        self.span = max(lasts) + 1
        self.taps = max(lasts) // self.dilation + 1
        self.places = [
            slice(start // self.dilation, last // self.dilation + 1, max(1, step // self.dilation))
            for start, last, step in zip(starts, lasts, steps, strict=True)
        ]


class SharedConvolution:
    """One convolution for several ops or parts of ops, by name."""

    def __init__(self, names: Sequence[str], forms: Sequence[Form]) -> None:
        first = forms[0]
        self.names = tuple(names)
        self.before, self.after = first.before, first.after
        self.stride, self.transposed = first.stride, first.transposed
        self._axes = _Axis(forms, 0), _Axis(forms, 1)

    @property
    def taps(self) -> Pair:
        """Height and width of its kernel."""
        return self._axes[0].taps, self._axes[1].taps

    def kernel(self, weights: Sequence[Tensor], forms: Sequence[Form]) -> Tensor:
        """Σ weight · kernel, each in its place: [c_out, c_in, kh, kw]; [c_in, c_out, kh, kw] if transposed."""
        places = list(zip(*(axis.places for axis in self._axes), strict=True))
        kernels = (form.kernel for form in forms)
        return _SumOfKernels.apply(self.taps, places, *weights, *kernels)  # type: ignore[no-any-return]

    def __call__(self, x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        """What the ops make of x [n, c_in, h, w], by the kernel that `kernel` gave."""
        padding, dilation = ([getattr(axis, name) for axis in self._axes] for name in ("padding", "dilation"))
        if self.before:
            x = self.before(x)
        if self.transposed:
            # so much that the size is doubled
            rest = [self.stride + 2 * axis.padding - axis.span for axis in self._axes]
            x = functional.conv_transpose2d(x, kernel, bias, self.stride, padding, rest)
        else:
            x = functional.conv2d(x, kernel, bias, self.stride, padding, dilation)
        return self.after(x) if self.after else x


def _format(kernels: Iterable[Tensor]) -> torch.memory_format:
    """That of the whole kernels; those of one tap, or with repeated taps, are of both formats or of none."""
    last = torch.channels_last
    contiguous = any(k.is_contiguous() and not k.is_contiguous(memory_format=last) for k in kernels)
    return torch.contiguous_format if contiguous else last


class _SumOfKernels(torch.autograd.Function):
    """Σ wᵢ · Kᵢ, every kernel at its place within a common one, without a copy of the sum for every term."""

    @staticmethod
    def forward(ctx: Any, taps: Pair, places: Sequence[tuple[slice, slice]], *tensors: Tensor) -> Tensor:
        ctx.places = places
        ctx.save_for_backward(*tensors)
        weights, kernels = tensors[: len(places)], tensors[len(places) :]
        first = kernels[0]
        total = torch.empty(
            (*first.shape[:2], *taps), dtype=first.dtype, device=first.device, memory_format=_format(kernels)
        ).zero_()
        for (rows, columns), weight, kernel in zip(places, weights, kernels, strict=True):
            total[:, :, rows, columns].addcmul_(kernel, weight)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        count = len(ctx.places)
        weights, kernels = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        shares = [gradient[:, :, rows, columns] for rows, columns in ctx.places]
        needed = ctx.needs_input_grad[2:]
        of_weights = [
            (share * kernel).sum() if need else None
            for share, kernel, need in zip(shares, kernels, needed[:count], strict=True)
        ]
        of_kernels = [
            share * weight if need else None
            for share, weight, need in zip(shares, weights, needed[count:], strict=True)
        ]
        return None, None, *of_weights, *of_kernels
