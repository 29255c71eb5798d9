"""A growing GAN as data: the layers grown onto the base networks of DGGAN, as JSON with a stable id.

    {"schema": 1, "kind": "growth", "id": "5b0e…", "latent": 128, "channels": 512,
     "generator": ["conv3x256", "double"], "discriminator": ["double", "conv7x64"]}

Base generator at 8×8: linear latent -> channels·8·8, a 3×3 convolution, 1×1 to RGB. Base discriminator: 1×1 from RGB,
a 3×3 convolution, linear channels·8·8 -> channels, linear -> 1. ``"base": 4`` is the same at 4×4, ProgGAN's. Every new
layer is added next to the RGB convolution; both networks list their layers from the base to the image:

- ``conv3x256``  a 3×3 convolution with 256 filters, the channels on its image side: of the older layers, only the RGB
                 convolution changes its shape
- ``double``     twice the resolution, and two 3×3 convolutions at the current width
- ``double256``  the same with 256 filters: the convolution on the base's side changes the width, as in ProgGAN

No torch here.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import log2
from typing import Any, ClassVar, Final, Literal, NamedTuple, Self

from ganas.document import ArchitectureDocument
from ganas.errors import ArchitectureError

BASE: Final = 8  # side of the base networks' images, in pixels, unless an architecture has another one
RGB = 3

Side = Literal["generator", "discriminator"]
SIDES: tuple[Side, Side] = ("generator", "discriminator")


@dataclass(frozen=True)
class Conv:
    """A convolution that keeps the resolution."""

    size: int  # of its kernel, odd
    filters: int  # channels on its image side

    def __str__(self) -> str:
        return f"conv{self.size}x{self.filters}"


@dataclass(frozen=True)
class Double:
    """Twice the resolution, and two 3×3 convolutions."""

    filters: int | None = None  # channels on its image side; None: the current width

    def __str__(self) -> str:
        return f"double{self.filters or ''}"


Layer = Conv | Double
DOUBLE = Double()


def parse_layer(text: str) -> Layer:
    """``conv3x256``, ``double`` or ``double256``; raises `ArchitectureError` for anything else."""
    if found := re.fullmatch(r"double([1-9]\d{0,4})?", text):
        return Double(int(found[1]) if found[1] else None)
    found = re.fullmatch(r"conv(\d{1,3})x(\d{1,5})", text)
    if not found:
        raise ArchitectureError(f"unknown layer {text!r}: choose double, double256 or a convolution such as conv3x256")
    conv = Conv(int(found[1]), int(found[2]))
    if conv.size % 2 == 0 or conv.filters == 0:
        raise ArchitectureError(f"layer {text!r} cannot be built: kernel sizes are odd, and filters at least 1")
    return conv


class Placed(NamedTuple):
    """A layer with the channels and pixels at its position in the network."""

    layer: Layer
    inner: int  # channels towards the base
    outer: int  # channels towards the image
    side: int  # pixels of the maps its convolutions work on

    @property
    def convs(self) -> tuple[tuple[int, int, int], ...]:
        """Kernel size, inner and outer channels of its convolutions, from the base to the image."""
        if isinstance(self.layer, Double):
            return (3, self.inner, self.outer), (3, self.outer, self.outer)
        return ((self.layer.size, self.inner, self.outer),)


@dataclass(frozen=True)
class GrowthArchitecture(ArchitectureDocument):
    """The layers grown onto both base networks, and the size of the base."""

    kind: ClassVar[str] = "growth"

    latent: int  # dimensions of z
    channels: int  # of the base
    generator: tuple[Layer, ...] = ()
    discriminator: tuple[Layer, ...] = ()
    base: int = BASE  # side of the base's images, in pixels

    def __post_init__(self) -> None:
        if min(self.latent, self.channels, self.base) < 1:
            raise ArchitectureError(
                f"a base needs dimensions of at least 1, got latent={self.latent}, channels={self.channels}, "
                f"base={self.base}"
            )
        doublings = [self._doublings(side) for side in SIDES]
        if doublings[0] != doublings[1]:
            raise ArchitectureError(
                f"the generator doubles its resolution {doublings[0]} times and the discriminator {doublings[1]} times"
            )

    def layers(self, side: Side) -> tuple[Layer, ...]:
        """The layers of one network, from the base to the image."""
        return self.generator if side == "generator" else self.discriminator

    def grown(self, side: Side, layer: Layer) -> Self:
        """Return a copy with one more convolution, next to the RGB convolution of one network."""
        if side == "generator":
            return replace(self, generator=(*self.generator, layer))
        return replace(self, discriminator=(*self.discriminator, layer))

    def doubled(self, filters: int | None = None) -> Self:
        """Return a copy with twice the resolution in both networks.

        filters: at most so many in each new layer; None: the current width
        """

        def layer(side: Side) -> Double:
            return Double(filters) if filters and filters < self.width(side) else DOUBLE

        grown = {side: (*self.layers(side), layer(side)) for side in SIDES}
        return replace(self, **grown)  # type: ignore[arg-type]

    @property
    def resolution(self) -> int:
        """Side of the images, in pixels."""
        return self.base << self._doublings("generator")

    def width(self, side: Side) -> int:
        """Channels at the RGB convolution."""
        return next((layer.filters for layer in reversed(self.layers(side)) if layer.filters), self.channels)

    def placed(self, side: Side) -> Iterator[Placed]:
        """Yield every layer of a network with its position."""
        width, pixels = self.channels, self.base
        for layer in self.layers(side):
            pixels *= 2 if isinstance(layer, Double) else 1
            yield Placed(layer, width, layer.filters or width, pixels)
            width = layer.filters or width

    def parameters(self, side: Side) -> int:
        """Number of weights and biases of a network, without the second RGB convolution of a fade-in."""
        return sum(weights + biases for weights, biases, _ in self._sizes(side))

    def macs(self, side: Side) -> int:
        """Multiply-accumulates for one image, without those of a fade-in."""
        return sum(weights * pixels for weights, _, pixels in self._sizes(side))

    def _doublings(self, side: Side) -> int:
        return sum(isinstance(layer, Double) for layer in self.layers(side))

    def _sizes(self, side: Side) -> Iterator[tuple[int, int, int]]:
        """Yield the weights, biases and output pixels of every layer."""
        c, width, start = self.channels, self.width(side), self.base**2
        if side == "generator":
            yield self.latent * c * start, c * start, 1
            yield 9 * c * c, c, start
            yield RGB * width, RGB, self.resolution**2
        else:  # one more channel: the minibatch standard deviation
            yield 9 * (c + 1) * c, c, start
            yield c * start * c, c, 1
            yield c, 1, 1
            yield RGB * width, width, self.resolution**2
        for placed in self.placed(side):
            for size, inner, outer in placed.convs:  # a generator's lead towards the image
                yield size**2 * inner * outer, outer if side == "generator" else inner, placed.side**2

    def _content(self) -> dict[str, Any]:
        layers: dict[str, list[str]] = {side: [str(layer) for layer in self.layers(side)] for side in SIDES}
        base = {} if self.base == BASE else {"base": self.base}  # files and ids of 8×8 are those of the first version
        return {"latent": self.latent, "channels": self.channels, **base, **layers}

    @classmethod
    def _from_content(cls, content: Mapping[str, Any]) -> Self:
        layers = {side: tuple(parse_layer(str(text)) for text in content[side]) for side in SIDES}
        return cls(int(content["latent"]), int(content["channels"]), **layers, base=int(content.get("base", BASE)))

    def __str__(self) -> str:
        """One readable line."""
        generator, discriminator = (" ".join(map(str, self.layers(side))) or "base" for side in SIDES)
        return f"{self.id} {self.resolution}×{self.resolution} G {generator} | D {discriminator}"


def doublings(resolution: int, base: int = BASE) -> int:
    """How often a base is doubled to reach a resolution; raises `ArchitectureError` if it never does."""
    count = log2(resolution / base) if resolution > 0 else -1
    if count < 0 or count != int(count):
        sizes = ", ".join(str(base << n) for n in range(6))
        raise ArchitectureError(f"cannot grow to {resolution} pixels: choose {sizes}, or one of these doubled")
    return int(count)
