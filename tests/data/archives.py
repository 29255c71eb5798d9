"""Small data sets in the formats they are published in, written byte by byte: nothing here is what ganas reads with."""

import io
import struct
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))


def random_images(count: int, side: int = 32, seed: int = 0) -> Pixels:
    """uint8 [count, 3, side, side]."""
    return np.random.default_rng(seed).integers(0, 256, (count, 3, side, side), dtype=np.uint8)


def text(value: bytes) -> bytes:
    """A string, as Python 2 pickles it."""
    return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def array(
    pixels: bytes, shape: tuple[int, ...], kind: bytes = b"u1", module: bytes = b"numpy.core.multiarray"
) -> bytes:
    """An array, as numpy 1 pickles it under Python 2, with protocol 2."""
    empty = b"c" + module + b"\n_reconstruct\n" + b"(cnumpy\nndarray\n" + b"(" + number(0) + b"t" + text(b"b") + b"tR"
    sides = b"(" + b"".join(map(number, shape)) + b"t"
    dtype = b"cnumpy\ndtype\n(" + text(kind) + number(0) + number(1) + b"tR"
    dtype += b"(" + number(3) + text(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    return empty + b"(" + number(1) + sides + dtype + b"\x89" + text(pixels) + b"tb"


def batch(images: Pixels, data: bytes | None = None, labels: int | None = None) -> bytes:
    """A batch of CIFAR-10's python archive."""
    count = len(images)
    listed = b"](" + b"".join(number(index % 10) for index in range(count if labels is None else labels)) + b"e"
    data = array(images.tobytes(), (count, 3072)) if data is None else data
    items = {b"batch_label": text(b"training batch 1 of 5"), b"labels": listed, b"data": data, b"filenames": b"]"}
    return b"\x80\x02}(" + b"".join(text(key) + value for key, value in items.items()) + b"u."


def cifar_folder(folder: Path, images: Pixels) -> Path:
    """The python archive, unpacked: the images over five batches, and others for testing."""
    folder.mkdir(parents=True)
    for name, part in zip(BATCHES, np.array_split(images, 5), strict=True):
        (folder / name).write_bytes(batch(part))
    (folder / "test_batch").write_bytes(batch(random_images(3, seed=9)))
    (folder / "batches.meta").write_bytes(b"\x80\x02}.")
    return folder


def cifar_tar(path: Path, images: Pixels) -> Path:
    files = {name: batch(part) for name, part in zip(BATCHES, np.array_split(images, 5), strict=True)}
    return tar_of(path, {f"cifar-10-batches-py/{name}": content for name, content in files.items()})


def tar_of(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def cifar_binary(folder: Path, images: Pixels) -> Path:
    folder.mkdir(parents=True)
    for name, part in zip(BATCHES, np.array_split(images, 5), strict=True):
        records = (bytes([index % 10]) + image.tobytes() for index, image in enumerate(part))
        (folder / f"{name}.bin").write_bytes(b"".join(records))
    return folder


def stl_binary(folder: Path, images: Pixels) -> Path:
    """Pixels lie in columns."""
    folder.mkdir(parents=True)
    for name, part in zip(("train_X.bin", "unlabeled_X.bin"), np.array_split(images, 2), strict=True):
        (folder / name).write_bytes(part.transpose(0, 1, 3, 2).tobytes())
    return folder
