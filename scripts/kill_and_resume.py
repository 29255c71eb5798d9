"""Kill runs at random moments, go on with them, and compare them with runs that were never stopped.

    python scripts/kill_and_resume.py --kills 20                 a search, and a training of what it found
    python scripts/kill_and_resume.py --kills 20 --only train --seed 3
    python scripts/kill_and_resume.py --kills 20 --layout reference --sampling gumbel --threads 2

SIGKILL leaves a process no time for anything: what lies in the run folder is all there is. Every byte of both runs has
to be the same in the end (networks, optimisers, averages, pools, scores, samples), but for the clock and TensorBoard.
Each life is a fork of this process, which has imported torch already: a kill costs a second instead of four.
Ends with 1 where anything differs.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# keys in which two lines of metrics.jsonl may differ
CLOCK = ("time", "step_seconds", "wait_seconds", "score_seconds")
IMAGES = 110  # a domain: eleven are held out, so that the generators kept are chosen by a metric
TINY = (
    *("--preset", "tiny", "--set", "nets.width=2", "--set", "nets.discriminator_width=2"),
    *("--set", "nets.discriminator=searched", "--set", "training.batch=2"),
    *("--set", "training.checkpoint_every=2", "--set", "training.log_every=4"),
    *("--set", "training.sample_every=10"),
)
RESOLUTION = {"framed": "16", "paper": "16", "reference": "40"}  # the least that each layout takes
LENGTH = {
    "search": ("--set", "training.images=50"),
    "train": (
        *("--set", "training.images=120", "--set", "training.evaluate_every=6", "--set", "training.ema_half_life=20"),
    ),
}


# ── images, and what is in a folder ──────────────────────────────────────────────────────────────────────────────────


def write_images(folder: Path, count: int, *, seed: int, sides: tuple[int, int] = (20, 24)) -> Path:
    """Noise, as PNG files of `sides` (width, height)."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    for number in range(count):
        pixels = generator.integers(0, 256, (sides[1], sides[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under `folder` and what is in it; folders too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")
    }


# ── comparison ───────────────────────────────────────────────────────────────────────────────────────────────────────


def differences(one: Path, other: Path) -> list[str]:
    """What differs between two finished runs of the same command."""
    mine, theirs = _steady(one), _steady(other)
    found = [name for name in sorted({*mine, *theirs}) if mine.get(name) != theirs.get(name)]
    if _metrics(one) != _metrics(other):
        found.append("metrics.jsonl")
    return found + [f"checkpoint {place}" for place in _unequal(last_checkpoint(one), last_checkpoint(other), "")]


def last_checkpoint(run: Path) -> Any:
    """The state in a run's newest checkpoint."""
    import torch

    return torch.load(max((run / "checkpoints").glob("state-*.pt")), weights_only=True)


def _steady(run: Path) -> dict[str, bytes]:
    """The files that must be equal to the byte; checkpoints and metrics are compared by what they hold."""
    skipped = ("log.txt", "lock", "metrics.jsonl")
    return {
        name: content
        for name, content in contents(run).items()
        if name not in skipped and not name.startswith(("tensorboard", "checkpoints/"))
    }


def _metrics(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in line.items() if key not in CLOCK} for line in lines]


def _unequal(one: Any, other: Any, place: str) -> list[str]:
    """Where two nested states differ in a bit."""
    import torch

    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return [] if one.dtype == other.dtype and torch.equal(one, other) else [place]
    if isinstance(one, dict) and isinstance(other, dict):
        pairs = [(key, one.get(key), other.get(key)) for key in {**one, **other}]
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = [(number, *pair) for number, pair in enumerate(zip(one, other, strict=True))]
    else:
        return [] if type(one) is type(other) and one == other else [place]
    return [p for key, x, y in pairs for p in _unequal(x, y, f"{place}/{key}")]


# ── lives and deaths ─────────────────────────────────────────────────────────────────────────────────────────────────


def start(arguments: list[str], log: Path) -> int:
    """Run one ganas command in a fork; returns its process id."""
    from ganas.cli.boundary import run
    from ganas.cli.options import app

    process = os.fork()
    if process:
        return process
    try:
        with log.open("a") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        code = run(lambda: app(arguments, standalone_mode=False))
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        code = 99
    os._exit(code)


def live(process: int, enough: Callable[[float], bool], log: Path) -> tuple[bool, float]:
    """Watch a process until it has ended, well (True), or has had `enough` seconds (False); and the seconds it had."""
    began, seconds = time.monotonic(), 0.0
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            if code := os.waitstatus_to_exitcode(status):
                sys.exit(f"ganas ended with {code}:\n{log.read_text()[-2000:]}")
            return True, seconds
        seconds = _computed(process, began)
        if enough(seconds):
            return False, seconds
        time.sleep(0.005)


def _computed(process: int, began: float) -> float:
    """Seconds that a process had a core for, so that other work on the machine changes nothing; else wall time."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return time.monotonic() - began
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def finish(process: int, log: Path) -> float:
    """Wait for a process that must end well; returns the seconds it computed."""
    return live(process, lambda _: False, log)[1]


def kill_after(process: int, seconds: float, log: Path) -> bool:
    """SIGKILL once it has computed for so many seconds; False if it ended well before."""
    ended, _ = live(process, lambda had: had >= seconds, log)
    if not ended:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    return not ended


def survive(kind: str, arguments: list[str], folder: Path, kills: int, seed: int) -> list[str]:
    """Compare a run that is killed `kills` times with one that is not; returns what differs, and prints a line."""
    dice = random.Random(f"{kind} {seed}")
    log = folder / f"{kind}.log"
    whole = folder / f"{kind}-whole"
    began = time.monotonic()
    process = start([*arguments, "--out", str(whole)], log)
    _, first = live(process, lambda _: _images_saved(whole) > 0, log)
    longest = first + 4 * (finish(process, log) - first) / kills  # seconds of a life: most get somewhere
    resumed: list[int] = []  # images in the newest checkpoint at each death
    found: list[str] = []
    rounds = 0
    while len(resumed) < kills:  # a run that gets to its end before its last kill is followed by another one
        rounds += 1
        broken = folder / f"{kind}-broken-{rounds}"
        command = [*arguments, "--out", str(broken)]
        while len(resumed) < kills and kill_after(start(command, log), dice.uniform(0, longest), log):
            resumed.append(_images_saved(broken))
        finish(start(command, log), log)
        found += differences(whole, broken)
    if not any(resumed):
        found.append("nothing: no life reached a checkpoint, give fewer --kills")
    print(
        f"{kind}: {len(resumed)} kills in {rounds} run{'s'[: rounds > 1]}, after {' '.join(map(str, resumed))} images; "
        f"{'the same in every byte' if not found else 'DIFFERENT: ' + ', '.join(found[:5])}; "
        f"{time.monotonic() - began:.0f} s",
        flush=True,
    )
    return found


def _images_saved(run: Path) -> int:
    return max((int(path.stem.partition("-")[2]) for path in (run / "checkpoints").glob("state-*.pt")), default=0)


def main() -> int:
    """Parse, run, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, metavar="N", help="of each kind of run")
    parser.add_argument("--only", choices=("search", "train"), help="train still needs a search, which is left alone")
    parser.add_argument("--layout", choices=tuple(RESOLUTION), default="framed")
    parser.add_argument("--sampling", choices=("softmax", "gumbel"), default="softmax")
    parser.add_argument("--strategy", choices=("of", "tf", "th", "ths"), default="of")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of each run")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the moments of the kills")
    options = parser.parse_args()

    import torch

    import ganas.cyclegan.search
    import ganas.cyclegan.train  # noqa: F401  before the first fork, so that no life has to do it again

    torch.set_num_threads(1)  # comparing must start no threads here: those of a fork would wait for them forever

    with tempfile.TemporaryDirectory(prefix="ganas-kill-") as name:
        folder = Path(name)
        domains = [
            *("--a", str(write_images(folder / "a", IMAGES, seed=0))),
            *("--b", str(write_images(folder / "b", IMAGES, seed=1))),
        ]
        found = []
        common = [*TINY, "--resolution", RESOLUTION[options.layout], "--set", f"training.threads={options.threads}"]
        search = ["search", *domains, *common, *LENGTH["search"], "--layout", options.layout]
        search += ["--set", f"search.sampling={options.sampling}", "--strategy", options.strategy]
        if options.only == "train":
            finish(start([*search, "--out", str(folder / "search-whole")], folder / "log"), folder / "log")
        else:
            found += survive("search", search, folder, options.kills, options.seed)
        if options.only != "search":
            train = ["train", str(folder / "search-whole"), *domains, *common, *LENGTH["train"]]
            found += survive("train", train, folder, options.kills, options.seed)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
