"""What this machine is and what it is good at: cores, devices, bf16, memory."""

import ctypes
import os
import re
import sys
from contextlib import suppress
from math import inf
from pathlib import Path, PurePosixPath

import torch

from ganas.errors import ConfigError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h


def fast_bf16(device: str) -> bool:
    """Whether a device (``auto``: the one a run would take) multiplies bf16 natively, faster than float32."""
    if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capability = torch.backends.cpu.get_cpu_capability()
    flags = _cpu_flags()
    return "AVX512" in capability and bool({"avx512_bf16", "amx_bf16"} & flags)


def _cpu_flags() -> set[str]:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return set(line.split())
    except OSError:
        pass
    return set()


def default_threads() -> int:
    """Threads of a run that is told no number: what OMP_NUM_THREADS says, else a core each."""
    said = re.match(r"\s*([1-9][0-9]{0,3})\s*(,|$)", os.environ.get("OMP_NUM_THREADS", ""))
    return int(said[1]) if said else cores()


def cores() -> int:
    """The cores this process may use: those of its affinity, fewer where a container is allowed fewer."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(found, cgroup_cores())))


def cgroup_cores(root: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")) -> float:
    """How many cores' time the cgroups (version 2) of this process may take; inf without a limit."""
    limits = [inf]
    with suppress(OSError, StopIteration):
        own = next(line[3:] for line in groups.read_text().splitlines() if line.startswith("0::/"))
        for group in (PurePosixPath(own), *PurePosixPath(own).parents):
            with suppress(OSError, ValueError):  # there is none, or it says max
                quota, period = (root / group.relative_to("/") / "cpu.max").read_text().split()
                limits.append(int(quota) / int(period))
    return min(limits)


def check_device(name: str) -> None:
    """Raise `ConfigError` unless this machine has the device."""
    try:
        device = torch.device("cpu" if name == "auto" else name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ConfigError(f"training.device: there is no device {name!r}: choose auto, cpu, cuda or cuda:N")
    found = torch.cuda.device_count() if device.type == "cuda" else 1
    if (device.index or 0) >= found:
        raise ConfigError(f"training.device: {name!r} is not here, this machine has {found} CUDA devices: choose cpu")


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
