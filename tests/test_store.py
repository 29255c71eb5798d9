"""The run folder: a reader never sees half a file, nothing in a file is executed, and one process holds a run."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ganas.errors import DataError, RunError
from ganas.store import Run, atomic_file, write_atomically


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


# Writing


def test_a_file_is_written_whole_and_its_folder_made(tmp_path: Path) -> None:
    path = tmp_path / "some" / "where" / "file.bin"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["file.bin"]


@pytest.mark.parametrize("breaks", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_writing_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breaks: str, error: type[BaseException]
) -> None:
    path = tmp_path / "file.bin"
    write_atomically(path, b"old")

    def fail(*_: Any) -> None:
        raise error(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(error) as caught:
        patch.setattr(os, breaks, fail)
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file.bin"]
    if isinstance(caught.value, OSError):
        assert caught.value.filename == str(path), "a full disk does not say where"


@pytest.mark.parametrize("links", [True, False])
def test_a_new_file_replaces_none_that_came_meanwhile(
    tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError("not on this file system")))
    path = tmp_path / "file.bin"
    with pytest.raises(DataError, match=r"file\.bin' exists already: choose another file name"):
        with atomic_file(path, new=True) as file:
            file.write(b"mine")
            path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs" and names(tmp_path) == ["file.bin"]
    path.unlink()
    write_atomically(path, b"mine", new=True)
    assert path.read_bytes() == b"mine" and names(tmp_path) == ["file.bin"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no umask")
@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_files_follow_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "new" / "file.bin", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "new" / "file.bin").stat().st_mode & 0o777 == 0o666 & ~mask
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o777 & ~mask


# Checkpoints


def save(run: Run, *images: int) -> None:
    for nimg in images:
        run.save_checkpoint(nimg, {"nimg": nimg, "weights": torch.full((500,), float(nimg)), "extra": None})


def loaded(run: Run) -> int:
    state = run.load_checkpoint()
    assert state is not None and torch.equal(state["weights"], torch.full((500,), float(state["nimg"])))
    return int(state["nimg"])


def test_the_newest_checkpoint_is_read_and_two_are_kept(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.load_checkpoint() is None
    save(run, 8)
    assert loaded(run) == 8
    save(run, 90, 100, 1000)  # by number, not by letters
    assert loaded(run) == 1000
    assert [path.name for path in run.checkpoint_paths()] == ["state-000000000100.pt", "state-000000001000.pt"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zeros(path: Path) -> None:
    path.write_bytes(bytes(2000))


def text(path: Path) -> None:
    path.write_text("no checkpoint at all")


@pytest.mark.parametrize("damage", [cut, empty, zeros, text])
def test_a_damaged_checkpoint_is_named_with_a_way_out_that_works(tmp_path: Path, damage: Any) -> None:
    run = Run(tmp_path)
    save(run, 100, 200)
    newest = run.checkpoint_paths()[-1]
    damage(newest)
    with pytest.raises(
        RunError, match=r"state-0+200\.pt' is damaged .*remove it to resume from state-0+100\.pt"
    ) as caught:
        run.load_checkpoint()
    assert "\n" not in str(caught.value)
    newest.unlink()
    assert loaded(run) == 100
    damage(run.checkpoint_paths()[-1])
    with pytest.raises(RunError, match="remove it to start over"):
        run.load_checkpoint()


class Bomb:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_checkpoint_with_code_in_it_is_refused_and_the_code_not_run(tmp_path: Path) -> None:
    run, trace = Run(tmp_path / "run"), tmp_path / "trace"
    save(run, 100)
    torch.save({"nimg": 100, "bomb": Bomb(trace)}, run.checkpoint_paths()[-1])
    with pytest.raises(RunError, match="damaged"):
        run.load_checkpoint()
    assert not trace.exists()
    torch.load(run.checkpoint_paths()[-1], weights_only=False)
    assert trace.exists(), "the bomb is one"


# Metrics


def test_metrics_are_lines_and_one_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.read_metrics() == []
    for nimg in (100, 200):
        run.append_metrics({"nimg": nimg, "loss": {"cycle_a": 0.5}})
    with run.metrics.open("a") as file:
        file.write('{"nimg": 300, "lo')
    assert run.read_metrics() == [{"nimg": nimg, "loss": {"cycle_a": 0.5}} for nimg in (100, 200)]


def test_rewinding_drops_what_a_resumed_run_writes_again(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.rewind_metrics(0)
    for nimg in (100, 200, 300):
        run.append_metrics({"nimg": nimg})
    with run.metrics.open("a") as file:
        file.write('{"nimg": 400, "lo')
    run.rewind_metrics(2)
    run.append_metrics({"nimg": 300, "again": True})
    assert run.read_metrics() == [{"nimg": 100}, {"nimg": 200}, {"nimg": 300, "again": True}]


# Locks

HOLD = """
import sys
from pathlib import Path
from ganas.store import Run
with Run(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_run_held_by_another_process_is_refused_until_that_is_killed(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        with pytest.raises(RunError, match=r"run' is in use by another process: .*another folder"), run.lock():
            pass
        holder.kill()
        holder.wait()
        with run.lock():
            pass


def test_what_a_killed_process_left_half_written_is_swept_and_nothing_else(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_text(run.config, "seed: 0")
    (tmp_path / ".gitignore").touch()
    (tmp_path / ".mine.yaml").touch()

    for path in (run.config, run.checkpoints / "state-000000000100.pt", run.model / "generator_ab.safetensors"):
        leave_half_written(path)
    assert len(names(tmp_path)) == 3 + 2 + 3
    with run.lock():
        assert {*names(tmp_path)} == {".gitignore", ".mine.yaml", "config.yaml", "lock", "checkpoints", "model"}


def leave_half_written(path: Path) -> None:
    """What a process killed between its two last steps leaves behind."""
    killed = f"""
import os
from pathlib import Path
from ganas.store import write_atomically
os.replace = lambda *_: os.kill(os.getpid(), 9)
write_atomically(Path({str(path)!r}), b"half")
"""
    assert subprocess.run([sys.executable, "-c", killed]).returncode == -9


def test_a_folder_that_is_no_run_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    for name in (".notes.txt", "lock", "thesis.txt"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(RunError, match=r"no run of ganas \(it holds 'thesis\.txt'\): choose a new --out"):
        with Run(tmp_path).lock():
            pass
    assert names(tmp_path) == [".notes.txt", "lock", "thesis.txt"]
    assert (tmp_path / "lock").read_text() == "mine"


def test_a_run_that_never_began_leaves_no_trace(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nothing came of it"), Run(tmp_path / "run").lock():
        raise RunError("nothing came of it")
    assert names(tmp_path) == []


def test_a_failure_is_no_progress(tmp_path: Path) -> None:
    """A run that ended at once, by a NaN or a full disk, takes another config."""
    run = Run(tmp_path)
    run.append_metrics({"nimg": 0, "error": "the loss is not finite"})
    assert not run.has_progress
    run.append_metrics({"nimg": 4, "loss": {"cycle": 1.0}})
    assert run.has_progress
