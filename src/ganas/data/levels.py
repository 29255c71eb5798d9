"""Decide the value of white for images of more than 8 bits a sample, once for a whole data set. Pure functions.

12-bit samples are mostly stored in 16 bits, and floating point has no declared range. A single image may be dark or
have fewer bits; a set nearly always shows which.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ganas.data.limits import UnreadableError

Kind = Literal["integer", "float"]

LEVELS = (255.0, 1023.0, 4095.0, 16383.0, 65535.0)  # white in samples of 8, 10, 12, 14 and 16 bits
FULL = 65535.0
HEADROOM = 16.0  # accept values up to 16 if white is 1: the next level, 255, would make them nearly black
OVERSHOOT = 1.05  # for all other levels: what sharpening and resizing add
MAX_RANKED = 1_000_000  # samples of an image that `Extent.percentile_99` is estimated from


def white_for_bits(bits: int) -> float | None:
    """Return the value of white in samples of so many bits, from 8 to 16."""
    return 2.0**bits - 1 if 8 <= bits <= 16 else None


@dataclass(frozen=True)
class Extent:
    """The range of values of one image whose format does not define white."""

    kind: Kind
    low: float
    high: float
    percentile_99: float  # of its values
    tagged_white: float | None = None  # the value of white by the file's tags

    @classmethod
    def of(cls, values: npt.NDArray[Any], tagged_white: float | None = None) -> "Extent":
        """Measure values; a NaN anywhere makes ``low`` NaN."""
        low, high = float(values.min()), float(values.max())
        if values.dtype.kind != "f":
            return cls("integer", low, high, high, tagged_white)
        flat = values.reshape(-1)
        percentile_99 = float(np.quantile(flat[:: 1 + len(flat) // MAX_RANKED], 0.99, method="higher"))
        return cls("float", low, high, percentile_99, tagged_white)

    def check_range(self, white_given: bool) -> None:
        """Raise UnreadableError if no known range fits; white_given: the user gave the value of white."""
        readable = self.low >= 0 and isfinite(self.high)  # NaN is not >= 0
        if readable and (white_given or self._fits(FULL)):
            return
        way_out = "save it as one of these"
        if readable:
            way_out += ", or give the value of white as data.white or --white"
        raise UnreadableError(f"values from {self.low:g} to {self.high:g} are neither 8 nor 16 bits; {way_out}")

    def _fits(self, white: float) -> bool:
        if self.kind == "integer":
            return self.high <= white
        return self.high <= white * (HEADROOM if white == 1 else OVERSHOOT) or self.percentile_99 <= white * OVERSHOOT


def decide_white(extents: Sequence[Extent]) -> float:
    """Return the value of white in images of one kind: by tags, else the lowest level that holds all values.

    Integers above their tagged white were scaled to 16 bits, as the PNG standard requires.
    """
    tagged = max((extent.tagged_white for extent in extents if extent.tagged_white), default=None)
    if tagged and all(extent._fits(tagged) for extent in extents):
        return tagged
    if extents[0].kind == "integer" and (tagged or not any(extent.high for extent in extents)):
        return FULL
    levels = LEVELS if extents[0].kind == "integer" else (1.0, *LEVELS)
    return next((level for level in levels if all(extent._fits(level) for extent in extents)), FULL)


@dataclass(frozen=True)
class Reading:
    """How a data set is read where its files leave it open. The defaults are for images that were not inspected."""

    integer: float = FULL  # white in integers of more than 8 bits
    floating: float | None = None  # white in floating point; None: decided per image
    icc: bool = True  # color profiles other than sRGB are converted
    converts: bool = False  # there are such profiles to convert
    white_given: bool = False  # the user gave the value of white
    level: float | None = None  # white in all images of more than 8 bits, if they are of one kind

    @property
    def digest_suffix(self) -> str:
        """Text that distinguishes this reading in digests; empty for ordinary images."""
        if self.integer == FULL and self.floating is None and not self.converts:
            return ""
        return f"white {self.integer:g} and {self.floating}, {'sRGB' if self.converts else 'as stored'}"

    def white(self, extent: Extent) -> float:
        """Return the value of white in an image."""
        if extent.kind == "integer":
            return self.integer
        return self.floating or decide_white([extent])

    @classmethod
    def decide(cls, extents: Sequence[Extent], white: float | None, *, icc: bool, converts: bool) -> "Reading":
        """Decide the reading of a set; ``white``: given by the user, for all images of more than 8 bits."""
        integers = [extent for extent in extents if extent.kind == "integer"]
        floats = [extent for extent in extents if extent.kind == "float"]
        integer = (white or decide_white(integers)) if integers else FULL
        floating = (white or decide_white(floats)) if floats else None
        level = integer if integers and not floats else None if integers else floating
        return cls(integer, floating, icc, converts, white_given=white is not None, level=level)


DEFAULT_READING = Reading()
