"""A zip of image files, read in place."""

import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ganas.data.containers.base import Container, Handle, Stamps, check_size, stamp_of
from ganas.data.listing import Listing, list_zip, member_name, open_zip


class _Opened(NamedTuple):
    archive: zipfile.ZipFile
    members: Mapping[str, zipfile.ZipInfo]  # by `member_name`


@dataclass(frozen=True)
class Zip(Container):
    """A zip; names are those of its members. Its directory is held once a process, for all threads."""

    path: Path
    _handle: Handle[_Opened] = field(default_factory=Handle, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[type["Zip"], tuple[Path]]:
        return Zip, (self.path,)

    def list(self) -> Listing:
        return list_zip(self.path, self._opened.archive)

    def read(self, name: str, /) -> bytes:
        archive, members = self._opened
        check_size(members[name].file_size)  # zipfile never inflates more than this field declares
        return archive.read(members[name])

    def stamps(self, names: Sequence[str], /) -> Stamps:
        members, changed = self._opened.members, stamp_of(os.stat(self.path))[2]
        rows = [(members[name].file_size, members[name].CRC, changed) for name in names]
        return np.array(rows, np.int64).reshape(-1, 3)

    @property
    def _opened(self) -> _Opened:
        return self._handle.get(self._open)

    def _open(self) -> _Opened:
        archive = open_zip(self.path)
        return _Opened(archive, {member_name(member): member for member in archive.infolist() if not member.is_dir()})
