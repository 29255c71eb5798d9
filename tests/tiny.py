"""The smallest runs there are, for tests of the command line: seconds on one core."""

import json
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ganas.cli import app, run

GANAS = Path(sysconfig.get_path("scripts")) / "ganas"  # the command itself, where a true process is wanted

FLAGS = (
    *("--preset", "tiny", "--resolution", "16"),
    *("--set", "nets.width=2", "--set", "nets.discriminator_width=2"),
    *("--set", "training.images=4", "--set", "training.batch=2", "--set", "training.threads=1"),
    *("--set", "training.checkpoint_every=2", "--set", "training.log_every=2", "--set", "training.sample_every=4"),
)
TIMES = ("time", "step_seconds")  # what differs between two lines of metrics that are the same


def ganas(*arguments: str | Path) -> int:
    """The command line in this process; returns its exit code."""
    return run(lambda: app([str(argument) for argument in arguments], standalone_mode=False))


def write_images(folder: Path, count: int, *, seed: int, sides: tuple[int, int] = (20, 24)) -> Path:
    """Noise, as PNG files of `sides` (width, height)."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    for number in range(count):
        pixels = generator.integers(0, 256, (sides[1], sides[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    return folder


def write_domains(folder: Path, count_a: int = 3, count_b: int = 4) -> tuple[str | Path, ...]:
    """Two domains of noise, as flags."""
    a, b = write_images(folder / "a", count_a, seed=0), write_images(folder / "b", count_b, seed=1)
    return "--a", a, "--b", b


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under `folder` and what is in it; folders as well."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")
    }


def differences(one: Path, other: Path) -> list[str]:
    """Names of what differs between two finished runs of the same command; the clock and TensorBoard are left out."""
    skipped = ("log.txt", "lock", "config.yaml", "metrics.jsonl")
    mine, theirs = (
        {
            name: content
            for name, content in contents(run).items()
            if name not in skipped and not name.startswith(("tensorboard", "checkpoints"))
        }
        for run in (one, other)
    )
    found = [name for name in sorted({*mine, *theirs}) if mine.get(name) != theirs.get(name)]
    found += ["metrics.jsonl"] if _metrics(one) != _metrics(other) else []
    return found + [f"checkpoint {key}" for key in _unequal(last_checkpoint(one), last_checkpoint(other), "")]


def last_checkpoint(run: Path) -> Any:
    """The state in a run's newest checkpoint."""
    return torch.load(max((run / "checkpoints").glob("state-*.pt")), weights_only=True)


def _metrics(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def _unequal(one: Any, other: Any, place: str) -> list[str]:
    """Where two nested states differ in a bit."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return [] if one.dtype == other.dtype and torch.equal(one, other) else [place]
    if isinstance(one, dict) and isinstance(other, dict):
        places = [f"{place}/{key}" for key in one.keys() ^ other.keys()]
        return places + [
            p for key in one.keys() & other.keys() for p in _unequal(one[key], other[key], f"{place}/{key}")
        ]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        return [p for i, (x, y) in enumerate(zip(one, other, strict=True)) for p in _unequal(x, y, f"{place}/{i}")]
    return [] if type(one) is type(other) and one == other else [place]
