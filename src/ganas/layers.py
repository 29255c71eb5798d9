"""Layers of both methods: convolution for gradient penalties, instance norm, spectral norm, up- and downsampling."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn.functional import normalize
from torch.nn.utils.parametrize import is_parametrized, register_parametrization

INSTANCE_NORM_EPS = 1e-5
WARM_UP = 15  # power iterations at the start, as in torch's own spectral norm


# ── convolution ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Convolution(nn.Conv2d):
    """A convolution of stride 1 and an odd kernel that keeps the size of images, for gradient penalties.

    The gradient by its input is a transposed convolution, as Karras et al. (2021) do. torch differentiates a
    convolution twice by one whose kernel is the whole image. That is slower, and oneDNN divides by zero in it: bf16,
    eight images of 256×256.
    """

    def __init__(self, c_in: int, c_out: int, size: int) -> None:
        if size % 2 == 0:
            raise ValueError(f"kernels of size {size} do not keep the size of images: use an odd one")
        super().__init__(c_in, c_out, size, padding=size // 2)

    def forward(self, input: Tensor) -> Tensor:
        x, weight, bias = input, self.weight, self.bias
        if _exporting() or not torch.is_grad_enabled():
            return super().forward(x)
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
            x, weight = _cast(x, dtype), _cast(weight, dtype)
            bias = None if bias is None else _cast(bias, dtype)
        return _Convolution.apply(x, weight, bias, self.padding)  # type: ignore[no-any-return]


def _cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x if x.dtype == torch.float64 else x.to(dtype)  # as autocast does


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding, ctx.bias = padding, None if bias is None else list(bias.shape)
        return functional.conv2d(x, weight, bias, padding=padding)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        weight_wanted, bias_wanted = (_is_wanted(ctx, index) for index in (1, 2))
        wanted = [ctx.needs_input_grad[0], weight_wanted, bias_wanted]
        if torch.is_grad_enabled() and wanted == [True, False, False]:  # to be differentiated again
            return functional.conv_transpose2d(gradient, weight, padding=ctx.padding), None, None, None
        options = ([1, 1], list(ctx.padding), [1, 1], False, [0, 0], 1)  # stride to groups
        return *torch.ops.aten.convolution_backward(gradient, x, weight, ctx.bias, *options, wanted), None


def _is_wanted(ctx: Any, index: int) -> bool:
    """Whether the backward pass that runs in this thread uses the gradient of a parameter; True if torch cannot say."""
    if not ctx.needs_input_grad[index]:
        return False
    try:  # private, since torch 2.0
        return torch._C._will_engine_execute_node(ctx.next_functions[index][0])
    except (AttributeError, RuntimeError, TypeError):  # it refuses leaves that `torch.autograd.grad` differentiates by
        return True


# ── instance norm ────────────────────────────────────────────────────────────────────────────────────────────────────


class InstanceNorm(nn.Module):
    """(x - mean) / √(variance + 1e-5) per channel and image, not affine: [n, c, h, w] -> [n, c, h, w].

    Raises `ValueError` for 1×1 maps, whose output would be all zeros.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] * x.shape[3] == 1:
            raise ValueError(f"instance norm needs more than one pixel, got a map of shape {list(x.shape)}")
        if _exporting():
            return functional.instance_norm(x, eps=INSTANCE_NORM_EPS)  # an operator that exporters know
        return _InstanceNorm.apply(x)  # type: ignore[no-any-return]


def _exporting() -> bool:
    is_exporting = getattr(torch.compiler, "is_exporting", None)  # torch 2.7
    return torch.jit.is_tracing() or bool(is_exporting and is_exporting())  # type: ignore[attr-defined, no-untyped-call]


class _InstanceNorm(torch.autograd.Function):
    """Batch norm with every channel of every image as a channel, which is fast in both memory formats.

    The backward pass needs the output and a scale per channel only, so the input is not stored.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=_format(x))  # torch computes silently wrong results with other strides
        normal = torch.empty_like(x)
        # float32 parameters make the statistics of bf16 activations float32
        scale = x.new_empty(x.shape[0] * x.shape[1], dtype=torch.promote_types(x.dtype, torch.float32))
        parts = _folded(x)
        for part, out, part_scale in zip(parts, _folded(normal), scale.chunk(len(parts)), strict=True):
            one, zero = torch.ones_like(part_scale), torch.zeros_like(part_scale)
            inputs = (part, one, zero, None, None, True, 0.0, INSTANCE_NORM_EPS)  # training, without running statistics
            torch.ops.aten.native_batch_norm.out(*inputs, out=out, save_mean=zero.new_empty(0), save_invstd=part_scale)
        ctx.save_for_backward(normal, scale)
        return normal

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        normal, scale = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=_format(normal))
        inputs, parts = _folded(normal), []
        for g, x, s in zip(_folded(gradient), inputs, scale.chunk(len(inputs)), strict=True):
            # the gradient of an input that is normalized already (mean 0, deviation 1), with the scale as weight
            zero, one = torch.zeros_like(s), torch.ones_like(s)
            arguments = (g, x, s, None, None, zero, one, True, INSTANCE_NORM_EPS, [True, False, False])
            parts.append(torch.ops.aten.native_batch_norm_backward(*arguments)[0])
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).view(normal.shape)


def _folded(x: Tensor) -> tuple[Tensor, ...]:
    """[n, c, h, w] -> views, a batch norm each: one [1, n·c, h, w] in NCHW, n of [1, c, h, w] in channels-last memory.

    Channels-last images cannot share one without a copy. Group norm could, but takes 1.6 times as long in float32 and
    ten times in bf16 (LOG.md, 2026-11-28).
    """
    n, c, height, width = x.shape
    return (x.view(1, n * c, height, width),) if x.is_contiguous() else torch.split(x, 1)


def _format(x: Tensor) -> torch.memory_format:
    return torch.contiguous_format if x.is_contiguous() else torch.channels_last


# ── spectral norm ────────────────────────────────────────────────────────────────────────────────────────────────────


class SpectralNorm(nn.Module):
    """W / σ(W), σ the largest singular value of W as [c_out, everything else] (Miyato et al. 2018, algorithm 1).

    In training mode each access runs one power iteration; gradients treat the singular vectors as constants.
    """

    u: Tensor  # [c_out]
    v: Tensor  # [everything else], in the order of channels-last memory

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        matrix = _matrix(weight)
        self.register_buffer("u", normalize(matrix.new_empty(matrix.shape[0]).normal_(), dim=0))
        self.register_buffer("v", normalize(matrix.new_empty(matrix.shape[1]).normal_(), dim=0))
        for _ in range(WARM_UP):
            self._iterate(matrix)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight divided by its largest singular value."""
        return weight / self.sigma(weight)

    def sigma(self, weight: Tensor) -> Tensor:
        """Estimate the largest singular value of a kernel [c_out, c_in, k, k], a scalar."""
        matrix = _matrix(weight)
        with _full_precision(weight.device.type):
            if self.training:
                self._iterate(matrix)
            return self.u.clone() @ (matrix @ self.v.clone())  # clones: the buffers may change before the backward pass

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        self.u.copy_(normalize(matrix @ self.v, dim=0))
        self.v.copy_(normalize(self.u @ matrix, dim=0))


def _full_precision(device: str) -> AbstractContextManager[object]:
    """Disable autocast, which would compute the products in bf16."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


def _matrix(weight: Tensor) -> Tensor:
    """[c_out, c_in, k, k] -> [c_out, k·k·c_in], without a copy in channels-last memory."""
    return weight.permute(0, 2, 3, 1).flatten(1)


def normalize_spectrally(conv: nn.Conv2d) -> None:
    """Parametrize a convolution's weight by `SpectralNorm`."""
    register_parametrization(conv, "weight", SpectralNorm(conv.weight.detach()))


def kernel_and_scale(conv: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Return a convolution's raw kernel and the factor to multiply it by: 1/σ, or None."""
    if not is_parametrized(conv, "weight"):
        return conv.weight, None  # type: ignore[return-value]
    parametrisation = conv.parametrizations.weight  # type: ignore[union-attr]
    norm, original = parametrisation[0], parametrisation.original  # type: ignore[index, union-attr]
    assert isinstance(norm, SpectralNorm) and isinstance(original, Tensor)
    return original, 1 / norm.sigma(original)


# ── resampling ───────────────────────────────────────────────────────────────────────────────────────────────────────


def upsample(x: Tensor) -> Tensor:
    """Repeat every pixel 2×2 times: [n, c, h, w] -> [n, c, 2h, 2w]."""
    return functional.interpolate(x, scale_factor=2, mode="nearest")


def downsample(x: Tensor) -> Tensor:
    """Average every 2×2 pixels: [n, c, h, w] -> [n, c, h / 2, w / 2]."""
    return functional.avg_pool2d(x, 2)
