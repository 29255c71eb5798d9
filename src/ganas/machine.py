"""What this machine supports, and is fast at: threads, devices, bf16, memory formats. No torch on import."""

import ctypes
import hashlib
import os
import platform
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

    threads: int = 1  # CPU threads of a run that sets none
    cuda: bool = False  # whether there is a GPU
    cpu_bf16: bool = False  # native bf16 on the CPU, faster than float32
    cuda_bf16: bool = False  # native bf16 on the GPU
    avx512: bool = True  # PyTorch uses AVX-512 on the CPU

    def device(self, requested: str = "auto") -> str:
        """Resolve ``auto``; any other device is returned as it is."""
        return ("cuda" if self.cuda else "cpu") if requested == "auto" else requested

    def precision(self, device: str, requested: str = "auto") -> str:
        """Resolve ``auto`` for a device; any other precision is returned as it is."""
        fast = self.cuda_bf16 if device.startswith("cuda") else self.cpu_bf16
        return ("bf16" if fast else "float32") if requested == "auto" else requested

    def memory_format(self, kind: str, device: str, precision: str) -> MemoryFormat:
        """The faster memory format for a run of ``ganas search`` or ``ganas train``.

        Channels-last, except for training in float32 on a CPU without AVX-512 (LOG.md, 2026-11-28).
        """
        slow = kind == "train" and device == "cpu" and precision == "float32" and not self.avx512
        return "contiguous" if slow else "channels_last"


def this_machine() -> Machine:
    """Detect the machine that this process runs on."""
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
    return set(_cpu_line("flags").split())


def _cpu_line(name: str) -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(name):
                return line
    return ""


def cpu() -> str:
    """What times on this CPU depend on: its model, and a digest of what it can do."""
    model = _cpu_line("model name").partition(":")[2].strip() or platform.machine()
    return f"{model} {hashlib.sha256(' '.join(sorted(_cpu_flags())).encode()).hexdigest()[:8]}"


def default_threads() -> int:
    """The default number of threads: OMP_NUM_THREADS, else the number of cores."""
    given = re.match(r"\s*([1-9][0-9]{0,3})\s*(,|$)", os.environ.get("OMP_NUM_THREADS", ""))
    return int(given[1]) if given else cores()


def cores() -> int:
    """Number of cores that this process may use, by its affinity and the limit of its container."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(found, cgroup_cores())))


def cgroup_cores(root: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")) -> float:
    """The CPU limit of this process by its cgroups (version 2), in cores; inf without one."""
    limits = [inf]
    with suppress(OSError, StopIteration):
        own = next(line[3:] for line in groups.read_text().splitlines() if line.startswith("0::/"))
        for group in (PurePosixPath(own), *PurePosixPath(own).parents):
            with suppress(OSError, ValueError):  # no such file, or "max"
                quota, period = (root / group.relative_to("/") / "cpu.max").read_text().split()
                limits.append(int(quota) / int(period))
    return min(limits)


def peak_memory(device: str, status: Path = Path("/proc/self/status")) -> int:
    """The bytes that this process has held at most: of its own, or of tensors on a GPU; 0 where nobody counts them.

    On Linux without pages of files (libraries, images.npy), which the system may drop at any time: what the process
    holds now, for it does not shrink (`keep_freed_memory`). Elsewhere with them.
    """
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated()
    with suppress(OSError):
        if anonymous := re.search(r"^RssAnon:\s*(\d+) kB$", status.read_text(), re.MULTILINE):
            return int(anonymous[1]) * 1024
    with suppress(ImportError):  # on Windows
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return 0


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
        raise ConfigError(f"training.device: no {name!r}, this machine has {found} CUDA devices: choose cpu")


def switch_off_tf32(precision: str) -> None:
    """Let float32 mean float32 on a GPU, whose convolutions otherwise round their inputs to ten bits (TF32)."""
    import torch

    if precision == "float32":
        torch.backends.cudnn.allow_tf32 = False  # of matrix products it is off by default


def keep_freed_memory() -> None:
    """Stop glibc from returning large blocks to the kernel; does nothing on other systems.

    It returns every freed block of 32 MiB or more, and allocating it again costs a page fault per 4 KiB: a tenth of a
    training step at 256². In exchange, the process never shrinks.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None)
            libc.mallopt(M_MMAP_MAX, 0)
            libc.mallopt(M_TRIM_THRESHOLD, -1)
