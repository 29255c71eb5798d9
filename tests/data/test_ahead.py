"""Batches made ahead by a thread: the same ones, errors where they belong, and no thread left behind."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch

from ganas.data.loaders import Batches
from ganas.data.sources import ImageSource, open_source
from ganas.errors import DataError, Stopped
from ganas.signals import StopSignal
from kill_and_resume import write_images


def batches(folder: Path, cache_bytes: int = 1 << 30) -> Batches:
    a, b = (open_source(write_images(folder / name, 3, seed=seed)) for seed, name in enumerate("ab"))
    options = {"resolution": 16, "load_size": 18, "flip": True, "batch": 2, "seed": 0, "cache_bytes": cache_bytes}
    return Batches((a, b), **options)  # type: ignore[arg-type]


def makers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_the_thread_ends_with_the_iterator(tmp_path: Path) -> None:
    iterator = batches(tmp_path).from_image(0)
    next(iterator)
    assert makers()
    iterator.close()
    assert not makers()


def test_an_iterator_that_was_never_asked_has_no_thread(tmp_path: Path) -> None:
    batches(tmp_path).from_image(0).close()
    assert not makers()


def test_batches_made_ahead_are_those_of_another_start(tmp_path: Path) -> None:
    whole = batches(tmp_path).from_image(0)
    expected = [next(whole) for _ in range(4)]
    later = batches(tmp_path).from_image(4)
    for a, b in expected[2:]:
        other_a, other_b = next(later)
        assert torch.equal(a, other_a) and torch.equal(b, other_b)
    whole.close()
    later.close()


def test_a_file_that_becomes_unreadable_ends_the_iterator_and_its_thread(tmp_path: Path) -> None:
    source = batches(tmp_path)
    for path in (tmp_path / "a").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(DataError):
        next(source.from_image(0))
    assert not makers()


@pytest.mark.parametrize("cache_bytes", [0, 1 << 30])
def test_a_read_that_hangs_is_left_behind(tmp_path: Path, cache_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a network disk, for one: as long as batches are made, or the cache is filled."""
    source, answered = batches(tmp_path, cache_bytes), threading.Event()
    monkeypatch.setattr(ImageSource, "_encoded", lambda *_: answered.wait())
    with StopSignal().listening() as stop, pytest.raises(Stopped), stop.interruptible():
        asked = time.monotonic()
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        next(source.from_image(0))
    assert time.monotonic() - asked < 2
    left = [thread for thread in threading.enumerate() if thread.name.startswith(("batches", "images"))]
    assert left and all(thread.daemon for thread in left), "the program can end"
    answered.set()
    for thread in left:
        thread.join(5)
    assert not any(thread.is_alive() for thread in left)
