"""AutoGAN's found networks as data (Gong et al. 2019): fixed, to compare grown ones with. No torch here.

Three generators for CIFAR-10, which the authors call A, B and C: linear latent -> channels·b·b, three cells that double
the size, batch norm, ReLU, 3×3 to RGB, tanh; b is an eighth of the resolution. A cell (`FoundCell`) is

    h = 3×3(upsample(ReLU(x)))                     what later cells get as skip
    h + Σ over earlier cells 1×1(their skip, resized)
    3×3(ReLU(h)) + 1×1(upsample(x)) if it has a shortcut

The discriminator, which was not searched: four residual blocks with spectral norm, the sum over space, linear -> 1.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from ganas.document import ArchitectureDocument
from ganas.errors import ArchitectureError
from ganas.growing.architecture import RGB, GrowthArchitecture, Side

Mode = Literal["nearest", "bilinear"]
BLOCKS = 4  # of the discriminator, the first two of which halve the size
SHRINKS = 8  # resolution over the size of the linear layer's maps


@dataclass(frozen=True)
class FoundCell:
    """One cell of a generator."""

    mode: Mode  # of its upsampling, and of the skips that it gets
    shortcut: bool
    norm: bool = False  # batch norm before each ReLU

    def __str__(self) -> str:
        return "-".join([self.mode, *["shortcut"] * self.shortcut, *["norm"] * self.norm])


FOUND: Mapping[str, tuple[FoundCell, FoundCell, FoundCell]] = {  # the names of the authors' README
    "a": (FoundCell("nearest", True), FoundCell("bilinear", True), FoundCell("nearest", False)),
    "b": (FoundCell("nearest", True), FoundCell("nearest", True), FoundCell("nearest", True)),
    "c": (FoundCell("nearest", True, norm=True), FoundCell("bilinear", True), FoundCell("nearest", False)),
}


@dataclass(frozen=True)
class AutoGANArchitecture(ArchitectureDocument):
    """One of AutoGAN's found generators, and the discriminator it was trained against."""

    kind: ClassVar[str] = "autogan"

    name: str  # a key of FOUND
    latent: int  # dimensions of z
    channels: int  # of the generator's cells
    discriminator_channels: int
    resolution: int  # side of the images, in pixels: a multiple of 8

    def __post_init__(self) -> None:
        if self.name not in FOUND:
            raise ArchitectureError(f"unknown AutoGAN {self.name!r}: choose one of {', '.join(FOUND)}")
        if min(self.latent, self.channels, self.discriminator_channels) < 1:
            raise ArchitectureError(
                f"AutoGAN needs dimensions of at least 1, got latent={self.latent}, channels={self.channels}, "
                f"discriminator_channels={self.discriminator_channels}"
            )
        if self.resolution < SHRINKS or self.resolution % SHRINKS:
            raise ArchitectureError(
                f"AutoGAN generates images whose side is a multiple of {SHRINKS}, got {self.resolution} pixels"
            )

    @property
    def cells(self) -> tuple[FoundCell, FoundCell, FoundCell]:
        """The generator's cells, from z to the image."""
        return FOUND[self.name]

    @property
    def bottom(self) -> int:
        """Side of the maps that the linear layer makes, in pixels."""
        return self.resolution // SHRINKS

    def layers(self, side: Side) -> tuple[str, ...]:
        """The cells or blocks of one network, in words."""
        if side == "generator":
            return tuple(map(str, self.cells))
        return "down", "down", *("same",) * (BLOCKS - 2)

    def parameters(self, side: Side) -> int:
        """Number of weights and biases of a network."""
        return sum(weights + others for weights, others, _ in self._sizes(side))

    def macs(self, side: Side) -> int:
        """Multiply-accumulates for one image."""
        return sum(weights * pixels for weights, _, pixels in self._sizes(side))

    def _sizes(self, side: Side) -> Iterator[tuple[int, int, int]]:
        """Yield the weights, the other parameters and the output pixels of every layer."""
        return self._generator_sizes() if side == "generator" else self._discriminator_sizes()

    def _generator_sizes(self) -> Iterator[tuple[int, int, int]]:
        c, pixels = self.channels, self.bottom**2
        yield self.latent * c * pixels, c * pixels, 1
        for number, cell in enumerate(self.cells):
            pixels *= 4
            yield from [(9 * c * c, c, pixels)] * 2
            yield from [(c * c, c, pixels)] * (number + cell.shortcut)
            yield from [(0, 2 * c, 0)] * (2 * cell.norm)
        yield 0, 2 * c, 0
        yield 9 * c * RGB, RGB, pixels

    def _discriminator_sizes(self) -> Iterator[tuple[int, int, int]]:
        c, pixels, inputs = self.discriminator_channels, self.resolution**2, RGB
        for number in range(BLOCKS):
            yield 9 * inputs * c, c, pixels
            yield 9 * c * c, c, pixels
            if number == 0:  # the shortcut of the first block halves the size before its convolution
                yield inputs * c, c, pixels // 4
            elif number == 1:
                yield c * c, c, pixels
            pixels, inputs = pixels // 4 if number < 2 else pixels, c
        yield c, 0, 1

    def _content(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def _from_content(cls, content: Mapping[str, Any]) -> Self:
        sizes = (int(content[key]) for key in ("latent", "channels", "discriminator_channels", "resolution"))
        return cls(str(content["name"]), *sizes)

    def __str__(self) -> str:
        """One readable line."""
        return f"{self.id} {self.resolution}×{self.resolution} AutoGAN {self.name.upper()}"


GANArchitecture = GrowthArchitecture | AutoGANArchitecture  # grown, or fixed


def read_architecture(document: Any, origin: str) -> GANArchitecture:
    """Read the architecture of a GAN by its kind; raises `ArchitectureError`."""
    if isinstance(document, dict) and document.get("kind") == AutoGANArchitecture.kind:
        return AutoGANArchitecture.from_document(document, origin)
    return GrowthArchitecture.from_document(document, origin)
