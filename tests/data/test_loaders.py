"""Loaders: batches are a pure function of (seed, domain, position), whatever reads them."""

import itertools
import os
import signal
import subprocess
import threading
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from ganas.data.containers.zip import Zip
from ganas.data.images import Images
from ganas.data.loaders import (
    Batches,
    center_crops,
    map_center_crops,
    split,
    to_images,
    to_network,
    write_center_crops,
)
from ganas.data.sources import ImageSource, open_source
from ganas.errors import DataError, RunError, Stopped
from ganas.metrics.reference import Reference
from ganas.signals import StopSignal
from noise_images import ListSource

SIZES = ((40, 40), (40, 52), (64, 40), (33, 90))  # width, height


def write_noise(path: Path, count: int, first_seed: int = 0) -> ImageSource:
    """A zip of ``count`` noise images of several sizes."""
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            width, height = SIZES[number % len(SIZES)]
            random = np.random.default_rng(first_seed + number)
            image = Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))
            with archive.open(f"{number:03}.png", "w") as stream:
                image.save(stream, "PNG")
    return open_source(path)


def write_flat(folder: Path, count: int) -> ImageSource:
    """Images of one color each: image n is all (n, 2n, 255 - n), so that any crop of it tells its number."""
    folder.mkdir()
    for number in range(count):
        Image.new("RGB", (20, 24), (number, 2 * number, 255 - number)).save(folder / f"{number:03}.png")
    return open_source(folder)


def centered(folder: Path, source: ImageSource) -> ImageSource:
    """The center crops of 20 pixels as files."""
    folder.mkdir()
    for number, image in enumerate(center_crops(source, 20)):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{number:03}.png")
    return open_source(folder)


def numbers(images: Tensor) -> list[int]:
    return to_images(images)[:, 0, 0, 0].tolist()


def batches(a: Images, b: Images, *, batch: int = 4, seed: int = 7, **options: Any) -> Batches:
    return Batches((a, b), resolution=16, load_size=20, flip=True, batch=batch, seed=seed, **options)


def take(loader: Batches, pairs: int, start: int = 0) -> tuple[Tensor, Tensor]:
    """The ``pairs`` pairs from pair ``start`` on: two tensors [pairs, 3, r, r]."""
    first = next(iterator := loader.from_image(start))
    rest = itertools.islice(iterator, (pairs - 1) // len(first[0]))
    a, b = (torch.cat(images)[:pairs] for images in zip(first, *rest, strict=True))
    return a, b


def equal(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> bool:
    return torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


@pytest.fixture(scope="module")
def noise_a(tmp_path_factory: pytest.TempPathFactory) -> ImageSource:
    return write_noise(tmp_path_factory.mktemp("noise") / "a.zip", 5)


@pytest.fixture(scope="module")
def noise_b(tmp_path_factory: pytest.TempPathFactory) -> ImageSource:
    return write_noise(tmp_path_factory.mktemp("noise") / "b.zip", 8, first_seed=100)


# Tensors


def test_to_images_inverts_to_network() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(2, 3, 16, 16)
    x = to_network(levels)
    assert x.dtype == torch.float32 and x.shape == levels.shape
    assert x.min() == -1 and x.max() == 1
    assert torch.equal(to_images(x), levels)
    assert levels[0, 0, 0, 1] == 1, "the images given are left alone"


def test_images_are_clamped_and_rounded() -> None:
    x = torch.tensor([-7.0, -1.0, 0.0, 1 / 127.5 * 0.3 - 1, 1 / 127.5 * 0.7 - 1, 1.0, 7.0], requires_grad=True)
    images = to_images(x)
    assert images.tolist() == [0, 0, 128, 0, 1, 255, 255] and images.dtype == torch.uint8
    assert to_images(x.half()).tolist() == images.tolist()


# Splits


@given(st.integers(1, 300), st.data(), st.integers(-(2**63), 2**64))
def test_a_split_is_sorted_disjoint_and_complete(count: int, data: st.DataObject, seed: int) -> None:
    validation = data.draw(st.integers(0, count - 1))
    train, held_out = split(count, validation, seed)
    assert len(held_out) == validation
    assert sorted(train + held_out) == list(range(count))
    assert list(train) == sorted(train) and list(held_out) == sorted(held_out)
    assert split(count, validation, seed) == (train, held_out)


def test_a_split_is_pinned() -> None:
    assert split(20, 5, seed=0)[1] == (1, 5, 9, 10, 12)
    assert len({split(100, 10, seed)[1] for seed in range(50)}) == 50


@pytest.mark.parametrize(("count", "validation"), [(5, 5), (1, 2), (0, 0)])
def test_a_split_leaves_something_to_train_on(count: int, validation: int) -> None:
    with pytest.raises(DataError, match=f"holding out {validation} of {count} image.* leaves none"):
        split(count, validation, 0)


# Center crops


def test_center_crops(tmp_path: Path) -> None:
    wide = np.zeros((32, 96, 3), np.uint8)
    wide[:, 32:64] = (10, 20, 30)  # the square in the middle
    tall = np.transpose(wide, (1, 0, 2))
    for name, image in (("wide", wide), ("tall", tall), ("small", np.full((4, 6, 3), 99, np.uint8))):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    source = open_source(tmp_path)
    images = center_crops(source, 32)  # nothing to resize: wide and tall are cut exactly
    assert images.shape == (3, 3, 32, 32) and images.dtype == torch.uint8
    by_name = dict(zip(source.names, images, strict=True))
    assert by_name["wide.png"][:, 0, 0].tolist() == [10, 20, 30]
    assert (by_name["wide.png"] == by_name["wide.png"][:, :1, :1]).all()
    assert torch.equal(by_name["tall.png"], by_name["wide.png"])
    assert (by_name["small.png"] == 99).all()
    assert center_crops(source.subset([]), 32).shape == (0, 3, 32, 32)


def test_resizing_is_antialiased(tmp_path: Path) -> None:
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(tmp_path / "x.png")
    inner = center_crops(open_source(tmp_path), 16)[0, :, 1:-1, 1:-1].float()
    assert abs(inner - 127.5).max() < 4, "stripes finer than a pixel are gray"


def test_center_crops_are_kept_in_a_file(tmp_path: Path) -> None:
    source = write_noise(tmp_path / "noise.zip", 7)
    write_center_crops(tmp_path / "images.npy", source, 16)
    squares = map_center_crops(tmp_path / "images.npy")
    assert torch.equal(torch.from_numpy(squares), center_crops(source, 16))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.npy", "noise.zip"]
    whole = (tmp_path / "images.npy").read_bytes()
    for damaged in (whole[:-1], whole[:20], b""):
        (tmp_path / "images.npy").write_bytes(damaged)
        with pytest.raises(RunError, match=r"images\.npy' cannot be read .*: remove it to have it made again"):
            map_center_crops(tmp_path / "images.npy")


def test_writing_center_crops_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a signal, at any moment."""
    source, read = write_noise(tmp_path / "noise.zip", 7), ImageSource._encoded

    def stop_at_the_sixth(source: ImageSource, name: str) -> bytes:
        if name == source.names[5]:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        return read(source, name)

    monkeypatch.setattr(ImageSource, "_encoded", stop_at_the_sixth)
    with StopSignal().listening() as stop, pytest.raises(Stopped), stop.interruptible():
        write_center_crops(tmp_path / "images.npy", source, 16)
    assert [path.name for path in tmp_path.iterdir()] == ["noise.zip"], "no part of it is left"


@pytest.mark.parametrize("cache_bytes", [1 << 30, 0])
def test_a_domain_may_be_an_array(tmp_path: Path, cache_bytes: int) -> None:
    """The same batches, wherever the images are; files of another domain that are decoded each time do not matter."""
    source = write_flat(tmp_path / "flat", 9)
    array = center_crops(source, 20).numpy()
    settings: dict[str, Any] = {"resolution": 20, "load_size": 20, "flip": True, "batch": 4, "seed": 3}
    expected = Batches((centered(tmp_path / "b", source), source), **settings).from_image(8)
    found = Batches((array, source), **settings, cache_bytes=cache_bytes).from_image(8)
    for one, other in itertools.islice(zip(expected, found, strict=False), 6):
        assert all(map(torch.equal, one, other))


# Unpaired batches


def test_batches_have_the_promised_shape(noise_a: ImageSource, noise_b: ImageSource) -> None:
    loader = batches(noise_a, noise_b, batch=3)
    assert loader.epoch_images == 8
    for a, b in itertools.islice(loader.from_image(0), 9):
        for images in (a, b):
            assert images.shape == (3, 3, 16, 16) and images.dtype == torch.float32
            assert images.min() >= -1 and images.max() <= 1 and images.std() > 0.1


@pytest.mark.parametrize("cache_bytes", [0, 1 << 30], ids=["uncached", "cached"])
@pytest.mark.parametrize("start", [0, 1, 4, 7, 13, 1000])
def test_batches_resume_at_any_pair(noise_a: ImageSource, noise_b: ImageSource, start: int, cache_bytes: int) -> None:
    loader = batches(noise_a, noise_b, cache_bytes=cache_bytes)
    whole = take(loader, start + 20) if start < 100 else take(loader, start + 20 - 900, 900)
    resumed = take(batches(noise_a, noise_b, cache_bytes=cache_bytes, batch=5), 20, start)
    assert equal((whole[0][-20:], whole[1][-20:]), resumed)


@pytest.mark.parametrize("start", [0, 5])
def test_workers_and_cache_change_nothing(noise_a: ImageSource, noise_b: ImageSource, start: int) -> None:
    expected = take(batches(noise_a, noise_b), 24, start)
    assert equal(take(batches(noise_a, noise_b, cache_bytes=0), 24, start), expected)
    assert equal(take(batches(noise_a, noise_b, cache_bytes=0, workers=2), 24, start), expected)


def test_a_source_of_two_methods_is_batched_and_measured(noise_a: ImageSource, noise_b: ImageSource) -> None:
    a, b = (ListSource([source.read(index) for index in range(len(source))]) for source in (noise_a, noise_b))
    expected = take(batches(noise_a, noise_b), 24)
    for settings in ({}, {"cache_bytes": 0}):
        assert equal(take(batches(a, b, **settings), 24), expected)
    assert torch.equal(center_crops(a.subset([3, 1]), 16), center_crops(noise_a.subset([3, 1]), 16))
    assert a.digest() == a.subset(range(5)).digest() != a.subset(range(4)).digest()
    in_memory = Reference(a, ["swd"], None).measure(b)
    assert in_memory.scores == Reference(noise_a, ["swd"], None).measure(noise_b).scores


def test_the_cache_is_used_only_within_its_size(noise_a: ImageSource, noise_b: ImageSource) -> None:
    """Whether a zip that is gone can still be walked tells whether it was kept in memory."""
    needed = 0
    for source in (noise_a, noise_b):
        for index in range(len(source)):
            width, height = source.read(index).size
            needed += 3 * 20 * round(20 * max(width, height) / min(width, height))
    assert _survives_without_files(noise_a, noise_b, needed)
    assert not _survives_without_files(noise_a, noise_b, needed - 1)


def _survives_without_files(a: ImageSource, b: ImageSource, cache_bytes: int) -> bool:
    copies = []
    for source in (a, b):
        copy = source.path.with_name(f"copy-{source.path.name}")
        copy.write_bytes(source.path.read_bytes())
        copies.append(ImageSource(Zip(copy), source.names))
    iterator = batches(copies[0], copies[1], cache_bytes=cache_bytes).from_image(0)
    next(iterator)
    for source in copies:
        source.path.write_bytes(b"")  # an open handle would still see a file that was merely unlinked
    try:
        list(itertools.islice(iterator, 10))
    except DataError:
        return False
    return True


def test_each_epoch_of_a_domain_shows_each_image_once(tmp_path: Path) -> None:
    a, b = write_flat(tmp_path / "a", 7), write_flat(tmp_path / "b", 12)
    taken_a, taken_b = take(batches(a, b, batch=5), 84)
    for seen, count in ((numbers(taken_a), 7), (numbers(taken_b), 12)):
        epochs = [seen[start : start + count] for start in range(0, 84, count)]
        assert all(sorted(epoch) == list(range(count)) for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) > 1, "epochs are shuffled anew"


def test_the_order_is_pinned(tmp_path: Path) -> None:
    """No platform, version of numpy or refactoring may change it: resumed runs would continue with other images."""
    taken_a, taken_b = take(batches(write_flat(tmp_path / "a", 6), write_flat(tmp_path / "b", 9), seed=0), 12)
    assert numbers(taken_a) == [4, 3, 2, 1, 5, 0, 1, 0, 3, 4, 2, 5]
    assert numbers(taken_b) == [4, 1, 3, 6, 0, 5, 2, 7, 8, 1, 2, 4]


def test_domains_are_unpaired_and_independent(tmp_path: Path) -> None:
    a, b, small = write_flat(tmp_path / "a", 30), write_flat(tmp_path / "b", 30), write_flat(tmp_path / "c", 3)
    taken_a, taken_b = take(batches(a, b), 30)
    assert sum(one == other for one, other in zip(numbers(taken_a), numbers(taken_b), strict=True)) < 8
    assert torch.equal(take(batches(a, small), 30)[0], taken_a), "a's walk does not depend on b"
    assert numbers(take(batches(a, b, seed=8), 30)[0]) != numbers(taken_a)


def test_crops_reach_every_corner_and_flips_half_of_them(tmp_path: Path) -> None:
    gradient = np.zeros((16, 18, 3), np.uint8)  # red tells the column, green the row
    gradient[..., 0] = np.arange(18)
    gradient[..., 1] = np.arange(16)[:, None]
    Image.fromarray(gradient).save(tmp_path / "x.png")
    source = open_source(tmp_path)

    def crops(flip: bool) -> Counter[tuple[int, int, bool]]:
        loader = Batches((source, source), resolution=14, load_size=16, flip=flip, batch=900, seed=0)
        images = to_images(next(loader.from_image(0))[0])
        left, right, top = images[:, 0, 0, 0], images[:, 0, 0, -1], images[:, 1, 0, 0]
        corners = zip(torch.minimum(left, right).tolist(), top.tolist(), (right < left).tolist(), strict=True)
        return Counter(corners)

    flipped = crops(True)
    assert set(flipped) == set(itertools.product(range(5), range(3), (False, True)))
    assert 10 <= min(flipped.values()) and max(flipped.values()) <= 60, "30 of 900 each, by chance"
    unflipped = crops(False)
    assert set(unflipped) == set(itertools.product(range(5), range(3), (False,)))
    for (left, top, _), count in unflipped.items():
        assert count == flipped[left, top, False] + flipped[left, top, True], "crops do not depend on flips"


@pytest.mark.parametrize(("workers", "cache_bytes"), [(0, 0), (0, 1 << 30), (2, 0)])
def test_global_random_states_are_left_alone(
    noise_a: ImageSource, noise_b: ImageSource, workers: int, cache_bytes: int
) -> None:
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].copy()
    take(batches(noise_a, noise_b, workers=workers, cache_bytes=cache_bytes), 12)
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert (np.random.get_state(legacy=False)["state"]["key"] == numpy_before).all()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_breaks_later_is_named_in_one_line(tmp_path: Path, workers: int) -> None:
    a, b = write_flat(tmp_path / "a", 4), write_flat(tmp_path / "b", 4)
    (tmp_path / "b" / "002.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        take(batches(a, b, workers=workers, cache_bytes=0), 16)
    assert str(caught.value) == f"{tmp_path}/b/002.png: empty file; repair or remove it"
    assert not batch_threads()


def batch_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(("batches", "images"))]


def test_the_thread_ends_with_the_iterator(noise_a: ImageSource, noise_b: ImageSource) -> None:
    iterator = batches(noise_a, noise_b).from_image(0)
    assert not batch_threads(), "nothing starts before the first batch"
    next(iterator)
    assert batch_threads()
    iterator.close()
    assert not batch_threads()


@pytest.mark.parametrize("cache_bytes", [0, 1 << 30])
def test_a_hanging_read_is_abandoned(tmp_path: Path, cache_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network disk may hang while batches are made, or while the cache is filled."""
    a, b, answered = write_flat(tmp_path / "a", 3), write_flat(tmp_path / "b", 3), threading.Event()
    monkeypatch.setattr(ImageSource, "_encoded", lambda *_: answered.wait())
    with StopSignal().listening() as stop, pytest.raises(Stopped), stop.interruptible():
        start = time.monotonic()
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        next(batches(a, b, cache_bytes=cache_bytes).from_image(0))
    assert time.monotonic() - start < 2
    left = batch_threads()
    assert left and all(thread.daemon for thread in left), "the program can end"
    answered.set()
    for thread in left:
        thread.join(5)
    assert not any(thread.is_alive() for thread in left)


@pytest.mark.usefixtures("traps")
def test_workers_import_nothing_from_the_current_folder(noise_a: ImageSource, noise_b: ImageSource) -> None:
    assert equal(take(batches(noise_a, noise_b, workers=2, cache_bytes=0), 12), take(batches(noise_a, noise_b), 12))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list["subprocess.Popen[bytes]"]:
    """The processes that a test starts."""
    found: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def remember(*arguments: Any, **options: Any) -> "subprocess.Popen[bytes]":
        found.append(start(*arguments, **options))
        return found[-1]

    monkeypatch.setattr("ganas.data.processes.subprocess.Popen", remember)
    return found


Started = list["subprocess.Popen[bytes]"]


@pytest.mark.parametrize("end", ["dropped", "closed", "broken", "stopped"])
def test_workers_end_with_their_iterator(tmp_path: Path, started: Started, end: str) -> None:
    a, b = write_flat(tmp_path / "a", 4), write_flat(tmp_path / "b", 4)
    iterator = batches(a, b, workers=2, cache_bytes=0).from_image(0)
    next(iterator)
    assert [worker.poll() for worker in started] == [None, None]
    start = time.monotonic()
    if end == "dropped":
        del iterator
    elif end == "closed":
        iterator.close()
    elif end == "stopped":
        for worker in started:
            worker.send_signal(signal.SIGSTOP)
        iterator.close()
    else:
        (tmp_path / "b" / "002.png").write_bytes(b"")
        with pytest.raises(DataError):
            list(itertools.islice(iterator, 5000))
    assert all(worker.poll() is not None for worker in started)
    assert end == "broken" or time.monotonic() - start < 2, "no worker has to notice the end"


def test_workers_outlive_signals(noise_a: ImageSource, noise_b: ImageSource, started: Started) -> None:
    """Signals may reach the whole process group, and the loop still needs the batches of its step."""
    iterator = batches(noise_a, noise_b, workers=2, cache_bytes=0).from_image(0)
    for _ in range(2):  # one of each worker: both have begun
        next(iterator)
    for worker in started:
        worker.send_signal(signal.SIGINT)
        worker.send_signal(signal.SIGTERM)
    assert len(list(itertools.islice(iterator, 700))) == 700, "more than what is in their pipes"


@pytest.mark.parametrize("how, words", [("SIGKILL", "SIGKILL, perhaps out of memory"), ("SIGSEGV", "SIGSEGV")])
def test_a_worker_that_dies_is_reported_in_one_line(
    noise_a: ImageSource, noise_b: ImageSource, started: Started, how: str, words: str
) -> None:
    iterator = batches(noise_a, noise_b, workers=2, cache_bytes=0).from_image(0)
    next(iterator)
    started[1].send_signal(signal.Signals[how])
    with pytest.raises(DataError) as caught:
        list(itertools.islice(iterator, 5000))
    assert str(caught.value) == (
        f"a process that decodes images died ({words}): lower data.workers; the same command resumes"
    )
    assert all(worker.poll() is not None for worker in started)


def test_stopped_workers_are_waited_for_with_a_warning(
    noise_a: ImageSource, noise_b: ImageSource, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow disk is not a failure: late batches are the same."""
    monkeypatch.setattr("ganas.data.loaders._PATIENCE", 0.5)
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        for worker in started:
            worker.send_signal(signal.SIGCONT)

    late = batches(noise_a, noise_b, workers=2, cache_bytes=0, say=say).from_image(0)
    expected = batches(noise_a, noise_b).from_image(0)
    for number, (one, other) in enumerate(zip(late, itertools.islice(expected, 700), strict=False)):
        assert equal(one, other)  # type: ignore[arg-type]
        if number == 0:
            for worker in started:
                worker.send_signal(signal.SIGSTOP)
    assert said and said[0].startswith("waiting for images for 0 s: ") and "Ctrl-C saves and ends the run" in said[0]


def test_impossible_splits_and_batches_are_bugs(noise_a: ImageSource, noise_b: ImageSource) -> None:
    with pytest.raises(ValueError, match="validation=-1"):
        split(5, -1, 0)
    with pytest.raises(ValueError, match="load_size=15, resolution=16"):
        Batches((noise_a, noise_b), resolution=16, load_size=15, flip=True, batch=1, seed=0)
    with pytest.raises(ValueError, match="batch=0"):
        batches(noise_a, noise_b, batch=0)
    with pytest.raises(ValueError, match=r"counts=\[5, 0\]"):
        batches(noise_a, noise_b.subset([]))
