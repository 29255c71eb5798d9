"""Opening a run: its data, its config settled against what the folder holds, its architecture."""

import os
from pathlib import Path
from typing import TypeVar

import torch

from ganas.config import Config, GrowConfig, RunConfig, load_config, resolve
from ganas.data.sources import MINIMUM_IMAGES, open_source
from ganas.errors import ArchitectureError, ConfigError, RunError
from ganas.nets.layout import LAYOUTS, Layout, find_layout
from ganas.store import Run
from ganas.training.session import Domains, split_domains

Chosen = TypeVar("Chosen", RunConfig, GrowConfig)


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


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_domains(config: RunConfig, layout: Layout) -> tuple[RunConfig, Domains]:
    """Check the resolution, find and check every image, and settle what depends on them and on the machine."""
    layout.check_resolution(config.data.resolution)
    if config.nets.discriminator == "patchgan":
        if config.kind == "search":
            raise ConfigError(
                "nets.discriminator=patchgan is for ganas train: a search finds its discriminators itself"
            )
        find_layout("resnet9").check_resolution(config.data.resolution)
    if config.kind == "search" and layout.size == 1:
        choices = ", ".join(name for name, other in LAYOUTS.items() if other.size > 1)
        raise ArchitectureError(
            f"layout {layout.name!r} leaves nothing to search: choose one of {choices}, or train it"
        )
    check_device(config.training.device)
    a, b = (
        open_source(
            path,
            skip_bad=config.data.skip_bad,
            minimum=MINIMUM_IMAGES,
            white=config.data.white,
            icc=config.data.icc,
        )
        for path in (config.data.a, config.data.b)
    )
    domains = split_domains(a, b, config)
    epoch_images = max(len(domains.a), len(domains.b))
    return settle_machine(config, epoch_images=epoch_images, digests=(a.digest(), b.digest())), domains


def settle_machine(config: RunConfig, *, epoch_images: int, digests: tuple[str, str]) -> RunConfig:
    """`resolve` for this machine."""
    return resolve(
        config,
        epoch_images=epoch_images,
        digests=digests,
        cores=cores(),
        cuda=torch.cuda.is_available(),
        fast_bf16=fast_bf16(config.training.device),
    )


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


def kept_choices(run: Run, config: Chosen) -> Chosen:
    """Take what an existing run settled by itself (device, precision, threads) where the command leaves it open."""
    if not run.config.exists():
        return config
    stored = load_config(type(config), run.config.read_bytes(), str(run.config))
    mine, kept = config.training, stored.training
    update = {
        "device": kept.device if mine.device == "auto" else mine.device,
        "precision": kept.precision if mine.precision == "auto" else mine.precision,
        "threads": mine.threads or kept.threads,
    }
    return config.model_copy(update={"training": mine.model_copy(update=update)})


def claim(run: Run, config: Config) -> None:
    """Make the run's folder this config's, or see that it is; raises `RunError` that names the difference.

    A run in which nothing was learned yet (it ended at once, by a wrong option say) takes the new config.
    """
    if not run.config.exists() or not run.begun:
        run.write_text(run.config, config.to_yaml())
        for made in (run.mixing, run.latencies, run.images):  # for another config
            made.unlink(missing_ok=True)
        return
    stored = load_config(type(config), run.config.read_bytes(), str(run.config))
    if differences := stored.changed(config):
        more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise RunError(
            f"{str(run.path)!r} is a run of another config ({'; '.join(differences[:3])}{more}): "
            f"give the same options to go on with it, or choose another --out"
        )
    if stored != config:  # its files have moved
        run.write_text(run.config, config.to_yaml())
