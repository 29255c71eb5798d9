"""Trackers: what a run shows to programs outside it, and that they never stop it."""

import time
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ganas.errors import ConfigError
from ganas.learning import trackers
from ganas.learning.trackers import TRACKERS, Entry, Tracking, check_trackers
from ganas.store import Run
from tiny import FLAGS, Capture, ganas, write_domains

PICTURE = torch.zeros(3, 4, 6, dtype=torch.uint8)


def show(names: tuple[str, ...], run: Run) -> list[str]:
    """Two lines of numbers and a picture; returns the notes."""
    notes: list[str] = []
    tracking = Tracking(names, run, notes.append)
    tracking.numbers({"loss/cycle_a": 0.5}, 4)
    tracking.picture("samples", PICTURE, 4)
    tracking.close()
    tracking.numbers({"loss/cycle_a": 0.25}, 8)
    tracking.close()
    return notes


def test_tensorboard_has_the_numbers_and_the_picture(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert show(("tensorboard",), run) == []
    board = EventAccumulator(str(run.tensorboard)).Reload()
    assert [(event.step, event.value) for event in board.Scalars("loss/cycle_a")] == [(4, 0.5), (8, 0.25)]
    assert [(event.step, event.width, event.height) for event in board.Images("samples")] == [(4, 6, 4)]


class Broken:
    """A tracker whose disk is full."""

    def __init__(self, run: Run, images: int) -> None:
        raise OSError("no space left\non the device")


def test_a_broken_tracker_is_noted_once_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "TRACKERS", {**TRACKERS, "broken": Entry(Broken, "os", "nothing")})
    assert show(("broken",), Run(tmp_path)) == [
        "note: broken shows nothing from here on (no space left); the run goes on"
    ]


def test_one_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"training.trackers=wandb is not installed: pip install 'ganas\[track\]'"):
        check_trackers(("wandb",))


@pytest.mark.long
def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it would send, read back out of its file."""
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("CONFIG", "CACHE", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / name.lower()))
    run = Run(tmp_path / "run")
    run.write_text(run.config, "seed: 3\n")
    assert show(("wandb",), run) == []
    wanted, deadline = (b"loss/cycle_a", b"0.25", b"seed"), time.monotonic() + 20
    while True:  # its own process may still be writing
        content = b"".join(path.read_bytes() for path in run.path.glob("wandb/offline-run-*/*.wandb"))
        if all(part in content for part in wanted) or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    assert [part for part in wanted if part not in content] == []
    assert [*run.path.glob("wandb/offline-run-*/files/media/images/samples_*.png")]


def test_the_command_line_names_the_choices(tmp_path: Path, capsys: Capture) -> None:
    words = ("train", "resnet3", *write_domains(tmp_path), "--out", tmp_path / "run", *FLAGS)
    assert ganas(*words, "--set", "training.trackers=[mlflow]") == 2
    assert "tensorboard" in capsys.readouterr().err and not (tmp_path / "run").exists()
