"""Image sources: images by index from whatever holds them, read through one class.

The image convention of the whole package: uint8 NCHW RGB in data and metrics, float in [-1, 1] in networks.
(:mod:`ganas.data.loaders` converts between the two; a source itself returns Pillow images.)

:func:`open_source` decodes each image once, so that a broken file is reported before training. No torch here.
"""

import hashlib
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any, NoReturn

from PIL import Image

from ganas.data.audit import AuditedFile, decide, describe_broken
from ganas.data.containers.base import Container
from ganas.data.containers.kinds import find_container
from ganas.data.decode import decoded, inspect, short_reason
from ganas.data.images import Images
from ganas.data.levels import DEFAULT_READING, FULL, Reading
from ganas.data.limits import UnreadableError
from ganas.data.threads import in_threads
from ganas.errors import ConfigError, DataError, counted, shown
from ganas.paths import StrPath, as_path

MINIMUM_IMAGES = 2  # a domain of one image has no distribution to learn


@dataclass(frozen=True)
class ImageSource(Images):
    """Images by index, opened by :func:`open_source`. Thread-safe and picklable."""

    container: Container  # a folder, a zip, ...
    names: Sequence[str]  # of the images in it, in their order
    notes: tuple[str, ...] = field(default=(), compare=False)  # decisions about how to read them, one line each
    reading: Reading = DEFAULT_READING  # the same for all of them

    @property
    def path(self) -> Path:
        """The path that was opened."""
        return self.container.path

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int, /) -> Image.Image:
        """Return image number ``index`` in mode RGB: 8 bits, any size, upright by EXIF, the first frame or page.

        - 1 bit, gray, palette, YCbCr, CMYK: Pillow's conversion (knows Adobe's inverted CMYK).
        - Color profiles (ICC) other than sRGB are converted to it, unless ``reading.icc`` is off.
        - Transparency (RGBA, LA, a palette's or a color key): composited over white.
        - More than 8 bits, and floating point: ``reading`` defines the value of white for the whole set; higher values
          are clipped. 16-bit color keeps the high byte, unless the set uses fewer than its 16 bits.

        Raises DataError if the file has become unreadable or its values fit none of these ranges.
        """
        with self.opened(index) as image:
            return image

    @contextmanager
    def opened(self, index: int, /) -> Iterator[Image.Image]:
        """`read` for a block that shrinks the image: the image counts towards the pixel budget until its end."""
        name = self.names[index]
        with ExitStack() as stack:
            with self._errors_named(name):
                image = stack.enter_context(decoded(self._encoded(name), name, self.reading))
            yield image

    def digest(self) -> str:
        """Return 16 hex digits of all names, bytes and the reading; equal for a folder and its zip."""

        def digest_of(index: int) -> bytes:
            name = self.names[index]
            with self._errors_named(name):
                return hashlib.sha256(self._encoded(name)).digest()

        total = hashlib.sha256()
        for name, content in zip(self.names, in_threads(digest_of, len(self)), strict=True):
            total.update(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest() + content)
        total.update(self.reading.digest_suffix.encode())  # empty for ordinary images
        return total.hexdigest()[:16]

    @property
    def files(self) -> frozenset[tuple[str, str]]:
        """The real path of each image's file, with links resolved, and its name in a file of several."""
        return self.container.files(self.names)

    def subset(self, indices: Iterable[int]) -> "ImageSource":
        """Return a source of the images at ``indices``, in that order."""
        return replace(self, names=tuple(self.names[index] for index in indices))

    def location(self, name: str) -> str:
        """Return the path of an image, for messages."""
        return str(self.path) if name == self.path.name else f"{self.path}/{name}"

    @contextmanager
    def _errors_named(self, name: str) -> Iterator[None]:
        try:
            yield
        except UnreadableError as error:
            raise DataError(f"{shown(self.location(name))}: {error}; repair or remove it") from error

    def _encoded(self, name: str) -> bytes:
        """Return the bytes of one image. Raises UnreadableError."""
        try:
            return self.container.read(name)
        except Exception as error:  # files, zips and codecs raise a dozen exception types
            raise UnreadableError(short_reason(error)) from error


@dataclass(frozen=True)
class SourceReport:
    """Summary of a data set, including broken files."""

    path: Path
    count: int  # images that can be read
    broken: tuple[tuple[str, str], ...]  # (name, reason) of each unreadable image
    sizes: dict[str, tuple[int, int]]  # "min", "median", "max" -> (width, height) in pixels, computed per side
    modes: dict[str, int]  # Pillow mode as stored -> images, most frequent first
    bytes: int  # size of all image files as stored
    notes: tuple[str, ...] = ()  # decisions about how to read them, one line each

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {**asdict(self), "path": str(self.path)}

    def __str__(self) -> str:
        lines = [f"{shown(self.path)}: {counted(self.count, 'image')}, {self.bytes / 10**6:.1f} MB"]
        if self.count:
            sizes = ", ".join(f"{key} {width}×{height}" for key, (width, height) in self.sizes.items())
            modes = ", ".join(f"{count} {mode}" for mode, count in self.modes.items())
            lines.append(f"  sizes: {sizes}; modes: {modes}")
        else:
            lines.append("  empty: it contains no readable image")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join([*lines, *(f"  broken: {shown(name)}: {reason}" for name, reason in self.broken)])


def open_source(
    path: StrPath,
    *,
    skip_bad: bool = False,  # leave out unreadable images instead of raising
    minimum: int = 1,  # usable images required
    resolution: int = 1,  # minimum shorter side, in pixels; checked with ``verify`` only
    verify: bool = True,  # decode each image once, to decide white and color profiles for the whole set (see `notes`)
    white: float | None = None,  # value of white in images of more than 8 bits a sample; None: by tags and values
    icc: bool = True,  # convert color profiles other than sRGB
) -> ImageSource:
    """Open the images under ``path``: a folder with its sub-folders, a zip, or one image file.

    Images are recognized by suffix (``IMAGE_SUFFIXES``, any case); hidden files and ``__MACOSX`` are skipped. Without
    ``verify``, 16-bit images use all bits, and floating point is decided per image.

    Raises DataError for a path that is missing or neither folder, zip nor image; for fewer than ``minimum`` images; for
    images that are unreadable or smaller than ``resolution``; for a zip that is damaged, encrypted, or unsafe.
    """
    _check_white(white)
    source = _list_source(as_path(path))
    if not verify:
        reading = Reading(white or FULL, white, icc, white_given=white is not None)
        return _with_enough(replace(source, reading=reading), minimum)
    source, files = _audit(source, white_given=white is not None)
    broken = [file for file in files if not file.info]
    if broken and not skip_bad:
        _refuse_broken(source, broken, minimum)
    reading, notes = decide(files, white, icc)
    if broken:
        unreadable = f"{len(broken)} of {counted(len(files), 'image')} cannot be read and are left out"
        notes = (f"{unreadable} ({describe_broken(broken)})", *notes)
    names = tuple(file.name for file in files if file.info)
    _check_resolution(source, files, resolution)
    return _with_enough(replace(source, names=names, notes=source.notes + notes, reading=reading), minimum, len(broken))


def _with_enough(source: ImageSource, minimum: int, broken: int = 0) -> ImageSource:
    if len(source) >= minimum:
        return source
    rest = f" ({broken} cannot be read)" if broken else ""
    raise DataError(f"{shown(source.path)}: {counted(len(source), 'usable image')}, {minimum} needed{rest}: add images")


def _check_resolution(source: ImageSource, files: Sequence[AuditedFile], resolution: int) -> None:
    sides = {file.name: (file.info.width, file.info.height) for file in files if file.info}
    small = [name for name, size in sides.items() if min(size) < resolution]
    if small:
        name = min(small, key=lambda name: min(sides[name]))
        raise DataError(
            f"--resolution {resolution} is larger than some images, the smallest side is {min(sides[name])} pixels "
            f"({shown(source.location(name))}): lower it, or leave small images out ({len(small)} of {len(sides)})"
        )


def notes_of(*sources: ImageSource) -> list[str]:
    """Return the notes of these sets, each with its set's path, without repeats."""
    return [*dict.fromkeys(f"{shown(source.path)}: {note}" for source in sources for note in source.notes)]


def check_overlap(one: ImageSource, other: ImageSource) -> bool:
    """Return whether two sets are the same files; raises `DataError` if they overlap partially."""
    mine, theirs = one.files, other.files
    shared = len(mine & theirs)
    if shared and mine != theirs:
        both = f"{shown(one.path)} and {shown(other.path)}"
        raise DataError(f"{both} share {counted(shared, 'image')}: give disjoint sets")
    return bool(shared)


def check_halves(count: int, domain: str, strategy: str, way_out: str) -> None:
    """Raise `DataError` if half of a domain's training images are fewer than the minimum of a domain."""
    if count < 2 * MINIMUM_IMAGES:
        raise DataError(
            f"{domain} has {count} training images, and {strategy} halves them; {2 * MINIMUM_IMAGES} needed: {way_out}"
        )


def check_source(path: StrPath, *, white: float | None = None, icc: bool = True) -> SourceReport:
    """Decode every image under ``path`` and summarize the set, including broken images.

    Other errors are those of :func:`open_source`.
    """
    _check_white(white)
    source = _list_source(as_path(path))
    source, files = _audit(source, white_given=white is not None)
    usable = [file.info for file in files if file.info]
    widths, heights = [info.width for info in usable], [info.height for info in usable]
    picks: dict[str, Callable[[list[int]], int]] = {"min": min, "median": statistics.median_low, "max": max}
    return SourceReport(
        path=source.path,
        count=len(usable),
        broken=tuple((file.name, file.reason) for file in files if not file.info),
        sizes={key: (pick(widths), pick(heights)) for key, pick in picks.items() if usable},
        modes=dict(Counter(info.mode for info in usable).most_common()),
        bytes=sum(file.bytes for file in files),
        notes=source.notes + decide(files, white, icc)[1],
    )


def _list_source(path: Path) -> ImageSource:
    """List all images under ``path`` without decoding them. Raises DataError if there is none."""
    container = find_container(path)
    listing = container.list()
    return ImageSource(container, listing.names, listing.notes)


def _check_white(white: float | None) -> None:
    if white is not None and not 0 < white < inf:
        raise ConfigError(f"{white:g} cannot be the value of white: give a positive number, as 4095 for 12 bits")


def _audit(source: ImageSource, *, white_given: bool) -> tuple[ImageSource, list[AuditedFile]]:
    """Inspect every file; white_given: the user gave the value of white.

    Images that ganas wrote are left out unless there are no others, so that it does not learn from its own results.
    """

    def inspect_one(index: int) -> AuditedFile:
        name = source.names[index]
        size = 0
        try:
            encoded = source._encoded(name)
            size = len(encoded)
            return AuditedFile(name, size, inspect(encoded, name, white_given=white_given))
        except UnreadableError as error:
            return AuditedFile(name, size, None, str(error))

    files = list(in_threads(inspect_one, len(source)))
    made = [file.name for file in files if file.info and file.info.from_ganas]
    if not made or not any(file.info and not file.info.from_ganas for file in files):
        return source, files
    note = f"{counted(len(made), 'image')} ({shown(made[0])}{', …' * (len(made) > 1)}) left out, written by ganas"
    left = [file for file in files if not (file.info and file.info.from_ganas)]
    return replace(source, names=tuple(file.name for file in left), notes=(*source.notes, note)), left


def _refuse_broken(source: ImageSource, broken: Sequence[AuditedFile], minimum: int) -> NoReturn:
    unreadable = f"{len(broken)} of {counted(len(source), 'image')} cannot be read ({describe_broken(broken)})"
    rest = len(source) - len(broken)
    way_out = "repair or remove them"
    if rest >= max(minimum, 1):
        way_out += f", or use the other {rest} with --set data.skip_bad=true (translate, evaluate: --skip-bad)"
    raise DataError(f"{shown(source.path)}: {unreadable}; {way_out}")
