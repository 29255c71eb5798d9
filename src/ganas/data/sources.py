"""Where images come from: a folder, a zip or a single file, read through one class.

The image convention, said once for the whole package: images are uint8 NCHW RGB in data and metrics, and float in
[-1, 1] in networks. (:mod:`ganas.data.loaders` converts between the two; a source itself hands out Pillow images.)

Everything a user can have wrong in a data set is found up front by :func:`open_source` and told in one line, because a
broken file that turns up after six hours of training is worth more than the seconds it takes to decode each image once.
A zip is read in place and never extracted. No torch here.
"""

import hashlib
import os
import statistics
import threading
import zipfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from PIL import Image

from ganas.data.decode import UnreadableError, decode, reason_of
from ganas.data.listing import is_image_name, list_images
from ganas.data.threads import Threads
from ganas.errors import DataError, shown

MINIMUM_IMAGES = 2  # a domain of one image has no distribution to learn
MAX_BYTES = 1 << 30  # an encoded image larger than this is no image: 178 million pixels are 0.5 GiB uncompressed

T = TypeVar("T")


@dataclass(frozen=True)
class ImageSource:
    """Images by index, from a folder, a zip or a single file.

    Made by :func:`open_source`. May be read from several threads at once, and pickled into worker processes: each
    thread of each process opens a zip for itself, on first use.
    """

    path: Path  # the folder, the zip or the image
    names: tuple[str, ...]  # sorted, relative to path, with forward slashes: "night/street 1.png"
    notes: tuple[str, ...] = field(default=(), compare=False)  # what was decided about them, a line each
    _handles: threading.local = field(default_factory=threading.local, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.names)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_handles"}  # open handles stay behind

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _handles=threading.local())

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
            return decode(self._encoded(name))[0]
        except UnreadableError as error:
            raise self._refusal(name, error) from error

    def digest(self) -> str:
        """16 hex digits that change when a name or a byte of an image does. A folder and its zip have the same."""

        def digest_of(index: int) -> bytes:
            name = self.names[index]
            try:
                return hashlib.sha256(self._encoded(name)).digest()
            except UnreadableError as error:
                raise self._refusal(name, error) from error

        total = hashlib.sha256()
        for name, content in zip(self.names, in_threads(digest_of, len(self)), strict=True):
            total.update(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest() + content)
        return total.hexdigest()[:16]

    def subset(self, indices: Iterable[int]) -> "ImageSource":
        """The images at ``indices``, in that order."""
        return replace(self, names=tuple(self.names[index] for index in indices))

    def _refusal(self, name: str, error: "UnreadableError") -> DataError:
        place = self.path if name == self.path.name else f"{self.path}/{name}"
        return DataError(f"{shown(place)}: {error}; repair or remove it")

    def _encoded(self, name: str) -> bytes:
        """The bytes of one file, at most MAX_BYTES. Raises UnreadableError."""
        try:
            if self.path.is_dir():
                return _file_bytes(self.path / name)
            if is_image_name(self.path.name):
                return _file_bytes(self.path)
            return _member_bytes(self._zip(), name)
        except Exception as error:  # files, zips and their codecs fail in a dozen ways; all mean the same to the user
            raise UnreadableError(reason_of(error)) from error

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
        source = replace(source, names=tuple(name for name in source.names if name not in broken))
        smallest = min((min(facts.width, facts.height) for facts in inspected if not facts.reason), default=resolution)
        if smallest < resolution:
            raise DataError(
                f"--resolution {resolution} is larger than the images, the smallest has {smallest} pixels a side: "
                f"lower it, or leave small images out"
            )
    if len(source) < minimum:
        raise DataError(f"{shown(path)}: {_images(len(source), 'usable ')}, {minimum} needed; add images")
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
    threads = min(8, os.cpu_count() or 1, -(-count // block))

    def run(start: int) -> list[T]:
        return [function(index) for index in range(start, min(start + block, count))]

    with Threads(threads, "images") as pool:
        tasks = (pool.submit(run, start) for start in range(0, count, block))
        ahead = deque(islice(tasks, 2 * threads))
        while ahead:
            results = ahead.popleft().result()
            ahead.extend(islice(tasks, 1))
            yield from results


def _listed(path: Path) -> ImageSource:
    """All images under ``path``, not yet looked into. Raises DataError unless there is at least one."""
    listing = list_images(path)
    return ImageSource(path, listing.names, listing.notes)


# Reading one file -----------------------------------------------------------------------------------------------------


def _file_bytes(file: Path) -> bytes:
    if file.exists() and not file.is_file():
        raise UnreadableError("not a regular file")  # reading a pipe would wait forever
    if file.stat().st_size > MAX_BYTES:
        raise UnreadableError("file too large")
    return file.read_bytes()


def _member_bytes(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > MAX_BYTES:  # zipfile never inflates more than this field declares
        raise UnreadableError("file too large")
    return archive.read(name)


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
            image, mode = decode(encoded)
        except UnreadableError as error:
            return _Facts(name, str(error), bytes=size)
        return _Facts(name, "", image.width, image.height, mode, size)

    return in_threads(inspect, len(source))


def _refuse_broken(source: ImageSource, broken: dict[str, str], minimum: int) -> NoReturn:
    listed = [f"{shown(name)}: {reason}" for name, reason in list(broken.items())[:5]]
    if len(broken) > len(listed):
        listed.append(f"and {len(broken) - len(listed)} more")
    message = f"{shown(source.path)}: {len(broken)} of {_images(len(source))} cannot be read ({'; '.join(listed)})"
    rest = len(source) - len(broken)
    way_out = "repair or remove them"
    if rest >= max(minimum, 1):
        way_out += f", or go on with the other {rest} by --set data.skip_bad=true (translate, evaluate: --skip-bad)"
    raise DataError(f"{message}; {way_out}")


def _images(count: int, kind: str = "") -> str:
    return f"{count} {kind}image{'' if count == 1 else 's'}"
