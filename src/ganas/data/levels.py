"""Decide the value of white for images of more than 8 bits a sample, once for a whole data set. Pure functions.

Files of 12 bits mostly come in 16, and floating point names no range at all. One image cannot tell a dark one from one
of fewer bits; a set of them nearly always can.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["integer", "float"]

BITS = {255.0: 8, 1023.0: 10, 4095.0: 12, 16383.0: 14, 65535.0: 16}  # white -> bits a sample
FULL = 65535.0
HEADROOM = 16.0  # 1 is white up to here: as 255 is the next choice, brighter values would come out nearly black
OVERSHOOT = 1.05  # of all other levels: what sharpening and resizing add
MOST_RANKED = 1_000_000  # samples of an image that `Extent.percentile_99` is estimated from


def white_of_bits(bits: int) -> float | None:
    """The value that is white in samples of so many bits, where they are more than 8."""
    return 2.0**bits - 1 if 8 <= bits <= 16 else None


@dataclass(frozen=True)
class Extent:
    """The values of one image whose format does not say which of them is white."""

    kind: Kind
    low: float
    high: float
    percentile_99: float  # of its values
    tagged_white: float | None = None  # which value is white by the file's tags

    @classmethod
    def of(cls, values: npt.NDArray[Any], tagged_white: float | None = None) -> "Extent":
        """Measured; NaN anywhere makes ``low`` NaN."""
        low, high = float(values.min()), float(values.max())
        if values.dtype.kind != "f":
            return cls("integer", low, high, high, tagged_white)
        flat = values.reshape(-1)
        percentile_99 = float(np.quantile(flat[:: 1 + len(flat) // MOST_RANKED], 0.99, method="higher"))
        return cls("float", low, high, percentile_99, tagged_white)

    def range_error(self, white_given: bool) -> str:
        """Why no known range fits the values, or an empty string; white_given: the user gave the value of white."""
        if self.low >= 0 and isfinite(self.high) and (white_given or self._fits(FULL)):  # NaN is not >= 0
            return ""
        way_out = "save it as one of these"
        if self.low >= 0 and isfinite(self.high):
            way_out += ", or give the value that is white as data.white or --white"
        return f"values from {self.low:g} to {self.high:g} are neither 8 nor 16 bits; {way_out}"

    def _fits(self, white: float) -> bool:
        if self.kind == "integer":
            return self.high <= white
        return self.high <= white * (HEADROOM if white == 1 else OVERSHOOT) or self.percentile_99 <= white * OVERSHOOT


def white_of(extents: Sequence[Extent]) -> float:
    """The value that is white in images of one kind: what their tags say, else the lowest level that holds them all.

    Integers whose values are above what their tags say were scaled to 16 bits, as PNG wants it.
    """
    tagged = max((extent.tagged_white for extent in extents if extent.tagged_white), default=None)
    if tagged and all(extent._fits(tagged) for extent in extents):
        return tagged
    if extents[0].kind == "integer" and (tagged or not any(extent.high for extent in extents)):
        return FULL
    levels = BITS if extents[0].kind == "integer" else (1.0, *BITS)
    return next((level for level in levels if all(extent._fits(level) for extent in extents)), FULL)


@dataclass(frozen=True)
class Reading:
    """What a set decides where its files leave it open. As it stands: for images that were not looked into."""

    integer: float = FULL  # white in integers of more than 8 bits
    floating: float | None = None  # white in floating point; None: what each image by itself would decide
    icc: bool = True  # color profiles other than sRGB are converted
    converts: bool = False  # and there are some
    white_given: bool = False  # by the user, which value is white
    level: float | None = None  # white in all its images of more than 8 bits, where they are of one kind

    @property
    def digest_suffix(self) -> str:
        """What tells it from the reading of images that leave nothing open; of theirs, empty."""
        if self.integer == FULL and self.floating is None and not self.converts:
            return ""
        return f"white {self.integer:g} and {self.floating}, {'sRGB' if self.converts else 'as stored'}"

    def white(self, extent: Extent) -> float:
        """The value that is white in an image."""
        if extent.kind == "integer":
            return self.integer
        return self.floating or white_of([extent])

    @classmethod
    def decided(cls, extents: Sequence[Extent], white: float | None, *, icc: bool, converts: bool) -> "Reading":
        """For a set of such images; ``white``: given by the user, for all of more than 8 bits."""
        integers = [extent for extent in extents if extent.kind == "integer"]
        floats = [extent for extent in extents if extent.kind == "float"]
        integer = (white or white_of(integers)) if integers else FULL
        floating = (white or white_of(floats)) if floats else None
        level = integer if integers and not floats else None if integers else floating
        return cls(integer, floating, icc, converts, white_given=white is not None, level=level)


DEFAULT_READING = Reading()
