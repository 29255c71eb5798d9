"""Seconds that an executor adds to each candidate: until its function starts, and in all, one job after the other.

python benchmarks/executor_overhead.py [--candidates 10] [--rounds 5] [--no-ray]

The jobs do nothing, but import what a candidate of a growing search does.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from contest import machine

import ganas.growing.candidate_job  # noqa: F401  what a warm worker has imported, and a fresh one imports
from ganas.jobs.executor import Executor
from ganas.jobs.job import Job
from ganas.jobs.local import Local
from ganas.jobs.ray import Ray
from ganas.jobs.result import Result
from ganas.progress import Reporter
from ganas.signals import StopSignal

HERE = Path(__file__)
KINDS = {"nothing": f"{HERE.stem}:nothing"}


def nothing(job: Job, stop: StopSignal, reporter: Reporter) -> Result:
    """What a worker does."""
    return Result("done", images=job.images, facts={"started": time.time()})


def main() -> None:
    """Measure in turns and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-ray", action="store_true")
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    openers: dict[str, Callable[[], Executor]] = {
        "local, warm": lambda: Local(1, HERE.stem),
        "local, fresh": lambda: Local(1, HERE.stem, warm=False),
    }
    if not options.no_ray:
        openers["ray"] = lambda: Ray(1, HERE.stem)
    executors, opening = {}, {}
    for name, open_executor in openers.items():
        began = time.perf_counter()
        executors[name] = open_executor()
        seconds(executors[name], 1)  # the first job starts what the others need
        opening[name] = time.perf_counter() - began
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in openers}
    for _ in range(options.rounds):
        for name, executor in executors.items():
            measured[name].append(seconds(executor, options.candidates))
    print("| executor | first job, s | until a job's function starts, s | a job, s |")
    print("|---|---|---|---|")
    for name, rounds in measured.items():
        start, total = (median(column) for column in zip(*rounds, strict=True))
        print(f"| {name} | {opening[name]:.2f} | {start:.3f} | {total:.3f} |")
    print(f"\nmedians of {options.rounds}; {machine(1)}")
    for executor in executors.values():
        executor.cancel()


def seconds(executor: Executor, count: int) -> tuple[float, float]:
    """Means over `count` jobs, each submitted when the one before it has ended: until it started, until it ended."""
    starts = []
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        for number in range(count):
            job = Job("nothing", Path(folder) / str(number), 1)
            job.path.mkdir()
            submitted = time.time()
            executor.submit(job)
            while not (ended := executor.poll()):
                time.sleep(0.01)
            result = job.result()
            assert result and not ended[0].error, ended
            starts.append(result.facts["started"] - submitted)
        return sum(starts) / count, (time.perf_counter() - began) / count


if __name__ == "__main__":
    main()
