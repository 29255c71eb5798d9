"""Seconds that an executor adds to each candidate: workers that have nothing to do, one after the other.

python benchmarks/executor_overhead.py [--candidates 10] [--rounds 5]
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from contest import machine

from ganas.jobs.executor import Executor
from ganas.jobs.local import Local
from ganas.jobs.ray import Ray
from ganas.jobs.result import Result

NOTHING = f"import pathlib, sys; pathlib.Path(sys.argv[1], 'result.json').write_text({Result('done').to_json()!r})"
COMMAND = ("-S", "-c", NOTHING)


def main() -> None:
    """Measure in turns and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    makers: dict[str, Callable[[], Executor]] = {
        "local": lambda: Local(1, COMMAND),
        "ray": lambda: Ray(1, COMMAND),
    }
    executors, begun = {}, {}
    for name, make in makers.items():
        began = time.perf_counter()
        executors[name] = make()
        begun[name] = time.perf_counter() - began
        seconds(executors[name], 2)  # the first ones start what they need
    taken: dict[str, list[float]] = {name: [] for name in makers}
    for _ in range(given.rounds):
        for name, executor in executors.items():
            taken[name].append(seconds(executor, given.candidates))
    print("| executor | to begin, s | a candidate, s |")
    print("|---|---|---|")
    for name in makers:
        print(f"| {name} | {begun[name]:.2f} | {median(taken[name]):.3f} |")
    print(f"\nmedians of {given.rounds}; {machine(1)}")


def seconds(executor: Executor, count: int) -> float:
    """Of each of so many jobs, submitted as soon as the one before it has ended."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        for number in range(count):
            job = Path(folder) / str(number)
            job.mkdir()
            executor.submit(job)
            while not (ended := executor.poll()):
                time.sleep(0.01)
            assert not ended[0].error, ended
        return (time.perf_counter() - began) / count


if __name__ == "__main__":
    main()
