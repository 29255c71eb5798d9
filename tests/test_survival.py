"""A run that is stopped, killed or refused goes on to the bit where one that never was ends."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from ganas import store
from ganas.config import load_config
from ganas.cyclegan.config import RunConfig
from ganas.learning.loop import Loop
from ganas.settings import read_setting
from kill_and_resume import _unequal, differences, last_checkpoint
from tiny import FLAGS, GANAS, Capture, ganas, write_domains

SCRIPT = Path(__file__).parents[1] / "scripts" / "kill_and_resume.py"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}

TRAIN_IMAGES = 36
OFTEN = ("--set", "training.checkpoint_every=2")

Arguments = list[str | Path]


@dataclass
class Whole:
    """A run that nobody disturbed, and the command that makes another one like it."""

    begin: Arguments  # all of the command but --out
    run: Path

    def into(self, out: Path) -> Arguments:
        return [*self.begin, "--out", out]


Wholes = dict[str, Whole]


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> Wholes:
    """A search, and a training of what it found: averaged, with the generators kept by a metric.

    On their own they save at the end alone.
    """
    home = tmp_path_factory.mktemp("whole")
    domains = write_domains(home, 100, 110)
    rarely = ["--set", "training.checkpoint_every=1000", "--set", "training.log_every=4"]
    search = ["search", *domains, *FLAGS, *rarely, "--set", "training.images=20"]
    train = ["train", home / "search", *domains, *FLAGS, *rarely, "--set", f"training.images={TRAIN_IMAGES}"]
    train += ["--set", "training.ema_half_life=8", "--set", "training.evaluate_every=6"]
    wholes = {"search": Whole(search, home / "search"), "train": Whole(train, home / "train")}
    for whole in wholes.values():
        assert ganas(*whole.into(whole.run)) == 0
    return wholes


# ── a true process that is asked to stop ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "kind, number",
    [("search", signal.SIGTERM), pytest.param("train", signal.SIGINT, marks=pytest.mark.slow)],
)
def test_a_signal_saves_ends_with_130_and_the_same_command_goes_on(
    kind: str, number: signal.Signals, wholes: Wholes, tmp_path: Path, capsys: Capture
) -> None:
    run, command = tmp_path / "run", wholes[kind].into(tmp_path / "run")
    process = subprocess.Popen([GANAS, *command], stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    _wait_for(lambda: (run / "metrics.jsonl").exists() and (run / "metrics.jsonl").read_bytes().count(b"\n") >= 2)
    capsys.readouterr()
    assert ganas(*command) == 2, "two processes on one run would ruin each other"
    assert f"'{run}' is in use by another process" in capsys.readouterr().err
    process.send_signal(number)
    asked = time.monotonic()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - asked < 10, "seconds, not a checkpoint interval"
    saved = last_checkpoint(run)["loop"]["nimg"]
    assert 4 <= saved < TRAIN_IMAGES
    assert "stopping: saving everything needed to resume" in said
    total = 20 if kind == "search" else TRAIN_IMAGES
    assert said.splitlines()[-1] == (
        f"ganas: stopped by {number.name} after {saved} of {total} images, and saved: the same command resumes"
    )
    assert not (run / "result.json").exists()
    if kind == "search":  # the run and its images have moved meanwhile
        run = run.rename(tmp_path / "moved")
        command = wholes[kind].into(run)
        for option in ("--a", "--b"):
            place = command.index(option) + 1
            command[place] = shutil.copytree(command[place], tmp_path / f"moved images {option}")
    assert ganas(*command) == 0
    assert f"resuming after {saved} images" in capsys.readouterr().err
    assert set(differences(run, wholes[kind].run)) <= ({"config.yaml"} if kind == "search" else set())


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "the process does not get under way"
        time.sleep(0.005)


# ── images that do not come ──────────────────────────────────────────────────────────────────────────────────────────

DIED = "a process that decodes images died (SIGKILL, perhaps out of memory): lower data.workers; the same"

HANGING = """
import sys, time
from pathlib import Path
from ganas.cli import main
from ganas.data.sources import ImageSource
read, hang = ImageSource._encoded, Path(sys.argv.pop(1))
ImageSource._encoded = lambda *given: time.sleep(1000) if hang.exists() else read(*given)
sys.exit(main())
"""


@pytest.fixture(scope="module")
def uncached(wholes: Wholes, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Whole]:
    """A training whose images are decoded for each batch, by its number of worker processes."""

    @cache
    def train(workers: int) -> Whole:
        wide = "nets.width=4"  # slow enough to be interrupted
        settings = ("--set", "data.cache_mib=0", "--set", f"data.workers={workers}", "--set", wide)
        begin: Arguments = [*wholes["train"].begin, *settings, "--set", "training.evaluate_every=30"]
        whole = Whole(begin, tmp_path_factory.mktemp("uncached") / str(workers))
        assert ganas(*whole.into(whole.run)) == 0
        return whole

    return train


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the workers are found in /proc")
@pytest.mark.parametrize(
    "how, code, words",
    [
        pytest.param("a worker is killed", 2, DIED, marks=pytest.mark.slow),
        pytest.param("the workers do not answer", 130, "ganas: stopped by SIGINT after", marks=pytest.mark.slow),
        ("a read hangs", 130, "ganas: stopped by SIGINT after"),
    ],
)
def test_a_run_whose_images_do_not_come_ends_saves_and_goes_on(
    how: str, code: int, words: str, uncached: Callable[[int], Whole], tmp_path: Path
) -> None:
    whole, run, hang = uncached(0 if how == "a read hangs" else 2), tmp_path / "run", tmp_path / "hang"
    start = [sys.executable, "-c", HANGING, hang] if how == "a read hangs" else [GANAS]
    process = subprocess.Popen([*start, *whole.into(run)], stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    _wait_for(lambda: (run / "metrics.jsonl").exists() and (run / "metrics.jsonl").read_bytes().count(b"\n") >= 2)
    if how == "a read hangs":
        hang.touch()
    else:
        workers = _children(process.pid)
        assert len(workers) == 2
        for worker in workers[: 1 if how == "a worker is killed" else 2]:
            os.kill(worker, signal.SIGKILL if how == "a worker is killed" else signal.SIGSTOP)
    if code == 130:
        time.sleep(1)  # until what has been decoded is used up
        process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - asked < 5
    assert process.returncode == code and words in said.splitlines()[-1] and "Traceback" not in said
    assert 4 <= last_checkpoint(run)["loop"]["nimg"] < TRAIN_IMAGES and not (run / "result.json").exists()
    assert ganas(*whole.into(run)) == 0
    assert not differences(run, whole.run)


def _children(process: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{process}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


@pytest.mark.slow
def test_workers_need_no_shared_memory_and_change_nothing(uncached: Callable[[int], Whole], tmp_path: Path) -> None:
    """Docker gives 64 MB, which a few batches fill; here it is a page."""
    small = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=4k tmpfs /dev/shm && exec "$@"', "sh"]
    if sys.platform != "linux" or subprocess.run([*small, "true"], capture_output=True).returncode:
        pytest.skip("no permission to mount a small /dev/shm")
    command = [*small, GANAS, *uncached(2).into(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=120)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert not differences(tmp_path / "run", uncached(2).run)
    assert [name for name in differences(tmp_path / "run", uncached(0).run) if name != "config.yaml"] == []


# ── moments that a random kill seldom meets ──────────────────────────────────────────────────────────────────────────


class Killed(BaseException):
    """Instead of SIGKILL, in this process."""


@pytest.mark.slow
def test_a_kill_at_any_write_costs_nothing(wholes: Wholes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The k-th file is cut off half-way and never gets its name; for every k there is."""
    short = [*wholes["train"].begin, "--set", "training.images=4", "--set", "training.evaluate_every=2", *OFTEN]
    assert ganas(*short, "--out", tmp_path / "whole") == 0
    writes, kill_at = 0, 0
    replace = os.replace

    def dying(temporary: str, target: Path) -> None:
        nonlocal writes
        writes += 1
        if writes == kill_at:
            content = Path(temporary).read_bytes()
            Path(f"{temporary}.partial").write_bytes(content[:-10])  # under another name, to outlive the clean-up
            raise Killed
        replace(temporary, target)

    monkeypatch.setattr(store.os, "replace", dying)
    assert ganas(*short, "--out", tmp_path / "counted") == 0
    total = writes
    assert total >= 9, "config, metrics, architecture, result, and at each interval checkpoint, samples, generators"
    for kill_at in range(1, total + 1):
        run, writes = tmp_path / f"killed-{kill_at}", 0
        with pytest.raises(Killed):
            ganas(*short, "--out", run)
        assert list(run.rglob("*.partial"))
        writes = -(10**6)
        assert ganas(*short, "--out", run) == 0
        assert not differences(run, tmp_path / "whole"), f"killed at write {kill_at} of {total}"
        assert not list(run.rglob("*.partial")), "what a killed process leaves behind is cleared away"


def test_a_second_interrupt_is_obeyed_at_once(
    wholes: Wholes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    step, run = Loop.step, tmp_path / "run"

    def interrupted_twice(loop: Loop, a: torch.Tensor, b: torch.Tensor) -> None:
        step(loop, a, b)
        if loop.nimg == 8:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "step", interrupted_twice)
        assert ganas(*wholes["train"].into(run)) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "ganas: interrupted"
    assert not list(run.glob("checkpoints/*")), "it does not wait for a save"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert ganas(*wholes["train"].into(run)) == 0
    assert not differences(run, wholes["train"].run)


def test_a_finished_run_is_left_as_it_is(wholes: Wholes, tmp_path: Path) -> None:
    for name, whole in wholes.items():
        run = Path(shutil.copytree(whole.run, tmp_path / name))
        assert ganas(*whole.into(run)) == 0
        assert not differences(run, whole.run)


def set_to(**values: object) -> Arguments:
    """Keys of training, as flags."""
    return [word for key, value in values.items() for word in ("--set", f"training.{key}={value}")]


def interrupted(command: Arguments, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command that is killed after the step that ends at image `at`."""
    step = Loop.step

    def killed(loop: Loop, *images: torch.Tensor) -> None:
        step(loop, *images)
        if loop.nimg == at:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "step", killed)
        with pytest.raises(Killed):
            ganas(*command)


@pytest.mark.parametrize(
    "kind, constant",
    [("search", "search.warmup=0"), pytest.param("train", "training.decay=0", marks=pytest.mark.slow)],
)
def test_a_finished_run_made_longer_is_one_that_was_as_long_from_the_start(
    kind: str, constant: str, wholes: Wholes, tmp_path: Path, capsys: Capture
) -> None:
    """Where no schedule depends on the length: byte for byte, in weights, scores, choices and result."""
    begin, run = [*wholes[kind].begin, "--set", constant, *set_to(evaluate_every=6)], tmp_path / "run"
    assert ganas(*begin, *set_to(images=24), "--out", tmp_path / "whole") == 0
    assert ganas(*begin, *set_to(images=12), "--out", run) == 0
    before = (run / "result.json").read_bytes()
    capsys.readouterr()
    assert ganas(*begin, *set_to(images=24), "--out", run) == 0
    said = capsys.readouterr().err
    assert "training.images: 12 → 24; schedules stretch, after 12 images the learning rate stays 0.0006\n" in said
    assert "resuming after 12 images" in said and (run / "result.json").read_bytes() != before
    assert not differences(run, tmp_path / "whole")
    assert ganas(*begin, *set_to(images=12), "--out", run) == 2, "what was learned is not unlearned"


@pytest.mark.parametrize(
    "kind", [pytest.param("search", marks=pytest.mark.long), pytest.param("train", marks=pytest.mark.slow)]
)
def test_schedules_stretch_with_a_run_that_is_made_longer(
    kind: str, wholes: Wholes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made longer before the alphas learn, and before the learning rate falls, it is the longer run."""
    begin, run = [*wholes[kind].begin, *OFTEN, *set_to(decay=0.5)], tmp_path / "run"
    assert ganas(*begin, *set_to(images=32), "--out", tmp_path / "whole") == 0
    interrupted([*begin, *set_to(images=20), "--out", run], 6, monkeypatch)
    for at in (10, 18):  # neither does it matter how often it is killed after that
        interrupted([*begin, *set_to(images=32), "--out", run], at, monkeypatch)
    assert ganas(*begin, *set_to(images=32), "--out", run) == 0
    assert not differences(run, tmp_path / "whole")


def test_a_longer_run_says_what_becomes_of_its_schedules(wholes: Wholes, tmp_path: Path, capsys: Capture) -> None:
    search = [*wholes["search"].begin, "--strategy", "ths", "--set", "search.sampling=gumbel", *set_to(decay=0.5)]
    assert ganas(*search, *set_to(images=8), "--out", tmp_path / "run") == 0
    capsys.readouterr()
    assert ganas(*search, *set_to(images=16), "--out", tmp_path / "run") == 0
    said = (
        "training.images: 8 → 16; schedules stretch, after 8 images the learning rate goes from 0 to 0.0006, the "
        "temperature goes from 0.1 to 0.7071, the image from which alphas learn goes from 4 to 8, the image at which "
        "the halves swap roles goes from 6 to 12"
    )
    assert said in capsys.readouterr().err and said in (tmp_path / "run" / "log.txt").read_text()


HARMLESS = ("data.workers=1", "data.cache_mib=0", "data.skip_bad=true", "training.checkpointing=true")
HARMLESS += ("training.log_every=3", "training.sample_every=7", "training.checkpoint_every=5")


@pytest.mark.parametrize("kind", ["search", pytest.param("train", marks=pytest.mark.slow)])
def test_what_changes_no_result_may_change_when_a_run_goes_on(
    kind: str, wholes: Wholes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    run, whole = tmp_path / "run", wholes[kind].run
    command = [*wholes[kind].into(run), *OFTEN]
    interrupted(command, 8, monkeypatch)
    capsys.readouterr()
    assert ganas(*command, *(word for setting in HARMLESS for word in ("--set", setting))) == 0
    said = capsys.readouterr().err
    kept = load_config(RunConfig, (run / "config.yaml").read_bytes(), "config.yaml")
    for setting in HARMLESS:
        key, value = read_setting(RunConfig, setting)
        assert kept.value(key) == value and f"\n{key}: " in f"\n{said}"
    mine, theirs = (last_checkpoint(one)["loop"] for one in (run, whole))
    for part in ("gan", "optimizers", "ema"):
        assert not _unequal(mine[part], theirs[part], part)
    results = [name for name in ("architecture.json", "result.json", "supernet.safetensors") if (whole / name).exists()]
    results += [f"model/{path.name}" for path in (whole / "model").glob("*")]
    assert len(results) >= 3
    for name in results:
        assert (run / name).read_bytes() == (whole / name).read_bytes()


def test_other_threads_may_round_otherwise_and_that_is_said(wholes: Wholes, tmp_path: Path, capsys: Capture) -> None:
    run = Path(shutil.copytree(wholes["train"].run, tmp_path / "run"))
    capsys.readouterr()
    assert ganas(*wholes["train"].into(run), *set_to(threads=2)) == 0
    said = capsys.readouterr().err
    assert "training.threads: 1 → 2; results may differ in the last bits from here on\n" in said
    assert "threads: 2" in (run / "config.yaml").read_text()


def test_a_number_that_is_lost_ends_the_run_with_1_and_keeps_the_last_checkpoint(
    wholes: Wholes, tmp_path: Path, capsys: Capture
) -> None:
    run = tmp_path / "run"
    command = [*wholes["train"].begin, *OFTEN, "--set", "training.lr=1e30", "--out", run]
    for _ in range(2):  # again, it goes on from the checkpoint, and comes to the same
        assert ganas(*command) == 1
        out, err = capsys.readouterr()
        last = err.splitlines()[-1]
        assert last.startswith("ganas: the loss of ") and "is not finite at step 2 (image 2)" in last and not out
        assert "the run stopped; try a lower training.lr" in last
        state = last_checkpoint(run)
        assert state["loop"]["nimg"] == 2 and not (run / "result.json").exists()
        assert all(_finite(value) for value in state["loop"]["gan"].values())


def _finite(value: Any) -> bool:
    return not torch.is_tensor(value) or bool(torch.isfinite(value).all())


# ── kill -9, at random moments ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "kills, runs",
    [
        pytest.param("2", 2, marks=pytest.mark.slow),
        pytest.param("2 --only search --strategy ths", 1, marks=pytest.mark.long),
    ],
)
def test_kills_at_random_moments_change_nothing(kills: str, runs: int) -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--kills", *kills.split()], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(f"{kills[0]} kills") == runs and done.stdout.count("the same in every byte") == runs
