"""Two checks of what an elastic search relies on: its prediction of milliseconds, and its ranking of subnetworks.

    python experiments/elastic_checks.py latency OUT --width 16 --count 50
    python experiments/elastic_checks.py ranking RUN TASK OUT --features squeezenet:WEIGHTS --count 8 --images 4000

`latency` measures random elastic architectures as a whole, and compares with the sum of their slots, by which the
evolution chooses; leave the machine alone meanwhile. `ranking` takes the supernets of a finished search on a task that
`ganas data task` wrote, scores random subnetworks in them (the distance that the evolution ranks by, and the scores on
the validation pairs), trains each of them alone from random weights, and prints the rank correlation of both with the
scores on the test pairs. Both append rows to OUT/latency.jsonl and OUT/ranking.jsonl, skip those that are there, and
print a summary of all.
"""

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from statistics import fmean, median
from typing import Any, cast

import torch
from ledger import append, machine, read
from safetensors.torch import load

import ganas
from ganas.config import load_config
from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.distillation import open_distillation
from ganas.cyclegan.domains import open_domains
from ganas.cyclegan.elastic import ElasticNetwork, largest, random_choice
from ganas.cyclegan.front_search import measured_milliseconds, predicted_milliseconds
from ganas.cyclegan.layout import GENERATORS, ElasticLayout, find_layout
from ganas.cyclegan.networks import open_gan
from ganas.cyclegan.result_cache import ResultCache
from ganas.cyclegan.translate import Translator
from ganas.cyclegan.validation import open_validation
from ganas.data.loaders import center_crops, to_network
from ganas.evaluation import evaluate_translations
from ganas.metrics.cache import Cache
from ganas.metrics.measurement import loss_of, metric_of
from ganas.presets import make_config
from ganas.stats import rank_correlation
from ganas.store import Run, default_cache

LAYOUT = cast(ElasticLayout, find_layout("elastic").generator)
DISTANCE_IMAGES = 32  # as in a search


def choices(count: int) -> Iterator[tuple[int, Architecture]]:
    """Random elastic architectures with their numbers; the generators of one are different."""
    for number in range(count):
        below = Random(number).randrange
        yield number, Architecture("elastic", **{name: random_choice(LAYOUT, below) for name in GENERATORS})


# ── milliseconds ─────────────────────────────────────────────────────────────────────────────────────────────────────


def latency(arguments: argparse.Namespace) -> None:
    """Predict and measure, and print how far they are apart."""
    file, width, side = arguments.out / "latency.jsonl", arguments.width, arguments.side
    network = ElasticNetwork(LAYOUT, width)
    kept = ResultCache(arguments.out / f"slots-{width:g}-{side}.jsonl", machine())
    done = {(row["width"], row["side"], row["number"]) for row in read(file)}
    for number, architecture in choices(arguments.count):
        if (width, side, number) in done:
            continue
        ops = architecture.generator_ab
        predicted = predicted_milliseconds(LAYOUT, width, ops, side, kept)
        measured = measured_milliseconds(network, ops, side)
        row = {"width": width, "side": side, "number": number, "ops": ops, "predicted": predicted, "measured": measured}
        append(file, row | machine())
    rows = [row for row in read(file) if (row["width"], row["side"]) == (width, side)]
    ratios = sorted(row["measured"] / row["predicted"] for row in rows)
    correlation = rank_correlation([row["predicted"] for row in rows], [row["measured"] for row in rows])
    print(
        f"{len(rows)} architectures of width {width:g} at {side}²: measured ÷ predicted {median(ratios):.3f} "
        f"({ratios[0]:.3f} to {ratios[-1]:.3f}), mean deviation from that "
        f"{fmean(abs(ratio / median(ratios) - 1) for ratio in ratios):.1%}, rank correlation {correlation:.3f}"
    )


# ── ranking ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def ranking(arguments: argparse.Namespace) -> None:
    """Score subnetworks in the supernets and alone, and print the rank correlations."""
    file = arguments.out / "ranking.jsonl"
    run = Run(arguments.run)
    identity = {"search": str(run.path.resolve()), "images": arguments.images, "seed": arguments.seed}
    done = [row["number"] for row in read(file) if identity.items() <= row.items()]
    left = [(number, one) for number, one in choices(arguments.count) if number not in done]
    shared = in_supernets(run, [one for _, one in left]) if left else []
    for (number, architecture), scores in zip(left, shared, strict=True):
        row = identity | {"number": number, "architecture": architecture.id, "shared": scores}
        row["alone"] = alone(arguments, run, architecture, number)
        append(file, row | machine())
    rows = [row for row in read(file) if identity.items() <= row.items()]
    for direction in ("ab", "ba"):
        keys = [f"distance/{direction}", *(key for key in rows[0]["shared"] if key.startswith(f"{direction}/"))]
        for key in keys:
            for final in rows[0]["alone"][direction]:
                own = [
                    row["shared"][key] if key.startswith("distance") else loss(key, row["shared"][key]) for row in rows
                ]
                trained = [loss_of(final, row["alone"][direction][final]) for row in rows]
                found = rank_correlation(own, trained)
                print(f"{direction}, {len(rows)} subnetworks: {key} in the supernet with {final} alone: {found:.2f}")


def loss(key: str, score: float) -> float:
    """Lower is better."""
    return loss_of(key.partition("/")[2], score)


@torch.no_grad()
def in_supernets(run: Run, architectures: list[Architecture]) -> list[dict[str, float]]:
    """The distance of each subnetwork from the teacher, or else the largest one, and its scores on held-out images."""
    config = load_config(RunConfig, run.config.read_bytes(), str(run.config))
    layout = find_layout("elastic")
    domains = open_domains(config, layout)
    config, validation = open_validation(config, domains, Cache(default_cache()))
    gan = open_gan(config, layout, None)
    gan.load_state_dict(load(run.supernet.read_bytes()))
    distillation = open_distillation(gan, None, config)
    found: list[dict[str, float]] = [{} for _ in architectures]
    for name, held_out, training in zip(
        GENERATORS, (domains.held_out_a, domains.held_out_b), (domains.a, domains.b), strict=True
    ):
        direction = name.removeprefix("generator_")
        source = held_out if len(held_out) >= DISTANCE_IMAGES else training
        images = to_network(
            center_crops(source.subset(range(min(DISTANCE_IMAGES, len(source)))), config.data.resolution)
        )
        network = gan.network(name)
        teacher = distillation.translators()[name] if distillation else network.cut_out(largest(LAYOUT))
        wanted = teacher(images)
        for scores, architecture in zip(found, architectures, strict=True):
            alone = network.cut_out(architecture.ops(name))
            scores[f"distance/{direction}"] = (alone(images) - wanted).abs().mean().item()
            measured = validation.measure(direction, Translator(alone, layout.generator_multiple))
            scores |= {
                f"{direction}/{key}": value for key, value in measured.scores.items() if metric_of(key) != "kid_stderr"
            }
    return found


def alone(arguments: argparse.Namespace, search: Run, architecture: Architecture, number: int) -> dict[str, Any]:
    """The scores on the test pairs of an architecture that was trained from random weights."""
    config = load_config(RunConfig, search.config.read_bytes(), str(search.config))
    folder = arguments.task
    flags = {"data.a": folder / "trainA", "data.b": folder / "trainB", "data.resolution": config.data.resolution}
    flags |= {"data.load_scale": 1, "nets.width": config.nets.width, "seed": arguments.seed}
    flags |= {"nets.discriminator_width": config.nets.discriminator_width}
    flags |= {"training.images": arguments.images, "training.threads": 1, "metrics.select": "last"}
    flags["metrics.features"] = arguments.features
    out = arguments.out / f"alone-{number}-{arguments.images}-{arguments.seed}"
    ganas.train(make_config("train", preset="small", flags=flags), architecture, out)
    metrics = ("psnr", "perceptual") if arguments.features else ("psnr",)
    found = evaluate_translations(out, paired=folder, metrics=metrics, features=arguments.features)
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    return {direction: one.scores for direction, one in found.items()}


def main() -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("latency")
    command.set_defaults(run_command=latency)
    command.add_argument("out", type=Path)
    command.add_argument("--width", type=float, default=16)
    command.add_argument("--side", type=int, default=256, help="of the image, in pixels")
    command.add_argument("--count", type=int, default=50)
    command = commands.add_parser("ranking")
    command.set_defaults(run_command=ranking)
    command.add_argument("run", type=Path, help="a finished ganas search --layout elastic --strategy sampled")
    command.add_argument("task", type=Path, help="folder of the task that it searched on")
    command.add_argument("out", type=Path)
    command.add_argument("--features")
    command.add_argument("--count", type=int, default=8)
    command.add_argument("--images", type=int, default=4000, help="pairs that each sees")
    command.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.run_command(arguments)


if __name__ == "__main__":
    main()
