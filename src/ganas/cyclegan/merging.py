"""Merge ops into one convolution, whose kernel is the sum of their aligned kernels.

Of the layouts' ops,

- convolutions of any size and dilation, and 2×2 average pooling before 1×1, share one;
- transposed convolutions, and nearest-neighbor interpolation after 1×1, share one;
- max pooling and bilinear interpolation are not convolutions; the 1×1 beside them is one of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import gcd
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from ganas.cyclegan.ops import BOX_FILTERS, OPS, POOLS
from ganas.layers import kernel_and_scale


class Form(NamedTuple):
    """An op as a convolution, with an optional module before and after it."""

    kernel: Tensor  # [c_out, c_in, kh, kw]; [c_in, c_out, kh, kw] if transposed
    bias: Tensor  # [c_out]
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    transposed: bool = False
    scale: Tensor | None = None  # factor of the kernel, a scalar
    before: nn.Module | None = None  # any function
    after: nn.Module | None = None  # linear, per channel, and keeps constants


def form_of(name: str, module: nn.Module) -> Form:
    """Return the form of an op of `OPS`, given its module; raises `ValueError` for one that cannot be merged."""
    op = OPS[name]
    if op.unmergeable:
        raise ValueError(f"op {name!r} cannot share a convolution with others: {op.unmergeable}")
    resampling, conv = module if op.resampling else (None, module)  # type: ignore[misc]
    assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d) and conv.bias is not None
    assert not isinstance(conv.padding, str)
    if value := BOX_FILTERS.get(op.resampling or ""):
        up = op.scales == ("up",)
        kernel = conv.weight.transpose(0, 1) if up else conv.weight
        return Form((kernel * value).expand(-1, -1, 2, 2), conv.bias, stride=2, transposed=up)
    if op.resampling in POOLS:
        return Form(conv.weight, conv.bias, before=resampling)
    if op.resampling:
        return Form(conv.weight, conv.bias, after=resampling)
    kernel, scale = kernel_and_scale(conv)
    return Form(kernel, conv.bias, conv.stride[0], conv.padding[0], conv.dilation[0], op.transposed, scale)


def forms_of(ops: Iterable[tuple[str, nn.Module]]) -> dict[str, Form]:
    """Return the forms of the ops that can share a convolution, by name."""
    return {name: form_of(name, module) for name, module in ops if not OPS[name].unmergeable}


def mergeable(forms: Mapping[str, Form]) -> list[list[str]]:
    """Return the groups of ops that can share one convolution."""
    families: dict[tuple[Any, ...], list[str]] = {}
    for name, form in forms.items():
        single = name if form.before or form.after else None
        families.setdefault((form.stride, form.transposed, single), []).append(name)
    return list(families.values())


class SharedConvolution:
    """One convolution for several ops: its padding, dilation and kernel size, and the position of each op's kernel."""

    def __init__(self, names: Sequence[str], forms: Sequence[Form]) -> None:
        first = forms[0]
        self.names = tuple(names)
        self.before, self.after = first.before, first.after
        self.stride, self.transposed = first.stride, first.transposed
        self.padding = max(form.padding for form in forms)
        starts = [self.padding - form.padding for form in forms]
        lasts = [start + form.dilation * (form.kernel.shape[2] - 1) for start, form in zip(starts, forms, strict=True)]
        # taps on a common grid make a dilated kernel
        self.dilation = gcd(*starts, *(form.dilation for form in forms if form.kernel.shape[2] > 1)) or 1
        self.extent = max(lasts) + 1  # pixels, with dilation
        self.kernel_size = max(lasts) // self.dilation + 1
        self._slices = [
            slice(start // self.dilation, last // self.dilation + 1, max(1, form.dilation // self.dilation))
            for start, last, form in zip(starts, lasts, forms, strict=True)
        ]

    def kernel(self, weights: Sequence[Tensor], forms: Sequence[Form]) -> Tensor:
        """Return Σ weight · kernel, aligned: [c_out, c_in, k, k]; [c_in, c_out, k, k] if transposed."""
        kernels = (form.kernel for form in forms)
        return _SumOfKernels.apply(self.kernel_size, self._slices, *weights, *kernels)  # type: ignore[no-any-return]

    def part(self, kernel: Tensor, name: str) -> Tensor:
        """Return the taps of a kernel from `kernel` that are in an op's support, shaped as the op's own kernel."""
        part = self._slices[self.names.index(name)]
        return kernel[:, :, part, part]

    def __call__(self, x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        """Return the sum of the ops, applied to x [n, c_in, h, w], by a kernel from `kernel`."""
        if self.before:
            x = self.before(x)
        if self.transposed:
            output_padding = self.stride + 2 * self.padding - self.extent  # doubles the size
            x = functional.conv_transpose2d(x, kernel, bias, self.stride, self.padding, output_padding)
        else:
            x = functional.conv2d(x, kernel, bias, self.stride, self.padding, self.dilation)
        return self.after(x) if self.after else x


def _format(kernels: Iterable[Tensor]) -> torch.memory_format:
    """Return the format of the larger kernels; 1×1 and expanded kernels have both formats or neither."""
    last = torch.channels_last
    contiguous = any(k.is_contiguous() and not k.is_contiguous(memory_format=last) for k in kernels)
    return torch.contiguous_format if contiguous else last


class _SumOfKernels(torch.autograd.Function):
    """Σ wᵢ · Kᵢ, aligned within a common kernel, without a copy of the sum for every term."""

    @staticmethod
    def forward(ctx: Any, size: int, slices: Sequence[slice], *tensors: Tensor) -> Tensor:
        ctx.slices = slices
        ctx.save_for_backward(*tensors)
        weights, kernels = tensors[: len(slices)], tensors[len(slices) :]
        first = kernels[0]
        total = torch.empty(
            (*first.shape[:2], size, size), dtype=first.dtype, device=first.device, memory_format=_format(kernels)
        ).zero_()
        for part, weight, kernel in zip(slices, weights, kernels, strict=True):
            total[:, :, part, part].addcmul_(kernel, weight)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        count = len(ctx.slices)
        weights, kernels = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        parts = [gradient[:, :, part, part] for part in ctx.slices]
        needed = ctx.needs_input_grad[2:]
        weight_gradients = [
            (part * kernel).sum() if need else None
            for part, kernel, need in zip(parts, kernels, needed[:count], strict=True)
        ]
        kernel_gradients = [
            part * weight if need else None for part, weight, need in zip(parts, weights, needed[count:], strict=True)
        ]
        return None, None, *weight_gradients, *kernel_gradients
