"""Opening a run: its data, its config settled against what the folder holds, its architecture."""

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from math import inf
from pathlib import Path, PurePosixPath
from typing import TypeVar

import torch

from ganas.config import PLACES, Change, Config, GrowConfig, RunConfig, adjustable, fields, load_config, resolve
from ganas.data.sources import MINIMUM_IMAGES, check_apart, open_source
from ganas.errors import ArchitectureError, ConfigError, RunError, shown
from ganas.nets.layout import LAYOUTS, Layout, find_layout
from ganas.store import Run
from ganas.training.phases import alphas_begin, exchange_at
from ganas.training.schedules import learning_rate_factor, temperature
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


def open_domains(config: RunConfig, layout: Layout) -> tuple[RunConfig, Domains]:
    """Check the resolution, find and check every image, and settle what depends on them and on the machine."""
    layout.check_resolution(config.data.resolution)
    if config.nets.discriminator == "patchgan":
        if config.kind == "search":
            raise ConfigError(
                "nets.discriminator=patchgan is for ganas train: a search finds its discriminators itself"
            )
        try:
            find_layout("resnet9").check_resolution(config.data.resolution)
        except ArchitectureError as error:
            raise ConfigError(f"nets.discriminator=patchgan: {error}, or --set nets.discriminator=searched") from None
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
    digests = a.digest(), b.digest()
    if check_apart(a, b) or digests[0] == digests[1]:
        b = replace(
            b, notes=(*b.notes, "the same images as the other domain has: there is nothing to learn between them")
        )
    domains = split_domains(a, b, config)
    epoch_images = max(len(domains.a), len(domains.b))
    return settle_machine(config, epoch_images=epoch_images, digests=digests), domains


def settle_machine(config: RunConfig, *, epoch_images: int, digests: tuple[str, str]) -> RunConfig:
    """`resolve` for this machine."""
    return resolve(
        config,
        epoch_images=epoch_images,
        digests=digests,
        cores=default_threads(),
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
    if stored.kind != config.kind and run.begun:
        raise RunError(f"{str(run.path)!r} is a run of ganas {stored.kind}: choose another --out")
    mine, kept = config.training, stored.training
    update = {
        "device": kept.device if mine.device == "auto" else mine.device,
        "precision": kept.precision if mine.precision == "auto" else mine.precision,
        "threads": mine.threads or kept.threads,
    }
    return config.model_copy(update={"training": mine.model_copy(update=update)})


def claim(run: Run, config: Config) -> list[str]:
    """Make the run's folder this config's, or see that it is; what has changed since, a line each, for people.

    A run in which nothing was learned yet (it ended at once, by a wrong option say) takes the new config. One that goes
    on may be given new values of what is `Adjustable`, and more images. Raises `RunError` that names any other
    difference.
    """
    if not run.config.exists() or not run.begun:
        run.write_text(run.config, config.to_yaml())
        for made in (run.mixing, run.latencies, run.images):  # for another config
            made.unlink(missing_ok=True)
        return []
    stored = load_config(type(config), run.config.read_bytes(), str(run.config))
    lines = _accepted(run, stored, config)
    if stored != config:  # its files have moved, too
        run.write_text(run.config, config.to_yaml())
    return lines


def _accepted(run: Run, stored: Config, config: Config) -> list[str]:
    """The changes with which a run may go on, a line each; raises `RunError` for others."""
    marks = adjustable(type(config))
    lines: list[str] = []
    refused: dict[Change, str] = {}
    for change in stored.changed(config):
        if change.key in marks:
            lines.append("; ".join(filter(None, (str(change), marks[change.key].effect))))
        elif change.key != "training.images" or (why_not := _not_longer(run, config, change)):
            refused[change] = f", {why_not}" if change.key == "training.images" else ""
        else:
            assert isinstance(stored, RunConfig) and isinstance(config, RunConfig)
            lines.append(f"{change}; {_stretched(stored, config, run.saved or 0)}")
    if refused:
        raise RunError(_refusal(run, stored, refused))
    return lines


def _not_longer(run: Run, config: Config, change: Change) -> str | None:
    """Why a run cannot become that long; None where it can."""
    if config.kind == "grow":
        return "which every candidate sees, so that others would come of it"
    if change.after < change.before:
        return "and a run may be made longer, but not shorter"
    if run.result.exists() and run.saved is None:
        return "and it has no checkpoint any more to go on from"
    return None


def _stretched(before: RunConfig, after: RunConfig, nimg: int) -> str:
    """What more images do to a run that has seen `nimg`: its schedules are functions of its length."""
    search = after.search
    schedules: dict[str, Callable[[RunConfig], float]] = {"the learning rate": lambda run: _learning_rate(run, nimg)}
    if search and search.sampling == "gumbel":
        start, end = search.temperature_start, search.temperature_end
        schedules["the temperature"] = lambda run: temperature(nimg, total=run.total_images, start=start, end=end)
    if search and search.warmup:
        schedules["the image from which alphas learn"] = alphas_begin
    if search and search.strategy == "ths":
        schedules["the image from which halves have changed roles"] = exchange_at
    moves = ((name, f"{of(before):.4g}", f"{of(after):.4g}") for name, of in schedules.items())
    words = (f"{name} goes from {old} to {new}" if old != new else f"{name} stays {new}" for name, old, new in moves)
    return f"schedules stretch, after {nimg} images {', '.join(words)}"


def _learning_rate(config: RunConfig, nimg: int) -> float:
    return config.training.lr * learning_rate_factor(nimg, total=config.total_images, decay=config.training.decay)


def _refusal(run: Run, stored: Config, refused: Mapping[Change, str]) -> str:
    """Why a run cannot go on: it is told something else, or its files have changed. `refused` says why a change is."""
    told = [f"{change}{why}" for change, why in refused.items() if change.key not in PLACES.values()]
    if told:
        more = f" and {len(told) - 3} more" if len(told) > 3 else ""
        return (
            f"'{shown(run.path)}' is a run of another config ({'; '.join(told[:3])}{more}): give the same options to "
            f"go on with it, or choose another --out"
        )
    changed = []
    for digest in (change.key for change in refused):
        keys = (key for key, of in PLACES.items() if of == digest and dict(fields(type(stored))).get(key))
        places = (f"{key} ('{shown(str(stored.value(key)))}')" for key in keys)
        changed.append(f"the {'weights' if digest == 'metrics.digest' else 'images'} of {' or '.join(places)}")
    return (
        f"{' and '.join(changed)} have changed since '{shown(run.path)}' was begun: put them back, or choose another "
        f"--out"
    )
