"""Layouts: the slots of the networks of a CycleGAN, the candidate ops of each slot, and the accepted image sizes.

`ganas.cyclegan.build` builds a supernet or a final network from a tuple of cells. A slot with one candidate op is
fixed, the others are searched. No torch here.

- ``framed``     the paper's 22 searched slots between the CycleGAN's fixed 7×7 stem and 7×7 output
- ``paper``      CycleGANAS section 3.2, as written: the last searched slot emits the image
- ``reference``  what the authors' released code builds: stem and output searched too, 24 and 5 slots
- ``elastic``    generators for small devices: also the widths, kernels and number of residual cells of ``resnet9``
- ``resnet9``, ``resnet6``   the hand-made CycleGAN generators with the 70×70 PatchGAN (Zhu et al. 2017)
- ``resnet3``, ``resnet0``   the same with fewer residual cells, and with none
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

from ganas.errors import ArchitectureError

SlotScale = Literal["down", "same", "up"]
Direction = Literal["ab", "ba"]
Activation = Literal["relu", "leaky_relu", "tanh"]

ENCODE = ("maxpool", "avgpool", "conv3", "conv4", "conv5", "conv7", "dilconv3", "dilconv5")  # S^e
RESIDUAL = ("conv3", "conv5", "conv7", "dilconv3", "dilconv5")  # S^r
DECODE = ("nearest", "bilinear", "deconv3")  # S^d
ENCODE_REFERENCE = tuple(op for op in ENCODE if op != "conv7")  # the released code lacks the paper's conv7

NETWORKS = ("generator_ab", "generator_ba", "discriminator_a", "discriminator_b")
GENERATORS = NETWORKS[:2]
DISCRIMINATORS = NETWORKS[2:]
DIRECTIONS: Mapping[Direction, str] = {"ab": "A→B", "ba": "B→A"}  # with human-readable names


@dataclass(frozen=True)
class Channels:
    """A number of channels: a multiple of the network's width, or a fixed count."""

    multiple: float = 0  # times the width
    fixed: int = 0  # RGB and scores, at any width

    def at(self, width: float) -> int:
        """Return the channels at a real-valued `width`, rounded and at least one."""
        return self.fixed or max(1, round(self.multiple * width))


RGB = Channels(fixed=3)
SCORE = Channels(fixed=1)


@dataclass(frozen=True)
class Slot:
    """One op to choose, the padding before it, and the normalization and activation after it."""

    name: str  # unique within its network, as in "r3.1": residual cell 3, slot 1
    ops: tuple[str, ...]  # candidates; a slot with one is fixed
    c_in: Channels
    c_out: Channels
    scale: SlotScale = "same"  # down: stride 2; up: ×2
    reflect: int = 0  # pixels of reflection padding before the op
    trim: int = 0  # pixels by which the op's zero padding is smaller than "same"
    norm: bool = True  # instance norm, no affine
    activation: Activation | None = "relu"
    spectral: bool = False  # spectral norm on the op's convolution (never on a pool's 1×1)

    @property
    def searched(self) -> bool:
        return len(self.ops) > 1


@dataclass(frozen=True)
class Cell:
    """Slots in sequence; a residual cell adds its input to its output."""

    slots: tuple[Slot, ...]
    residual: bool = False


@dataclass(frozen=True)
class NetworkLayout:
    cells: tuple[Cell, ...]

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Every slot, fixed ones included, from input to output."""
        return tuple(slot for cell in self.cells for slot in cell.slots)

    @property
    def searched(self) -> tuple[Slot, ...]:
        """The slots that an architecture chooses ops for."""
        return tuple(slot for slot in self.slots if slot.searched)

    @property
    def size(self) -> int:
        """Number of different networks: the product of the choices (section 3.2)."""
        return prod(len(slot.ops) for slot in self.slots)

    def final(self, ops: Sequence[str]) -> "NetworkLayout":
        """The layout of a final network, all slots of which are fixed; `ops` has one per searched slot."""
        chosen = iter(ops)

        def fixed(slot: Slot) -> Slot:
            return replace(slot, ops=(next(chosen),)) if slot.searched else slot

        return NetworkLayout(tuple(replace(cell, slots=tuple(map(fixed, cell.slots))) for cell in self.cells))


@dataclass(frozen=True)
class Layout:
    """The networks of one CycleGAN; both generators share one layout, and so do both discriminators."""

    name: str
    generator: NetworkLayout
    discriminator: NetworkLayout
    multiple: int  # of height and width in search and training, so that all stride-2 ops have outputs of one size
    minimum: int  # below it a discriminator's activations shrink to nothing, or to 1×1, which instance norm refuses
    generator_multiple: int = 4  # of height and width for a generator only: translation pads to it

    @property
    def size(self) -> int:
        """Size of the search space over all four networks (section 3.2)."""
        return self.generator.size**2 * self.discriminator.size**2

    def network(self, name: str) -> NetworkLayout:
        """The layout of ``generator_ab``, ``generator_ba``, ``discriminator_a`` or ``discriminator_b``."""
        return self.generator if name in GENERATORS else self.discriminator

    def fits(self, resolution: int) -> bool:
        return resolution >= self.minimum and resolution % self.multiple == 0

    def check_resolution(self, resolution: int) -> None:
        """Raise `ArchitectureError` unless images of resolution × resolution pixels fit the layout."""
        if not self.fits(resolution):
            below = max(self.minimum, resolution // self.multiple * self.multiple)
            raise ArchitectureError(
                f"resolution {resolution} does not fit layout {self.name!r}: it takes multiples of {self.multiple} "
                f"from {self.minimum} up; try --resolution {below}"
            )


W1, W2, W4, W8 = map(Channels, (1, 2, 4, 8))

SHARES = {"1/4": 0.25, "1/2": 0.5, "3/4": 0.75, "1": 1.0}  # of the channels
SKIP = "skip"  # no residual cell


class ElasticLayout(NetworkLayout):
    """A generator whose slots choose more than an op: `final` says what the choices mean.

    trunk       the share of the width of all of it
    stem, out   the kernel
    r1, r2, …   of each residual cell: its convolutions and the share of its channels between them, or no cell
    d1.1, d1.2  how it doubles
    """

    def final(self, ops: Sequence[str]) -> NetworkLayout:
        """The layout of a final network: the hand-made one, with what was chosen."""
        trunk, stem, *cells, up1, up2, out = ops
        w1, w2, w4 = (Channels(multiple * SHARES[trunk]) for multiple in (1, 2, 4))
        encoder = Cell((Slot("e1.1", ("conv3",), w1, w2, "down"), Slot("e1.2", ("conv3",), w2, w4, "down")))
        residual = [_elastic_cell(number, choice, w4) for number, choice in enumerate(cells, 1) if choice != SKIP]
        decoder = Cell((Slot("d1.1", (up1,), w4, w2, "up"), Slot("d1.2", (up2,), w2, w1, "up")))
        return NetworkLayout(
            (
                Cell((_reflected(Slot("stem", (stem,), RGB, w1)),)),
                *(encoder, *residual, decoder),
                Cell((_reflected(Slot("out", (out,), w1, RGB, norm=False, activation="tanh")),)),
            )
        )


def _elastic_cell(number: int, choice: str, channels: Channels) -> Cell:
    op, share = choice.split()
    inner = Channels(channels.multiple * SHARES[share])
    first = _reflected(Slot(f"r{number}.1", (op,), channels, inner))
    second = _reflected(Slot(f"r{number}.2", (op,), inner, channels, activation=None))
    return Cell((first, second), residual=True)


def _reflected(slot: Slot) -> Slot:
    """Pad by reflection as far as the kernel of the slot's only op reaches."""
    reach = (int(slot.ops[0][-1]) - 1) // 2
    return replace(slot, reflect=reach, trim=reach)


def _elastic_generator(blocks: int = 9) -> ElasticLayout:
    # the smallest first, the largest last
    kernels, convolutions = ("conv3", "conv5", "conv7"), ("sepconv3", "sepconv5", "conv3")
    cells = tuple(f"{op} {share}" for op in convolutions for share in SHARES)
    choices = {"trunk": tuple(SHARES), "stem": kernels}
    choices |= {f"r{number}": (SKIP, *cells) for number in range(1, blocks + 1)}
    choices |= {"d1.1": DECODE, "d1.2": DECODE, "out": kernels}
    return ElasticLayout(tuple(Cell((Slot(name, ops, W4, W4),)) for name, ops in choices.items()))


def _residual_cells(count: int, ops: tuple[str, ...], reflect: int) -> tuple[Cell, ...]:
    """Op, norm, ReLU, op, norm, plus the input; `reflect` pixels of padding are by reflection instead of zeros."""

    def cell(number: int) -> Cell:
        first = Slot(f"r{number}.1", ops, W4, W4, reflect=reflect, trim=reflect)
        second = Slot(f"r{number}.2", ops, W4, W4, reflect=reflect, trim=reflect, activation=None)
        return Cell((first, second), residual=True)

    return tuple(cell(number) for number in range(1, count + 1))


def _framed_generator(
    encode: tuple[str, ...],
    residual: tuple[str, ...],
    decode: tuple[str, ...],
    frame: tuple[str, ...] = ("conv7",),
    frame_reflect: int = 3,
    blocks: int = 9,
    block_reflect: int = 0,
) -> NetworkLayout:
    """3 → w, w → 2w → 4w, residual cells at 4w, 4w → 2w → w, w → 3."""
    pad = frame_reflect
    stem = Cell((Slot("stem", frame, RGB, W1, reflect=pad, trim=pad),))
    down = Cell((Slot("e1.1", encode, W1, W2, "down"), Slot("e1.2", encode, W2, W4, "down")))
    up = Cell((Slot("d1.1", decode, W4, W2, "up"), Slot("d1.2", decode, W2, W1, "up")))
    output = Cell((Slot("out", frame, W1, RGB, reflect=pad, trim=pad, norm=False, activation="tanh"),))
    return NetworkLayout((stem, down, *_residual_cells(blocks, residual, block_reflect), up, output))


def _paper_generator() -> NetworkLayout:
    """Section 3.2: N = 11 cells, 3 → 2w → 4w, nine residual cells at 4w, 4w → 2w → 3."""
    down = Cell((Slot("e1.1", ENCODE, RGB, W2, "down"), Slot("e1.2", ENCODE, W2, W4, "down")))
    output = Slot("d1.2", DECODE, W2, RGB, "up", norm=False, activation="tanh")
    up = Cell((Slot("d1.1", DECODE, W4, W2, "up"), output))
    return NetworkLayout((down, *_residual_cells(9, RESIDUAL, 0), up))


def _paper_discriminator() -> NetworkLayout:
    """Section 3.2: two encoding cells, 3 → w → 2w → 4w → 1; 256² gives a 16×16 map of raw scores."""
    first = Slot("e1.1", ENCODE, RGB, W1, "down", norm=False, activation="leaky_relu")
    second = Slot("e1.2", ENCODE, W1, W2, "down", activation="leaky_relu")
    third = Slot("e2.1", ENCODE, W2, W4, "down", activation="leaky_relu")
    fourth = Slot("e2.2", ENCODE, W4, SCORE, "down", norm=False, activation=None)
    return NetworkLayout((Cell((first, second)), Cell((third, fourth))))


def _patch_discriminator(down: tuple[str, ...], flat: tuple[str, ...], trim: int, spectral: bool) -> NetworkLayout:
    """3 → w → 2w → 4w by stride 2, → 8w → 1 by stride 1."""

    def strided(name: str, c_in: Channels, c_out: Channels, *, norm: bool = True) -> Slot:
        return Slot(name, down, c_in, c_out, "down", norm=norm, activation="leaky_relu", spectral=spectral)

    strides = (strided("e1", RGB, W1, norm=False), strided("e2", W1, W2), strided("e3", W2, W4))
    hidden = Slot("s1", flat, W4, W8, trim=trim, activation="leaky_relu", spectral=spectral)
    output = Slot("s2", flat, W8, SCORE, trim=trim, norm=False, activation=None, spectral=spectral)
    return NetworkLayout((Cell(strides), Cell((hidden, output))))


def _resnet(blocks: int) -> Layout:
    """The hand-made CycleGAN, which has nothing to search."""
    generator = _framed_generator(("conv3",), ("conv3",), ("deconv3",), blocks=blocks, block_reflect=1)
    discriminator = _patch_discriminator(("conv4",), ("conv4",), trim=0, spectral=False)
    return Layout(f"resnet{blocks}", generator, discriminator, multiple=4, minimum=24)


LAYOUTS: Mapping[str, Layout] = {
    layout.name: layout
    for layout in (
        Layout("framed", _framed_generator(ENCODE, RESIDUAL, DECODE), _paper_discriminator(), multiple=16, minimum=16),
        Layout("paper", _paper_generator(), _paper_discriminator(), multiple=16, minimum=16),
        Layout(
            "reference",
            _framed_generator(ENCODE_REFERENCE, RESIDUAL, DECODE, frame=RESIDUAL, frame_reflect=1, block_reflect=1),
            _patch_discriminator(ENCODE_REFERENCE, RESIDUAL, trim=1, spectral=True),
            multiple=8,
            minimum=40,
        ),
        Layout(
            "elastic",
            _elastic_generator(),
            _patch_discriminator(("conv4",), ("conv4",), trim=0, spectral=False),
            multiple=4,
            minimum=24,
        ),
        _resnet(9),
        _resnet(6),
        _resnet(3),
        _resnet(0),
    )
}


def handmade_ops(layout: Layout, network: str) -> Sequence[str]:
    """The ops of the hand-made CycleGAN in the searched slots of one of the `NETWORKS`."""
    favorites = ("conv3", "deconv3") if network in GENERATORS else ("conv4", "conv3")
    return tuple(next(op for op in favorites if op in slot.ops) for slot in layout.network(network).searched)


def find_layout(name: str) -> Layout:
    """Return the layout of this name; raises `ArchitectureError` that lists the known ones."""
    if name not in LAYOUTS:
        raise ArchitectureError(f"unknown layout {name!r}: choose one of {', '.join(LAYOUTS)}")
    return LAYOUTS[name]
