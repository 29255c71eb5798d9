"""Memory that a step frees, kept for the next one."""

import ctypes
import sys
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h


def keep_freed_memory() -> None:
    """Tell glibc not to hand large blocks back to the kernel; does nothing elsewhere.

    It does so with every block of 32 MiB or more, which then costs a page fault every 4 KiB when the next step asks for
    it again: a tenth of a training step at 256². The process stays as large as it once was.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None)
            libc.mallopt(M_MMAP_MAX, 0)
            libc.mallopt(M_TRIM_THRESHOLD, -1)
