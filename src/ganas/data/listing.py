"""List the images under a path by suffix. Nothing is decoded. No torch."""

import os
import re
import weakref
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

from ganas.data.decode import short_reason
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


def list_zip(path: Path, archive: zipfile.ZipFile) -> Listing:
    """List all images in a zip, as `list_folder` does; raises DataError for a zip that is encrypted or unsafe."""
    members = {member_name(member): member for member in _checked_members(path, archive)}
    tree: Tree = {}
    for name in members:
        folder, _, file = name.rpartition("/")
        tree.setdefault(folder, []).append(file)
    return _select_images(path, tree, lambda name: _member_header(archive, members[name]))


def is_image_name(name: str) -> bool:
    """Whether a file has the suffix of an image."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def member_name(member: zipfile.ZipInfo) -> str:
    """Return a member's name with forward slashes: some zips made on Windows contain backslashes."""
    return member.filename if member.create_system == UNIX else member.filename.replace("\\", "/")


UNIX = 3  # where a backslash is an ordinary character


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


def _member_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    with suppress(Exception), archive.open(member) as stream:  # damaged members raise a dozen exception types
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


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip to be read by any number of threads; raises DataError for a file of another kind."""
    try:
        with ExitStack() as stack:
            # a file that zipfile opened itself it closes after the last user, and it counts them without a lock
            file = stack.enter_context(path.open("rb"))
            archive = zipfile.ZipFile(file)
            weakref.finalize(archive, stack.pop_all().close)
            return archive
    except (zipfile.BadZipFile, OSError) as error:
        if path.suffix.lower() == ".zip":
            raise DataError(f"{shown(path)}: cannot be read as a zip ({short_reason(error)}): make it again") from error
        raise DataError(f"{shown(path)}: {NOT_IMAGES}") from error


def _checked_members(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return all files of a zip; raises DataError if one is encrypted or has a path outside of the zip."""
    members = archive.infolist()
    for member in members:
        if _escapes(member.filename):
            unsafe = f"contains a path outside itself ({shown(member.filename)})"
            raise DataError(f"{shown(path)}: refused, it {unsafe}: make the zip again with relative names")
    files = [member for member in members if not member.is_dir()]
    if any(member.flag_bits & 0x1 for member in files):
        raise DataError(f"{shown(path)}: encrypted: unpack it and pass the folder")
    return files


def _escapes(name: str) -> bool:
    parts = re.split(r"[/\\]", name)  # zips from Windows may hold backslashes
    return ".." in parts or parts[0] == "" or bool(re.match(r"[A-Za-z]:$", parts[0]))
