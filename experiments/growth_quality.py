"""Is what a growing search finds better than the ProgGAN route, trained from scratch on as many images?

    python experiments/growth_quality.py routes RUN FOLDER
    python experiments/growth_quality.py measure NAME=RUN,RUN,... NAME=RUN,... [--images 4000]

`routes` reads a search and writes two files for `ganas grow --route`: FOLDER/winner.json, the actions that led to its
winner, and FOLDER/proggan.json, fade-ins alone with as much training at each resolution. `measure` reads runs of such
routes, several a name that differ in their seed, and prints a Markdown row per name and resolution: the scores of the
averaged generator when it was trained to the end there, mean and standard deviation over the runs.
"""

import argparse
import json
from collections import Counter
from pathlib import Path
from statistics import mean, stdev

import torch

from ganas.config import load_config
from ganas.data.loaders import center_crops, to_images, to_network
from ganas.data.sources import open_source
from ganas.growing.actions import TRAIN_ON
from ganas.growing.candidates import candidates
from ganas.growing.config import GrowConfig
from ganas.growing.finals import averaged_generator
from ganas.growing.history import read_history
from ganas.growing.networks import GrownGenerator
from ganas.growing.sample import make_images
from ganas.growing.trainer import at_resolution
from ganas.metrics.cache import Cache
from ganas.metrics.features import load_features
from ganas.metrics.reference import Reference
from ganas.store import Run, default_cache


def main() -> None:
    """Parse, and do the one or the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    routes = commands.add_parser("routes")
    routes.add_argument("run", type=Path)
    routes.add_argument("folder", type=Path)
    measure = commands.add_parser("measure")
    measure.add_argument("groups", nargs="+", metavar="NAME=RUN,RUN,...")
    measure.add_argument("--images", type=int, default=4000)
    given = parser.parse_args()
    if given.command == "routes":
        write_routes(given.run, given.folder)
    else:
        groups = dict(group.split("=", 1) for group in given.groups)
        print_scores({name: [Path(run) for run in runs.split(",")] for name, runs in groups.items()}, given.images)


def write_routes(run: Path, folder: Path) -> None:
    """The winner's, and the route of fade-ins that is as long at each resolution."""
    history = read_history(run)
    actions = [history.record(name).spec.action or str(TRAIN_ON) for name in history.lineage[1:]]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "winner.json").write_text(json.dumps(actions) + "\n")
    (folder / "proggan.json").write_text(
        json.dumps([a if a.startswith("fade") else str(TRAIN_ON) for a in actions]) + "\n"
    )


def print_scores(groups: dict[str, list[Path]], images: int) -> None:
    """A row a name and resolution."""
    print("| | resolution | images there | runs | `fid@squeezenet` | SWD · 1000 |")
    print("|---|---|---|---|---|---|")
    for name, runs in groups.items():
        measured = [scores(run, images) for run in runs]
        for resolution in measured[0]:
            seen, columns = measured[0][resolution][0], []
            for place, factor in ((1, 1), (2, 1000)):
                values = [factor * one[resolution][place] for one in measured]
                spread = f" ± {stdev(values):.3g}" if len(values) > 1 else ""
                columns.append(f"{mean(values):.4g}{spread}")
            print(f"| {name} | {resolution}² | {seen:,} | {len(runs)} | {' | '.join(columns)} |")


def scores(place: Path, images: int) -> dict[int, tuple[int, float, float]]:
    """Of each resolution: images seen there, FID and SWD of the last candidate's averaged generator."""
    run = Run(place)
    config = load_config(GrowConfig, run.config.read_bytes(), str(run.config))
    assert config.metrics.features, f"{place} has no feature network"
    network = load_features(config.metrics.features)
    real_images = to_network(center_crops(open_source(config.data.images), config.data.resolution))
    line = sorted(candidates(run), key=lambda pair: pair[0].generation)
    seen: Counter[int] = Counter()
    last = {}
    for spec, result in line:
        assert result and result.state == "done", f"{spec.id} of {place} is not done"
        seen[spec.architecture.resolution] += spec.images
        last[spec.architecture.resolution] = spec
    found: dict[int, tuple[int, float, float]] = {}
    for side, spec in last.items():
        generator = GrownGenerator(spec.architecture)
        generator.load_state_dict(averaged_generator(run.candidate(spec.id)))
        made = make_images(generator, range(images))
        cache = Cache(default_cache())
        reference = Reference(to_images(at_resolution(real_images, side)), ["fid", "swd"], network, cache=cache)
        measured = reference.measure(made).scores
        fid, swd = (next(value for key, value in measured.items() if key.startswith(m)) for m in ("fid", "swd"))
        found[side] = (seen[side], fid, swd)
    return found


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
