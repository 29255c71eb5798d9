"""The primitive operations of CycleGANAS (section 3.2) as data: OPS maps a name to an op, one line each. No torch here.

From an op derive its module (`ganas.cyclegan.build.build_op`), its parameters and multiply-accumulates, and its form in
a merged convolution (`ganas.cyclegan.merging.form_of`).

Every op maps [n, c_in, h, w] to [n, c_out, h', w'] where the slot's scale decides: "down" halves even sizes, "same"
keeps them (less twice the slot's trim), "up" doubles them. Every convolution has a bias.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ganas.cyclegan.layout import Scale, Slot

Resampling = Literal["maxpool", "avgpool", "nearest", "bilinear"]
POOLS = ("maxpool", "avgpool")  # 2×2 with stride 2, before the convolution; the others are ×2, after it
BOX: Mapping[str, float] = {"avgpool": 0.25, "nearest": 1.0}  # resamplings that are 2×2 kernels of equal taps


@dataclass(frozen=True)
class Op:
    """One convolution, or a depthwise one and a 1×1, or a 1×1 beside a resampling by 2."""

    kernel: int = 1  # a side, taps
    dilation: int = 1
    depthwise: bool = False  # a kernel for each input channel, then a 1×1
    transposed: bool = False  # with stride 2
    resampling: Resampling | None = None

    def __post_init__(self) -> None:
        if self.resampling and (self.kernel > 1 or self.dilation > 1 or self.depthwise or self.transposed):
            raise ValueError(f"a resampling stands beside a 1×1 convolution alone, got {self}")
        if self.transposed and (self.kernel % 2 == 0 or self.dilation > 1 or self.depthwise):
            raise ValueError(f"a transposed convolution has an odd kernel, dense and not dilated, got {self}")

    @property
    def scales(self) -> tuple[Scale, ...]:
        """What the slots that it fits do to sizes."""
        if self.resampling in POOLS:
            return ("down",)
        return ("up",) if self.transposed or self.resampling else ("down", "same")

    def fits(self, slot: Slot) -> bool:
        """Whether it does to sizes what the slot asks for, and reaches over the pixels that the slot trims."""
        return slot.scale in self.scales and self.reach >= slot.trim

    @property
    def reach(self) -> int:
        """Pixels from the middle of its kernel to the rim, rounded down."""
        return self.dilation * (self.kernel - 1) // 2

    @property
    def unmergeable(self) -> str | None:
        """Why it cannot share a convolution with others; None where it can."""
        return "its depthwise kernel has no place in a dense one" if self.depthwise else None

    def weights(self, c_in: int, c_out: int) -> int:
        """Learned numbers without biases; also the multiply-accumulates for each pixel it works at."""
        taps = self.kernel**2
        return (taps + c_out) * c_in if self.depthwise else taps * c_in * c_out

    def parameters(self, c_in: int, c_out: int) -> int:
        """Learned numbers."""
        return self.weights(c_in, c_out) + c_out + (c_in if self.depthwise else 0)


OPS: Mapping[str, Op] = {
    "maxpool": Op(resampling="maxpool"),
    "avgpool": Op(resampling="avgpool"),
    "conv3": Op(3),
    "conv4": Op(4),
    "conv5": Op(5),
    "conv7": Op(7),
    "dilconv3": Op(3, dilation=2),
    "dilconv5": Op(5, dilation=2),
    "nearest": Op(resampling="nearest"),
    "bilinear": Op(resampling="bilinear"),
    "deconv3": Op(3, transposed=True),
}
