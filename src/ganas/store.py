"""A run is a folder, and this file alone knows the names in it.

    RUN/
      config.yaml             everything the run was told, resolved
      architecture.json       train: what is trained; search: what was found
      result.json             written last: how the run ended
      metrics.jsonl           a line per log interval and per evaluation
      checkpoints/state-N.pt  everything a resume needs after N images; the last two are kept
      latencies.json          search, search.budget=ms: microseconds of each op in each slot on this machine
      supernet.safetensors    search: all weights at its end, for training.inherit
      repeats/SEED/           train --repeats: one run each
      model/*.safetensors     the generators to use; this folder alone is enough to translate with
      samples/N.png           what the generators do after N images
      images.npy              grow, until it ends: the images decoded, for all its processes
      candidates/ID/          grow: a run each (ganas.growing.candidates); its children inherit from final.safetensors
      tensorboard/, log.txt, lock

Every write goes to a temporary file beside its target and is renamed: a reader never sees half a file, and a kill at
any moment leaves the old one.
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
from ganas.progress import note_once

KEPT_CHECKPOINTS = 2
WHOLE = ("repeats", "model", "architecture.json", "result.json")  # what several trainings together consist of
CONFIG = "config.yaml"
OUTPUT_LOCK = ".ganas-lock"  # in a folder of results, while they are written
CONFIG_START = re.compile(rb"schema: \d+\r?\nkind: (search|train|grow)\b")  # of a run's config.yaml
PARTIAL = (".ganas-", ".partial")  # how names of files that are not yet renamed begin and end


def is_run_config(start: bytes) -> bool:
    """Whether a file named `CONFIG` that starts so is of a run, which its folder is then."""
    return CONFIG_START.match(start) is not None


def default_cache() -> Path | None:
    """What is kept from one run to the next: ``$GANAS_CACHE``, or ganas's folder among the user's caches.

    None where there is no home folder, as for a user without an entry in a container.
    """
    if given := os.environ.get("GANAS_CACHE"):
        return Path(given)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ganas"
    except RuntimeError:
        note_once("no home folder, so nothing is kept for later runs: set GANAS_CACHE to a folder to keep it in")
        return None


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, its folder made if need be; safe against a kill and a power cut."""
    with atomic_file(path) as file:
        file.write(content)


@contextmanager
def atomic_file(path: Path, *, new: bool = False) -> Iterator[IO[bytes]]:
    """`write_atomically` for what is too large to be held: a file to write to, in place once the block ends.

    new: raise `DataError` where something is in its place
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{PARTIAL[0]}{secrets.token_hex(8)}{PARTIAL[1]}")
    try:
        with temporary.open("xb") as file:  # by the user's umask, unlike tempfile's
            yield file
            file.flush()
            os.fsync(file.fileno())
        _put_new(temporary, path) if new else os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk does not say where
        raise


def _put_new(temporary: Path, path: Path) -> None:
    """A rename that replaces nothing, whoever writes there at the same moment."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        refuse_existing(path)
        raise  # it has gone again
    except OSError:  # a file system without links
        refuse_existing(path)
        os.replace(temporary, path)
    else:
        temporary.unlink()


def _sync_folder(folder: Path) -> None:
    """Make a rename outlast a power cut, where the system can open folders."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def exclusively(folder: Path, name: str = "lock") -> Iterator[None]:
    """Hold a folder, made if need be, for this process; raises `RunError` when another one does.

    A killed process holds nothing.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(folder / name).acquire(timeout=0)
    except Timeout:
        raise RunError(f"{str(folder)!r} is in use by another process: wait for it, or choose another folder") from None
    with held:
        yield


@contextmanager
def results_folder(folder: Path, *, new: bool = True) -> Iterator[None]:
    """Hold a folder for results while they are written; it is made if need be, and left as it was if there are none.

    new: raise `DataError` unless it is empty, but for what `is_hidden`

    Raises `RunError` when another process writes there.
    """
    made, held = not folder.exists(), False
    if new:
        refuse_used(folder)  # before a folder is made
    try:
        with exclusively(folder, OUTPUT_LOCK):
            held = True
            if new:
                refuse_used(folder)  # another process may have ended just now
            yield
    finally:
        if held and (new or not visible(folder)):
            with suppress(OSError):
                (folder / OUTPUT_LOCK).unlink()  # once it is released: Windows keeps what is open
                if made and not visible(folder):
                    folder.rmdir()


def refuse_used(folder: Path) -> None:
    """Raise `DataError` where a folder for results is a file, or holds something that is not hidden."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"the output {str(folder)!r} is a file: give a folder, new or empty")
    if folder.is_dir() and visible(folder):
        raise DataError(f"the output folder {str(folder)!r} is not empty: give a new or an empty one")


def write_new(path: Path, content: bytes) -> None:
    """`write_atomically` where nothing is yet; raises `DataError` where something is."""
    with atomic_file(path, new=True) as file:
        file.write(content)


def refuse_existing(path: Path) -> None:
    """Raise `DataError` where something is in the place of a file to be written."""
    if path.exists() or path.is_symlink():
        raise DataError(f"the output {str(path)!r} is there already: give a new file")


class Run:
    """The names in a run folder, and the only reader and writer of most of them."""

    def __init__(self, place: StrPath) -> None:
        self.path = path = as_path(place)
        self.config = path / CONFIG
        self.architecture = path / "architecture.json"
        self.result = path / "result.json"
        self.metrics = path / "metrics.jsonl"
        self.checkpoints = path / "checkpoints"
        self.model = path / "model"
        self.latencies = path / "latencies.json"
        self.supernet = path / "supernet.safetensors"
        self.samples = path / "samples"
        self.tensorboard = path / "tensorboard"
        self.log = path / "log.txt"
        self.images = path / "images.npy"
        self.candidates = path / "candidates"
        self.spec = path / "spec.json"
        self.final = path / "final.safetensors"
        self.lock_file = path / "lock"

    def repeat(self, seed: int) -> "Run":
        """The run of one repeat of a training."""
        return Run(self.path / "repeats" / str(seed))

    def candidate(self, name: str) -> "Run":
        """The folder of one candidate of a growing search."""
        return Run(self.candidates / name)

    def generator(self, direction: str) -> Path:
        """The file of one direction's generator, ``ab`` or ``ba``."""
        return self.model / f"generator_{direction}.safetensors"

    def forget_model(self) -> None:
        """Remove the generators: those of a run that is begun anew would be compared with its own."""
        for generator in self.model.glob("*.safetensors"):
            generator.unlink()

    @contextmanager
    def lock(self, *, repeats: bool = False) -> Iterator[None]:
        """Hold the run for this process; raises `RunError` when another one does, or when it is no run of ganas.

        With `repeats` it is the whole of several trainings, which has no config of its own.

        A killed process holds nothing. A folder in which nothing was begun is left as it was found.
        """
        new = not self.path.exists()
        self._refuse_strangers(WHOLE if repeats else ())
        try:
            with exclusively(self.path):
                try:
                    self.sweep()
                    yield
                finally:
                    if not self.config.exists():
                        with suppress(OSError):
                            self.lock_file.unlink()
        finally:
            if new and not self.config.exists():
                with suppress(OSError):  # not empty: another process came in between
                    self.path.rmdir()

    def _refuse_strangers(self, welcome: Sequence[str]) -> None:
        """Somebody else's files are neither locked, nor swept, nor mixed with a run."""
        if self.config.exists() or not self.path.is_dir():
            return
        for path in visible(self.path):
            if path.name not in ("lock", "log.txt", *welcome):
                raise RunError(
                    f"{str(self.path)!r} is not empty and no run of ganas (it holds {path.name!r}): choose a new --out"
                )

    def sweep(self) -> None:
        """Remove temporary files that a killed process left behind."""
        for folder in (self.path, self.checkpoints, self.model, self.samples):
            for leftover in folder.glob("*"):
                if _is_partial(leftover):
                    leftover.unlink()

    @property
    def begun(self) -> bool:
        """Whether anything was learned here that another config must not be mixed with."""
        return bool(self.checkpoint_paths() or self.read_metrics()) or any(self.candidates.glob("*"))

    @property
    def saved(self) -> int | None:
        """Images seen by the newest checkpoint; None without one."""
        paths = self.checkpoint_paths()
        return int(paths[-1].stem.removeprefix("state-")) if paths else None

    @property
    def held(self) -> bool:
        """Whether a process holds the folder now."""
        from filelock import FileLock, Timeout

        if not self.lock_file.exists():
            return False
        try:
            with FileLock(self.lock_file, timeout=0):
                return False
        except (Timeout, OSError):
            return True

    # ── checkpoints ─────────────────────────────────────────────────────────────────────────────────────────────────

    def checkpoint_paths(self) -> list[Path]:
        """Checkpoints, the newest last."""
        return sorted(self.checkpoints.glob("state-*.pt"))

    def save_checkpoint(self, nimg: int, state: Mapping[str, Any]) -> None:
        """Write the state after `nimg` images and drop all but the last `KEPT_CHECKPOINTS`."""
        import torch

        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        write_atomically(self.checkpoints / f"state-{nimg:012d}.pt", buffer.getvalue())
        for old in self.checkpoint_paths()[:-KEPT_CHECKPOINTS]:
            old.unlink()

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The newest state, or None; raises `RunError` when it is damaged, naming the way out. Never unpickles code."""
        import torch

        paths = self.checkpoint_paths()
        if not paths:
            return None
        newest = paths[-1]
        try:
            return torch.load(newest, map_location="cpu", weights_only=True)  # type: ignore[no-any-return]
        except Exception as error:  # whatever a damaged file makes of torch's reader
            reason = str(error).splitlines()[0][:80] if str(error) else "cut off"
            before = f"to go on from {paths[-2].name}" if len(paths) > 1 else "to start over"
            raise RunError(f"checkpoint {str(newest)!r} is damaged ({reason}): remove it {before}") from None

    # ── lines of metrics ────────────────────────────────────────────────────────────────────────────────────────────

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Add one line to ``metrics.jsonl``."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def read_metrics(self) -> list[dict[str, Any]]:
        """Every complete line of ``metrics.jsonl``; one cut off by a kill is left out."""
        if not self.metrics.exists():
            return []
        lines = []
        for text in self.metrics.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:
                continue
        return lines

    def rewind_metrics(self, count: int) -> None:
        """Drop all lines but the first `count`: a resumed run writes them again."""
        kept = self.read_metrics()[:count]
        write_atomically(self.metrics, "".join(json.dumps(line) + "\n" for line in kept).encode())

    # ── results ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def write_text(self, path: Path, text: str) -> None:
        """Write one of the run's small text files atomically."""
        write_atomically(path, text.encode())

    def read_result(self) -> dict[str, Any]:
        """What `write_result` wrote; nothing where the run has not ended."""
        return json.loads(self.result.read_text(encoding="utf-8")) if self.result.is_file() else {}

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Write how the run ended."""
        self.write_text(self.result, json.dumps(result, indent=1) + "\n")


def _is_partial(path: Path) -> bool:
    return path.name.startswith(PARTIAL[0]) and path.name.endswith(PARTIAL[1])
