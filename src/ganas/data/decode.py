"""Decode one image to upright RGB pixels, or raise a short reason. No torch, no file access."""

import os
import struct
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError, features
from PIL.ExifTags import Base

from ganas.data.color import Profile, find_profile
from ganas.data.levels import DEFAULT_READING, FULL, Extent, Reading, white_for_bits
from ganas.data.limits import MAX_PIXELS, TILE_PIXELS, UnreadableError, pixel_budget
from ganas.data.repairs import PNG, complete_jpeg, png_chunks, strip_png
from ganas.data.samples import Samples, is_inverted, read_tiff, white_by_tags
from ganas.errors import shown

# The formats of the listed suffixes, tried on any file. Pillow's other decoders are not: EPS would start Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF", "JPEG2000")
SUFFIX_FORMATS = {".tga": "TGA"}  # no signature: recognized by suffix only

SOFTWARE = "ganas"  # the Software tag of images that ganas writes

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JPEG = b"\xff\xd8"
_MULTI_FRAME_FORMATS = ("GIF", "PNG", "TIFF", "WEBP", "AVIF")  # not JPEG: its frames are previews


@dataclass(frozen=True)
class ImageInfo:
    """Properties of one image, found by decoding it."""

    width: int  # upright
    height: int
    mode: str  # as stored, by Pillow's name
    extent: Extent | None = None  # set if the value of white must be decided for the whole data set
    animated: bool = False  # has more than one frame or page
    profile: str = ""  # name of a color profile other than sRGB
    bad_profile: bool = False  # it is damaged, or does not fit the mode
    from_ganas: bool = False  # written by ganas, by its Software tag


@contextmanager
def decoded(encoded: bytes, name: str = "", reading: Reading = DEFAULT_READING) -> Iterator[Image.Image]:
    """Decode to an upright RGB image, which counts towards the pixel budget until the block ends.

    Only the suffix of the name is used. Raises UnreadableError.
    """
    with ExitStack() as stack:
        with _as_unreadable():
            image = _load(encoded, name, stack).rgb(reading)
        yield image


def inspect(encoded: bytes, name: str = "", *, white_given: bool = False) -> ImageInfo:
    """Decode every pixel and return the image's properties. Raises UnreadableError.

    white_given: the user gave the value of white, so any range is accepted.
    """
    with ExitStack() as stack, _as_unreadable():
        return _load(encoded, name, stack).info(white_given)


@contextmanager
def _as_unreadable() -> Iterator[None]:
    """Turn whatever a decoder raises (OSError, SyntaxError, struct.error, ...) into UnreadableError."""
    try:
        with _quiet_pillow():
            yield
    except Exception as error:
        raise UnreadableError(short_reason(error)) from error


@dataclass(frozen=True)
class _StoredImage:
    """An image as stored, with all pixels decoded: in either ``image`` or ``samples``."""

    mode: str  # Pillow's name
    image: Image.Image | None = None  # up to 8 bits a sample; of 16-bit color the high bytes
    samples: Samples | None = None  # more than 8 bits
    load_16_bit: Callable[[], Samples] | None = None  # decodes both bytes of 16-bit color
    tagged_white: float | None = None  # the value of white by its tags
    orientation: int = 1  # EXIF's
    profile: bytes | None = None
    animated: bool = False
    software: str = ""  # its Software tag

    def info(self, white_given: bool) -> ImageInfo:
        extent = self._extent()
        if extent:
            extent.check_range(white_given)
        width, height = self.image.size if self.image else cast(Samples, self.samples).values.shape[1::-1]
        if self.orientation in (5, 6, 7, 8):
            width, height = height, width
        profile = find_profile(self.profile) if self.profile else None
        fits = profile is not None and profile.fits(self.mode)
        return ImageInfo(
            width,
            height,
            self.mode,
            extent,
            self.animated,
            profile=profile.name if profile and fits and not profile.is_srgb else "",
            bad_profile=bool(self.profile) and not fits,
            from_ganas=self.software.rstrip("\0") == SOFTWARE,
        )

    def rgb(self, reading: Reading) -> Image.Image:
        """Return the image upright, in sRGB, composited over white."""
        samples = self.samples
        if self.load_16_bit and reading.integer != FULL:
            samples = self.load_16_bit()
        image = samples.image(reading) if samples else cast(Image.Image, self.image)
        profile = find_profile(self.profile) if self.profile and reading.icc else None
        if profile and not (profile.to_srgb and profile.fits(self.mode)):
            profile = None
        if image.mode != "RGB" or image.has_transparency_data or profile:
            image = _convert_in_tiles(partial(_to_rgb, profile=profile), image)
        turn = _TURNS.get(self.orientation)
        return image if turn is None else image.transpose(turn)

    def _extent(self) -> Extent | None:
        if self.samples:
            return self.samples.extent
        if not self.load_16_bit or not self.image:
            return None
        bands = cast(tuple[tuple[int, int], ...], self.image.getextrema())
        colors = bands[:-1] if self.image.mode.endswith("A") else bands
        highest = float(256 * max(high for _, high in colors) + 255)  # upper bound by the high bytes
        return Extent("integer", 0.0, highest, highest, self.tagged_white)


def _load(encoded: bytes, name: str, stack: ExitStack) -> _StoredImage:
    """Decode with Pillow, or a fallback; pixels are reserved in `pixel_budget` before they are allocated."""
    if not encoded:
        raise UnreadableError("empty file")
    formats = _formats(PurePosixPath(name).suffix.lower())
    try:
        return _load_by_pillow(encoded, formats, stack)
    except Exception as error:
        stack.close()
        if codec := _missing_codec(encoded):
            raise UnreadableError(f"{codec}, which this Pillow cannot read: update it") from error
        if isinstance(error, UnidentifiedImageError) and encoded.startswith(_TIFF):
            return _load_tiff(encoded, stack)
        if encoded.startswith(_JPEG) and short_reason(error) == "truncated":
            repaired, profile = complete_jpeg(encoded), None
        elif encoded.startswith(PNG):
            repaired, profile = strip_png(encoded)
        else:
            raise
        if not repaired:
            raise
    stored = _load_by_pillow(repaired, formats, stack)
    return replace(stored, profile=profile or stored.profile)


def _load_by_pillow(encoded: bytes, formats: tuple[str, ...], stack: ExitStack) -> _StoredImage:
    image: Any = Image.open(BytesIO(encoded), formats=formats)
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    stack.enter_context(pixel_budget.reserve(image.width * image.height))
    rawmodes = _rawmodes(image)
    if image.format == "TIFF" and rawmodes <= {*"RGBA"} and max(image.tag_v2.get(Base.BitsPerSample, (8,))) > 8:
        raise UnidentifiedImageError  # planes of 16 bits, which Pillow reads as 8
    image.load()
    stored = partial(
        _StoredImage,
        orientation=_orientation(image),
        profile=image.info.get("icc_profile"),
        animated=image.format in _MULTI_FRAME_FORMATS and _is_animated(image),
        software=_software(image),
    )
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return stored(image.mode, samples=_gray_samples(image, rawmodes, encoded))
    load_16_bit, tagged_white = None, None
    if rawmodes and rawmodes <= _COLOR_16 | {_GRAY_ALPHA_16}:
        load_16_bit, tagged_white = partial(_load_16_bit, encoded, formats), _tagged_white(image, encoded)
    decoded = image
    if rawmodes == {_GRAY_ALPHA_16}:  # Pillow reads it as RGBA
        decoded = Image.merge("LA", image.split()[2:])
    elif image.mode == "La":
        decoded = image.convert("LA")
    return stored(decoded.mode, decoded, load_16_bit=load_16_bit, tagged_white=tagged_white)


def _load_tiff(encoded: bytes, stack: ExitStack) -> _StoredImage:
    samples, mode, tags, animated = read_tiff(encoded, stack)
    orientation, profile = tags.get(Base.Orientation, 1), tags.get(Base.InterColorProfile)
    return _StoredImage(mode, samples=samples, orientation=orientation, profile=profile, animated=animated)


@lru_cache
def _formats(suffix: str) -> tuple[str, ...]:
    """Return the formats to try on a file, in order, and initialize Pillow."""
    Image.init()
    if "PILLOW_BLOCK_SIZE" not in os.environ:
        # glibc keeps freed blocks of up to 32 MiB per thread, and Pillow's default is 16 MiB: with a few threads,
        # gigabytes. Larger blocks are returned to the system.
        cast(Any, Image).core.set_block_size(1 << 26)
    names = (*FORMATS, SUFFIX_FORMATS[suffix]) if suffix in SUFFIX_FORMATS else FORMATS
    return tuple(name for name in names if name in Image.OPEN)  # older versions of Pillow support fewer


def _missing_codec(encoded: bytes) -> str:
    """Return the format of a file if this Pillow was built without its codec, else an empty string."""
    if encoded[4:12] in (b"ftypavif", b"ftypavis"):
        name, feature = "AVIF", "avif"
    elif encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        name, feature = "WebP", "webp"
    elif encoded.startswith((b"\0\0\0\x0cjP  \r\n", b"\xff\x4f\xff\x51")):
        name, feature = "JPEG 2000", "jpg_2000"
    else:
        return ""
    return "" if feature in features.get_supported() else name


# More than 8 bits a sample -------------------------------------------------------------------------------------------

_GRAY_ALPHA_16 = "LA;16B"
_COLOR_16 = {f"{bands};16{order}" for bands in ("RGB", "RGBX", "RGBA", *"RGBA") for order in "BLN"}
_SWAPPED = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


def _rawmodes(image: Any) -> set[str]:
    """Return Pillow's raw modes of the stored samples; call before load()."""
    return {_rawmode(tile) for tile in image.tile}


def _rawmode(tile: Any) -> str:
    arguments = tile[3]
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _gray_samples(image: Any, rawmodes: set[str], encoded: bytes) -> Samples:
    values = np.asarray(image)[..., None]  # [h, w, 1]
    if rawmodes == {"I;12"}:
        return Samples(values, exact=4095.0)
    if image.format in ("PPM", "JPEG2000") and image.mode != "F":  # they declare their range, and Pillow scales it
        return Samples(values, exact=FULL)
    inverted = image.format == "TIFF" and is_inverted(image.tag_v2)
    return Samples(values, inverted=inverted, tagged_white=_tagged_white(image, encoded))


def _tagged_white(image: Any, encoded: bytes) -> float | None:
    """Return the value of white by the tags of a PNG or a TIFF."""
    if image.format == "TIFF":
        return white_by_tags(image.tag_v2)
    if image.format == "PNG":
        for kind, content, _ in png_chunks(encoded):
            if kind == b"sBIT":
                return white_for_bits(max(content, default=0))
            if kind == b"IDAT":
                break
    return None


def _load_16_bit(encoded: bytes, formats: tuple[str, ...]) -> Samples:
    """Decode 16-bit color. Pillow decodes only the high bytes; with swapped byte order, the low ones."""

    def loaded(rawmode: Callable[[str], str]) -> npt.NDArray[np.uint16]:
        image: Any = Image.open(BytesIO(encoded), formats=formats)
        image.tile = [_with_rawmode(tile, rawmode(_rawmode(tile))) for tile in image.tile]
        return np.asarray(image).astype(np.uint16)

    if _rawmodes(Image.open(BytesIO(encoded), formats=formats)) == {_GRAY_ALPHA_16}:
        pairs = loaded(lambda _: "RGBA")  # the four bytes unchanged
        high, low = pairs[..., ::2], pairs[..., 1::2]
    else:
        high, low = loaded(str), loaded(lambda rawmode: rawmode[:-1] + _SWAPPED[rawmode[-1]])
    return Samples(high * np.uint16(256) + low, "straight" if high.shape[-1] in (2, 4) else "none")


def _with_rawmode(tile: Any, rawmode: str) -> Any:
    arguments = tile[3]
    changed = (rawmode, *arguments[1:]) if isinstance(arguments, tuple) else rawmode
    return tile._replace(args=changed) if hasattr(tile, "_replace") else (*tile[:3], changed)  # a tuple in Pillow 10


# To RGB --------------------------------------------------------------------------------------------------------------


def _to_rgb(image: Image.Image, profile: Profile | None) -> Image.Image:
    if profile:
        image = profile.apply(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _convert_in_tiles(convert: Callable[[Image.Image], Image.Image], image: Image.Image) -> Image.Image:
    """Convert an image in tiles: ``convert`` makes several copies, gigabytes for a huge image."""
    if image.width * image.height <= TILE_PIXELS:
        return convert(image)
    converted = Image.new("RGB", image.size)
    columns = min(image.width, TILE_PIXELS)
    rows = TILE_PIXELS // columns
    for top in range(0, image.height, rows):
        for left in range(0, image.width, columns):
            box = (left, top, min(left + columns, image.width), min(top + rows, image.height))
            converted.paste(convert(image.crop(box)), box)
    return converted


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


# Metadata and reasons ------------------------------------------------------------------------------------------------


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8. Call after load(), in which Pillow rotates a TIFF and drops its tag."""
    with suppress(Exception):  # the pixels may be fine although EXIF data is damaged
        orientation = image.getexif().get(Base.Orientation)
        return orientation if isinstance(orientation, int) else 1
    return 1


def _software(image: Any) -> str:
    """Return the Software tag: a text in PNGs, EXIF elsewhere."""
    with suppress(Exception):  # as above
        return str(image.info.get("Software") or image.getexif().get(Base.Software) or "")
    return ""


def _is_animated(image: Any) -> bool:
    """Whether there is a second frame; call after load(), which looks for it in a GIF."""
    with suppress(Exception):  # the first frame may be fine although later ones are damaged
        return bool(image.is_animated)
    return False


def short_reason(error: Exception) -> str:
    """Return a short reason for an exception of ganas, Pillow, zipfile or the file system."""
    text = " ".join(str(error).split())
    if isinstance(error, UnreadableError):
        return str(error)
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS // 1_000_000} million pixels"
    if isinstance(error, FileNotFoundError):
        return "missing file"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, EOFError | struct.error) or "truncated" in text.lower():
        return "truncated"
    return f"damaged: {shown(text[:80])}" if text else "damaged"


_quiet_lock = threading.Lock()
_quiet_state = warnings.catch_warnings()
_quiet_threads = 0


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Suppress Pillow's warnings (possible bombs, odd EXIF data) while any thread decodes.

    ``warnings.catch_warnings`` changes global state, so the first thread to enter replaces the filters and the last one
    to leave restores them.
    """
    global _quiet_state, _quiet_threads
    with _quiet_lock:
        _quiet_threads += 1
        if _quiet_threads == 1:
            _quiet_state = warnings.catch_warnings()
            _quiet_state.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_threads -= 1
            if _quiet_threads == 0:
                _quiet_state.__exit__(None, None, None)
