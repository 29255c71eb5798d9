"""Train hand-made translators on tasks whose answer is known, and score them against it: a front of score and size.

    python experiments/task_front.py train TASKS OUT --features squeezenet:WEIGHTS --task sharpness --layout resnet9
                                     --width 16 --seed 0

TASKS holds a folder a task, as colour64, that `ganas data task` wrote. A training appends one row to
OUT/front.jsonl: scores of both directions on the test pairs, on the validation pairs along the way, and the size and
speed of the generator. Rows are the result; a run's folder may be deleted.
"""

import argparse
import json
import platform
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import ganas
from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.layout import find_layout
from ganas.cyclegan.size import macs, parameters
from ganas.cyclegan.translate import Translator, find_generator, load_generator
from ganas.data.tasks import TASKS
from ganas.evaluation import evaluate_translations
from ganas.learning.timing import median_seconds
from ganas.presets import make_config
from ganas.store import Run

IMAGES = 3000  # pairs
SIDE = 256  # pixels of the image whose translation is timed


def train(arguments: argparse.Namespace) -> None:
    """Train, score and append a row, unless it is there."""
    task, layout, width, seed = arguments.task, arguments.layout, arguments.width, arguments.seed
    identity = {"task": task, "layout": layout, "width": width, "seed": seed, "images": arguments.images}
    if any(identity.items() <= row.items() for row in rows(arguments.out)):
        return print(f"done: {identity}")
    folder = arguments.tasks / f"{task}64"
    run = arguments.out / f"{task}-{layout}-{width:g}-{seed}"
    flags = {"data.a": folder / "trainA", "data.b": folder / "trainB", "data.pairs": folder, "data.resolution": 64}
    flags |= {"data.load_scale": 1, "nets.width": width, "nets.layout": layout, "seed": seed}
    flags |= {"training.images": arguments.images, "training.evaluate_every": arguments.images // arguments.scores}
    flags |= {"training.threads": 1, "metrics.select": "last", "metrics.features": arguments.features}
    config = make_config("train", preset="small", flags=flags)
    ganas.train(config, Architecture(layout), run)
    row: dict[str, Any] = identity | {"curve": list(curve(run))}
    row["test"] = {direction: found.scores for direction, found in evaluate_translations(run, paired=folder).items()}
    row |= size_and_speed(run, layout, width)
    row |= {"cpu": cpu(), "torch": torch.__version__, "date": str(datetime.now(UTC).date())}
    with (arguments.out / "front.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    shutil.rmtree(run / "checkpoints", ignore_errors=True)


def rows(out: Path) -> list[dict[str, Any]]:
    """All rows so far."""
    file = out / "front.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def curve(run: Path) -> Iterator[dict[str, float]]:
    """Scores on the validation pairs along a run."""
    for line in Run(run).read_metrics():
        if "scores" in line:
            yield {"nimg": line["nimg"], **line["scores"]}


def size_and_speed(run: Path, layout: str, width: float) -> dict[str, Any]:
    """Parameters, MACs and milliseconds of one image of SIDE pixels on one thread, in float32."""
    torch.set_num_threads(1)
    generator, _ = load_generator(find_generator(run, "ba"))
    translator = Translator(generator, find_layout(layout).generator_multiple)
    image = torch.randint(0, 256, (1, 3, SIDE, SIDE), dtype=torch.uint8)
    seconds = median_seconds(lambda: translator(image), "cpu", 3, 15)
    network = find_layout(layout).generator
    counts = {"parameters": parameters(network, (), width), "macs": macs(network, (), width, SIDE)}
    return counts | {"milliseconds": round(1000 * seconds, 2)}


def cpu() -> str:
    """The model of the CPU."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("train")
    command.set_defaults(run=train)
    command.add_argument("tasks", type=Path)
    command.add_argument("out", type=Path)
    command.add_argument("--features", required=True)
    command.add_argument("--task", choices=TASKS, required=True)
    command.add_argument("--layout", default="resnet9")
    command.add_argument("--width", type=float, default=16)
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--images", type=int, default=IMAGES)
    command.add_argument("--scores", type=int, default=3, help="how often to score along the way")
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
