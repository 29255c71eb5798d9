"""What this machine is good at: threads, devices, bf16, memory formats. No torch on import."""

import ctypes
import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path, PurePosixPath
from typing import Literal

from ganas.errors import ConfigError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h


MemoryFormat = Literal["channels_last", "contiguous"]


@dataclass(frozen=True)
class Machine:
    """The facts that a config is resolved with."""

    threads: int = 1  # of the CPU, for a run that sets none
    cuda: bool = False  # there is a GPU
    cpu_bf16: bool = False  # the CPU multiplies bf16 natively, faster than float32
    cuda_bf16: bool = False  # the GPU does
    avx512: bool = True  # PyTorch uses AVX-512 on the CPU

    def device(self, wanted: str = "auto") -> str:
        """The device that ``auto`` stands for, or the wanted one."""
        return ("cuda" if self.cuda else "cpu") if wanted == "auto" else wanted

    def precision(self, device: str, wanted: str = "auto") -> str:
        """The precision that ``auto`` stands for on a device, or the wanted one."""
        fast = self.cuda_bf16 if device.startswith("cuda") else self.cpu_bf16
        return ("bf16" if fast else "float32") if wanted == "auto" else wanted

    def memory_format(self, kind: str, device: str, precision: str) -> MemoryFormat:
        """The faster memory format for a run of ``ganas search`` or ``ganas train``.

        Channels-last, but for training in float32 on a CPU without AVX-512 (LOG.md, 2026-11-28).
        """
        slow = kind == "train" and device == "cpu" and precision == "float32" and not self.avx512
        return "contiguous" if slow else "channels_last"


def this_machine() -> Machine:
    """The facts of the machine that this process runs on."""
    import torch

    cuda = torch.cuda.is_available()
    avx512 = "AVX512" in torch.backends.cpu.get_cpu_capability()
    return Machine(
        threads=default_threads(),
        cuda=cuda,
        cpu_bf16=avx512 and bool({"avx512_bf16", "amx_bf16"} & _cpu_flags()),
        cuda_bf16=cuda and bool(torch.cuda.is_bf16_supported(including_emulation=False)),
        avx512=avx512,
    )


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
    import torch

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
