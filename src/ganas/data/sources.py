"""Where images come from: a folder, a zip or a single file, read through one class.

The image convention, said once for the whole package: images are uint8 NCHW RGB in data and metrics, and float in
[-1, 1] in networks. (:mod:`ganas.data.loaders` converts between the two; a source itself hands out Pillow images.)

Anything wrong with a data set is found up front by :func:`open_source` and reported in one line, because a
broken file that turns up after six hours of training is worth more than the seconds it takes to decode each image once.
A zip is read in place and never extracted. No torch here.
"""

import hashlib
import os
import statistics
import threading
import zipfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from math import inf
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from PIL import Image

from ganas.data.audit import AuditedFile, decide, listed
from ganas.data.decode import decoded, inspect, reason_of
from ganas.data.images import Images
from ganas.data.levels import DEFAULT_READING, FULL, Reading
from ganas.data.limits import UnreadableError
from ganas.data.listing import is_image_name, list_images, member_name
from ganas.data.threads import Threads
from ganas.errors import ConfigError, DataError, counted, shown
from ganas.paths import StrPath, as_path

MINIMUM_IMAGES = 2  # a domain of one image has no distribution to learn
MAX_BYTES = 1 << 30  # an encoded image larger than this is no image: 178 million pixels are 0.5 GiB uncompressed

T = TypeVar("T")


@dataclass(frozen=True)
class ImageSource(Images):
    """Images by index, from a folder, a zip or a single file.

    Made by :func:`open_source`. May be read from several threads at once, and pickled into worker processes: each
    thread of each process opens a zip for itself, on first use.
    """

    path: Path  # the folder, the zip or the image
    names: tuple[str, ...]  # sorted, relative to path, with forward slashes: "night/street 1.png"
    notes: tuple[str, ...] = field(default=(), compare=False)  # what was decided about them, a line each
    reading: Reading = DEFAULT_READING  # what they leave open, decided for all of them
    _handles: threading.local = field(default_factory=threading.local, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.names)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_handles"}  # open handles stay behind

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _handles=threading.local())

    def read(self, index: int, /) -> Image.Image:
        """Image number ``index``, decoded, upright, in mode RGB: 8 bits, any size.

        EXIF orientation is applied. Of an animation or a stack of pages it is the first. Modes become RGB so:

        - 1 bit, gray, palette, YCbCr, CMYK: Pillow's conversion (knows Adobe's inverted CMYK).
        - Color profiles (ICC) other than sRGB are converted to it, unless ``reading.icc`` is off.
        - Transparency (RGBA, LA, a palette's or a color key): laid over white.
        - More than 8 bits, and floating point: ``reading`` says which value is white, once for the whole set; higher
          ones are white, too. Of 16-bit color Pillow keeps the high byte, unless the set has fewer bits in its 16.

        Raises DataError, in one line, when the file has become unreadable or its values fit none of these ranges.
        """
        with self.opened(index) as image:
            return image

    @contextmanager
    def opened(self, index: int, /) -> Iterator[Image.Image]:
        """As `read`, for what becomes smaller in the block: until its end, other threads do not fill the memory."""
        name = self.names[index]
        with ExitStack() as stack:
            try:
                image = stack.enter_context(decoded(self._encoded(name), name, self.reading))
            except UnreadableError as error:
                raise self._refusal(name, error) from error
            yield image

    def digest(self) -> str:
        """16 hex digits that change when a name, a byte or the reading of an image does.

        A folder and its zip have the same.
        """

        def digest_of(index: int) -> bytes:
            name = self.names[index]
            try:
                return hashlib.sha256(self._encoded(name)).digest()
            except UnreadableError as error:
                raise self._refusal(name, error) from error

        total = hashlib.sha256()
        for name, content in zip(self.names, in_threads(digest_of, len(self)), strict=True):
            total.update(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest() + content)
        total.update(self.reading.digest_suffix.encode())  # nothing for ordinary images
        return total.hexdigest()[:16]

    @property
    def files(self) -> frozenset[tuple[str, str]]:
        """Each image by where it really lies, whatever links lead there: the file, or its zip and its name there."""
        if not self.path.is_dir():
            return frozenset((os.path.realpath(self.path), name) for name in self.names)
        parents = {parent: os.path.realpath(self.path / parent) for parent in {_parent(name) for name in self.names}}
        places = (os.path.join(parents[_parent(name)], name.rpartition("/")[2]) for name in self.names)
        return frozenset((os.path.realpath(place) if os.path.islink(place) else place, "") for place in places)

    def subset(self, indices: Iterable[int]) -> "ImageSource":
        """The images at ``indices``, in that order."""
        return replace(self, names=tuple(self.names[index] for index in indices))

    def place(self, name: str) -> str:
        """Where one of the images is, for people."""
        return str(self.path) if name == self.path.name else f"{self.path}/{name}"

    def _refusal(self, name: str, error: UnreadableError) -> DataError:
        return DataError(f"{shown(self.place(name))}: {error}; repair or remove it")

    def _encoded(self, name: str) -> bytes:
        """The bytes of one file, at most MAX_BYTES. Raises UnreadableError."""
        try:
            if self.path.is_dir():
                return _file_bytes(self.path / name)
            if is_image_name(self.path.name):
                return _file_bytes(self.path)
            return self._member_bytes(name)
        except Exception as error:  # files, zips and their codecs fail in a dozen ways; all mean the same to the user
            raise UnreadableError(reason_of(error)) from error

    def _member_bytes(self, name: str) -> bytes:
        """Of a zip, by this thread's handle. A forked process must not use its parent's: they share one position."""
        if getattr(self._handles, "process", None) != os.getpid():
            self._handles.zip = zipfile.ZipFile(self.path)
            self._handles.members = {member_name(member): member for member in self._handles.zip.infolist()}
            self._handles.process = os.getpid()
        member = self._handles.members[name]
        if member.file_size > MAX_BYTES:  # zipfile never inflates more than this field declares
            raise UnreadableError("file too large")
        content: bytes = self._handles.zip.read(member)
        return content


@dataclass(frozen=True)
class SourceReport:
    """What is in a data set, broken files included."""

    path: Path
    count: int  # images that can be read
    broken: tuple[tuple[str, str], ...]  # (name, reason) of the others
    sizes: dict[str, tuple[int, int]]  # "min", "median", "max" -> (width, height) in pixels, each side by itself
    modes: dict[str, int]  # Pillow mode as stored -> images, most frequent first
    bytes: int  # size of all image files as stored
    notes: tuple[str, ...] = ()  # what was decided about them, a line each

    def as_json(self) -> dict[str, Any]:
        """As a JSON-serializable dict."""
        return {**asdict(self), "path": str(self.path)}

    def __str__(self) -> str:
        """A human-readable summary."""
        lines = [f"{shown(self.path)}: {counted(self.count, 'image')}, {self.bytes / 10**6:.1f} MB"]
        if self.count:
            sizes = ", ".join(f"{key} {width}×{height}" for key, (width, height) in self.sizes.items())
            modes = ", ".join(f"{count} {mode}" for mode, count in self.modes.items())
            lines.append(f"  sizes: {sizes}; modes: {modes}")
        else:
            lines.append("  empty: none of its files is an image that can be read")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join([*lines, *(f"  broken: {shown(name)}: {reason}" for name, reason in self.broken)])


def open_source(
    place: StrPath,
    *,
    skip_bad: bool = False,
    minimum: int = 1,
    resolution: int = 1,
    verify: bool = True,
    white: float | None = None,
    icc: bool = True,
) -> ImageSource:
    """The images under ``place``: a folder with its sub-folders, a zip, or one image file.

    Files count by suffix (``IMAGE_SUFFIXES``, any case); hidden files and ``__MACOSX`` do not. With ``verify`` each
    image is decoded once (thousands of images of 256² a second on two cores), and what files leave open is decided for
    all of them: it is in the source's ``notes``. Without, 16 bits are taken to be 16, and floating point per image.

    skip_bad: leave out images that cannot be read, instead of refusing the source.
    minimum: the number of usable images that must remain.
    resolution: pixels that the shorter side of each must have, where they are verified.
    white: the value that is white in images of more than 8 bits a sample; None: their tags and values tell.
    icc: convert color profiles other than sRGB.

    Raises DataError, in one line with the way out: path missing, or neither folder, zip nor image; no images, or fewer
    than ``minimum``; images that cannot be read, or are smaller than ``resolution``; a zip that is damaged, encrypted,
    or names members outside itself.
    """
    _check_white(white)
    source = _listed(as_path(place))
    if not verify:
        reading = replace(
            DEFAULT_READING, integer=white or FULL, floating=white, icc=icc, white_given=white is not None
        )
        return _with_enough(replace(source, reading=reading), minimum)
    source, found = _looked_into(source, white_given=white is not None)
    broken = [one for one in found if not one.facts]
    if broken and not skip_bad:
        _refuse_broken(source, broken, minimum)
    reading, notes = decide(found, white, icc)
    if broken:
        notes = (
            f"{len(broken)} of {counted(len(found), 'image')} cannot be read and are left out ({listed(broken)})",
            *notes,
        )
    names = tuple(one.name for one in found if one.facts)
    _check_resolution(source, found, resolution)
    return _with_enough(replace(source, names=names, notes=source.notes + notes, reading=reading), minimum, len(broken))


def _with_enough(source: ImageSource, minimum: int, broken: int = 0) -> ImageSource:
    if len(source) >= minimum:
        return source
    rest = f" ({broken} cannot be read)" if broken else ""
    raise DataError(f"{shown(source.path)}: {counted(len(source), 'usable image')}, {minimum} needed{rest}; add images")


def _check_resolution(source: ImageSource, found: Sequence[AuditedFile], resolution: int) -> None:
    sides = {one.name: (one.facts.width, one.facts.height) for one in found if one.facts}
    small = [name for name, size in sides.items() if min(size) < resolution]
    if small:
        name = min(small, key=lambda name: min(sides[name]))
        raise DataError(
            f"--resolution {resolution} is larger than the images, the smallest has {min(sides[name])} pixels a side "
            f"({shown(source.place(name))}): lower it, or leave small images out ({len(small)} of {len(sides)})"
        )


def notes_of(*sources: ImageSource) -> list[str]:
    """Notes on how these sets are read, each with its set's path and without repeats."""
    return [*dict.fromkeys(f"{shown(source.path)}: {note}" for source in sources for note in source.notes)]


def check_apart(one: ImageSource, other: ImageSource) -> bool:
    """Whether two sets are the same files; raises `DataError` if they overlap partially."""
    mine, theirs = one.files, other.files
    shared = len(mine & theirs)
    if shared and mine != theirs:
        raise DataError(
            f"{shown(one.path)} and {shown(other.path)} share {counted(shared, 'image')}: give sets that share none, "
            f"the one outside of the other"
        )
    return bool(shared)


def check_halves(count: int, place: str, strategy: str, way_out: str) -> None:
    """Raise `DataError` where half of a domain's images to learn from is less than a domain has to have."""
    if count < 2 * MINIMUM_IMAGES:
        raise DataError(
            f"{place} has {count} images to learn from, and {strategy} halves them; "
            f"{2 * MINIMUM_IMAGES} needed: {way_out}"
        )


def check_source(place: StrPath, *, white: float | None = None, icc: bool = True) -> SourceReport:
    """Decode every image under ``place`` and summarize the data set. Broken images are reported, not raised.

    Raises DataError where there is nothing to look at: as :func:`open_source`, but for broken images.
    """
    _check_white(white)
    source = _listed(as_path(place))
    source, found = _looked_into(source, white_given=white is not None)
    usable = [one.facts for one in found if one.facts]
    sizes = {}
    if usable:
        for key, pick in (("min", min), ("median", statistics.median_low), ("max", max)):
            sizes[key] = (pick(facts.width for facts in usable), pick(facts.height for facts in usable))
    return SourceReport(
        path=source.path,
        count=len(usable),
        broken=tuple((one.name, one.reason) for one in found if not one.facts),
        sizes=sizes,
        modes=dict(Counter(facts.mode for facts in usable).most_common()),
        bytes=sum(one.bytes for one in found),
        notes=source.notes + decide(found, white, icc)[1],
    )


def in_threads(function: Callable[[int], T], count: int) -> Iterator[T]:
    """``function(0) ... function(count - 1)``, in order, computed by threads: Pillow decodes without the GIL.

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


def _check_white(white: float | None) -> None:
    if white is not None and not 0 < white < inf:
        raise ConfigError(f"{white:g} cannot be white: give the value that is, as 4095 in images of 12 bits")


# Reading one file -----------------------------------------------------------------------------------------------------


def _file_bytes(file: Path) -> bytes:
    if file.exists() and not file.is_file():
        raise UnreadableError("not a regular file")  # reading a pipe would wait forever
    if file.stat().st_size > MAX_BYTES:
        raise UnreadableError("file too large")
    return file.read_bytes()


# Looking at all of them ----------------------------------------------------------------------------------------------


def _looked_into(source: ImageSource, *, white_given: bool) -> tuple[ImageSource, list[AuditedFile]]:
    """What every file holds; white_given: the user says which value is white.

    What ganas made itself is left out where there are other images: it would learn from its own results.
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

    found = list(in_threads(inspect_one, len(source)))
    made = [one.name for one in found if one.facts and one.facts.made_here]
    if not made or not any(one.facts and not one.facts.made_here for one in found):
        return source, found
    note = f"{counted(len(made), 'image')} ({shown(made[0])}{', …' * (len(made) > 1)}) left out, which ganas made"
    left = [one for one in found if not (one.facts and one.facts.made_here)]
    return replace(source, names=tuple(one.name for one in left), notes=(*source.notes, note)), left


def _refuse_broken(source: ImageSource, broken: Sequence[AuditedFile], minimum: int) -> NoReturn:
    message = (
        f"{shown(source.path)}: {len(broken)} of {counted(len(source), 'image')} cannot be read ({listed(broken)})"
    )
    rest = len(source) - len(broken)
    way_out = "repair or remove them"
    if rest >= max(minimum, 1):
        way_out += f", or go on with the other {rest} by --set data.skip_bad=true (translate, evaluate: --skip-bad)"
    raise DataError(f"{message}; {way_out}")


def _parent(name: str) -> str:
    return name.rpartition("/")[0]
