"""Train hand-made translators on tasks whose answer is known, and score them against it: a front of score and size.

    python experiments/task_front.py train TASKS OUT --features squeezenet:WEIGHTS --task tones --layout resnet9
                                     --width 16 --seed 0
    python experiments/task_front.py time OUT
    python experiments/task_front.py plot OUT --to docs/front.png

TASKS holds a folder a task, as colour64, that `ganas data task` wrote. A training appends one row to
OUT/front.jsonl: scores of both directions on the test pairs, and on the validation pairs along the way. `time` writes
parameters, MACs and milliseconds of every generator to OUT/speed.json; leave the machine alone meanwhile. `plot` draws
scores of the harder direction against both. Rows are the result; a run's folder may be deleted.
"""

import argparse
import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from ledger import append, machine, read

import ganas
from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.build import build, only_op
from ganas.cyclegan.layout import find_layout
from ganas.cyclegan.size import macs, parameters
from ganas.cyclegan.translate import Translator
from ganas.data.tasks import TASKS
from ganas.evaluation import evaluate_translations
from ganas.learning.timing import median_seconds
from ganas.presets import make_config
from ganas.store import Run

IMAGES = 2000  # pairs
LABELS = {"psnr": "PSNR, dB (higher is better)", "perceptual": "perceptual distance (lower is better)"}
SIDE = 256  # pixels of the image whose translation is timed


def train(arguments: argparse.Namespace) -> None:
    """Train, score and append a row, unless it is there."""
    task, layout, width, seed = arguments.task, arguments.layout, arguments.width, arguments.seed
    identity = {"task": task, "layout": layout, "width": width, "seed": seed, "images": arguments.images}
    if any(identity.items() <= row.items() for row in read(arguments.out / "front.jsonl")):
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
    append(arguments.out / "front.jsonl", row | machine())
    shutil.rmtree(run / "checkpoints", ignore_errors=True)


def curve(run: Path) -> Iterator[dict[str, float]]:
    """Scores on the validation pairs along a run."""
    for line in Run(run).read_metrics():
        if "scores" in line:
            yield {"nimg": line["nimg"], **line["scores"]}


def time(arguments: argparse.Namespace) -> None:
    """Parameters, MACs and milliseconds of one image of SIDE pixels on one thread, in float32."""
    torch.set_num_threads(1)
    image = torch.randint(0, 256, (1, 3, SIDE, SIDE), dtype=torch.uint8)
    measured = []
    for name, width in sorted({(row["layout"], row["width"]) for row in read(arguments.out / "front.jsonl")}):
        layout = find_layout(name)
        generator = build(layout.generator.final(()), width, only_op)
        translator = Translator(generator, layout.generator_multiple)
        seconds = median_seconds(partial(translator, image), "cpu", 5, 15)
        counts = {
            "parameters": parameters(layout.generator, (), width),
            "macs": macs(layout.generator, (), width, SIDE),
        }
        measured.append({"layout": name, "width": width} | counts | {"milliseconds": round(1000 * seconds, 2)})
    (arguments.out / "speed.json").write_text(json.dumps(machine() | {"generators": measured}, indent=1) + "\n")


def plot(arguments: argparse.Namespace) -> None:
    """Draw scores of the harder direction, of every seed, against milliseconds and MACs."""
    import matplotlib.pyplot as plt

    speed = json.loads((arguments.out / "speed.json").read_text())["generators"]
    speed = {(one["layout"], one["width"]): one for one in speed}
    found = [
        row
        for row in read(arguments.out / "front.jsonl")
        if row["images"] == arguments.images and row["task"] in arguments.tasks
    ]
    columns = [(task, score) for task in arguments.tasks for score in arguments.scores]
    figure, axes = plt.subplots(2, len(columns), figsize=(3.2 * len(columns), 6.4), layout="constrained", sharey="col")
    for (task, score), column in zip(columns, axes.T, strict=True):
        key = next(key for key in found[0]["test"]["ba"] if key.partition("@")[0] == score)
        costs = ("milliseconds", 1, "ms", (20, 40, 80)), ("macs", 1e9, "GMACs", (0.2, 0.5, 1, 2, 4))
        for axis, (cost, unit, label, ticks) in zip(column, costs, strict=True):
            for layout, marker in (("resnet3", "o"), ("resnet9", "s")):
                points = [
                    (speed[layout, row["width"]][cost] / unit, row["test"]["ba"][key])
                    for row in found
                    if (row["task"], row["layout"]) == (task, layout)
                ]
                axis.plot(*zip(*points, strict=True), marker, alpha=0.6, label=layout)
                means = {x: fmean(y for other, y in points if other == x) for x, _ in points}
                axis.plot(sorted(means), [means[x] for x in sorted(means)], color=axis.lines[-1].get_color())
            axis.set(xscale="log", xlabel=f"{label} for {SIDE}×{SIDE}", ylabel=LABELS.get(score, score))
            axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axis.minorticks_off()
            axis.grid(alpha=0.3)
        column[0].set_title(task)
    axes[0, 0].legend()
    figure.savefig(arguments.to, dpi=110)


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
    command = commands.add_parser("time")
    command.set_defaults(run=time)
    command.add_argument("out", type=Path)
    command = commands.add_parser("plot")
    command.set_defaults(run=plot)
    command.add_argument("out", type=Path)
    command.add_argument("--to", type=Path, required=True)
    command.add_argument("--tasks", nargs="+", default=["exposure", "tones"])
    command.add_argument("--scores", nargs="+", default=["psnr", "perceptual"])
    command.add_argument("--images", type=int, default=IMAGES)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
