"""Train the architecture of a searched point from random weights, for as many images as the hand-made networks.

    python experiments/retrain_point.py RECIPE POINT --images 4000

RECIPE is the folder of a finished `ganas reproduce front` on a task of `ganas data task`. There, a point is fine-tuned
from its shared weights for half of the images, since the search saw the other half. Here it sees as many as the
hand-made networks, so that what differs is the architecture. Teacher, distillation, seed and scores are those of the
point's own training. Appends a row to RECIPE/retrained.jsonl, and compares with each distilled hand-made front at the
point's milliseconds.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ledger import append, machine, read

from ganas.cyclegan.layout import DIRECTIONS
from ganas.cyclegan.train import train
from ganas.evaluation import evaluate_run
from ganas.metrics.cache import Cache
from ganas.metrics.measurement import loss_of
from ganas.recipes.cyclegan.configs import training_config, with_images
from ganas.recipes.cyclegan.figures import ALONE, BARE_DISTILLED, DISTILLED, SHALLOW_DISTILLED
from ganas.recipes.cyclegan.fronts import loss_at
from ganas.recipes.cyclegan.jobs import RecipeFolder, RecipeJob
from ganas.recipes.cyclegan.rows import Row
from ganas.store import default_cache

LENGTH = ("training.images", "training.evaluate_every")


def main() -> None:
    """Train, score, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("point", help="S0, S1, ...")
    parser.add_argument("--images", type=int, default=4000)
    arguments = parser.parse_args()
    folder, file = RecipeFolder(arguments.recipe), arguments.recipe / "retrained.jsonl"
    for path in sorted(arguments.recipe.glob("jobs/*train*")):
        job = RecipeJob.read(folder.job(path.name))
        identity = {"point": job.name, "seed": job.seed, "dataset": job.dataset.name, "images": arguments.images}
        if job.name == arguments.point and not any(identity.items() <= row.items() for row in read(file)):
            append(file, identity | retrain(folder, job, arguments.images) | machine())
    for row in read(file):
        for line in compare(row, rows_of(arguments.recipe)):
            print(line)


def retrain(folder: RecipeFolder, job: RecipeJob, images: int) -> dict[str, Any]:
    """The architecture, and the scores by direction."""
    values = tuple((key, images if key in LENGTH else value) for key, value in job.values)
    alone = replace(job, values=values, settings=(*job.settings, "training.inherit=none"))
    config, architecture = training_config(alone, lambda found: str(folder.run(found).path))
    out = folder.path / f"retrained-{job.name}-{job.seed}-{images}"
    train(with_images(config, images), architecture, out)
    metrics = ("psnr", "perceptual") if job.features else ("psnr",)
    cache = Cache(default_cache())
    judged = evaluate_run(out, paired=job.dataset.folder, metrics=metrics, features=job.features, cache=cache)
    return {"architecture": architecture.id} | {way: one.translated.scores for way, one in judged.items()}


def rows_of(recipe: Path) -> list[Row]:
    """The rows of the newest report."""
    newest = max(recipe.glob("front-*.json"), key=lambda path: path.stat().st_mtime)
    return [Row(**row) for row in json.loads(newest.read_text(encoding="utf-8"))]


def compare(found: dict[str, Any], rows: list[Row]) -> list[str]:
    """Lines: how much better it is than each distilled hand-made front of its seed at the point's milliseconds."""
    lines = []
    for direction in DIRECTIONS:
        here = [row for row in rows if row.direction == direction and found["seed"] in row.seeds]
        point = next(row for row in here if row.variant == found["point"])
        milliseconds = at_seed(point, point.milliseconds, found["seed"])
        teacher = max((row for row in here if row.group == ALONE), key=lambda row: row.width)
        for key, score in found[direction].items():
            for group in (DISTILLED, SHALLOW_DISTILLED, BARE_DISTILLED):
                front = [
                    (at_seed(row, row.milliseconds, found["seed"]), loss_of(key, score_of(row, key, found["seed"])))
                    for row in here
                    if row.group == group or (group == DISTILLED and row is teacher)
                ]
                theirs = loss_at(front, milliseconds)
                gain = "no such time" if theirs is None else f"better by {theirs - loss_of(key, score):.3f}"
                lines.append(
                    f"{found['point']}, seed {found['seed']}, {direction}, {milliseconds:.1f} ms: {key} {score:.4g}, "
                    f"fine-tuned {score_of(point, key, found['seed']):.4g}; {group}: {gain}"
                )
    return lines


def at_seed(row: Row, values: tuple[float, ...], seed: int) -> float:
    """The value of a seed."""
    return values[[*row.seeds].index(seed)]


def score_of(row: Row, key: str, seed: int) -> float:
    """A score of a seed by its key."""
    return at_seed(row, row.scores if row.metric == key else row.others[key], seed)


if __name__ == "__main__":
    main()
