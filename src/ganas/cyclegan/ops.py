"""The primitive operations of CycleGANAS (section 3.2): OPS maps a name to its constructor, one line each.

Every op maps [n, c_in, h, w] to [n, c_out, h', w'] where the slot's scale decides: "down" halves even sizes, "same"
keeps them (less twice the slot's trim), "up" doubles them. Every convolution has a bias.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from ganas.cyclegan.layout import Slot

Make = Callable[[int, int, Slot], nn.Module]


def _conv(kernel: int, dilation: int = 1) -> Make:
    """A convolution padded with zeros so that the slot's reflection padding and its own add up to "same" less trim."""

    def make(c_in: int, c_out: int, slot: Slot) -> nn.Module:
        padding = dilation * (kernel - 1) // 2 - slot.trim
        stride = 2 if slot.scale == "down" else 1
        return nn.Conv2d(c_in, c_out, kernel, stride, padding, dilation)

    return make


def _pool(pool: Callable[[int], nn.Module]) -> Make:
    """2×2 pooling with stride 2, then 1×1."""
    return lambda c_in, c_out, slot: nn.Sequential(pool(2), nn.Conv2d(c_in, c_out, 1))


def _resize(**options: Any) -> Make:
    """Interpolation ×2, then 1×1."""
    return lambda c_in, c_out, slot: Resize(nn.Upsample(scale_factor=2, **options), nn.Conv2d(c_in, c_out, 1))


class Resize(nn.Sequential):
    """Interpolation and 1×1 convolution, computed the other way round: a quarter of the work, the same result.

    Interpolation sees each channel by itself and keeps constants, so the two can change places.
    """

    def forward(self, x: Tensor) -> Tensor:
        resize, point = self
        return resize(point(x))  # type: ignore[no-any-return]


def _deconv3(c_in: int, c_out: int, slot: Slot) -> nn.Module:
    return nn.ConvTranspose2d(c_in, c_out, 3, stride=2, padding=1, output_padding=1)


OPS: Mapping[str, Make] = {
    "maxpool": _pool(nn.MaxPool2d),
    "avgpool": _pool(nn.AvgPool2d),
    "conv3": _conv(3),
    "conv4": _conv(4),
    "conv5": _conv(5),
    "conv7": _conv(7),
    "dilconv3": _conv(3, dilation=2),
    "dilconv5": _conv(5, dilation=2),
    "nearest": _resize(mode="nearest"),
    "bilinear": _resize(mode="bilinear", align_corners=False),
    "deconv3": _deconv3,
}
