"""List the images under a path by suffix. Nothing is decoded. No torch."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

from ganas.errors import DataError, shown
from ganas.paths import is_hidden
from ganas.store import CONFIG, is_run_config

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"),
    *(".avif", ".jfif", ".jpe", ".jp2", ".j2k", ".tga"),
)

NOT_IMAGES = f"neither a folder, a zip nor an image; ganas reads {' '.join(IMAGE_SUFFIXES)}"

# Image formats that ganas does not read; a note names such files.
OTHER_SUFFIXES = (
    *(".heic", ".heif", ".jxl", ".svg", ".psd", ".xcf", ".eps", ".exr", ".hdr", ".ico", ".pcx"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"),
)

HEADER_BYTES = 256  # enough to recognize a run's config

ReadHeader = Callable[[str], bytes]  # file name -> its first bytes, empty if it cannot be read
Tree = dict[str, list[str]]  # folder, relative with forward slashes, "" for the top -> names of the files in it


@dataclass(frozen=True)
class Listing:
    """The images under a path."""

    names: Sequence[str]  # sorted, relative to the path, with forward slashes; for a single image its own name
    notes: tuple[str, ...] = ()  # what was left out, one line each


def list_folder(path: Path) -> Listing:
    """List all images under a folder without decoding them. Raises DataError if there is none.

    Runs of ganas are left out, so that it does not learn from its own results.
    """
    return _select_images(path, _folder_tree(path), lambda name: _file_header(path / name))


def list_names(path: Path, names: Iterable[str], read_header: ReadHeader) -> Listing:
    """List all images of a container whose names have forward slashes, as `list_folder` does."""
    tree: Tree = {}
    for name in names:
        folder, _, file = name.rpartition("/")
        tree.setdefault(folder, []).append(file)
    return _select_images(path, tree, read_header)


def is_image_name(name: str) -> bool:
    """Whether a file has the suffix of an image."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def _select_images(path: Path, tree: Tree, read_header: ReadHeader) -> Listing:
    """Select the images that are data, and write notes on the rest."""
    data: list[str] = []
    results: list[str] = []
    others: list[str] = []
    runs: set[str] = set()
    for folder in sorted(tree):  # from the top
        above = {parent.as_posix() for parent in PurePosixPath(folder).parents}
        if above & runs or (CONFIG in tree[folder] and is_run_config(read_header(_joined(folder, CONFIG)))):
            runs.add(folder)
        if any(map(is_hidden, PurePosixPath(folder).parts)):
            continue
        visible = [file for file in tree[folder] if not is_hidden(file)]
        images = results if folder in runs else data
        images += [_joined(folder, file) for file in visible if is_image_name(file)]
        others += [_joined(folder, file) for file in visible if file.lower().endswith(OTHER_SUFFIXES)]
    if "" in runs:
        raise DataError(f"{shown(path)}: a run of ganas, not a set of images: give a folder of images")
    not_read = f"{_some(others)} not read, {_kinds(others)}: convert them to .png or .jpg" if others else ""
    if not data:
        alone = "; it contains only runs of ganas" if results else ""
        hint = f"; {not_read}" if others else f"; ganas reads {' '.join(IMAGE_SUFFIXES)}"
        raise DataError(f"{shown(path)}: no images in it{alone}{hint}")
    left_out = f"{_some(results)} left out, written by runs of ganas" if results else ""
    return Listing(tuple(sorted(data)), tuple(filter(None, (left_out, not_read))))


def _joined(folder: str, file: str) -> str:
    return f"{folder}/{file}" if folder else file


def _file_header(file: Path) -> bytes:
    if not file.is_file():  # opening a pipe would wait forever
        return b""
    with suppress(OSError), file.open("rb") as stream:
        return stream.read(HEADER_BYTES)
    return b""


def _some(names: Sequence[str]) -> str:
    """``3 files (a/b.png, …)``."""
    more = ", …" if len(names) > 1 else ""
    return f"{len(names)} file{'s' * (len(names) > 1)} ({shown(min(names))}{more})"


def _kinds(names: Sequence[str]) -> str:
    counts = Counter(PurePosixPath(name).suffix.lower() for name in names)
    return ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common())


def _folder_tree(folder: Path) -> Tree:
    """Return the files under ``folder``. Links to folders are followed, but no folder is entered twice."""
    tree: Tree = {}
    seen: set[tuple[int, int]] = set()  # device and inode of each folder
    for here, folders, files in os.walk(folder, followlinks=True, onerror=_refuse_folder):
        status = os.stat(here)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()  # a link to a parent would be followed forever
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        relative = Path(here).relative_to(folder).as_posix()
        tree["" if relative == "." else relative] = files
    return tree


def _refuse_folder(error: OSError) -> NoReturn:
    raise DataError(f"{shown(error.filename)}: cannot be listed ({error.strerror}): check its permissions") from error
