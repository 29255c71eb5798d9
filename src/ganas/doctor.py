"""Describe this machine, and what it means for a run."""

import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from ganas.config import DataFacts
from ganas.cyclegan import presets as cyclegan
from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.config import resolve
from ganas.cyclegan.cost import disk_bytes, trial_loop
from ganas.cyclegan.layout import find_layout
from ganas.errors import is_out_of_memory
from ganas.growing import forecast
from ganas.growing import presets as growing
from ganas.growing.run import with_route
from ganas.learning.timing import noise, step_seconds
from ganas.machine import cores, default_threads, this_machine
from ganas.presets import default_preset, make_config

LIBRARIES = ("torch", "torchvision", "torch-fidelity", "numpy", "pillow", "safetensors", "tensorboard")
GB = 10**9


@dataclass(frozen=True)
class Finding:
    """One fact about the machine."""

    name: str
    value: str
    meaning: str  # for a run


def examine() -> list[Finding]:
    """Return findings on device, threads, bf16, speed, libraries and free disk space."""
    return [_device(), _threads(), _bf16(), _speed(), _libraries(), _disk()]


def _device() -> Finding:
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        return Finding("device", f"{torch.cuda.get_device_name(0)}, {memory:.0f} GiB", "default preset: gpu (256×256)")
    return Finding(
        "device", f"CPU, {platform.machine()}", "default preset: small (64×64, three quarters of an hour on one core)"
    )


def _threads() -> Finding:
    value = f"{default_threads()} of {cores()} cores"
    return Finding("threads", value, "training.threads: stored in the run, also for resuming")


def _bf16() -> Finding:
    machine = this_machine()
    if machine.precision(machine.device()) == "bf16":
        return Finding("bf16", "fast", "training.precision=auto is bf16 in the networks, float32 in the losses")
    return Finding("bf16", "slow or missing", "training.precision=auto is float32")


def _speed() -> Finding:
    """Time real steps of the default preset."""
    preset = default_preset()
    try:
        return _measured_speed(preset)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return Finding("speed", "too little memory", f"preset {preset} does not fit: see training.checkpointing")


def _measured_speed(preset: str) -> Finding:
    rates, images, formats = [], [], []
    for kind, architecture in (("search", None), ("train", Architecture("resnet9"))):
        flags = {"data.a": "a", "data.b": "b"} | ({"nets.layout": architecture.layout} if architecture else {})
        config = make_config(kind, preset=preset, flags=flags)  # type: ignore[call-overload]
        config = resolve(config, this_machine(), DataFacts({}))
        loop = trial_loop(config, find_layout(config.nets.layout), architecture)
        rate = 1 / step_seconds(loop, noise(2, config.training.batch, config.data.resolution))
        rates.append(f"{rate:.2g}")
        images.append(f"{kind} {rate * config.training.batch:.3g}")
        formats.append(f"{kind} {config.training.memory_format}")
    value = f"{rates[0]} search, {rates[1]} training steps/s"
    side = config.data.resolution
    return Finding(
        "speed", value, f"preset {preset}, {side}×{side}; pairs per second: {', '.join(images)}; {', '.join(formats)}"
    )


def _libraries() -> Finding:
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    gpu = torch.cuda.is_available()
    same = "up to the last bits, on a GPU" if gpu else "bit for bit with the same versions"
    return Finding("libraries", f"Python {platform.python_version()}, {versions}", f"runs resume {same}")


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    return Finding("free disk", f"{free / GB:,.1f} GB here", what_fits(free, disk_needs()))


def disk_needs() -> dict[str, dict[str, int]]:
    """Return the bytes that a run takes at most, without the decoded images of ``ganas grow``, by kind and preset."""
    domains = {"data.a": "a", "data.b": "b"}
    needs = {
        kind: {preset: disk_bytes(make_config(kind, preset=preset, flags=domains)) for preset in cyclegan.PRESETS}
        for kind in ("search", "train")
    }
    images = {"data.images": "a", "metrics.features": "inception"}  # features: the preset paper needs some
    grow = {preset: with_route(make_config("grow", preset=preset, flags=images), None) for preset in growing.PRESETS}
    return needs | {"grow": {preset: forecast.disk_bytes(config) for preset, config in grow.items()}}


def _gigabytes(size: int) -> str:
    return f"{size / GB:,.0f} GB" if size >= 10 * GB else f"{size / GB:.2g} GB"


def what_fits(free: int, needs: Mapping[str, Mapping[str, int]]) -> str:
    """Say in one line which presets of each kind of run fit into so many bytes."""
    room, lacking = [], []
    for kind, presets in needs.items():
        fits = [preset for preset, need in presets.items() if need <= free]
        others = [f"{preset} {_gigabytes(need)}" for preset, need in presets.items() if need > free]
        room += [f"{kind} ({', '.join(fits) if others else 'all presets'})"] if fits else []
        lacking += [f"{kind} ({', '.join(others)})"] if others else []
    parts = [
        *([f"room for {', '.join(room)}"] if room else []),
        *([f"too little for {', '.join(lacking)}: write elsewhere with --out"] if lacking else []),
        "grow's decoded images come on top (--dry-run)",
    ]
    return "; ".join(parts)
