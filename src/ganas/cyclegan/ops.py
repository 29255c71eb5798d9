"""The operations of CycleGANAS (section 3.2) as data: one line each in OPS. No torch here.

An op determines its module (`ganas.cyclegan.build.build_op`), its size, and its form as a convolution that others can
share (`ganas.cyclegan.merging.form_of`).

Every op maps [n, c_in, h, w] to [n, c_out, h', w']: the slot's scale "down" halves even sizes, "same" keeps them (less
twice the slot's trim), "up" doubles them. Every convolution has a bias.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ganas.cyclegan.layout import Slot, SlotScale

Resampling = Literal["maxpool", "avgpool", "nearest", "bilinear"]
POOLS = ("maxpool", "avgpool")  # 2×2, stride 2, before the convolution; the other resamplings follow it, ×2
BOX_FILTERS: Mapping[str, float] = {"avgpool": 0.25, "nearest": 1.0}  # resamplings by a constant 2×2 kernel: its value


@dataclass(frozen=True)
class Op:
    """A convolution, or a depthwise one followed by 1×1, or 1×1 with resampling by 2."""

    kernel_size: int = 1
    dilation: int = 1
    depthwise: bool = False  # one kernel per input channel, then 1×1
    transposed: bool = False  # with stride 2
    resampling: Resampling | None = None

    def __post_init__(self) -> None:
        if self.resampling and (self.kernel_size > 1 or self.dilation > 1 or self.depthwise or self.transposed):
            raise ValueError(f"resampling goes with a plain 1×1 convolution, got {self}")
        if self.transposed and (self.kernel_size % 2 == 0 or self.dilation > 1 or self.depthwise):
            raise ValueError(f"a transposed convolution has an odd, dense kernel without dilation, got {self}")

    @property
    def scales(self) -> tuple[SlotScale, ...]:
        if self.resampling in POOLS:
            return ("down",)
        return ("up",) if self.transposed or self.resampling else ("down", "same")

    def fits(self, slot: Slot) -> bool:
        """Whether it has the slot's scale, and a kernel that reaches over the pixels that the slot trims."""
        return slot.scale in self.scales and self.reach >= slot.trim

    @property
    def reach(self) -> int:
        """Pixels from the center of the kernel to its edge, rounded down."""
        return self.dilation * (self.kernel_size - 1) // 2

    @property
    def unmergeable(self) -> str | None:
        """Why it cannot share a convolution with other ops; None if it can."""
        return "its kernel is depthwise, and the shared one is dense" if self.depthwise else None

    def num_weights(self, c_in: int, c_out: int) -> int:
        """Parameters without biases; also the multiply-accumulates per pixel that the convolution computes."""
        area = self.kernel_size**2
        return (area + c_out) * c_in if self.depthwise else area * c_in * c_out

    def num_parameters(self, c_in: int, c_out: int) -> int:
        return self.num_weights(c_in, c_out) + c_out + (c_in if self.depthwise else 0)


OPS: Mapping[str, Op] = {
    "maxpool": Op(resampling="maxpool"),
    "avgpool": Op(resampling="avgpool"),
    "conv3": Op(3),
    "conv4": Op(4),
    "conv5": Op(5),
    "conv7": Op(7),
    "dilconv3": Op(3, dilation=2),
    "dilconv5": Op(5, dilation=2),
    "sepconv3": Op(3, depthwise=True),
    "sepconv5": Op(5, depthwise=True),
    "nearest": Op(resampling="nearest"),
    "bilinear": Op(resampling="bilinear"),
    "deconv3": Op(3, transposed=True),
}
