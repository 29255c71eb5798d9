"""Does a race find a better GAN than the ProgGAN route, for as many images in all?

    python experiments/growing_live.py unit race|route|restarts IMAGES OUT --features NETWORK:WEIGHTS --seed 0
    python experiments/growing_live.py summary OUT/live.jsonl

Three arms spend the same images: a race (`growth.strategy=racing`, K = 1, early doublings, more training as an action);
the route of doublings, which spends all that the race spent beyond them at the final resolution; and the best, by its
own score, of as many short routes as the images allow, each as long as the lineage of a race's winner. A unit is one
arm with one seed: it appends a row to OUT/live.jsonl with the scores of the generator that the arm gives a user, on
latents that no search has seen, and leaves a grid of its images. `summary` prints the arms, and the paired differences
of log scores.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping
from math import log
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from ledger import append, machine, read

from ganas.config import load_config
from ganas.data.loaders import center_crops
from ganas.growing.actions import FADE
from ganas.growing.architecture import doublings
from ganas.growing.candidates import candidates
from ganas.growing.config import GrowConfig
from ganas.growing.images import open_images
from ganas.growing.run import grow
from ganas.growing.sample import grid, load_grown_generator, make_images
from ganas.jobs.options import ExecutorOptions
from ganas.metrics.cache import Cache
from ganas.metrics.features import load_features
from ganas.metrics.reference import Reference
from ganas.pictures import png
from ganas.presets import make_config
from ganas.stats import paired_difference
from ganas.store import Run, default_cache

ARMS = ("race", "route", "restarts")
RACE: Mapping[str, Any] = {"growth.strategy": "racing", "growth.keep": 1, "growth.probability": 1.0}
RACE |= {"growth.train_on": True}
UNSEEN = range(100_000, 104_000)  # seeds of the latents that are scored
RESTART = 1000  # seeds of restarts are this far apart


def main() -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("unit")
    command.set_defaults(run=unit)
    command.add_argument("arm", choices=ARMS)
    command.add_argument("images", type=Path)
    command.add_argument("out", type=Path)
    command.add_argument("--features", required=True)
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--node-images", type=int, default=6000)
    command.add_argument("--depth", type=int, default=5)
    command.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    command = commands.add_parser("summary")
    command.set_defaults(run=summary)
    command.add_argument("rows", type=Path)
    arguments = parser.parse_args()
    arguments.run(arguments)


def unit(arguments: argparse.Namespace) -> None:
    """Train one arm with one seed, and append its row."""
    rows = arguments.out / "live.jsonl"
    known = {(row["data"], row["arm"], row["seed"]): row for row in read(rows)}
    data = arguments.images.stem
    if (data, arguments.arm, arguments.seed) in known:
        return
    folder = arguments.out / f"{data}-{arguments.arm}-{arguments.seed}"
    race = known.get((data, "race", arguments.seed))
    if arguments.arm != "race" and not race:
        raise SystemExit(f"train the race of seed {arguments.seed} first: the other arms spend as many images")
    runs = {"race": run_race, "route": run_route, "restarts": run_restarts}[arguments.arm](arguments, folder, race)
    best = min(runs, key=lambda run: json.loads(run.result.read_text())["score"])
    generator, info = load_grown_generator(best.model / "generator.safetensors")
    config = load_config(GrowConfig, best.config.read_bytes(), str(best.config))
    (arguments.out / f"{folder.name}.png").write_bytes(png(grid(make_images(generator, range(64)))))
    trained = [pair for run in runs for pair in candidates(run)]
    row: dict[str, Any] = {"data": data, "arm": arguments.arm, "seed": arguments.seed, "runs": len(runs)}
    row |= {"images": sum(result.images for _, result in trained if result)}
    row |= {"seconds": round(sum(result.seconds for _, result in trained if result))}
    row |= {"architecture": str(info.architecture), "scores": scores(config, generator), "machine": machine()}
    append(rows, row)


def settings(arguments: argparse.Namespace, images: int, extra: Mapping[str, Any]) -> GrowConfig:
    """The config of an arm: `extra` beside what all arms share."""
    flags = {"data.images": arguments.images, "metrics.features": arguments.features, "growth.depth": arguments.depth}
    flags |= {"base.channels": [32], "base.latent": 32, "growth.filters": [32, 64], "seed": arguments.seed}
    flags |= {"training.images": images, "training.final_images": 0, "training.ema_half_life": 800}
    flags |= {"growth.doublings": "early", "loss.adversarial": "relativistic", "metrics.images": 1000}
    flags |= {"training.sample_every": 10**9, "training.threads": 1}
    return make_config("grow", preset="small", flags=flags | extra, settings=arguments.set)


def run_race(arguments: argparse.Namespace, folder: Path, _: Any) -> list[Run]:
    """The search."""
    config = settings(arguments, arguments.node_images, RACE)
    grow(config, folder, executor=ExecutorOptions(workers=1))
    return [Run(folder)]


def run_route(arguments: argparse.Namespace, folder: Path, race: Mapping[str, Any]) -> list[Run]:
    """Doublings alone, with all other images of the race at the final resolution."""
    grow_route(arguments, folder, race["images"])
    return [Run(folder)]


def run_restarts(arguments: argparse.Namespace, folder: Path, race: Mapping[str, Any]) -> list[Run]:
    """As many short routes as the images allow, each as long as the lineage of a race's winner."""
    images = (arguments.depth + 1) * arguments.node_images
    runs = []
    for number in range(max(1, round(race["images"] / images))):
        again = argparse.Namespace(**vars(arguments) | {"seed": arguments.seed + RESTART * (number + 1)})
        grow_route(again, folder / str(number), images)
        runs.append(Run(folder / str(number)))
    return runs


def grow_route(arguments: argparse.Namespace, folder: Path, images: int) -> None:
    """Train `images` in all along the route of doublings, with a candidate's images at each resolution but the last."""
    base = settings(arguments, arguments.node_images, {})
    route = [str(FADE)] * doublings(base.data.resolution)
    longer = max(0, images - (len(route) + 1) * base.whole_batches)
    file = folder.with_suffix(".json")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(route))
    final = {"training.final_images": longer, "training.final_evaluations": 1}
    grow(
        settings(arguments, arguments.node_images, final), folder, route=str(file), executor=ExecutorOptions(workers=1)
    )


def scores(config: GrowConfig, generator: Any) -> dict[str, float]:
    """FID and SWD against all real images."""
    assert config.metrics.features
    reals = center_crops(open_images(config, minimum=2, resolution=config.data.resolution), config.data.resolution)
    network = load_features(config.metrics.features)
    reference = Reference(reals, ["fid", "mind", "swd"], network, cache=Cache(default_cache()))
    with torch.no_grad():
        found = reference.measure(make_images(generator, UNSEEN)).scores
    return {key: round(score, 5) for key, score in found.items() if "stderr" not in key}


def summary(arguments: argparse.Namespace) -> None:
    """Print a row per arm, and the differences of log scores between arms with the same seeds."""
    rows = read(arguments.rows)
    for data in sorted({row["data"] for row in rows}):
        found: dict[str, dict[int, Mapping[str, Any]]] = defaultdict(dict)
        for row in rows:
            if row["data"] == data:
                found[row["arm"]][row["seed"]] = row
        keys = [*next(iter(found["race"].values()))["scores"]]
        print(
            f"{data}\n\n| arm | seeds | images | minutes | {' | '.join(keys)} |\n|---|---|---|---|{'---|' * len(keys)}"
        )
        for arm in ARMS:
            some = [*found[arm].values()]
            if some:
                values = (f"{fmean(row['scores'][key] for row in some):.4g}" for key in keys)
                images, minutes = fmean(row["images"] for row in some), fmean(row["seconds"] for row in some) / 60
                print(f"| {arm} | {len(some)} | {images:,.0f} | {minutes:.1f} | {' | '.join(values)} |")
        print(f"\n| log score of the race against | {' | '.join(keys)} |\n|---|{'---|' * len(keys)}")
        for arm in ARMS[1:]:
            seeds = sorted(found["race"].keys() & found[arm].keys())
            if len(seeds) > 1:
                logs = {
                    (one, key): [log(found[one][seed]["scores"][key]) for seed in seeds]
                    for one in ("race", arm)
                    for key in keys
                }
                changes = (str(paired_difference(logs["race", key], logs[arm, key])) for key in keys)
                print(f"| {arm} ({len(seeds)} seeds) | {' | '.join(changes)} |")
        print()


if __name__ == "__main__":
    main()
