"""Which images there are under a path: their names, found by suffix. Nothing is decoded. No torch."""

import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

from ganas.data.decode import reason_of
from ganas.errors import DataError, shown

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"),
    *(".avif", ".jfif", ".jpe", ".jp2", ".j2k", ".tga"),
)


@dataclass(frozen=True)
class Listing:
    """What was found under a path."""

    names: tuple[str, ...]  # sorted, relative to the path, with forward slashes; of one image its own name
    notes: tuple[str, ...] = ()  # what was left out, a line each


def list_images(path: Path) -> Listing:
    """All images under ``path``, not yet looked into. Raises DataError unless there is at least one."""
    if not path.exists():
        raise DataError(f"{shown(path)}: no such file or folder; check the path")
    if path.is_dir():
        names = _names_in_folder(path)
    elif path.is_file() and is_image_name(path.name):
        return Listing((path.name,))
    else:
        names = _names_in_zip(path)
    if not names:
        raise DataError(f"{shown(path)}: no images in it; ganas reads {' '.join(IMAGE_SUFFIXES)}")
    return Listing(tuple(sorted(names)))


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
    raise DataError(f"{shown(error.filename)}: cannot be listed ({error.strerror}); check its permissions") from error


def _names_in_zip(path: Path) -> set[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError) as error:
        if path.suffix.lower() == ".zip":
            raise DataError(f"{shown(path)}: cannot be read as a zip ({reason_of(error)}); make it again") from error
        kinds = " ".join(IMAGE_SUFFIXES)
        raise DataError(f"{shown(path)}: neither a folder, a zip nor an image; ganas reads {kinds}") from error
    for member in members:
        if _leads_out(member.filename):
            found = f"names a member outside itself ({shown(member.filename)})"
            raise DataError(f"{shown(path)}: refused, it {found}; make the zip again with relative names")
    wanted = [member for member in members if not member.is_dir() and _is_wanted(member.filename)]
    if any(member.flag_bits & 0x1 for member in wanted):
        raise DataError(f"{shown(path)}: encrypted; unpack it and pass the folder")
    return {member.filename for member in wanted}


def _leads_out(name: str) -> bool:
    parts = re.split(r"[/\\]", name)  # zips from Windows may hold backslashes
    return ".." in parts or parts[0] == "" or bool(re.match(r"[A-Za-z]:$", parts[0]))


def _is_wanted(name: str) -> bool:
    return is_image_name(name) and not any(_is_ignored(part) for part in PurePosixPath(name).parts)


def _is_ignored(part: str) -> bool:
    return part.startswith(".") or part == "__MACOSX"


def is_image_name(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES)
