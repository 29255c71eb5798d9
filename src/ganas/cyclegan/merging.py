"""Ops as convolutions, and several of them as one: a sum of convolutions of one input is one convolution.

Its kernel is the sum of theirs, each at its place within a common footprint. What the layouts' ops amount to:

- convolutions of any size and dilation, and 2×2 average pooling before 1×1, share one;
- transposed convolutions and nearest-neighbour interpolation before 1×1 share one;
- max pooling and bilinear interpolation stay what they are, and the 1×1 beside them is a convolution by itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import gcd
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from ganas.cyclegan.ops import BOX, OPS, POOLS
from ganas.layers import kernel_and_scale


class Form(NamedTuple):
    """An op as a convolution between what may come before and after it."""

    kernel: Tensor  # [c_out, c_in, kh, kw]; [c_in, c_out, kh, kw] if transposed
    bias: Tensor  # [c_out]
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    transposed: bool = False
    scale: Tensor | None = None  # that the kernel is to be multiplied by, a scalar
    before: nn.Module | None = None  # need not be linear
    after: nn.Module | None = None  # linear, on each channel by itself, and keeps constants


def form_of(name: str, module: nn.Module) -> Form:
    """An op of `OPS`, as its module, in the form of a convolution; raises `ValueError` where it has none."""
    op = OPS[name]
    if op.unmergeable:
        raise ValueError(f"op {name!r} cannot share a convolution with others: {op.unmergeable}")
    beside, conv = module if op.resampling else (None, module)  # type: ignore[misc]
    assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d) and conv.bias is not None
    assert not isinstance(conv.padding, str)
    if tap := BOX.get(op.resampling or ""):
        up = op.scales == ("up",)
        kernel = conv.weight.transpose(0, 1) if up else conv.weight
        return Form((kernel * tap).expand(-1, -1, 2, 2), conv.bias, stride=2, transposed=up)
    if op.resampling in POOLS:
        return Form(conv.weight, conv.bias, before=beside)
    if op.resampling:
        return Form(conv.weight, conv.bias, after=beside)
    kernel, scale = kernel_and_scale(conv)
    return Form(kernel, conv.bias, conv.stride[0], conv.padding[0], conv.dilation[0], op.transposed, scale)


def forms_of(ops: Iterable[tuple[str, nn.Module]]) -> dict[str, Form]:
    """Name of op -> its form, of those that can share a convolution."""
    return {name: form_of(name, module) for name, module in ops if not OPS[name].unmergeable}


def mergeable(forms: Mapping[str, Form]) -> list[list[str]]:
    """The ops that can share one convolution together."""
    families: dict[tuple[Any, ...], list[str]] = {}
    for name, form in forms.items():
        single = name if form.before or form.after else None
        families.setdefault((form.stride, form.transposed, single), []).append(name)
    return list(families.values())


class SharedConvolution:
    """One convolution for several ops, by name: its padding, dilation and taps, and where each op's taps lie."""

    def __init__(self, names: Sequence[str], forms: Sequence[Form]) -> None:
        first = forms[0]
        self.names = tuple(names)
        self.before, self.after = first.before, first.after
        self.stride, self.transposed = first.stride, first.transposed
        self.padding = max(form.padding for form in forms)
        starts = [self.padding - form.padding for form in forms]
        lasts = [start + form.dilation * (form.kernel.shape[2] - 1) for start, form in zip(starts, forms, strict=True)]
        # taps that lie on a common lattice make a dilated kernel
        self.dilation = gcd(*starts, *(form.dilation for form in forms if form.kernel.shape[2] > 1)) or 1
        self.span = max(lasts) + 1
        self.taps = max(lasts) // self.dilation + 1  # a side of its kernel
        self._places = [
            slice(start // self.dilation, last // self.dilation + 1, max(1, form.dilation // self.dilation))
            for start, last, form in zip(starts, lasts, forms, strict=True)
        ]

    def kernel(self, weights: Sequence[Tensor], forms: Sequence[Form]) -> Tensor:
        """Σ weight · kernel, each in its place: [c_out, c_in, k, k]; [c_in, c_out, k, k] if transposed."""
        kernels = (form.kernel for form in forms)
        return _SumOfKernels.apply(self.taps, self._places, *weights, *kernels)  # type: ignore[no-any-return]

    def __call__(self, x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        """What the ops make of x [n, c_in, h, w], by the kernel that `kernel` gave."""
        if self.before:
            x = self.before(x)
        if self.transposed:
            rest = self.stride + 2 * self.padding - self.span  # so much that the size is doubled
            x = functional.conv_transpose2d(x, kernel, bias, self.stride, self.padding, rest)
        else:
            x = functional.conv2d(x, kernel, bias, self.stride, self.padding, self.dilation)
        return self.after(x) if self.after else x


def _format(kernels: Iterable[Tensor]) -> torch.memory_format:
    """That of the whole kernels; those of one tap, or with repeated taps, are of both formats or of none."""
    last = torch.channels_last
    contiguous = any(k.is_contiguous() and not k.is_contiguous(memory_format=last) for k in kernels)
    return torch.contiguous_format if contiguous else last


class _SumOfKernels(torch.autograd.Function):
    """Σ wᵢ · Kᵢ, every kernel at its place within a common one, without a copy of the sum for every term."""

    @staticmethod
    def forward(ctx: Any, taps: int, places: Sequence[slice], *tensors: Tensor) -> Tensor:
        ctx.places = places
        ctx.save_for_backward(*tensors)
        weights, kernels = tensors[: len(places)], tensors[len(places) :]
        first = kernels[0]
        total = torch.empty(
            (*first.shape[:2], taps, taps), dtype=first.dtype, device=first.device, memory_format=_format(kernels)
        ).zero_()
        for place, weight, kernel in zip(places, weights, kernels, strict=True):
            total[:, :, place, place].addcmul_(kernel, weight)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        count = len(ctx.places)
        weights, kernels = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        shares = [gradient[:, :, place, place] for place in ctx.places]
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
