"""Layers of both searches: instance norm, spectral norm, up- and downsampling."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn.functional import normalize
from torch.nn.utils.parametrize import is_parametrized, register_parametrization

EPSILON = 1e-5  # of instance norm
WARM_UP = 15  # power iterations at the start, as torch's own spectral norm has


# ── instance norm ────────────────────────────────────────────────────────────────────────────────────────────────────


class InstanceNorm(nn.Module):
    """(x - mean) / √(variance + 1e-5) of each channel of each image, no affine: [n, c, h, w] -> the same.

    Raises `ValueError` for 1×1 maps, whose output would be all zeros.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] * x.shape[3] == 1:
            raise ValueError(f"instance norm needs more than one pixel, got a map of shape {list(x.shape)}")
        return _InstanceNorm.apply(x)  # type: ignore[no-any-return]


class _InstanceNorm(torch.autograd.Function):
    """Batch norm of one image at a time, which torch computes well in either memory format.

    For its backward pass the output is enough, with a scale a channel: the input is not kept.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=_format(x))  # of other strides torch makes wrong numbers in silence
        # parameters of float32 make the statistics of bf16 maps float32
        one = x.new_ones(x.shape[1], dtype=torch.promote_types(x.dtype, torch.float32))
        zero = torch.zeros_like(one)
        normal = torch.empty_like(x)
        scale = one.new_empty(x.shape[:2])
        for image, out, of_image in zip(_images(x), _images(normal), scale, strict=True):
            torch.ops.aten.native_batch_norm.out(
                image,
                one,
                zero,
                None,
                None,
                True,
                0.0,
                EPSILON,
                out=out,
                save_mean=zero.new_empty(0),
                save_invstd=of_image,
            )
        ctx.save_for_backward(normal, scale)
        return normal

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        normal, scale = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=_format(normal))
        zero, one = torch.zeros_like(scale[0]), torch.ones_like(scale[0])
        images = [
            # as of an input that is normal already: mean 0, deviation 1, and the scale as its weight
            torch.ops.aten.native_batch_norm_backward(
                g, x, s, None, None, zero, one, True, EPSILON, [True, False, False]
            )
            for g, x, s in zip(_images(gradient), _images(normal), scale, strict=True)
        ]
        return images[0][0] if len(images) == 1 else torch.cat([image[0] for image in images])


def _images(x: Tensor) -> tuple[Tensor, ...]:
    """[n, ...] -> n views [1, ...]."""
    return torch.split(x, 1)


def _format(x: Tensor) -> torch.memory_format:
    return torch.contiguous_format if x.is_contiguous() else torch.channels_last


# ── spectral norm ────────────────────────────────────────────────────────────────────────────────────────────────────


class SpectralNorm(nn.Module):
    """W / σ(W), σ the largest singular value of W as [c_out, everything else] (Miyato et al. 2018, algorithm 1).

    In training mode each access runs one power iteration; the singular vectors are treated as constants.
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
            return self.u.clone() @ (matrix @ self.v.clone())  # the buffers will change before a backward pass is over

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


def normalise_spectrally(conv: nn.Conv2d) -> None:
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
