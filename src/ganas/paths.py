"""Paths as people give them, and the names in a folder that are nobody's. No torch."""

import os
from pathlib import Path

from ganas.errors import ConfigError

StrPath = str | os.PathLike[str]

# What operating systems and network disks leave in folders, in small letters: thumbnails, bins, snapshots, settings.
SYSTEM_NAMES = frozenset(
    (
        *("__macosx", "lost+found", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
        *("@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot"),
        *("$recycle.bin", "recycler", "system volume information"),
    )
)


def as_path(text: StrPath) -> Path:
    """A path; raises `ConfigError` for an empty one, which pathlib takes for the current folder."""
    if not os.fspath(text):
        raise ConfigError("the path is empty, perhaps from a variable that is not set: give one, or . for this folder")
    return Path(text)


def expanded(path: StrPath) -> Path:
    """A path with ~ replaced by the home folder; raises `ConfigError` where there is none."""
    text = os.path.expanduser(os.fspath(path))  # not Path's, to which ./~ is ~
    if text.partition("/")[0] == "~":
        raise ConfigError(f"{text!r}: there is no home folder here, give the whole path")
    return Path(text)


def is_hidden(name: str) -> bool:
    """Whether nobody means this file or folder: its name begins with a dot, or a system left it there."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def visible(folder: Path) -> list[Path]:
    """What is in a folder, sorted, but for what `is_hidden`."""
    return sorted(path for path in folder.iterdir() if not is_hidden(path.name))
