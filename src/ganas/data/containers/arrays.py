"""CIFAR-10 and STL-10 as they are published: files that hold the pixels of many images.

=============================  =============================================================================
``cifar-10-batches-py``        five batches for training, one for testing: pickles (:mod:`.cifar_pickle`)
``cifar-10-python.tar.gz``     the same, read in memory: 180 MB
``cifar-10-batches-bin``       the same batches, 3,073 bytes an image: its label, then red, green and blue by rows
``stl10_binary``               27,648 bytes an image: red, green and blue by columns; ``unlabeled_X.bin`` is 2.8 GB
=============================  =============================================================================

A folder or a tar is its training images; a file is itself, for the test images. Each image is handed on as a PPM, an
image file that is a line of text before the pixels.
"""

import gzip
import os
import tarfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ganas.data.containers.base import Container, Handle, Stamps, stamp_of
from ganas.data.containers.cifar_pickle import CHANNELS, SIDE, read_batch
from ganas.data.decode import short_reason
from ganas.data.limits import UnreadableError
from ganas.data.listing import Listing
from ganas.data.unpaired import Pixels
from ganas.errors import DataError, shown

STL_SIDE = 96
MAX_BATCH_BYTES = 1 << 26  # of a pickle; the published ones have 31 MB
_CIFAR_TRAINING = tuple(f"data_batch_{number}" for number in range(1, 6))


def _read_cifar_pickle(file: Path) -> Pixels:
    if file.stat().st_size > MAX_BATCH_BYTES:
        raise UnreadableError("too large for a batch of CIFAR-10")
    return read_batch(file.read_bytes())


def _read_cifar_binary(file: Path) -> Pixels:
    records = _records(file, 1 + CHANNELS * SIDE**2)
    if records[:, 0].max() > 9:
        raise UnreadableError("not a batch of CIFAR-10: its labels are not from 0 to 9")
    return records[:, 1:].reshape(-1, CHANNELS, SIDE, SIDE)


def _read_stl(file: Path) -> Pixels:
    return _records(file, 3 * STL_SIDE**2).reshape(-1, 3, STL_SIDE, STL_SIDE).transpose(0, 1, 3, 2)


def _records(file: Path, size: int) -> Pixels:
    """Map a file as uint8 [n, size]."""
    total = file.stat().st_size
    if not total or total % size:
        raise UnreadableError(f"damaged: {total} bytes are not a whole number of images of {size}")
    return np.memmap(file, np.uint8, "r").reshape(-1, size)


@dataclass(frozen=True)
class _Kind:
    """The files of one of these data sets."""

    title: str
    training: tuple[str, ...]  # file names
    others: tuple[str, ...]
    read: Callable[[Path], Pixels]  # file -> uint8 [n, 3, h, w]; raises UnreadableError
    required: bool = True  # all of the training files, in a folder of them


KINDS = (
    _Kind("CIFAR-10", _CIFAR_TRAINING, ("test_batch",), _read_cifar_pickle),
    _Kind("CIFAR-10", tuple(f"{name}.bin" for name in _CIFAR_TRAINING), ("test_batch.bin",), _read_cifar_binary),
    _Kind("STL-10", ("train_X.bin", "unlabeled_X.bin"), ("test_X.bin",), _read_stl, required=False),
)


@dataclass(frozen=True)
class Arrays(Container):
    """CIFAR-10 or STL-10; names are those of the file and the number in it: ``data_batch_1/00042``."""

    path: Path  # a folder, one of its files, or a tar
    _handle: Handle[Mapping[str, Pixels]] = field(default_factory=Handle, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[type["Arrays"], tuple[Path]]:
        return Arrays, (self.path,)

    def list(self) -> Listing:
        names = (f"{part}/{number:05}" for part, images in self._parts.items() for number in range(len(images)))
        return Listing(tuple(names), self._notes())

    def read(self, name: str, /) -> bytes:
        part, _, number = name.partition("/")
        image = self._parts[part][int(number)]  # [3, h, w]
        pixels: bytes = image.transpose(1, 2, 0).tobytes()
        return b"P6 %d %d 255\n" % image.shape[:0:-1] + pixels

    def stamps(self, names: Sequence[str], /) -> Stamps:
        of_part = {part: stamp_of(os.stat(self._file_of(part))) for part in self._parts}
        return np.array([of_part[name.partition("/")[0]] for name in names], np.int64).reshape(-1, 3)

    def files(self, names: Sequence[str], /) -> frozenset[tuple[str, str]]:
        of_part = {part: os.path.realpath(self._file_of(part)) for part in self._parts}
        return frozenset((of_part[name.partition("/")[0]], name) for name in names)

    @property
    def _parts(self) -> Mapping[str, Pixels]:
        """The images of each file, by its name without suffix: uint8 [n, 3, h, w]."""
        return self._handle.get(lambda: _read_tar(self.path) if _is_tar(self.path) else _read_files(self.path))

    def _file_of(self, part: str) -> Path:
        if not self.path.is_dir():
            return self.path
        return next(self.path / name for name in (part, f"{part}.bin") if (self.path / name).is_file())

    def _notes(self) -> tuple[str, ...]:
        kind = _kind_of(self.path) if self.path.is_dir() else None
        if kind is None or kind.title != "STL-10" or set(self._parts) == {"train_X", "unlabeled_X"}:
            return ()
        return (f"only {' and '.join(self._parts)} of STL-10's training images",)


def holds_arrays(path: Path) -> bool:
    """Whether a path is one of these data sets, or a file of it."""
    return _is_tar(path) or _kind_of(path) is not None


def _is_tar(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith((".tar.gz", ".tgz", ".tar"))


def _kind_of(path: Path) -> _Kind | None:
    if path.is_dir():
        return next((kind for kind in KINDS if any((path / name).is_file() for name in kind.training)), None)
    return next((kind for kind in KINDS if path.is_file() and path.name in kind.training + kind.others), None)


def _read_files(path: Path) -> Mapping[str, Pixels]:
    """Read the training files of a folder, or one file. Raises DataError for one that is missing or damaged."""
    kind = _kind_of(path)
    assert kind, "holds_arrays says so"
    if not path.is_dir():
        return {_part(path.name): _read(path, kind)}
    files = [path / name for name in kind.training]
    missing = [file.name for file in files if not file.is_file()]
    if missing and kind.required:
        raise DataError(f"{shown(path)}: {kind.title} without {missing[0]}: unpack the archive again")
    return {_part(file.name): _read(file, kind) for file in files if file.name not in missing}


def _read(file: Path, kind: _Kind) -> Pixels:
    try:
        return kind.read(file)
    except (UnreadableError, OSError) as error:
        raise DataError(f"{shown(file)}: {short_reason(error)}: download {kind.title} again") from error


def _read_tar(path: Path) -> Mapping[str, Pixels]:
    """Read the training batches of CIFAR-10's python archive."""
    found = {}
    try:
        opened = path.open("rb") if path.suffix.lower() == ".tar" else gzip.open(path)
        with opened as file, tarfile.open(fileobj=file) as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if name in _CIFAR_TRAINING and member.isfile() and name not in found:
                    if member.size > MAX_BATCH_BYTES:
                        raise UnreadableError(f"{name} is too large for a batch of CIFAR-10")
                    stream = archive.extractfile(member)
                    assert stream, "a file"
                    found[name] = read_batch(stream.read())
                elif name in ("train_X.bin", "data_batch_1.bin"):
                    raise UnreadableError("only CIFAR-10's python archive is read as a tar: unpack it, give the folder")
            while file.read(1 << 20):
                pass  # the checksum is at the end
    except (UnreadableError, tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{shown(path)}: {short_reason(error)}{_way_out(error)}") from error
    missing = [name for name in _CIFAR_TRAINING if name not in found]
    if missing:
        raise DataError(f"{shown(path)}: {_what_is_missing(missing)}")
    return {name: found[name] for name in _CIFAR_TRAINING}


def _way_out(error: Exception) -> str:
    return "" if ": unpack it" in str(error) else ": download it again"


def _what_is_missing(missing: Iterable[str]) -> str:
    first, *rest = missing
    if len(rest) == len(_CIFAR_TRAINING) - 1:
        return "a tar that is not CIFAR-10's python archive: unpack it, and give the folder of images"
    return f"CIFAR-10 without {first}: download it again"


def _part(name: str) -> str:
    return name.removesuffix(".bin")
