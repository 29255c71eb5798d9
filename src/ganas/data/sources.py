"""Where images come from: a folder, a zip or a single file, read through one class.

The image convention, said once for the whole package: images are uint8 NCHW RGB in data and metrics, and float in
[-1, 1] in networks. (:mod:`ganas.data.loaders` converts between the two; a source itself hands out Pillow images.)

Everything a user can have wrong in a data set is found up front by :func:`open_source` and told in one line, because a
broken file that turns up after six hours of training is worth more than the seconds it takes to decode each image once.
A zip is read in place and never extracted. No torch here.
"""

import hashlib
import os
import re
import statistics
import struct
import threading
import warnings
import zipfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from io import BytesIO
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn, TypeVar

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from ganas.errors import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")

# What those suffixes promise. A PNG named .jpg is welcome, but no other decoder of Pillow's (EPS starts Ghostscript)
# gets to see a file somebody downloaded.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")

MINIMUM_IMAGES = 2  # a domain of one image has no distribution to learn
MAX_PIXELS = 178_956_970  # where Pillow stops calling an image a possible decompression bomb and refuses it
MAX_BYTES = 1 << 30  # an encoded image larger than this is one, too: 178 million pixels are 0.5 GiB uncompressed

T = TypeVar("T")


@dataclass(frozen=True)
class ImageSource:
    """Images by index, from a folder, a zip or a single file.

    Made by :func:`open_source`. May be read from several threads at once, and pickled into worker processes: each
    thread of each process opens a zip for itself, on first use.
    """

    path: Path  # the folder, the zip or the image
    names: tuple[str, ...]  # sorted, relative to path, with forward slashes: "night/street 1.png"
    _handles: threading.local = field(default_factory=threading.local, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.names)

    def __reduce__(self) -> tuple[type["ImageSource"], tuple[Path, tuple[str, ...]]]:
        return ImageSource, (self.path, self.names)  # open handles stay behind

    def read(self, index: int) -> Image.Image:
        """Image number ``index``, decoded, upright, in mode RGB: 8 bits, any size.

        EXIF orientation is applied. Of an animation or a stack of pages it is the first. Modes become RGB so:

        - 1 bit, grey, palette, YCbCr, CMYK: Pillow's conversion (knows Adobe's inverted CMYK; ignores ICC profiles).
        - Transparency (RGBA, LA, a palette's or a colour key): laid over white.
        - 16-bit grey (``I;16``, and ``I``, as which Pillow opens some): divided by 257, so that 65535 is white.
        - 16-bit colour: Pillow keeps the high byte of each channel.
        - Floating point (``F``): 1, 255 or 65535 is white, the first of them that no pixel of the image exceeds.

        Raises DataError, in one line, when the file has become unreadable or its values fit none of these ranges.
        """
        name = self.names[index]
        try:
            return _decode(self._encoded(name))[0]
        except _UnreadableError as error:
            raise self._refusal(name, error) from error

    def digest(self) -> str:
        """16 hex digits that change when a name or a byte of an image does. A folder and its zip have the same."""
        total = hashlib.sha256()
        for name in self.names:
            try:
                content = hashlib.sha256(self._encoded(name)).digest()
            except _UnreadableError as error:
                raise self._refusal(name, error) from error
            total.update(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest() + content)
        return total.hexdigest()[:16]

    def subset(self, indices: Iterable[int]) -> "ImageSource":
        """The images at ``indices``, in that order."""
        return ImageSource(self.path, tuple(self.names[index] for index in indices))

    def _refusal(self, name: str, error: "_UnreadableError") -> DataError:
        place = self.path if name == self.path.name else f"{self.path}/{name}"
        return DataError(f"{_shown(place)}: {error}; repair or remove it")

    def _encoded(self, name: str) -> bytes:
        """The bytes of one file, at most MAX_BYTES. Raises _UnreadableError."""
        try:
            if self.path.is_dir():
                return _file_bytes(self.path / name)
            if _is_image_name(self.path.name):
                return _file_bytes(self.path)
            return _member_bytes(self._zip(), name)
        except Exception as error:  # files, zips and their codecs fail in a dozen ways; all mean the same to the user
            raise _UnreadableError(_reason(error)) from error

    def _zip(self) -> zipfile.ZipFile:
        """This thread's handle. A forked process must not use its parent's: they share one file position."""
        if getattr(self._handles, "process", None) != os.getpid():
            self._handles.zip = zipfile.ZipFile(self.path)
            self._handles.process = os.getpid()
        handle: zipfile.ZipFile = self._handles.zip
        return handle


@dataclass(frozen=True)
class SourceReport:
    """What is in a data set, broken files included."""

    path: Path
    count: int  # images that can be read
    broken: tuple[tuple[str, str], ...]  # (name, reason) of the others
    sizes: dict[str, tuple[int, int]]  # "min", "median", "max" -> (width, height) in pixels, each side by itself
    modes: dict[str, int]  # Pillow mode as stored -> images, most frequent first
    bytes: int  # size of all image files as stored

    def as_json(self) -> dict[str, Any]:
        """The same as JSON can hold it."""
        return {**asdict(self), "path": str(self.path)}

    def __str__(self) -> str:
        """A few lines for people."""
        sizes = ", ".join(f"{key} {width}×{height}" for key, (width, height) in self.sizes.items())
        modes = ", ".join(f"{count} {mode}" for mode, count in self.modes.items())
        lines = [
            f"{self.path}: {_images(self.count)}, {self.bytes / 10**6:.1f} MB",
            f"  sizes: {sizes}; modes: {modes}",
        ]
        return "\n".join([*lines, *(f"  broken: {name}: {reason}" for name, reason in self.broken)])


def open_source(
    path: Path | str, *, skip_bad: bool = False, minimum: int = 1, resolution: int = 1, verify: bool = True
) -> ImageSource:
    """The images under ``path``: a folder with its sub-folders, a zip, or one image file.

    Files count by suffix (``IMAGE_SUFFIXES``, any case); hidden files and ``__MACOSX`` do not. With ``verify`` each
    image is decoded once (thousands of images of 256² a second on two cores).

    skip_bad: leave out images that cannot be read, instead of refusing the source.
    minimum: the number of usable images that must remain.
    resolution: pixels that the shorter side of each must have, where they are verified.

    Raises DataError, in one line with the way out: path missing, or neither folder, zip nor image; no images, or fewer
    than ``minimum``; images that cannot be read, or are smaller than ``resolution``; a zip that is damaged, encrypted,
    or names members outside itself.
    """
    source = _listed(Path(path))
    if verify:
        inspected = [*_inspected(source)]
        broken = {facts.name: facts.reason for facts in inspected if facts.reason}
        if broken and not skip_bad:
            _refuse_broken(source, broken, minimum)
        source = ImageSource(source.path, tuple(name for name in source.names if name not in broken))
        smallest = min((min(facts.width, facts.height) for facts in inspected if not facts.reason), default=resolution)
        if smallest < resolution:
            raise DataError(
                f"--resolution {resolution} is larger than the images, the smallest has {smallest} pixels a side: "
                f"lower it, or leave small images out"
            )
    if len(source) < minimum:
        raise DataError(f"{_shown(path)}: {_images(len(source), 'usable ')}, {minimum} needed; add images")
    return source


def check_halves(count: int, place: str, strategy: str, way_out: str) -> None:
    """Raise `DataError` where half of a domain's images to learn from is less than a domain has to have."""
    if count < 2 * MINIMUM_IMAGES:
        raise DataError(
            f"{place} has {count} images to learn from, and {strategy} halves them; "
            f"{2 * MINIMUM_IMAGES} needed: {way_out}"
        )


def check_source(path: Path | str) -> SourceReport:
    """Decodes every image under ``path`` and says what is there. Broken images are reported, not raised.

    Raises DataError where there is nothing to look at: as :func:`open_source`, but for broken images.
    """
    source = _listed(Path(path))
    inspected = list(_inspected(source))
    usable = [facts for facts in inspected if not facts.reason]
    sizes = {}
    if usable:
        for key, pick in (("min", min), ("median", statistics.median_low), ("max", max)):
            sizes[key] = (pick(facts.width for facts in usable), pick(facts.height for facts in usable))
    return SourceReport(
        path=source.path,
        count=len(usable),
        broken=tuple((facts.name, facts.reason) for facts in inspected if facts.reason),
        sizes=sizes,
        modes=dict(Counter(facts.mode for facts in usable).most_common()),
        bytes=sum(facts.bytes for facts in inspected),
    )


def in_threads(function: Callable[[int], T], count: int) -> Iterator[T]:
    """``function(0) ... function(count - 1)``, in order, computed by a few threads: Pillow decodes without the GIL.

    They run ahead of who reads the results by two tasks each, and no further.
    """
    block = 32  # images a task: large enough to make a million images cheap to queue
    threads = min(8, os.cpu_count() or 1)

    def run(start: int) -> list[T]:
        return [function(index) for index in range(start, min(start + block, count))]

    with ThreadPoolExecutor(threads) as pool:
        tasks = (pool.submit(run, start) for start in range(0, count, block))
        ahead = deque(islice(tasks, 2 * threads))
        try:
            while ahead:
                results = ahead.popleft().result()
                ahead.extend(islice(tasks, 1))
                yield from results
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # nobody reads on


# Finding images ------------------------------------------------------------------------------------------------------


def _listed(path: Path) -> ImageSource:
    """All images under ``path``, not yet looked into. Raises DataError unless there is at least one."""
    if not path.exists():
        raise DataError(f"{_shown(path)}: no such file or folder; check the path")
    if path.is_dir():
        names = _names_in_folder(path)
    elif path.is_file() and _is_image_name(path.name):
        return ImageSource(path, (path.name,))
    else:
        names = _names_in_zip(path)
    if not names:
        raise DataError(f"{_shown(path)}: no images in it; ganas reads {' '.join(IMAGE_SUFFIXES)}")
    return ImageSource(path, tuple(sorted(names)))


def _names_in_folder(folder: Path) -> set[str]:
    """Names of the images under ``folder``. Links to folders are followed, but no folder is entered twice."""
    names: set[str] = set()
    seen: set[tuple[int, int]] = set()  # device and inode of each folder
    for here, folders, files in os.walk(folder, followlinks=True, onerror=_refuse_folder):
        status = os.stat(here)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()  # a link that leads back up would be walked forever
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not _is_ignored(name))
        names.update((Path(here) / file).relative_to(folder).as_posix() for file in files if _is_wanted(file))
    return names


def _refuse_folder(error: OSError) -> NoReturn:
    raise DataError(f"{_shown(error.filename)}: cannot be listed ({error.strerror}); check its permissions") from error


def _names_in_zip(path: Path) -> set[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError) as error:
        if path.suffix.lower() == ".zip":
            raise DataError(f"{_shown(path)}: cannot be read as a zip ({_reason(error)}); make it again") from error
        kinds = " ".join(IMAGE_SUFFIXES)
        raise DataError(f"{_shown(path)}: neither a folder, a zip nor an image; ganas reads {kinds}") from error
    for member in members:
        if _leads_out(member.filename):
            found = f"names a member outside itself ({_shown(member.filename)})"
            raise DataError(f"{_shown(path)}: refused, it {found}; make the zip again with relative names")
    wanted = [member for member in members if not member.is_dir() and _is_wanted(member.filename)]
    if any(member.flag_bits & 0x1 for member in wanted):
        raise DataError(f"{_shown(path)}: encrypted; unpack it and pass the folder")
    return {member.filename for member in wanted}


def _leads_out(name: str) -> bool:
    parts = re.split(r"[/\\]", name)  # zips from Windows may hold backslashes
    return ".." in parts or parts[0] == "" or bool(re.match(r"[A-Za-z]:$", parts[0]))


def _is_wanted(name: str) -> bool:
    return _is_image_name(name) and not any(_is_ignored(part) for part in PurePosixPath(name).parts)


def _is_ignored(part: str) -> bool:
    return part.startswith(".") or part == "__MACOSX"


def _is_image_name(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES)


# Reading and decoding one image --------------------------------------------------------------------------------------


class _UnreadableError(Exception):
    """One image cannot be read. The message is a reason of a few words."""


def _file_bytes(file: Path) -> bytes:
    if file.exists() and not file.is_file():
        raise _UnreadableError("not a regular file")  # reading a pipe would wait forever
    if file.stat().st_size > MAX_BYTES:
        raise _UnreadableError("file too large")
    return file.read_bytes()


def _member_bytes(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > MAX_BYTES:  # zipfile never inflates more than this field declares
        raise _UnreadableError("file too large")
    return archive.read(name)


def _decode(encoded: bytes) -> tuple[Image.Image, str]:
    """The upright RGB image, and the mode it was stored in. Raises _UnreadableError."""
    if not encoded:
        raise _UnreadableError("empty file")
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
        raise _UnreadableError(_reason(error)) from error


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
        raise _UnreadableError(f"values from {low:g} to {high:g} are neither 8 nor 16 bits; save it as one of these")
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


def _reason(error: Exception) -> str:
    """A few words for an exception of ours, Pillow's, zipfile's or the file system's."""
    text = " ".join(str(error).split())
    if isinstance(error, _UnreadableError):
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
    return f"damaged: {_shown(text[:80])}" if text else "damaged"


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


# Looking at all of them ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Facts:
    """What decoding one image showed."""

    name: str
    reason: str  # why it cannot be read; empty if it can
    width: int = 0
    height: int = 0
    mode: str = ""
    bytes: int = 0


def _inspected(source: ImageSource) -> Iterator[_Facts]:
    def inspect(index: int) -> _Facts:
        name = source.names[index]
        size = 0
        try:
            encoded = source._encoded(name)
            size = len(encoded)
            image, mode = _decode(encoded)
        except _UnreadableError as error:
            return _Facts(name, str(error), bytes=size)
        return _Facts(name, "", image.width, image.height, mode, size)

    return in_threads(inspect, len(source))


def _refuse_broken(source: ImageSource, broken: dict[str, str], minimum: int) -> NoReturn:
    listed = [f"{_shown(name)}: {reason}" for name, reason in list(broken.items())[:5]]
    if len(broken) > len(listed):
        listed.append(f"and {len(broken) - len(listed)} more")
    message = f"{_shown(source.path)}: {len(broken)} of {_images(len(source))} cannot be read ({'; '.join(listed)})"
    rest = len(source) - len(broken)
    way_out = "repair or remove them"
    if rest >= max(minimum, 1):
        way_out += f", or go on with the other {rest} by --set data.skip_bad=true (translate, evaluate: --skip-bad)"
    raise DataError(f"{message}; {way_out}")


def _images(count: int, kind: str = "") -> str:
    return f"{count} {kind}image{'' if count == 1 else 's'}"


def _shown(name: Path | str) -> str:
    """``name`` on one line of printable characters: file names may hold anything."""
    text = str(name)
    return text if text.isprintable() else ascii(text)[1:-1]
