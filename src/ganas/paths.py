"""User-supplied paths, and the hidden and system files that a folder may hold. No torch."""

import os
from pathlib import Path

from ganas.errors import ConfigError

StrPath = str | os.PathLike[str]

# What operating systems and network drives leave in folders, in lower case: thumbnails, trash, snapshots, settings.
SYSTEM_NAMES = frozenset(
    (
        *("__macosx", "lost+found", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
        *("@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot"),
        *("$recycle.bin", "recycler", "system volume information"),
    )
)


def as_path(text: StrPath) -> Path:
    """Convert to a `Path`; raises `ConfigError` for an empty string, which pathlib takes for the current folder."""
    if not os.fspath(text):
        raise ConfigError("the path is empty (an unset variable?): give a path, or . for the current folder")
    return Path(text)


def expanded(path: StrPath) -> Path:
    """Replace a leading ~ by the home folder; raises `ConfigError` if there is none."""
    text = os.path.expanduser(os.fspath(path))  # not Path.expanduser, which also expands ./~
    if text.partition("/")[0] == "~":
        raise ConfigError(f"{text!r}: there is no home folder: give an absolute path")
    return Path(text)


def is_hidden(name: str) -> bool:
    """Whether to ignore a file or folder: its name starts with a dot, or an operating system left it there."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def visible(folder: Path) -> list[Path]:
    """List the entries of a folder that are not hidden (`is_hidden`), sorted."""
    return sorted(path for path in folder.iterdir() if not is_hidden(path.name))
