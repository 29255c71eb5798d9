"""Parameters and multiply-accumulates of final networks, counted without building them, and the width of a given size.

No torch here.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.config import NetsConfig
from ganas.cyclegan.layout import GENERATORS, NetworkLayout, Slot, find_layout
from ganas.cyclegan.ops import OPS
from ganas.errors import SizeError

BYTES_PER_PARAMETER = 4  # float32
MIN_WIDTH, MAX_WIDTH = 1.0, 1024.0  # as in a config


def slot_parameters(slot: Slot, op: str, width: float) -> int:
    return OPS[op].num_parameters(slot.c_in.at(width), slot.c_out.at(width))


def slot_macs(slot: Slot, op: str, width: float, side: int) -> int:
    """Return the multiply-accumulates of an op in a slot whose input is [c_in, side, side].

    Pools come before their 1×1 and interpolations after it; a transposed convolution works at its input.
    """
    pixels = (side // 2) ** 2 if slot.scale == "down" else side**2
    return pixels * OPS[op].num_weights(slot.c_in.at(width), slot.c_out.at(width))


def input_sides(layout: NetworkLayout, resolution: int) -> Iterator[int]:
    """Yield the side in pixels of every slot's input, for a square image of `resolution`."""
    yield from (resolution, *output_sides(layout, resolution))[:-1]


def output_sides(layout: NetworkLayout, resolution: int) -> Iterator[int]:
    """Yield the side in pixels of every slot's output, for a square image of `resolution`.

    Not for the hand-made discriminators, whose 4×4 kernels of stride 1 take one more pixel.
    """
    side = resolution
    for slot in layout.slots:
        side += 2 * (slot.reflect - slot.trim)
        side = side // 2 if slot.scale == "down" else side * 2 if slot.scale == "up" else side
        yield side


def parameters(layout: NetworkLayout, ops: Sequence[str], width: float) -> int:
    """Return the parameters of a final network; `ops` has one per searched slot."""
    return sum(slot_parameters(slot, slot.ops[0], width) for slot in layout.final(ops).slots)


def macs(layout: NetworkLayout, ops: Sequence[str], width: float, resolution: int) -> int:
    """Return the multiply-accumulates of one image through a generator, or a discriminator that pads every slot."""
    final = layout.final(ops)
    sides = zip(final.slots, input_sides(final, resolution), strict=True)
    return sum(slot_macs(slot, slot.ops[0], width, side) for slot, side in sides)


@dataclass(frozen=True)
class NetworkSize:
    """Size and compute of one network at a width."""

    network: str
    width: float
    parameters: int
    macs: int  # multiply-accumulates of one image at the run's resolution

    @property
    def bytes(self) -> int:
        return BYTES_PER_PARAMETER * self.parameters


def generator_sizes(architecture: Architecture, nets: NetsConfig, resolution: int) -> list[NetworkSize]:
    """Return the sizes of both generators under a run's config."""
    layout = find_layout(architecture.layout).generator

    def size(name: str) -> NetworkSize:
        ops, width = architecture.ops(name), nets.width_of(name)
        return NetworkSize(name, width, parameters(layout, ops, width), macs(layout, ops, width, resolution))

    return [size(name) for name in GENERATORS]


def describe_sizes(sizes: Sequence[NetworkSize]) -> list[str]:
    """Describe every network, and how unequal the two generators are, in human-readable lines."""
    ab, ba = (size for size in sizes if size.network in GENERATORS)
    return [
        *(
            f"{size.network:16} width {size.width:g}, {size.parameters:,} parameters, {size.bytes / 10**6:.2f} MB, "
            f"{size.macs / 1e9:.2f} GMACs per image"
            for size in sizes
        ),
        f"generators       {ab.parameters + ba.parameters:,} parameters, {(ab.bytes + ba.bytes) / 10**6:.2f} MB; "
        f"ab is {ab.parameters / ba.parameters:.2f} times as large as ba",
    ]


def width_of_size(layout: NetworkLayout, size: Callable[[float], int], target: int) -> float:
    """Return the width at which `size(width)`, monotonic, is closest to `target`; ties go to the smaller.

    Channels are rounded, so sizes have steps: the width is in the middle of one. Raises `SizeError` if no size is
    within a factor of two.
    """
    widths = _distinct_widths(layout)
    index = bisect_left(widths, target, key=size)
    nearest = min(widths[max(0, index - 1) : index + 1], key=lambda width: (abs(size(width) - target), width))
    if not target / 2 <= size(nearest) <= 2 * target:
        raise SizeError(
            f"no width from {MIN_WIDTH:g} to {MAX_WIDTH:g} fits {target:,} parameters: the nearest network has "
            f"{size(nearest):,}; give another size"
        )
    return nearest


def _distinct_widths(layout: NetworkLayout) -> list[float]:
    """Return one width per distinct combination of channel counts."""
    multiples = {c.multiple for slot in layout.slots for c in (slot.c_in, slot.c_out) if c.multiple}
    edges = {(k + 0.5) / m for m in multiples for k in range(int(MAX_WIDTH * m))}
    return [middle for low, high in pairwise(sorted(edges)) if (middle := round((low + high) / 2, 4)) >= MIN_WIDTH]
