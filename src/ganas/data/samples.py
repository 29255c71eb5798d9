"""Convert images of more than 8 bits a sample, and TIFFs that Pillow has no mode for, to 8 bits."""

import logging
import zlib
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.ExifTags import Base
from tifffile import TiffFile

from ganas.data.levels import Extent, Reading, white_for_bits
from ganas.data.limits import MAX_PIXELS, TILE_PIXELS, UnreadableError, pixel_budget

Array = npt.NDArray[Any]
MAX_SAMPLE_BYTES = 4 * MAX_PIXELS  # as much as Pillow allocates for the largest image

_READ_TAGS = {
    *(Base.PhotometricInterpretation, Base.Orientation, Base.InterColorProfile),
    *(Base.MaxSampleValue, Base.SMaxSampleValue, Base.ExtraSamples),
}
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_COLORS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3}  # samples of a pixel without alpha
_RANGES = {white_for_bits(bits) for bits in range(8, 17)}
_FORMATS = {1: "integer", 2: "signed", 3: "floating point"}
_READ_FORMATS = (1, 3)
_INFLATED = {8, 32946}  # compressions: both of zlib's
_DECODED = {1, 32773} | _INFLATED  # none, PackBits


@dataclass(frozen=True)
class Samples:
    """The stored samples of an image."""

    values: Array  # [h, w, c], c: 1 gray, 2 with alpha, 3 color, 4 with alpha
    alpha: Literal["none", "straight", "premultiplied"] = "none"
    inverted: bool = False  # 0 is white
    exact: float | None = None  # the value of white, if the format defines it
    tagged_white: float | None = None  # the value of white by a tag

    @property
    def extent(self) -> Extent | None:
        """The range of the values; None if white is known. Includes alpha only if colors are premultiplied by it."""
        values = self.values[..., :-1] if self.alpha == "straight" else self.values
        return None if self.exact else Extent.of(values, self.tagged_white)

    def image(self, reading: Reading) -> Image.Image:
        """Return 8 bits with transparency kept: L, LA, RGB or RGBA. Raises UnreadableError."""
        extent = self.extent
        if extent:
            extent.check_range(reading.white_given)
        white = reading.white(extent) if extent else self.exact
        assert white
        opaque = self._opaque(white)
        height, width, channels = self.values.shape
        eight = np.empty((height, width, channels), np.uint8)
        rows = max(1, TILE_PIXELS // width)
        for top in range(0, height, rows):
            eight[top : top + rows] = self._eight_bits(self.values[top : top + rows], white, opaque)
        return Image.fromarray(eight[..., 0] if channels == 1 else eight)

    def _opaque(self, white: float) -> float:
        """Return the value of alpha that is opaque."""
        if self.alpha == "none":
            return white
        highest = float(self.values[..., -1].max())
        if self.values.dtype.kind == "f":
            return 1.0 if highest <= 1 else white
        return white if highest <= white else float(np.iinfo(self.values.dtype).max)

    def _eight_bits(self, values: Array, white: float, opaque: float) -> npt.NDArray[np.uint8]:
        scaled = values.astype(np.float64)
        if self.alpha == "none":
            colors = scaled
        else:
            colors, alpha = scaled[..., :-1], scaled[..., -1:]
            if self.alpha == "premultiplied":
                colors *= np.divide(opaque, alpha, out=np.zeros_like(alpha), where=alpha > 0)
            alpha *= 255 / opaque
        np.minimum(colors, white, out=colors)
        if self.inverted:
            np.subtract(white, colors, out=colors)
        colors *= 255 / white
        return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def white_by_tags(tags: Any) -> float | None:
    """Return the value of white by the tags of a TIFF.

    A tag holds either the highest possible value, which is a power of two minus one, or 1, or the image's maximum.
    """
    for tag in (Base.SMaxSampleValue, Base.MaxSampleValue):
        value = tags.get(tag)
        highest = value[0] if isinstance(value, tuple) and value else value
        if highest == 1 or highest in _RANGES:
            return float(highest)
    return None


def is_inverted(tags: Any) -> bool:
    """Whether 0 is white in a TIFF: Pillow inverts only samples of up to 8 bits."""
    return bool(tags.get(Base.PhotometricInterpretation) == _WHITE_IS_ZERO)


def read_tiff(encoded: bytes, stack: ExitStack) -> tuple[Samples, str, dict[int, Any], bool]:
    """Read the first page of a gray or RGB TIFF, integer or floating point, which Pillow has no mode for.

    Returns its samples, their mode ("RGB float32"), its tags, and whether there are more pages. Sizes are checked, and
    pixels reserved, before anything is decoded. Raises UnreadableError.
    """
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # keep warnings about odd files off the terminal
    with TiffFile(BytesIO(encoded)) as file:
        page: Any = file.pages[0]
        tags = {tag.code: tag.value for tag in page.tags if tag.code in _READ_TAGS}
        kind = f"{page.bitspersample}-bit {_FORMATS.get(page.sampleformat, 'other')}"
        colors = _COLORS.get(tags.get(Base.PhotometricInterpretation, _BLACK_IS_ZERO))
        if colors is None or page.sampleformat not in _READ_FORMATS or page.bitspersample not in (8, 16, 32, 64):
            raise UnreadableError(f"a TIFF of {kind} samples: save it as 8 or 16 bits")
        count = page.samplesperpixel
        if count < colors or page.imagedepth != 1:
            raise UnreadableError(f"a TIFF of {count} samples a pixel: save it as RGB of 8 or 16 bits")
        if page.nbytes > MAX_SAMPLE_BYTES:
            raise UnreadableError(f"more than {MAX_SAMPLE_BYTES // 10**6} MB of {kind} samples")
        _check_strips(page, encoded, kind)
        stack.enter_context(pixel_budget.reserve(page.nbytes // 4))  # a pixel of Pillow has 4 bytes
        stored = page.asarray(maxworkers=1).reshape(page.shaped)[:, 0]  # [planes, h, w, samples of each]
        values = np.moveaxis(stored, 0, -1).reshape(page.imagelength, page.imagewidth, count)
        animated = False
        with suppress(Exception):  # the first page may be fine although later ones are damaged
            animated = bool(file.pages[1])
    kept, alpha = _with_alpha(tags.get(Base.ExtraSamples, ()), colors, count)
    samples = Samples(
        values[..., :kept],
        alpha,
        inverted=is_inverted(tags),
        exact=255.0 if values.dtype == np.uint8 else None,
        tagged_white=white_by_tags(tags),
    )
    mode = f"{'RGB' if colors == 3 else 'L'}{'' if alpha == 'none' else 'A'} {values.dtype.name}"
    return samples, mode, tags, animated


def _check_strips(page: Any, encoded: bytes, kind: str) -> None:
    """Raise UnreadableError if strips or tiles cannot be decoded, or inflate to more than their size."""
    compression = int(page.compression)
    if compression not in _DECODED or page.predictor != 1:
        how = str(getattr(page.compression, "name", compression)) + ("" if page.predictor == 1 else " with a predictor")
        raise UnreadableError(f"a TIFF of {kind} samples compressed by {how}: save it as 8 or 16 bits")
    expected = int(np.prod(page.chunks)) * page.dtype.itemsize
    if expected > MAX_SAMPLE_BYTES:
        raise UnreadableError("damaged: a tile larger than any image")
    for start, length in zip(page.dataoffsets, page.databytecounts, strict=True):
        if start + length > len(encoded):
            raise UnreadableError("truncated")
        if compression in _INFLATED:
            inflating = zlib.decompressobj()
            inflating.decompress(encoded[start : start + length], expected + 1)
            if inflating.unconsumed_tail:
                raise UnreadableError("damaged: more samples than pixels")


def _with_alpha(extras: Any, colors: int, count: int) -> tuple[int, Literal["none", "straight", "premultiplied"]]:
    """Return the number of samples to read, and the kind of alpha. Like Pillow, treats an untagged extra as alpha."""
    if count == colors:
        return colors, "none"
    first = int(extras[0] if isinstance(extras, tuple) and extras else 2 if extras == () else extras)
    kinds: dict[int, Literal["straight", "premultiplied"]] = {1: "premultiplied", 2: "straight"}
    return (colors + 1, kinds[first]) if first in kinds else (colors, "none")
