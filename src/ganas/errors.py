"""The exceptions of ganas, as a tree.

GanasError                  every exception that ganas raises on purpose
├── UserError               the user can fix it: one line, exit code 2, no traceback
│   ├── ConfigError         an option, a preset or a --set key
│   ├── DataError           images: missing, empty, unreadable
│   ├── ArchitectureError   an architecture file or a layout
│   │   └── SizeError       a target size that no width of an architecture comes close to
│   ├── RunError            a run folder: in use, of another config, damaged
│   └── FeatureError        a feature network that cannot be loaded
├── NonFiniteError          a loss or gradient is NaN or infinite: the run stopped, its checkpoints are good
└── Stopped                 SIGINT or SIGTERM: everything is saved, the same command resumes the run
"""

import errno
from pathlib import Path

INTERRUPTED = 130  # exit code after SIGINT, as in shells


class GanasError(Exception):
    """Base class of errors ganas raises on purpose. The message is one line that names the value and the way out."""


class UserError(GanasError):
    """An error that the user can fix."""


class ConfigError(UserError):
    """An option, a preset or a ``--set`` key that ganas cannot use."""


class DataError(UserError):
    """Images that are missing, too few or unreadable."""


class ArchitectureError(UserError):
    """An architecture file, or a layout, that ganas cannot build."""


class SizeError(ArchitectureError):
    """A target size that no width of an architecture comes close to."""


class RunError(UserError):
    """A run folder that is in use, belongs to another config, or is damaged."""


class FeatureError(UserError):
    """An unknown feature network, or one whose weights cannot be loaded."""


class NonFiniteError(GanasError):
    """A loss or a gradient is NaN or infinite. Nothing was saved after it."""


class Stopped(GanasError):
    """The run received a stop signal and has saved everything it needs to resume."""


def shown(name: Path | str) -> str:
    """Escape ``name`` to one line of printable characters: file names may hold any bytes, even undecodable ones."""
    text = str(name)
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def counted(number: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def describe_os_error(error: OSError) -> str:
    """Describe an OSError in one line that ends with the way out, as every user error does."""
    where = f" {str(error.filename)!r}" if error.filename else ""
    ways_out = {
        errno.ENOSPC: "free some disk space and run the same command again",
        errno.EACCES: "choose a folder you may write to",
        errno.EROFS: "choose a writable folder",
        errno.ENOTDIR: "part of the path is a file; choose another path",
        errno.EEXIST: "a file is in the way; choose another path",
    }
    way_out = ways_out.get(error.errno or 0, "check the path and try again")
    return f"{error.strerror or error}{where}: {way_out}"


def is_compiler_failure(error: BaseException) -> bool:
    """Whether torch.compile failed, for example because there is no C++ compiler; does not import torch."""
    return "BackendCompilerFailed" in {base.__name__ for base in type(error).__mro__}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python's, CUDA's or the CPU allocator's; does not import torch."""
    names = {base.__name__ for base in type(error).__mro__}
    return bool(names & {"MemoryError", "OutOfMemoryError"}) or "can't allocate memory" in str(error)
