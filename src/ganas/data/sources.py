"""Image sources: images by index from whatever holds them, read through one class.

The image convention of the whole package: uint8 NCHW RGB in data and metrics, float in [-1, 1] in networks.
(:mod:`ganas.data.loaders` converts between the two; a source itself returns Pillow images.)

:func:`open_source` decodes each image once, or of a large set a sample, so that a broken file is reported before
training. No torch here.
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

import numpy as np
from PIL import Image

from ganas.data.audit import decide, describe_broken
from ganas.data.containers.base import Container
from ganas.data.containers.kinds import find_container
from ganas.data.decode import decoded
from ganas.data.images import Images
from ganas.data.keys import take
from ganas.data.levels import DEFAULT_READING, FULL, Reading
from ganas.data.limits import VERIFIED, UnreadableError
from ganas.data.memory import Memory, hash_names, hash_stamps
from ganas.data.unpaired import LIMIT, random_words
from ganas.data.verification import (
    SAMPLE,
    Findings,
    audit,
    note_on_own,
    read_encoded,
    verify_images,
    with_progress,
    without_own,
)
from ganas.errors import ConfigError, DataError, counted, shown
from ganas.paths import StrPath, as_path
from ganas.progress import warn_once

MINIMUM_IMAGES = 2  # a domain of one image has no distribution to learn
MAX_REPLACED = 1000  # broken images in a row that are replaced by the next one: more are no accident
REPLACE_THEM = "replace such images by others with --set data.skip_bad=true (translate, evaluate: --skip-bad)"
ONLY_SAMPLED = "sets above data.verify are only sampled: in a new run, a higher --set data.verify=N checks all first"
LISTING = "listing-"  # in front of a digest that is not of the images' bytes


@dataclass(frozen=True)
class ImageSource(Images):
    """Images by index, opened by :func:`open_source`. Thread-safe and picklable."""

    container: Container  # a folder, a zip, ...
    names: Sequence[str]  # of the images in it, in their order
    notes: tuple[str, ...] = field(default=(), compare=False)  # decisions about how to read them, one line each
    reading: Reading = DEFAULT_READING  # the same for all of them
    sampled: bool = False  # not all of them were decoded before, and the digest is of names, sizes and times
    replaces: bool = False  # a broken image is replaced by the next readable one, which a resume does again

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
        with ExitStack() as stack:
            yield self._decoded(index, stack)

    def _decoded(self, index: int, stack: ExitStack) -> Image.Image:
        for number in range(index, index + (min(len(self), MAX_REPLACED) if self.replaces else 1)):
            name = self.names[number % len(self)]
            try:
                return stack.enter_context(decoded(self._encoded(name), name, self.reading))
            except UnreadableError as error:
                broken = self._unreadable(name, error)
                if self.replaces:
                    warn_once(f"{shown(self.location(name))}: {error}; the next image that can be read replaces it")
        raise broken

    def digest(self) -> str:
        """Return 16 hex digits of all names, bytes and the reading; equal for a folder, its zip and its LMDB.

        Of a sampled set, ``listing-`` and 16 hex digits of names, sizes and times (in a zip, checksums) instead.
        """
        stamps = self.container.stamps(self.names)
        if self.sampled:
            total = hashlib.sha256(hash_names(self.names) + hash_stamps(stamps[:, :2]))
            total.update(self.reading.digest_suffix.encode())
            return LISTING + total.hexdigest()[:16]
        memory, facts = Memory(self.path, self.names, stamps), {"reading": self.reading.digest_suffix}
        kept = (memory.read("digest", **facts) or {}).get("digest")
        if isinstance(kept, str):
            return kept
        digest = self._content_digest()
        memory.write({"digest": digest}, "digest", **facts)
        return digest

    def _content_digest(self) -> str:
        def digest_of(index: int) -> bytes:
            name = self.names[index]
            try:
                return hashlib.sha256(self._encoded(name)).digest()
            except UnreadableError as error:
                raise self._unreadable(name, error) from error

        total = hashlib.sha256()
        digests = with_progress(f"digest of {shown(self.path)}", digest_of, len(self))
        for name, content in zip(self.names, digests, strict=True):
            total.update(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest() + content)
        total.update(self.reading.digest_suffix.encode())  # empty for ordinary images
        return total.hexdigest()[:16]

    @property
    def files(self) -> frozenset[tuple[str, str]]:
        """The real path of each image's file, with links resolved, and its name in a file of several."""
        return self.container.files(self.names)

    def subset(self, indices: Iterable[int]) -> "ImageSource":
        """Return a source of the images at ``indices``, in that order."""
        return replace(self, names=take(self.names, indices))

    def location(self, name: str) -> str:
        """Return the path of an image, for messages."""
        return str(self.path) if name == self.path.name else f"{self.path}/{name}"

    def _unreadable(self, name: str, error: UnreadableError) -> DataError:
        way_out = "; repair or remove it"
        if self.sampled and self.replaces:
            way_out += f", nor can the {min(len(self), MAX_REPLACED) - 1:,} before it be read; {ONLY_SAMPLED}"
        elif self.sampled:
            way_out += f", or {REPLACE_THEM}: the same command resumes; {ONLY_SAMPLED}"
        return DataError(f"{shown(self.location(name))}: {error}{way_out}")

    def _encoded(self, name: str) -> bytes:
        return read_encoded(self.container, name)


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
    # images up to which all are decoded once, to find broken ones and to decide white and color profiles for the whole
    # set (see `notes`); of more, a random sample is. 0: none
    verify: int = VERIFIED,
    limit: int | None = None,  # take so many images, at random; None: all
    seed: int = 0,  # of that choice
    white: float | None = None,  # value of white in images of more than 8 bits a sample; None: by tags and values
    icc: bool = True,  # convert color profiles other than sRGB
) -> ImageSource:
    """Open the images under ``path``: a folder with its sub-folders, a zip, or one image file (docs/data.md: the rest).

    Images are recognized by suffix (``IMAGE_SUFFIXES``, any case); hidden files and ``__MACOSX`` are skipped. Without
    ``verify``, 16-bit images use all bits, and floating point is decided per image.

    Raises DataError for a path that is missing or holds no images; for fewer than ``minimum`` images; for images that
    are unreadable or smaller than ``resolution``; for a zip that is damaged, encrypted, or unsafe.
    """
    _check_white(white)
    source = _list_source(as_path(path))
    if limit is not None and limit < len(source):
        source = _choose(source, limit, seed)
    if not verify:
        reading = Reading(white or FULL, white, icc, white_given=white is not None)
        return _with_enough(replace(source, reading=reading), minimum)
    count = len(source)
    sample = source.subset(_random(count, SAMPLE, 0)) if count > max(verify, SAMPLE) else source
    memory = Memory(source.path, sample.names, source.container.stamps(sample.names))
    found = verify_images(source.container, sample.names, memory, white=white, icc=icc)
    if found.broken and not skip_bad:
        _refuse_broken(source, sample, found, minimum)
    _check_resolution(source, found, resolution)
    source = replace(source, reading=found.reading)
    if sample is not source and len(sample) < count:
        return _with_enough(_sampled(source, sample, found, skip_bad), minimum)
    left_out = {name for name, _ in found.broken} | {*found.made}
    if left_out:
        source = replace(source, names=tuple(name for name in source.names if name not in left_out))
    notes = (*source.notes, *note_on_own(found.made), *_note_on_broken(found, count), *found.notes)
    return _with_enough(replace(source, notes=notes), minimum, len(found.broken))


def _choose(source: ImageSource, limit: int, seed: int) -> ImageSource:
    chosen = source.subset(_random(len(source), limit, seed))
    return replace(chosen, notes=(*source.notes, f"{limit:,} of {len(source):,} images, chosen at random"))


def _random(count: int, chosen: int, seed: int) -> list[int]:
    """Return so many of ``count`` indices, sorted."""
    order = np.argsort(random_words(seed, LIMIT, 0, count)[:, 0], kind="stable")
    return np.sort(order[:chosen]).tolist()  # type: ignore[no-any-return]


def _sampled(source: ImageSource, sample: ImageSource, found: Findings, skip_bad: bool) -> ImageSource:
    """Return a source of which only a sample was decoded, with notes that say so."""
    what = f"{len(sample):,} of {len(source):,} images, chosen at random, were checked"
    then = "a broken one is replaced by the next" if skip_bad else "a broken one ends the run"
    notes = [f"{what}; {then}, and changes are noticed by names, sizes and times: --set data.verify=N checks up to N"]
    if found.broken:
        share = 100 * len(found.broken) / len(sample)
        notes.append(f"{share:.2g} % of these cannot be read ({describe_broken(found.broken)})")
    if found.made:
        notes.append(f"of these, ganas wrote {len(found.made)} ({shown(found.made[0])}), which stay in")
    return replace(source, notes=(*source.notes, *notes, *found.notes), sampled=True, replaces=skip_bad)


def _note_on_broken(found: Findings, count: int) -> tuple[str, ...]:
    if not found.broken:
        return ()
    of = counted(count - len(found.made), "image")
    return (f"{len(found.broken)} of {of} cannot be read and are left out ({describe_broken(found.broken)})",)


def _with_enough(source: ImageSource, minimum: int, broken: int = 0) -> ImageSource:
    if len(source) >= minimum:
        return source
    rest = f" ({broken} cannot be read)" if broken else ""
    raise DataError(f"{shown(source.path)}: {counted(len(source), 'usable image')}, {minimum} needed{rest}: add images")


def _check_resolution(source: ImageSource, found: Findings, resolution: int) -> None:
    small = sum(count for side, count in found.sides.items() if side < resolution)
    if small:
        raise DataError(
            f"--resolution {resolution} is larger than some images, the smallest side is {min(found.sides)} pixels "
            f"({shown(source.location(found.smallest))}): lower it, or leave small images out "
            f"({small} of {sum(found.sides.values())})"
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
    files, made = without_own(audit(source.container, source.names, white_given=white is not None))
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
        notes=(*source.notes, *note_on_own([file.name for file in made]), *decide(files, white, icc)[1]),
    )


def _list_source(path: Path) -> ImageSource:
    """List all images under ``path`` without decoding them. Raises DataError if there is none."""
    container = find_container(path)
    listing = container.list()
    return ImageSource(container, listing.names, listing.notes)


def _check_white(white: float | None) -> None:
    if white is not None and not 0 < white < inf:
        raise ConfigError(f"{white:g} cannot be the value of white: give a positive number, as 4095 for 12 bits")


def _refuse_broken(source: ImageSource, sample: ImageSource, found: Findings, minimum: int) -> NoReturn:
    count, broken = len(sample) - len(found.made), len(found.broken)
    reasons = f"cannot be read ({describe_broken(found.broken)})"
    if len(sample) < len(source):
        checked = f"{len(sample)} of {len(source)} images were checked, and {broken} of them {reasons}"
        raise DataError(f"{shown(source.path)}: {checked}; repair or remove them, or {REPLACE_THEM}; {ONLY_SAMPLED}")
    way_out = "repair or remove them"
    if count - broken >= max(minimum, 1):
        way_out += (
            f", or use the other {count - broken} with --set data.skip_bad=true (translate, evaluate: --skip-bad)"
        )
    raise DataError(f"{shown(source.path)}: {broken} of {counted(count, 'image')} {reasons}; {way_out}")
