"""Growing actions of DGGAN: pure functions from architecture to architecture, and the rules for which are legal.

The paper has 25 ("Action Search Space"): add a convolution of size {3, 7} with {32 … 1024} filters to the generator or
the discriminator, or a fade-in block that doubles the resolution to both. No torch here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Literal

from ganas.errors import ArchitectureError
from ganas.growing.architecture import BASE, SIDES, Conv, GrowthArchitecture, Side, doublings, parse_layer
from ganas.growing.autogan import GANArchitecture

Fade = Literal["every", "doublings"]  # which growths are faded in
Doublings = Literal["late", "even", "early"]  # at any time, after equal shares of the growths, or first

FMAP_BASE = 8192  # ProgGAN's: 512 filters at 32×32, and half as many at each doubling from there
FULL_WIDTH = 32  # pixels up to which doublings keep the width


@dataclass(frozen=True)
class Grow:
    """Adds one convolution to one network, next to its RGB convolution."""

    side: Side
    conv: Conv

    def __str__(self) -> str:
        return f"{self.side[0]}-{self.conv}"

    def __call__(self, architecture: GrowthArchitecture) -> GrowthArchitecture:
        return architecture.grown(self.side, self.conv)


@dataclass(frozen=True)
class FadeIn:
    """Doubles the resolution of both networks, with a fade-in."""

    filters: int | None = None  # at most so many in the new layers; None: the current width of each network

    def __str__(self) -> str:
        return f"fade{self.filters or ''}"

    def __call__(self, architecture: GrowthArchitecture) -> GrowthArchitecture:
        return architecture.doubled(self.filters)


@dataclass(frozen=True)
class TrainOn:
    """Changes nothing: the parent is trained further."""

    def __str__(self) -> str:
        return "on"

    def __call__(self, architecture: GrowthArchitecture) -> GrowthArchitecture:
        return architecture


Action = Grow | FadeIn | TrainOn
FADE = FadeIn()
TRAIN_ON = TrainOn()


def parse_action(text: str) -> Action:
    """``fade``, ``fade256``, ``on``, ``g-conv3x256``, ``d-conv7x64``; raises `ArchitectureError` for anything else."""
    if text == str(TRAIN_ON):
        return TRAIN_ON
    if found := re.fullmatch(r"fade([1-9]\d{0,4})?", text):
        return FadeIn(int(found[1]) if found[1] else None)
    sides = {side[0]: side for side in SIDES}
    side, _, layer = text.partition("-")
    conv = parse_layer(layer) if side in sides else None
    if not isinstance(conv, Conv):
        raise ArchitectureError(
            f"unknown action {text!r}: choose fade, on, or one such as g-conv3x256, d-conv7x64 or fade256"
        )
    return Grow(sides[side], conv)


def fading_sides(action: str | None, fade: Fade) -> tuple[Side, ...]:
    """The networks whose new layer is faded in after an action, by name; None: there was none."""
    match parse_action(action) if action else TRAIN_ON:
        case FadeIn():
            return SIDES
        case Grow(side) if fade == "every":
            return (side,)
    return ()


def growing_actions(sizes: Sequence[int], filters: Sequence[int], *, train_on: bool = False) -> tuple[Action, ...]:
    """All actions: every convolution for either network, the fade-in, and if wanted more training without a change.

    The width of the fade-in is chosen by `Space.fade`.
    """
    convs = [Conv(size, count) for size, count in product(sizes, filters)]
    return *(Grow(side, conv) for side, conv in product(SIDES, convs)), *((TRAIN_ON,) if train_on else ()), FADE


def fade_to(resolution: int, fmap_base: int | None = FMAP_BASE) -> FadeIn:
    """The fade-in that leads to a resolution: up to 32 pixels at the current widths, beyond at ProgGAN's or below.

    ProgGAN's nf() is min(fmap_base / 2^stage, fmap_max), with stage 5 at 64 pixels (Karras et al. 2018, table 2): its
    first term limits the filters of the new layers, the current width is the second. None: no limit.
    """
    if fmap_base is None or resolution <= FULL_WIDTH:
        return FADE
    return FadeIn(max(1, 2 * fmap_base // resolution))


@dataclass(frozen=True)
class Space:
    """The search space: actions, how many of them in a row, the final resolution, and cost limits."""

    actions: tuple[Action, ...]
    depth: int
    resolution: int
    max_parameters: int | None = None  # limits count both networks together; None: no limit
    max_macs: int | None = None
    doublings: Doublings = "late"
    base: int = BASE  # side of the images of the base, in pixels
    fmap_base: int | None = FMAP_BASE  # limits the widths of doublings, as in `fade_to`

    def fade(self, architecture: GrowthArchitecture) -> FadeIn:
        """The fade-in that is legal for an architecture, if any is."""
        return fade_to(2 * architecture.resolution, self.fmap_base)

    @property
    def shares(self) -> tuple[int, ...]:
        """Growths for each resolution, from the base on: an equal share, or with early doublings all at the last."""
        count = doublings(self.resolution, self.base)
        if self.doublings == "early":
            return (*(0,) * count, self.depth - count)
        ends = [k * (self.depth - count) // (count + 1) for k in range(count + 2)]
        return tuple(end - start for start, end in pairwise(ends))

    @property
    def growths(self) -> tuple[int, ...]:
        """The most convolutions at each resolution: a share, or all of them. Limits can make any doubling early."""
        if self.doublings != "late" and self.max_parameters is None and self.max_macs is None:
            return self.shares
        count = doublings(self.resolution, self.base)
        return (self.depth - count,) * (count + 1)

    def admits(self, architecture: GANArchitecture) -> bool:
        """Whether an architecture is within the limits."""
        limits = (self.max_parameters, architecture.parameters), (self.max_macs, architecture.macs)
        return all(limit is None or sum(map(cost, SIDES)) <= limit for limit, cost in limits)

    def legal(self, architecture: GrowthArchitecture, done: int) -> tuple[Action, ...]:
        """The actions after which the final resolution can still be reached within depth and limits.

        `done` actions have been taken. When the actions left equal the doublings left, only the fade-in is legal; with
        even or early doublings also when the share of a resolution is used up, or when limits admit no growth.
        """
        left, doubled = self.depth - done, doublings(architecture.resolution, self.base)
        doublings_left, fade_in = doublings(self.resolution, self.base) - doubled, self.fade(architecture)
        if left <= 0 or doublings_left > left:
            return ()
        fade: tuple[Action, ...] = (fade_in,) if doublings_left and self._can_finish(fade_in(architecture)) else ()
        if doublings_left == left:
            return fade
        convs = tuple(
            one for one in self.actions if not isinstance(one, FadeIn) and self._can_finish(one(architecture))
        )
        if self.doublings == "late":
            possible = (fade_in if isinstance(one, FadeIn) else one for one in self.actions)
            return tuple(action for action in possible if action in convs or action in fade)
        share_used = doublings_left > 0 and done - doubled >= sum(self.shares[: doubled + 1])
        return fade if share_used or not convs else convs

    def _can_finish(self, architecture: GrowthArchitecture) -> bool:
        """Whether the architecture is within the limits once it is doubled up to the final resolution."""
        while architecture.resolution < self.resolution:
            architecture = self.fade(architecture)(architecture)
        return self.admits(architecture)


def proggan_route(resolution: int, base: int = BASE, fmap_base: int | None = FMAP_BASE) -> list[str]:
    """Fade-ins only: progressive growing (Karras et al. 2018)."""
    count = doublings(resolution, base)
    return [str(fade_to(base << number, fmap_base)) for number in range(1, count + 1)]
