"""Describe this machine, and what it means for a run."""

import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from ganas.config import DataFacts
from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.config import resolve
from ganas.cyclegan.cost import trial_loop
from ganas.cyclegan.layout import find_layout
from ganas.errors import is_out_of_memory
from ganas.learning.timing import noise, step_seconds
from ganas.machine import cores, default_threads, this_machine
from ganas.presets import default_preset, make_config

LIBRARIES = ("torch", "torchvision", "torch-fidelity", "numpy", "pillow", "safetensors", "tensorboard")
ENOUGH_DISK = 5 << 30  # bytes of a run at 256² with checkpoints and samples


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
    enough = "enough for any run" if free > ENOUGH_DISK else "low: write runs elsewhere with --out"
    return Finding("free disk", f"{free / 2**30:.0f} GiB here", enough)
