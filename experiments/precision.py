"""What bf16 costs in quality: the same search and training in both precisions, several seeds, compared by KID.

    python experiments/precision.py --data monet2photo --features squeezenet:WEIGHTS --out RUNS [--seeds 0 1 2]
        [--search-images 1600] [--train-images 3000] [--workers 2] [--threads 1]

Every run is `ganas search`, `ganas train` on what it found, and `ganas evaluate` on the test images as they are. All
of them resume: the same command goes on where it was stopped.
"""

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

from ganas.metrics.measurement import Summary

PRECISIONS = ("float32", "bf16")
DIRECTIONS = {"ba": "photo → painting", "ab": "painting → photo"}


def ganas(*words: object) -> str:
    """Run a command of ganas in a process of its own; what it prints."""
    command = [str(Path(sys.executable).with_name("ganas")), *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(out: Path, precision: str, seed: int, given: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Direction -> score -> value, of the translator that one search and one training give."""
    data, name = Path(given.data), f"{precision}-{seed}"
    domains = ("--a", data / "trainA", "--b", data / "trainB")
    common = ("--preset", "small", "--seed", seed, "--set", f"training.precision={precision}")
    common += ("--set", f"training.threads={given.threads}")
    found, trained = out / f"search-{name}", out / f"train-{name}"
    ganas("search", *domains, "--out", found, *common, "--set", f"training.images={given.search_images}")
    ganas("train", found, *domains, "--out", trained, *common, "--set", f"training.images={given.train_images}")
    tests = ("--a", data / "testA", "--b", data / "testB", "--features", given.features)
    judged = json.loads(ganas("evaluate", trained, *tests, "--metrics", "kid", "--json"))
    return {direction: judged[direction]["translated"]["scores"] for direction in DIRECTIONS}


def main() -> None:
    """Run what is missing, then compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--features", required=True)
    parser.add_argument("--out", default="precision")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--search-images", type=int, default=1600)
    parser.add_argument("--train-images", type=int, default=3000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    jobs = list(product(PRECISIONS, given.seeds))
    with ThreadPoolExecutor(given.workers) as pool:
        results = dict(zip(jobs, pool.map(lambda job: measure(Path(given.out), *job, given), jobs), strict=True))
    for direction, words in DIRECTIONS.items():
        for precision in PRECISIONS:
            scores = [results[precision, seed][direction] for seed in given.seeds]
            key = next(iter(scores[0]))
            values = [score[key] for score in scores]
            print(f"{words}, {precision}: {key}", *(f"{value:.1f}" for value in values), Summary.of(values))


if __name__ == "__main__":
    main()
