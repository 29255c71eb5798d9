"""Record what fixed small runs come to, and compare a later state of the code with it, bit for bit.

    python scripts/golden.py record golden.json          before a change that must not change any result
    python scripts/golden.py compare golden.json         after it: same machine, same versions, same thread count

Searches (OF with softmax, THS with Gumbel, the reference layout), a training, growing searches, one of them killed and
resumed, a recipe and evaluations, on the demo's photographs. Tensors, images and numbers are compared as multisets of
a run folder, whatever the files and keys are called; clocks and names are left out.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

CLOCKS = ("time", "seconds", "elapsed", "hours", "pace", "memory", "mib")  # parts of keys whose numbers may differ
SMALL = (
    *("--preset", "tiny", "--resolution", "32", "--set", "nets.width=4", "--set", "nets.discriminator_width=4"),
    *("--set", "training.threads=1", "--set", "training.batch=2", "--set", "training.checkpoint_every=16"),
    *("--set", "training.log_every=8", "--set", "training.sample_every=32", "--set", "data.validation=6"),
)
SEARCH = ("--set", "nets.discriminator=searched", "--set", "training.images=64")
TRAIN = (*("--set", "training.images=96", "--set", "training.evaluate_every=32", "--set", "training.ema_half_life=20"),)
GROW = (
    *("--preset", "tiny", "--set", "base.latent=8", "--set", "base.channels=[8]", "--set", "growth.filters=[4,8]"),
    *("--set", "growth.depth=3", "--set", "growth.keep=2", "--set", "growth.probability=0.7"),
    *("--set", "training.images=64", "--set", "training.final_images=64", "--set", "training.checkpoint_every=16"),
    *("--set", "training.sample_every=64", "--set", "training.log_every=32", "--set", "metrics.images=32"),
    *("--set", "training.batch=4", "--set", "training.ema_half_life=16"),
)
FIGURE = (
    *("--set", "data.resolution=32", "--set", "training.images=8", "--set", "training.batch=2"),
    *("--set", "nets.discriminator_width=4"),
)


def runs(data: Path, out: Path) -> dict[str, list[str]]:
    """Commands by name; each writes a folder of its name under `out`, or prints JSON."""
    domains = ["--a", str(data / "trainA"), "--b", str(data / "trainB")]
    search = ["search", *domains, *SMALL, *SEARCH]
    train = ["train", *domains, *SMALL, *TRAIN]
    grow = ["grow", "--data", str(data / "trainA"), *GROW]
    gumbel = ["--strategy", "ths", "--set", "search.sampling=gumbel"]
    float32 = ["--set", "training.precision=float32"]
    scored = ["--set", "metrics.split=test", "--set", "training.evaluate_every=32"]
    scored += ["--set", f"data.test_a={data / 'testA'}", "--set", f"data.test_b={data / 'testB'}"]
    tests = ["--a", str(data / "testA"), "--b", str(data / "testB")]
    sides = ["--real", str(data / "testB"), "--fake", str(data / "testA")]
    return {
        "search-of-softmax": search,
        "search-of-float32": [*search, *float32],
        "search-ths-gumbel": [*search, *gumbel],
        "search-tf-paper": [*search, "--strategy", "tf", "--layout", "paper", *float32],
        "search-reference": [*search, "--layout", "reference", "--resolution", "40", *gumbel],
        "search-budget": [*search, "--set", "search.budget=params", "--set", "search.budget_ab=60000"],
        "train-found": [*train, str(out / "search-of-softmax"), "--set", "nets.discriminator=searched"],
        "train-handmade": [*train, "resnet6", *float32],
        "search-scored": [*search, *scored],
        "train-selected": [*train, "resnet6", *scored],
        "grow": grow,
        "grow-killed": grow,
        "grow-route": [*grow, "--route", "proggan", "--set", "loss.adversarial=hinge", *float32],
        "figure": ["reproduce", "fig3", "--scale", "tiny", "--data", str(data), *FIGURE],
        "translated": ["translate", str(out / "train-found"), str(data / "testA"), "--direction", "ab"],
        "sampled": ["sample", str(out / "grow"), "-n", "16"],
        "evaluate": ["evaluate", *sides, "--metrics", "swd", "--json"],
        "evaluate-run": ["evaluate", str(out / "train-found"), *tests, "--json"],
    }


def perform(name: str, command: list[str], out: Path) -> Iterator[tuple[str, str]]:
    """Run one command; yields (kind, digest) of everything it left."""
    folder = out / name
    if "--json" in command:
        document = json.loads(_ganas(command))
        yield from numbers(document)
        return
    where = [str(folder)] if command[0] in ("translate", "sample") else ["--out", str(folder)]
    if command[0] in ("translate", "sample"):
        command = (
            [*command[:2], *where, *command[2:]] if command[0] == "sample" else [*command[:3], *where, *command[3:]]
        )
    else:
        command = [*command, *where]
    if name.endswith("-killed"):
        _kill_in_the_middle(command, folder)
    _ganas(command)
    yield from contents(folder)


def _ganas(command: list[str]) -> str:
    done = subprocess.run([sys.executable, "-m", "ganas", *command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: ended with {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def _kill_in_the_middle(command: list[str], folder: Path) -> None:
    """SIGKILL to the whole process group once three candidates have ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ganas", *command],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and len(list((folder / "candidates").glob("*/result.json"))) < 3:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def contents(folder: Path) -> Iterator[tuple[str, str]]:
    """(kind, digest) of each tensor, image and number under a run folder."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".safetensors":
            yield from (("weights", _digest(tensor)) for tensor in load_file(path).values())
        elif path.suffix == ".pt":
            state = torch.load(path, weights_only=True, map_location="cpu")
            yield from (("state", _digest(tensor)) for tensor in _tensors(state))
        elif path.suffix == ".png":
            with Image.open(path) as image:
                if "figure" not in folder.name or "jobs" in path.parts:  # drawings have fonts
                    yield "image", hashlib.sha256(np.asarray(image.convert("RGB")).tobytes()).hexdigest()[:16]
        elif path.name == "architecture.json":
            yield "architecture", json.loads(path.read_text())["id"]
        elif path.name == "metrics.jsonl":
            for line in path.read_text().splitlines():
                yield from numbers(json.loads(line), "metrics")
        elif path.name == "result.json":
            yield from numbers(json.loads(path.read_text()), "result")


def numbers(document: Any, kind: str = "number", key: str = "") -> Iterator[tuple[str, str]]:
    """(kind, digits) of each finite float in a document, but for clocks. Whole numbers are counts, which may move."""
    if isinstance(document, dict):
        for name, value in document.items():
            yield from numbers(value, kind, name)
    elif isinstance(document, list):
        for value in document:
            yield from numbers(value, kind, key)
    elif isinstance(document, float) and not any(part in key for part in CLOCKS):
        yield kind, repr(document)


def _tensors(state: Any) -> Iterator[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        yield state
    elif isinstance(state, dict):
        for value in state.values():
            yield from _tensors(value)
    elif isinstance(state, list | tuple):
        for value in state:
            yield from _tensors(value)


def _digest(tensor: torch.Tensor) -> str:
    head = f"{tensor.dtype}{tuple(tensor.shape)}".encode()
    return hashlib.sha256(head + tensor.detach().flatten().clone().view(torch.uint8).numpy().tobytes()).hexdigest()[:16]


def main() -> int:
    """Parse, run, record or compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("action", choices=("record", "compare"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--only", metavar="TEXT", default="", help="runs whose names contain it")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="leave the run folders here")
    options = parser.parse_args()
    recorded = json.loads(options.file.read_text()) if options.action == "compare" else {}
    found: dict[str, dict[str, int]] = {}
    failed = False
    with tempfile.TemporaryDirectory(prefix="ganas-golden-") as temporary:
        out = options.keep or Path(temporary)
        os.environ["XDG_CACHE_HOME"] = str(out / "cache")  # nothing is taken from earlier runs
        os.environ["OMP_NUM_THREADS"] = "1"
        from ganas.data.demo import write_demo_data

        write_demo_data(out / "data")
        for name, command in runs(out / "data", out).items():
            if options.only not in name:
                continue
            began = time.monotonic()
            found[name] = dict(Counter(" ".join(item) for item in perform(name, command, out)))
            report = f"{name}: {sum(found[name].values())} items, {time.monotonic() - began:.0f} s"
            if options.action == "compare":
                mine, theirs = Counter(found[name]), Counter(recorded[name])
                missing, new = theirs - mine, mine - theirs
                failed |= bool(missing or new)
                report += ": equal" if not (missing or new) else f": DIFFERENT, lost {_few(missing)}; new {_few(new)}"
            else:
                options.file.write_text(json.dumps(found))
            print(report, flush=True)
    return int(failed)


def _few(items: Counter[str]) -> str:
    kinds = Counter(item.split()[0] for item in items.elements())
    return f"{dict(kinds)} ({', '.join(list(items)[:3])})" if kinds else "nothing"


if __name__ == "__main__":
    sys.exit(main())
