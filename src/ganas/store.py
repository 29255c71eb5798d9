"""The layout of a run folder; no other module knows the file names in it.

    RUN/
      config.yaml             the complete, resolved config
      architecture.json       train: the trained architecture; search: the derived one
      result.json             written last: how the run ended
      metrics.jsonl           one line per log interval and per evaluation
      checkpoints/state-N.pt  everything to resume after N images; the last two are kept
      latencies.json          search, search.budget=ms: microseconds of each op in each slot on this machine
      front.json              search --strategy sampled: translators from tiny to full
      points/N.png            of the same: what each point translates
      evolution.jsonl         of the same: every score and time that the front was found by
      supernet.safetensors    search: all weights at the end, for training.inherit
      repeats/SEED/           search and train --repeats: one run each
      model/*.safetensors     the trained generators; this folder suffices to translate
      samples/N.png           outputs of the generators after N images
      examples/ab.png, .json  train, with pairs: those that are translated worst and best
      images.npy              grow, until it ends: the decoded images, shared by its processes
      candidates/ID/          grow: one run each (ganas.growing.candidates); children inherit its final.safetensors
      tensorboard/, wandb/    what trackers keep (ganas.learning.trackers)
      log.txt, lock

Every write goes to a temporary file next to its target, which is then renamed: a reader never sees a partial file, and
a kill at any moment leaves the old one.
"""

import io
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ganas.errors import DataError, RunError
from ganas.paths import StrPath, as_path, visible
from ganas.progress import warn_once

KEPT_CHECKPOINTS = 2
REPEATS_FILES = (
    "repeats",
    "model",
    "architecture.json",
    "result.json",
    "report.html",
)  # contents of a folder of repeats
CONFIG = "config.yaml"
PAGE = "report.html"  # of ganas report
OUTPUT_LOCK = ".ganas-lock"  # in an output folder, while results are written to it
CONFIG_START = re.compile(rb"schema: \d+\r?\nkind: (search|train|grow)\b")  # how a run's config.yaml starts
LOOK = 0.2  # seconds: whoever looks whether a folder is locked (`is_locked`) holds its lock for far less
LOG_LINE = 400  # bytes of a log line, generously
PARTIAL = (".ganas-", ".partial")  # prefix and suffix of files that are not renamed yet


def is_run_config(start: bytes) -> bool:
    """Whether a ``config.yaml`` that starts like this belongs to a run."""
    return CONFIG_START.match(start) is not None


def default_cache() -> Path | None:
    """The cache folder that runs share: ``$GANAS_CACHE``, or ganas's folder in the user's cache folder.

    None without a home folder, for example for a user without a passwd entry in a container.
    """
    if given := os.environ.get("GANAS_CACHE"):
        return Path(given)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ganas"
    except RuntimeError:
        warn_once("no home folder, so nothing is cached for later runs: set GANAS_CACHE to a cache folder")
        return None


def write_atomically(path: Path, content: bytes, *, new: bool = False) -> None:
    """Write a file completely or not at all, and create its folder if needed; safe against a kill and a power cut.

    new: raise `DataError` if the path exists
    """
    with atomic_file(path, new=new) as file:
        file.write(content)


@contextmanager
def atomic_file(path: Path, *, new: bool = False) -> Iterator[IO[bytes]]:
    """`write_atomically` for large content: open a file for writing that gets its name when the block ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{PARTIAL[0]}{secrets.token_hex(8)}{PARTIAL[1]}")
    try:
        with temporary.open("xb") as file:  # permissions by the user's umask, unlike tempfile's
            yield file
            file.flush()
            os.fsync(file.fileno())
        _rename_to_new(temporary, path) if new else os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # the error of a full disk names no file
        raise


def _rename_to_new(temporary: Path, path: Path) -> None:
    """Rename without replacing any file, even one that another process creates at the same moment."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        refuse_existing(path)
        raise  # the file was removed again
    except OSError:  # a file system without hard links
        refuse_existing(path)
        os.replace(temporary, path)
    else:
        temporary.unlink()


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, on systems that can open folders."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def lock_folder(folder: Path, name: str = "lock") -> Iterator[None]:
    """Lock a folder for this process, creating it if needed; raises `RunError` if another process holds the lock.

    A killed process holds no lock.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(folder / name).acquire(timeout=LOOK, poll_interval=LOOK / 20)
    except Timeout:
        raise RunError(f"{str(folder)!r} is in use by another process: wait for it, or choose another folder") from None
    with held:
        yield


def is_locked(lock: Path) -> bool:
    """Whether a process holds this lock file now. Writes nothing, and works on files that it may only read."""
    from filelock import FileLock, Timeout

    if not lock.exists():
        return False
    with suppress(ImportError):  # not on Windows
        import fcntl

        try:
            with lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        except OSError:
            return True
    try:
        with FileLock(lock, timeout=0):
            return False
    except (Timeout, OSError):
        return True


@contextmanager
def results_folder(folder: Path, *, new: bool = True) -> Iterator[None]:
    """Lock an output folder during writing; create it if needed, and leave no trace if there are no results.

    new: raise `DataError` unless the folder is empty, apart from hidden files (`is_hidden`)

    Raises `RunError` if another process writes there.
    """
    created, held = not folder.exists(), False
    if new:
        refuse_used(folder)  # before the folder is created
    try:
        with lock_folder(folder, OUTPUT_LOCK):
            held = True
            if new:
                refuse_used(folder)  # another process may have finished just now
            yield
    finally:
        if held and (new or not visible(folder)):
            with suppress(OSError):
                (folder / OUTPUT_LOCK).unlink()  # after the release: Windows does not delete open files
                if created and not visible(folder):
                    folder.rmdir()


def refuse_used(folder: Path) -> None:
    """Raise `DataError` if an output folder is a file, or holds anything that is not hidden."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"the output {str(folder)!r} is a file: give a new or empty folder")
    if folder.is_dir() and visible(folder):
        raise DataError(f"the output folder {str(folder)!r} is not empty: give a new or empty folder")


def refuse_existing(path: Path) -> None:
    """Raise `DataError` if the path of an output file exists."""
    if path.exists() or path.is_symlink():
        raise DataError(f"the output {str(path)!r} exists already: choose another file name")


class Run:
    """The paths in a run folder, and the reading and writing of most of its files."""

    def __init__(self, folder: StrPath) -> None:
        self.path = path = as_path(folder)
        self.config = path / CONFIG
        self.architecture = path / "architecture.json"
        self.result = path / "result.json"
        self.metrics = path / "metrics.jsonl"
        self.checkpoints = path / "checkpoints"
        self.model = path / "model"
        self.latencies = path / "latencies.json"
        self.supernet = path / "supernet.safetensors"
        self.front = path / "front.json"
        self.evolution = path / "evolution.jsonl"
        self.samples = path / "samples"
        self.examples = path / "examples"
        self.tensorboard = path / "tensorboard"
        self.log = path / "log.txt"
        self.images = path / "images.npy"
        self.candidates = path / "candidates"
        self.spec = path / "spec.json"
        self.final = path / "final.safetensors"
        self.lock_file = path / "lock"

    def repeat(self, seed: int) -> "Run":
        """The run folder of one repeat."""
        return Run(self.path / "repeats" / str(seed))

    def candidate(self, name: str) -> "Run":
        """The run folder of one candidate of a growing search."""
        return Run(self.candidates / name)

    def generator(self, direction: str) -> Path:
        """The generator file of one direction, ``ab`` or ``ba``."""
        return self.model / f"generator_{direction}.safetensors"

    def example_picture(self, direction: str) -> Path:
        """The worst and the best translated pairs of one direction: rows input, output, right answer."""
        return self.examples / f"{direction}.png"

    def example_scores(self, direction: str) -> Path:
        """The names and scores of the columns of `example_picture`."""
        return self.examples / f"{direction}.json"

    def front_picture(self, number: int) -> Path:
        """What a point of a front translates: rows A, A→B, B, B→A."""
        return self.path / "points" / f"{number}.png"

    def delete_model(self) -> None:
        """Remove the generators, with which a restarted run would compare its own."""
        for generator in self.model.glob("*.safetensors"):
            generator.unlink()

    @contextmanager
    def lock(self, *, repeats: bool = False) -> Iterator[None]:
        """Lock the run for this process; raises `RunError` if another process holds it, or if it is not a run of ganas.

        repeats: the folder contains several trainings, and no config of its own

        If no run starts, the folder is left unchanged.
        """
        new = not self.path.exists()
        self._refuse_foreign_folder(REPEATS_FILES if repeats else ())
        try:
            with lock_folder(self.path):
                try:
                    self.remove_partial_files()
                    yield
                finally:
                    if not self.config.exists():
                        with suppress(OSError):
                            self.lock_file.unlink()
        finally:
            if new and not self.config.exists():
                with suppress(OSError):  # not empty: another process uses it now
                    self.path.rmdir()

    def _refuse_foreign_folder(self, allowed: Sequence[str]) -> None:
        """Raise `RunError` if the folder contains files that are not of ganas."""
        if self.config.exists() or not self.path.is_dir():
            return
        for path in visible(self.path):
            if path.name not in ("lock", "log.txt", *allowed):
                raise RunError(
                    f"{str(self.path)!r} is not empty and no run of ganas (it holds {path.name!r}): choose a new --out"
                )

    def remove_partial_files(self) -> None:
        """Remove temporary files that a killed process left behind."""
        for folder in (self.path, self.checkpoints, self.model, self.samples, self.examples):
            for leftover in folder.glob(f"{PARTIAL[0]}*{PARTIAL[1]}"):
                leftover.unlink()

    @property
    def has_progress(self) -> bool:
        """Whether there is training progress, which must not be continued with another config."""
        logged = any("error" not in line for line in self.read_metrics())  # a failure is no progress
        return bool(self.checkpoint_paths()) or logged or any(self.candidates.glob("*"))

    @property
    def images_saved(self) -> int | None:
        """Images seen at the newest checkpoint; None without one."""
        paths = self.checkpoint_paths()
        return int(paths[-1].stem.removeprefix("state-")) if paths else None

    @property
    def is_locked(self) -> bool:
        """Whether a process uses the run now."""
        return is_locked(self.lock_file)

    # ── checkpoints ─────────────────────────────────────────────────────────────────────────────────────────────────

    def checkpoint_paths(self) -> list[Path]:
        """All checkpoints, newest last."""
        return sorted(self.checkpoints.glob("state-*.pt"))

    def remove_checkpoints(self) -> None:
        """Remove all checkpoints of this run and of the runs in it."""
        for checkpoint in self.path.glob("**/checkpoints/state-*.pt"):
            checkpoint.unlink()

    def save_checkpoint(self, nimg: int, state: Mapping[str, Any]) -> None:
        """Write the state after `nimg` images and delete all but the last `KEPT_CHECKPOINTS`."""
        import torch

        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        write_atomically(self.checkpoints / f"state-{nimg:012d}.pt", buffer.getvalue())
        for old in self.checkpoint_paths()[:-KEPT_CHECKPOINTS]:
            old.unlink()

    def load_checkpoint(self) -> dict[str, Any] | None:
        """Load the newest state, or None; raises `RunError` with the way out if it is damaged. Never unpickles code."""
        import torch

        if not (paths := self.checkpoint_paths()):
            return None
        *older, newest = paths
        try:
            return torch.load(newest, map_location="cpu", weights_only=True)  # type: ignore[no-any-return]
        except Exception as error:  # torch.load raises many kinds for damaged files
            reason = str(error).splitlines()[0][:80] if str(error) else "cut off"
            before = f"to resume from {older[-1].name}" if older else "to start over"
            raise RunError(f"checkpoint {str(newest)!r} is damaged ({reason}): remove it {before}") from None

    # ── lines of metrics ────────────────────────────────────────────────────────────────────────────────────────────

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Add one line to ``metrics.jsonl``."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def read_metrics(self) -> list[dict[str, Any]]:
        """Read every complete line of ``metrics.jsonl``, without one that was cut off by a kill."""
        if not self.metrics.exists():
            return []
        lines = []
        for text in self.metrics.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):
                lines.append(json.loads(text))
        return lines

    def rewind_metrics(self, count: int) -> None:
        """Drop all lines after the first `count`, which a resumed run writes again."""
        kept = self.read_metrics()[:count]
        write_atomically(self.metrics, "".join(json.dumps(line) + "\n" for line in kept).encode())

    # ── what a reader sees ──────────────────────────────────────────────────────────────────────────────────────────

    def sample_paths(self) -> list[tuple[int, Path]]:
        """The sample grids with the images seen by then, the oldest first."""
        return sorted((int(path.stem), path) for path in self.samples.glob("*.png") if path.stem.isdecimal())

    def read_log(self, lines: int = 200) -> list[str]:
        """The last lines of ``log.txt``; none without it."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - lines * LOG_LINE))
                return file.read().decode("utf-8", errors="replace").splitlines()[-lines:]
        except OSError:
            return []

    # ── results ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def write_text(self, path: Path, text: str) -> None:
        """Write one of the run's small text files atomically."""
        write_atomically(path, text.encode())

    def read_result(self) -> dict[str, Any]:
        """Read what `write_result` wrote; empty if the run has not ended. Raises `RunError` if it is damaged."""
        try:
            return json.loads(self.result.read_text(encoding="utf-8")) if self.result.is_file() else {}
        except ValueError:
            raise RunError(f"{str(self.result)!r} is damaged: use an intact copy, or remove it") from None

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Write how the run ended."""
        self.write_text(self.result, json.dumps(result, indent=1) + "\n")
