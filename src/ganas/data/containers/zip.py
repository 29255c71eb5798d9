"""A zip of image files, read in place."""

import os
import re
import struct
import weakref
import zipfile
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ganas.data.containers.base import Container, Handle, Stamps, check_size, stamp_of
from ganas.data.decode import short_reason
from ganas.data.keys import Keys
from ganas.data.limits import UnreadableError
from ganas.data.listing import HEADER_BYTES, NOT_IMAGES, Listing, list_names
from ganas.errors import DataError, shown

DAMAGE = (zipfile.BadZipFile, NotImplementedError, OverflowError, ValueError, struct.error)  # what zipfile raises
LOCAL_HEADER_BYTES = 30  # besides the name
UNIX = 3  # where a backslash is an ordinary character
MEMBER = np.dtype(
    [
        ("header_offset", "i8"),
        ("compress_size", "i8"),
        ("file_size", "i8"),
        ("CRC", "u4"),
        ("compress_type", "u2"),
        ("flag_bits", "u2"),
    ]
)  # attributes of `zipfile.ZipInfo` that reading needs


@dataclass(frozen=True)
class Zip(Container):
    """A zip; names are those of its members. Its directory is held once a process, for all threads."""

    path: Path
    _handle: "Handle[_Opened]" = field(default_factory=Handle, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[type["Zip"], tuple[Path]]:
        return Zip, (self.path,)

    def list(self) -> Listing:
        opened = self._opened
        return list_names(self.path, opened.names, opened.header)

    def read(self, name: str, /) -> bytes:
        opened = self._opened
        member = opened.member(name)
        check_size(member.file_size)  # zipfile never inflates more than this field declares
        return opened.archive.read(member)

    def stamps(self, names: Sequence[str], /) -> Stamps:
        opened, stamps = self._opened, np.empty((len(names), 3), np.int64)
        found = opened.members[np.fromiter(opened.indices(names), np.int64, len(names))]
        stamps[:, 0], stamps[:, 1] = found["file_size"], found["CRC"]
        stamps[:, 2] = stamp_of(os.stat(self.path))[2]
        return stamps

    @property
    def _opened(self) -> "_Opened":
        return self._handle.get(lambda: _Opened(self.path))


class _Opened:
    """An open zip and its directory, without directories in it: of members with one name the last.

    Raises `DataError` for a zip that is damaged, encrypted or unsafe. A member takes 32 bytes and its name; zipfile's
    objects, which are dropped after opening, 750.
    """

    def __init__(self, path: Path) -> None:
        self.archive = _open_zip(path)
        files = _checked_members(path, self.archive)
        names = [_member_name(member) for member in files]
        order = sorted(range(len(names)), key=names.__getitem__)
        following = [*order[1:], -1]
        order = [one for one, after in zip(order, following, strict=True) if after < 0 or names[one] != names[after]]
        self.names = Keys.of(names[index].encode("utf-8", "surrogateescape") for index in order)
        facts = (tuple(getattr(files[index], name) for name in MEMBER.names or ()) for index in order)
        try:
            self.members = np.fromiter(facts, MEMBER, len(order))
        except OverflowError as error:
            raise _damaged(path, "a member of 2^63 bytes or more") from error
        stored = ((place, files[index].orig_filename, names[index]) for place, index in enumerate(order))
        self._stored = {place: original for place, original, name in stored if original != name}
        self.archive.filelist.clear()
        self.archive.NameToInfo.clear()

    def member(self, name: str) -> zipfile.ZipInfo:
        """Return what zipfile needs to read a member; raises `UnreadableError` if there is none."""
        index = self._index(name)
        member = zipfile.ZipInfo(self._stored.get(index, name))
        for attribute, value in zip(MEMBER.names or (), self.members[index].item(), strict=True):
            setattr(member, attribute, value)
        return member

    def header(self, name: str) -> bytes:
        """Return the first bytes of a member, empty if it cannot be read."""
        with suppress(Exception), self.archive.open(self.member(name)) as stream:  # damaged ones raise anything
            return stream.read(HEADER_BYTES)
        return b""

    def indices(self, names: Sequence[str]) -> Iterator[int]:
        """Yield the place of each name; fast for names in their order, as listings are."""
        place = -1
        for name in names:
            place = place + 1 if self._is_at(place + 1, name) else self._index(name)
            yield place

    def _is_at(self, place: int, name: str) -> bool:
        return place < len(self.names) and self.names[place] == name

    def _index(self, name: str) -> int:
        place = bisect_left(self.names, name)
        if not self._is_at(place, name):
            raise UnreadableError("no longer in the zip")
        return place


def _member_name(member: zipfile.ZipInfo) -> str:
    """Return a member's name with forward slashes: some zips made on Windows contain backslashes."""
    return member.filename if member.create_system == UNIX else member.filename.replace("\\", "/")


def _open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip to be read by any number of threads; raises DataError for a file of another kind."""
    try:
        with ExitStack() as stack:
            # a file that zipfile opened itself it closes after the last user, and it counts them without a lock
            file = stack.enter_context(path.open("rb"))
            archive = zipfile.ZipFile(file)
            weakref.finalize(archive, stack.pop_all().close)
            return archive
    except (*DAMAGE, OSError) as error:
        if path.suffix.lower() == ".zip":
            raise _damaged(path, short_reason(error)) from error
        raise DataError(f"{shown(path)}: {NOT_IMAGES}") from error


def _damaged(path: Path, reason: str) -> DataError:
    return DataError(f"{shown(path)}: cannot be read as a zip ({reason}): make it again")


def _checked_members(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return all files of a zip; raises DataError if members overlap, are encrypted or have a path outside the zip."""
    members = archive.infolist()
    if _overlap(members, archive.start_dir):
        raise _damaged(path, "members overlap")
    for member in members:
        if _escapes(member.filename):
            unsafe = f"contains a path outside itself ({shown(member.filename)})"
            raise DataError(f"{shown(path)}: refused, it {unsafe}: make the zip again with relative names")
    files = [member for member in members if not member.is_dir()]
    if any(member.flag_bits & 0x1 for member in files):
        raise DataError(f"{shown(path)}: encrypted: unpack it and pass the folder")
    return files


def _overlap(members: Sequence[zipfile.ZipInfo], end: int) -> bool:
    """Whether a member reaches into the next, or beyond `end`; zipfile checks only what it listed itself."""
    try:
        starts = np.fromiter((member.header_offset for member in members), np.int64, len(members))
        headers = (LOCAL_HEADER_BYTES + len(member.orig_filename) + member.compress_size for member in members)
        sizes = np.fromiter(headers, np.int64, len(members))
    except OverflowError:
        return True
    order = np.argsort(starts)
    return bool(np.any(starts < 0) or np.any(np.diff(starts[order], append=end) < sizes[order]))


def _escapes(name: str) -> bool:
    parts = re.split(r"[/\\]", name)  # zips from Windows may hold backslashes
    return ".." in parts or parts[0] == "" or bool(re.match(r"[A-Za-z]:$", parts[0]))
