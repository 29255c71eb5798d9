"""What bf16 costs in quality: the same search and training in both precisions, several seeds, compared by KID.

    python benchmarks/precision.py --data monet2photo --features squeezenet:WEIGHTS --out RUNS [--seeds 0 1 2]
        [--search-images 1600] [--train-images 3000] [--workers 2] [--threads 1]

Every run is `ganas search`, `ganas train` on what it found, and `ganas evaluate` on the test images as they are. All
of them resume: the same command goes on where it was stopped.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

from contest import arguments, machine, print_table

from ganas.metrics.measurement import Summary

PRECISIONS = ("float32", "bf16")
DIRECTIONS = {"ba": "photo → painting", "ab": "painting → photo"}


def ganas(*words: object) -> str:
    """Run a command of ganas in a process of its own; what it prints."""
    command = [str(Path(sys.executable).with_name("ganas")), *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(out: Path, precision: str, seed: int, given: object) -> dict[str, dict[str, float]]:
    """Direction -> score -> value, of the translator that one search and one training give."""
    data, name = Path(given.data), f"{precision}-{seed}"  # type: ignore[attr-defined]
    domains = ("--a", data / "trainA", "--b", data / "trainB")
    common = ("--preset", "small", "--seed", seed, "--set", f"training.precision={precision}")
    common += ("--set", f"training.threads={given.threads}")  # type: ignore[attr-defined]
    found, trained = out / f"search-{name}", out / f"train-{name}"
    ganas("search", *domains, "--out", found, *common, "--set", f"training.images={given.search_images}")  # type: ignore[attr-defined]
    ganas("train", found, *domains, "--out", trained, *common, "--set", f"training.images={given.train_images}")  # type: ignore[attr-defined]
    tests = ("--a", data / "testA", "--b", data / "testB", "--features", given.features)  # type: ignore[attr-defined]
    judged = json.loads(ganas("evaluate", trained, *tests, "--metrics", "kid", "--json"))
    return {direction: judged[direction]["translated"]["scores"] for direction in DIRECTIONS}


def main() -> None:
    """Run what is missing, then compare."""
    given = arguments(
        __doc__,
        **{"data": "monet2photo", "features": "inception", "out": "precision", "seeds": [0, 1, 2]},
        **{"search_images": 1600, "train_images": 3000, "workers": 2, "threads": 1},
    )
    jobs = list(product(PRECISIONS, given.seeds))
    with ThreadPoolExecutor(given.workers) as pool:
        results = dict(zip(jobs, pool.map(lambda job: measure(Path(given.out), *job, given), jobs), strict=True))
    rows = []
    for direction, words in DIRECTIONS.items():
        for precision in PRECISIONS:
            scores = [results[precision, seed][direction] for seed in given.seeds]
            key = next(iter(scores[0]))
            values = [score[key] for score in scores]
            rows.append((words, precision, *(f"{value:.1f}" for value in values), Summary.of(values)))
    print_table(("direction", "precision", *(f"seed {seed}" for seed in given.seeds), key), rows)
    print(f"\nsearch of {given.search_images} pairs, training of {given.train_images}; {machine(given.threads)}")


if __name__ == "__main__":
    main()
