"""Instance normalisation that is fast in channels-last memory, and keeps its statistics in float32."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

EPSILON = 1e-5


class InstanceNorm(nn.Module):
    """(x - mean) / √(variance + 1e-5) of each channel of each image, no affine: [n, c, h, w] -> the same.

    Raises `ValueError` for maps of one pixel, of which it would make nothing but zeros.
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
