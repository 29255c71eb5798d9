"""The smallest runs there are, for tests of the command line: seconds on one core."""

import sysconfig
from pathlib import Path

import pytest

from ganas.cli.boundary import run
from ganas.cli.options import app
from kill_and_resume import write_images

Capture = pytest.CaptureFixture[str]
Words = tuple[str | Path, ...]  # of a command line

GANAS = Path(sysconfig.get_path("scripts")) / "ganas"  # the command itself, where a true process is wanted

FLAGS = (
    *("--preset", "tiny", "--resolution", "16"),
    *("--set", "nets.width=2", "--set", "nets.discriminator_width=2", "--set", "nets.discriminator=searched"),
    *("--set", "training.images=4", "--set", "training.batch=2", "--set", "training.threads=1"),
    *("--set", "training.checkpoint_every=2", "--set", "training.log_every=2", "--set", "training.sample_every=4"),
)


def ganas(*arguments: str | Path) -> int:
    """The command line in this process; returns its exit code."""
    return run(lambda: app([str(argument) for argument in arguments], standalone_mode=False))


def write_domains(folder: Path, count_a: int = 3, count_b: int = 4) -> Words:
    """Two domains of noise, as flags."""
    a, b = write_images(folder / "a", count_a, seed=0), write_images(folder / "b", count_b, seed=1)
    return "--a", a, "--b", b
