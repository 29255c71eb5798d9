"""How large a final network is, counted without building it; and the width at which it has a given size. No torch here.

All learned numbers are those of the slots' ops (`ganas.cyclegan.ops`).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from ganas.cyclegan.layout import NetworkLayout, Slot
from ganas.cyclegan.ops import OPS
from ganas.errors import SizeError

BYTES = 4  # of a parameter in float32
NARROWEST, WIDEST = 1.0, 1024.0  # widths that a config takes


def slot_parameters(slot: Slot, op: str, width: float) -> int:
    """Weights and biases of an op in a slot."""
    return OPS[op].parameters(slot.c_in.at(width), slot.c_out.at(width))


def slot_macs(slot: Slot, op: str, width: float, side: int) -> int:
    """Multiply-accumulates of an op in a slot whose input has `side` pixels a side.

    Pools shrink before their 1×1 and interpolations enlarge after it; a transposed convolution works at its input.
    """
    pixels = (side // 2) ** 2 if slot.scale == "down" else side**2
    return pixels * OPS[op].weights(slot.c_in.at(width), slot.c_out.at(width))


def filled(layout: NetworkLayout, ops: Sequence[str]) -> Iterator[tuple[Slot, str]]:
    """Every slot with its op, fixed ones included; `ops` has one a searched slot."""
    chosen = iter(ops)
    for slot in layout.slots:
        yield slot, next(chosen) if slot.searched else slot.ops[0]


def sides(layout: NetworkLayout, resolution: int) -> Iterator[int]:
    """The side of every slot's input, in pixels, for an image of `resolution`."""
    side = resolution
    for slot in layout.slots:
        yield side
        side = side // 2 if slot.scale == "down" else side * 2 if slot.scale == "up" else side


def parameters(layout: NetworkLayout, ops: Sequence[str], width: float) -> int:
    """Learned numbers of a final network."""
    return sum(slot_parameters(slot, op, width) for slot, op in filled(layout, ops))


def macs(layout: NetworkLayout, ops: Sequence[str], width: float, resolution: int) -> int:
    """Multiply-accumulates of one image through a generator, or a discriminator whose slots lose no pixels."""
    return sum(
        slot_macs(slot, op, width, side)
        for (slot, op), side in zip(filled(layout, ops), sides(layout, resolution), strict=True)
    )


def matching_width(layout: NetworkLayout, size: Callable[[float], int], wanted: int) -> float:
    """The width at which `size`, which grows with the width of networks of this layout, comes nearest to `wanted`.

    Channels are rounded, so sizes come in steps; the width given lies in the middle of its step. Of two steps that are
    as near, the smaller. Raises `SizeError` where none comes within a factor of two.
    """
    widths = _steps(layout)
    place = bisect_left(widths, wanted, key=size)
    nearest = min(widths[max(0, place - 1) : place + 1], key=lambda width: (abs(size(width) - wanted), width))
    if not wanted / 2 <= size(nearest) <= 2 * wanted:
        raise SizeError(
            f"no width from {NARROWEST:g} to {WIDEST:g} fits {wanted:,} parameters: the nearest network has "
            f"{size(nearest):,}; give another size"
        )
    return nearest


def _steps(layout: NetworkLayout) -> list[float]:
    """A width of every step: between two neighbours no number of channels changes."""
    multiples = {c.multiple for slot in layout.slots for c in (slot.c_in, slot.c_out) if c.multiple}
    edges = {(k + 0.5) / m for m in multiples for k in range(int(WIDEST * m))}
    return [middle for low, high in pairwise(sorted(edges)) if (middle := round((low + high) / 2, 4)) >= NARROWEST]
