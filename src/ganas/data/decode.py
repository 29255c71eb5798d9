"""One encoded image -> upright RGB pixels, or a reason of a few words why not. No torch, no files."""

import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from ganas.errors import shown

# What the suffixes that are listed promise. A PNG named .jpg is welcome, but no other decoder of Pillow's (EPS starts
# Ghostscript) gets to see a file somebody downloaded.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")

MAX_PIXELS = 178_956_970  # where Pillow stops calling an image a possible decompression bomb and refuses it


class UnreadableError(Exception):
    """One image cannot be read. The message is a reason of a few words."""


def decode(encoded: bytes) -> tuple[Image.Image, str]:
    """The upright RGB image, and the mode it was stored in. Raises UnreadableError."""
    if not encoded:
        raise UnreadableError("empty file")
    try:
        with _quiet_pillow():
            image = Image.open(BytesIO(encoded), formats=FORMATS)
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            image.load()
            turn = _TURNS.get(_orientation(image))
            rgb = _to_rgb(image)
            return (rgb if turn is None else rgb.transpose(turn)), image.mode
    except Exception as error:  # each decoder has its own: OSError, SyntaxError, struct.error, EOFError, ValueError ...
        raise UnreadableError(reason_of(error)) from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _to_8_bits(image).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Mode L out of I, I;16 and F. Pillow's own conversion clips at 255, which makes most such images white."""
    values = np.asarray(image, dtype=np.float64)  # [h, w]
    low, high = float(values.min()), float(values.max())
    if not (0 <= low and high <= 65535):  # NaN ends here, too
        raise UnreadableError(f"values from {low:g} to {high:g} are neither 8 nor 16 bits; save it as one of these")
    white = 65535.0
    if image.mode == "F":
        white = next(top for top in (1.0, 255.0, 65535.0) if high <= top)
    return Image.fromarray(np.rint(values * (255 / white)).astype(np.uint8))


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8. Asked for after load(), in which Pillow itself turns a TIFF and drops its tag."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged EXIF data says nothing against the pixels
        return 1
    return orientation if isinstance(orientation, int) else 1


def reason_of(error: Exception) -> str:
    """A few words for an exception of ours, Pillow's, zipfile's or the file system's."""
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
