"""Opening a run: its data, its config settled against what the folder holds, its architecture."""

import os
from pathlib import Path

import torch

from ganas.config import RunConfig, load_config, resolve
from ganas.data.sources import open_source
from ganas.errors import RunError
from ganas.nets.layout import Layout
from ganas.store import Run
from ganas.training.session import Domains, split_domains

MINIMUM_IMAGES = 2  # a domain of one image has no distribution to learn


def fast_bf16() -> bool:
    """Whether this machine multiplies bf16 natively, so that it is faster than float32."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
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
    a, b = (
        open_source(path, skip_bad=config.data.skip_bad, minimum=MINIMUM_IMAGES)
        for path in (config.data.a, config.data.b)
    )
    domains = split_domains(a, b, config)
    settled = resolve(
        config,
        epoch_images=max(len(domains.a), len(domains.b)),
        digests=(a.digest(), b.digest()),
        cores=cores(),
        cuda=torch.cuda.is_available(),
        fast_bf16=fast_bf16(),
    )
    return settled, domains


def kept_choices(run: Run, config: RunConfig) -> RunConfig:
    """Take what an existing run settled by itself (device, precision, threads) where the command leaves it open."""
    if not run.config.exists():
        return config
    stored = load_config(run.config.read_text(encoding="utf-8"), str(run.config))
    mine, kept = config.training, stored.training
    update = {
        "device": kept.device if mine.device == "auto" else mine.device,
        "precision": kept.precision if mine.precision == "auto" else mine.precision,
        "threads": mine.threads or kept.threads,
    }
    return config.model_copy(update={"training": mine.model_copy(update=update)})


def claim(run: Run, config: RunConfig) -> None:
    """Make the run's folder this config's, or see that it is; raises `RunError` that names the difference."""
    if not run.config.exists():
        strangers = [path.name for path in run.path.iterdir() if path.name not in ("lock", "log.txt")]
        if strangers:
            raise RunError(
                f"{str(run.path)!r} is not empty and no run of ganas (it holds {strangers[0]!r}): choose a new --out"
            )
        run.write_text(run.config, config.to_yaml())
        return
    stored = load_config(run.config.read_text(encoding="utf-8"), str(run.config))
    if differences := stored.changed(config):
        more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise RunError(
            f"{str(run.path)!r} is a run of another config ({'; '.join(differences[:3])}{more}): "
            f"give the same options to go on with it, or choose another --out"
        )
