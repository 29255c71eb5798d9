"""What can go wrong, as a tree.

GanasError                  everything ganas raises on purpose
├── UserError               the user can mend it: one line, exit code 2, no traceback
│   ├── ConfigError         an option, a preset or a --set key
│   ├── DataError           images: missing, empty, unreadable
│   ├── ArchitectureError   an architecture file or a layout
│   │   └── SizeError       a size that no width of an architecture comes near
│   ├── RunError            a run folder: in use, of another config, damaged
│   └── FeatureError        a feature network that cannot be had
├── NonFiniteError          a loss or gradient is no longer a number: the run stopped, its checkpoints are good
└── Stopped                 SIGINT or SIGTERM: everything is saved, the same command goes on
"""

import errno
from pathlib import Path

INTERRUPTED = 130  # exit code, as shells give it


class GanasError(Exception):
    """Root of every error ganas raises on purpose. The message is one line that names the value and the way out."""


class UserError(GanasError):
    """An error its user can mend."""


class ConfigError(UserError):
    """An option, a preset or a ``--set`` key that ganas cannot use."""


class DataError(UserError):
    """Images that are missing, too few or unreadable."""


class ArchitectureError(UserError):
    """An architecture file, or a layout, that ganas cannot build."""


class SizeError(ArchitectureError):
    """A size that no width of an architecture comes near."""


class RunError(UserError):
    """A run folder that is in use, belongs to another config, or is damaged."""


class FeatureError(UserError):
    """A feature network that is unknown, or whose weights cannot be had."""


class NonFiniteError(GanasError):
    """A loss or a gradient is NaN or infinite. Nothing was saved after it."""


class Stopped(GanasError):
    """The run was asked to stop and has saved everything it needs to go on."""


def shown(name: Path | str) -> str:
    """``name`` in printable characters, on one line: file names may hold anything, even what is no text."""
    text = str(name)
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def counted(number: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def describe_os_error(error: OSError) -> str:
    """One line with the way out, as all errors have it."""
    where = f" {str(error.filename)!r}" if error.filename else ""
    ways_out = {
        errno.ENOSPC: "free some space, and give the same command again",
        errno.EACCES: "choose a place you may write to",
        errno.EROFS: "choose a place that can be written to",
        errno.ENOTDIR: "a part of the path is a file; choose another place",
        errno.EEXIST: "a file is in the way; choose another place",
    }
    way_out = ways_out.get(error.errno or 0, "check the path and try again")
    return f"{error.strerror or error}{where}: {way_out}"


def is_compiler_failure(error: BaseException) -> bool:
    """Whether torch.compile gave up, for want of a C++ compiler for one; asked without importing torch."""
    return "BackendCompilerFailed" in {base.__name__ for base in type(error).__mro__}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python's, CUDA's or the CPU allocator's; asked without importing torch."""
    names = {base.__name__ for base in type(error).__mro__}
    return bool(names & {"MemoryError", "OutOfMemoryError"}) or "can't allocate memory" in str(error)
