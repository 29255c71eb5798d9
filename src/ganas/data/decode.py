"""Decode one image to upright RGB pixels, or raise a short reason why not. No torch, no file access."""

import os
import struct
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError, features

from ganas.data.color import Profile, find_profile
from ganas.data.levels import DEFAULT_READING, FULL, Extent, Reading, white_of_bits
from ganas.data.limits import AT_ONCE, MAX_PIXELS, UnreadableError, in_memory
from ganas.data.repairs import PNG, jpeg_ended, png_alone, png_chunks
from ganas.data.samples import Samples, is_inverted, read_tiff, white_by_tags
from ganas.errors import shown

# What the suffixes that are listed promise. A PNG named .jpg is welcome, but no other decoder of Pillow's (EPS starts
# Ghostscript) gets to see a file somebody downloaded.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF", "JPEG2000")
UNMARKED = {".tga": "TGA"}  # formats that the suffix alone tells: any bytes might be one

SOFTWARE = "ganas"  # what images that ganas writes name as what made them

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BITS_PER_SAMPLE = 258
_JPEG = b"\xff\xd8"
_FRAMES = ("GIF", "PNG", "TIFF", "WEBP", "AVIF")  # formats whose further frames are worth a word; not JPEG's previews


@dataclass(frozen=True)
class ImageInfo:
    """Properties of one image, found by decoding it."""

    width: int  # upright
    height: int
    mode: str  # as stored, in Pillow's words
    extent: Extent | None = None  # set if the value of white has to be decided by the whole data set
    animated: bool = False  # more frames or pages than the one that is read
    profile: str = ""  # name of a color profile other than sRGB
    bad_profile: bool = False  # it is damaged, or one of another kind of images
    made_here: bool = False  # by ganas, as it says itself


def decode(encoded: bytes, name: str = "", reading: Reading = DEFAULT_READING) -> Image.Image:
    """Decode to an upright RGB image; only the suffix of the name is used. Raises UnreadableError."""
    with decoded(encoded, name, reading) as image:
        return image


@contextmanager
def decoded(encoded: bytes, name: str = "", reading: Reading = DEFAULT_READING) -> Iterator[Image.Image]:
    """As `decode`; the image counts towards the pixel limit until the block ends."""
    with ExitStack() as stack:
        with _reasons():
            image = _load(encoded, name, stack).rgb(reading)
        yield image


def inspect(encoded: bytes, name: str = "", *, white_given: bool = False) -> ImageInfo:
    """Decode every pixel and return the image's properties. Raises UnreadableError.

    white_given: the user says which value is white, so that any range will do.
    """
    with ExitStack() as stack, _reasons():
        return _load(encoded, name, stack).facts(white_given)


@contextmanager
def _reasons() -> Iterator[None]:
    """Turn whatever a decoder raises (OSError, SyntaxError, struct.error, ...) into UnreadableError."""
    try:
        with _quiet_pillow():
            yield
    except Exception as error:
        raise UnreadableError(reason_of(error)) from error


# One file, decoded ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Stored:
    """An image as it is stored, all its pixels decoded. Either ``image`` or ``samples`` holds them."""

    mode: str  # in Pillow's words
    image: Image.Image | None = None  # of up to 8 bits a sample; of 16-bit color the high bytes
    samples: Samples | None = None  # of more
    all_bits: Callable[[], Samples] | None = None  # both bytes of 16-bit color
    tagged_white: float | None = None  # the value that is white in it, by its tags
    orientation: int = 1  # EXIF's
    profile: bytes | None = None
    animated: bool = False
    software: str = ""  # what made it, as it says

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), upright."""
        if self.image:
            width, height = self.image.size
        else:
            assert self.samples
            height, width = self.samples.values.shape[:2]
        return (height, width) if self.orientation in (5, 6, 7, 8) else (width, height)

    def facts(self, white_given: bool) -> ImageInfo:
        extent = self._extent()
        if extent and (range_error := extent.range_error(white_given)):
            raise UnreadableError(range_error)
        facts = partial(
            ImageInfo, *self.size, self.mode, extent, self.animated, made_here=self.software.rstrip("\0") == SOFTWARE
        )
        if not self.profile:
            return facts()
        profile = find_profile(self.profile)
        if not profile or not profile.fits(self.mode):
            return facts(bad_profile=True)
        return facts(profile="" if profile.is_srgb else profile.name)

    def rgb(self, reading: Reading) -> Image.Image:
        """Upright, in sRGB, transparency laid over white."""
        samples = self.samples
        if self.all_bits and reading.integer != FULL:
            samples = self.all_bits()
        image = samples.image(reading) if samples else cast(Image.Image, self.image)
        profile = find_profile(self.profile) if self.profile and reading.icc else None
        if profile and not (profile.to_srgb and profile.fits(self.mode)):
            profile = None
        if image.mode != "RGB" or image.has_transparency_data or profile:
            image = _in_tiles(partial(_to_rgb, profile=profile), image)
        turn = _TURNS.get(self.orientation)
        return image if turn is None else image.transpose(turn)

    def _extent(self) -> Extent | None:
        if self.samples:
            return self.samples.extent
        if not self.all_bits or not self.image:
            return None
        bands = cast(tuple[tuple[int, int], ...], self.image.getextrema())
        colors = bands[:-1] if self.image.mode.endswith("A") else bands
        highest = float(256 * max(high for _, high in colors) + 255)  # as far as the high bytes tell
        return Extent("integer", 0.0, highest, highest, self.tagged_white)


def _load(encoded: bytes, name: str, stack: ExitStack) -> _Stored:
    """Decode with Pillow, or a fallback; pixels are reserved in `in_memory` before they are allocated."""
    if not encoded:
        raise UnreadableError("empty file")
    formats = _formats(PurePosixPath(name).suffix.lower())
    try:
        return _load_by_pillow(encoded, formats, stack)
    except Exception as error:
        stack.close()
        if lacking := _lacking(encoded):
            raise UnreadableError(f"{lacking}, which this Pillow cannot read: update it") from error
        if isinstance(error, UnidentifiedImageError) and encoded.startswith(_TIFF):
            return _load_tiff(encoded, stack)
        if encoded.startswith(_JPEG) and reason_of(error) == "truncated":
            repaired, profile = jpeg_ended(encoded), None
        elif encoded.startswith(PNG):
            repaired, profile = png_alone(encoded)
        else:
            raise
        if not repaired:
            raise
    stored = _load_by_pillow(repaired, formats, stack)
    return replace(stored, profile=profile or stored.profile)


def _load_by_pillow(encoded: bytes, formats: tuple[str, ...], stack: ExitStack) -> _Stored:
    image: Any = Image.open(BytesIO(encoded), formats=formats)
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    stack.enter_context(in_memory.hold(image.width * image.height))
    rawmodes = _rawmodes(image)
    if image.format == "TIFF" and rawmodes <= {*"RGBA"} and max(image.tag_v2.get(_BITS_PER_SAMPLE, (8,))) > 8:
        raise UnidentifiedImageError  # planes of 16 bits, which Pillow takes for 8
    image.load()
    stored = partial(
        _Stored,
        orientation=_orientation(image),
        profile=image.info.get("icc_profile"),
        animated=image.format in _FRAMES and _is_animated(image),
        software=_software(image),
    )
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return stored(image.mode, samples=_gray_samples(image, rawmodes, encoded))
    all_bits, tagged_white = None, None
    if rawmodes and rawmodes <= _COLOUR_16 | {_GRAY_ALPHA_16}:
        all_bits, tagged_white = partial(_all_bits, encoded, formats), _tagged_white(image, encoded)
    decoded = image
    if rawmodes == {_GRAY_ALPHA_16}:  # of which Pillow makes RGBA
        decoded = Image.merge("LA", image.split()[2:])
    elif image.mode == "La":
        decoded = image.convert("LA")
    return stored(decoded.mode, decoded, all_bits=all_bits, tagged_white=tagged_white)


def _load_tiff(encoded: bytes, stack: ExitStack) -> _Stored:
    tiff = read_tiff(encoded, stack)
    return _Stored(
        tiff.mode, samples=tiff.samples, orientation=tiff.orientation, profile=tiff.profile, animated=tiff.animated
    )


@lru_cache
def _formats(suffix: str) -> tuple[str, ...]:
    """What may be tried on a file, in the order in which it is; Pillow is made ready for it."""
    Image.init()
    if "PILLOW_BLOCK_SIZE" not in os.environ:
        # Up to 32 MiB, as which Pillow's own 16 count, glibc keeps for a thread what the thread frees: with a few
        # threads, gigabytes. Images of more take blocks of more, and leave nothing behind.
        cast(Any, Image).core.set_block_size(1 << 26)
    wanted = (*FORMATS, UNMARKED[suffix]) if suffix in UNMARKED else FORMATS
    return tuple(name for name in wanted if name in Image.OPEN)  # older Pillows know less


def _lacking(encoded: bytes) -> str:
    """The format of a file that this Pillow was built without, or an empty string."""
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
_COLOUR_16 = {f"{bands};16{order}" for bands in ("RGB", "RGBX", "RGBA", *"RGBA") for order in "BLN"}
_SWAPPED = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


def _rawmodes(image: Any) -> set[str]:
    """How samples lie in the file, in Pillow's words; asked for before load()."""
    return {_rawmode(tile) for tile in image.tile}


def _rawmode(tile: Any) -> str:
    arguments = tile[3]
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _gray_samples(image: Any, rawmodes: set[str], encoded: bytes) -> Samples:
    values = np.asarray(image)[..., None]  # [h, w, 1]
    if rawmodes == {"I;12"}:
        return Samples(values, exact=4095.0)
    if image.format in ("PPM", "JPEG2000") and image.mode != "F":  # they name their range, and Pillow scales it
        return Samples(values, exact=FULL)
    inverted = image.format == "TIFF" and is_inverted(image.tag_v2)
    return Samples(values, inverted=inverted, tagged_white=_tagged_white(image, encoded))


def _tagged_white(image: Any, encoded: bytes) -> float | None:
    """The value that is white by the tags of a PNG or a TIFF."""
    if image.format == "TIFF":
        return white_by_tags(image.tag_v2)
    if image.format == "PNG":
        for kind, content, _ in png_chunks(encoded):
            if kind == b"sBIT":
                return white_of_bits(max(content, default=0))
            if kind == b"IDAT":
                break
    return None


def _all_bits(encoded: bytes, formats: tuple[str, ...]) -> Samples:
    """16-bit color. Pillow decodes the high bytes alone; told that bytes are swapped, it takes the low for them."""

    def loaded(rawmode: Callable[[str], str]) -> npt.NDArray[np.uint16]:
        image: Any = Image.open(BytesIO(encoded), formats=formats)
        image.tile = [_as(tile, rawmode(_rawmode(tile))) for tile in image.tile]
        return np.asarray(image).astype(np.uint16)

    if _rawmodes(Image.open(BytesIO(encoded), formats=formats)) == {_GRAY_ALPHA_16}:
        pairs = loaded(lambda _: "RGBA")  # four bytes as they are
        high, low = pairs[..., ::2], pairs[..., 1::2]
    else:
        high, low = loaded(str), loaded(lambda rawmode: rawmode[:-1] + _SWAPPED[rawmode[-1]])
    return Samples(high * np.uint16(256) + low, "straight" if high.shape[-1] in (2, 4) else "none")


def _as(tile: Any, rawmode: str) -> Any:
    """A tile whose bytes are taken for ``rawmode``."""
    arguments = tile[3]
    changed = (rawmode, *arguments[1:]) if isinstance(arguments, tuple) else rawmode
    return tile._replace(args=changed) if hasattr(tile, "_replace") else (*tile[:3], changed)  # Pillow 10's are plain


# To RGB --------------------------------------------------------------------------------------------------------------


def _to_rgb(image: Image.Image, profile: Profile | None) -> Image.Image:
    if profile:
        image = profile.apply(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _in_tiles(convert: Callable[[Image.Image], Image.Image], image: Image.Image) -> Image.Image:
    """``convert`` of every part of an image: it makes several copies, and of a huge image they would be gigabytes."""
    if image.width * image.height <= AT_ONCE:
        return convert(image)
    converted = Image.new("RGB", image.size)
    columns = min(image.width, AT_ONCE)
    rows = AT_ONCE // columns
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


# What files say beside their pixels ----------------------------------------------------------------------------------


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8. Asked for after load(), in which Pillow itself turns a TIFF and drops its tag."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged EXIF data says nothing against the pixels
        return 1
    return orientation if isinstance(orientation, int) else 1


def _software(image: Any) -> str:
    """What made an image: a text in PNGs, a tag of EXIF's elsewhere."""
    try:
        return str(image.info.get("Software") or image.getexif().get(ExifTags.Base.Software) or "")
    except Exception:  # damaged EXIF data says nothing against the pixels
        return ""


def _is_animated(image: Any) -> bool:
    """Asked for after load(): a GIF then looks for a second frame."""
    try:
        return bool(image.is_animated)
    except Exception:  # damage behind the first frame says nothing against it
        return False


def reason_of(error: Exception) -> str:
    """A short reason for an exception of ours, Pillow's, zipfile's or the file system's."""
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
    """Keeps Pillow's warnings (possible bombs, odd EXIF data) off the terminal while any thread decodes.

    ``warnings.catch_warnings`` swaps state of the whole process: of two threads that overlap, the second would restore
    the filters of the first. So the first thread to come swaps them and the last one to leave restores them.
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
