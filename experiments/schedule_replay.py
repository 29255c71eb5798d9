"""How long a search takes with so many GPUs, and how busy they are: a recorded run's timings, replayed.

    python experiments/schedule_replay.py RUN [--preset paper] [--gpus 1 8 64 512] [--gpu-days 580]

The search runs as it would, over an executor whose clock is not the machine's. How long a candidate takes follows from
its multiply-accumulates and images, at the rate of its resolution in RUN, times a deviation from that rate drawn from
those in RUN; all are scaled so that the search and its route take --gpu-days together, as the paper's did. Scores are
drawn by lot. Prints a Markdown row a number of GPUs, then one a generation for the most of them.
"""

import argparse
import heapq
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from ganas.growing import runner
from ganas.growing.candidates import Spec, candidates, read_spec, work
from ganas.growing.children import uniform
from ganas.growing.config import GrowConfig
from ganas.jobs import queue
from ganas.jobs.executor import JobExit
from ganas.jobs.job import Job
from ganas.jobs.result import Result
from ganas.presets import make_config
from ganas.progress import Reporter
from ganas.signals import StopSignal
from ganas.store import Run

DAY = 86400.0


@dataclass(frozen=True)
class Interval:
    """A candidate's place in the schedule."""

    spec: Spec
    begin: float
    end: float


class Timings:
    """Seconds of a candidate, as in a recorded run."""

    def __init__(self, run: Run) -> None:
        done = [(spec, result) for spec, result in candidates(run) if result and result.state == "done"]
        by_resolution: dict[int, list[tuple[int, float]]] = {}
        for spec, result in done:
            by_resolution.setdefault(spec.architecture.resolution, []).append((work(spec), result.seconds))
        self._rates = {
            resolution: sum(seconds for _, seconds in found) / sum(works for works, _ in found)
            for resolution, found in by_resolution.items()
        }
        self._deviations = sorted(
            result.seconds / (work(spec) * self._rates[spec.architecture.resolution]) for spec, result in done
        )
        self.scale = 1.0

    def __call__(self, spec: Spec) -> float:
        resolution = max((r for r in self._rates if r <= spec.architecture.resolution), default=min(self._rates))
        deviation = self._deviations[int(uniform("deviation", spec.id) * len(self._deviations))]
        return self.scale * self._rates[resolution] * work(spec) * deviation


class Replayed:
    """An executor that trains nothing: its clock goes on to the next end whenever it is asked."""

    def __init__(self, capacity: int, timings: Timings) -> None:
        self.capacity, self._timings = capacity, timings
        self._running: list[tuple[float, str, Job]] = []
        self.now = 0.0
        self.schedule: list[Interval] = []

    def submit(self, job: Job) -> None:
        """Its end is known at once."""
        spec = read_spec(job.folder)
        end = self.now + self._timings(spec)
        self.schedule.append(Interval(spec, self.now, end))
        heapq.heappush(self._running, (end, spec.id, job))

    def poll(self) -> Sequence[JobExit]:
        """The next that ends."""
        if not self._running:
            return []
        self.now, name, job = heapq.heappop(self._running)
        candidate = job.folder
        score = 0.5 + uniform("score", name)
        candidate.write_text(candidate.final, "")
        candidate.write_text(
            candidate.result, Result("done", job.images, scores={"replay": score}, facts={"start": 1.0}).to_json()
        )
        return [JobExit(job)]

    def cancel(self) -> None:
        """Nothing runs."""


def replay(config: GrowConfig, gpus: int, timings: Timings) -> list[Interval]:
    """The schedule of a search."""
    executor = Replayed(gpus, timings)
    with tempfile.TemporaryDirectory() as folder:
        queue.POLL_SECONDS = 0.0
        queue.ETA_SECONDS = float("inf")
        runner.default_cache = lambda: Path(folder) / "cache"  # type: ignore[attr-defined]
        runner.Growth(Run(Path(folder)), config, executor, Reporter(quiet=True), StopSignal()).run()
    return executor.schedule


def busy(schedule: Sequence[Interval], begin: float, end: float, gpus: int) -> float:
    """The share of the GPUs' time that they trained in."""
    spent = sum(max(0.0, min(one.end, end) - max(one.begin, begin)) for one in schedule)
    return spent / (gpus * (end - begin))


def is_searched(spec: Spec, specs: Mapping[str, Spec]) -> bool:
    """Not one of the route alone, or the winner trained longer: those have a stretch without an action behind them."""
    while spec.parent:
        if spec.action is None:
            return False
        spec = specs[spec.parent]
    return True


def main() -> None:
    """Replay and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 8, 64, 512])
    parser.add_argument("--gpu-days", type=float, default=580.0)
    given = parser.parse_args()
    config = make_config("grow", preset=given.preset, flags={"data.images": "images"})
    timings = Timings(Run(given.run))
    total = sum(one.end - one.begin for one in replay(config, 1, timings))
    timings.scale = given.gpu_days * DAY / total
    print("| GPUs | candidates | days | busy | of one GPU's speed |")
    print("|---|---|---|---|---|")
    for gpus in given.gpus:
        schedule = replay(config, gpus, timings)
        days = max(one.end for one in schedule) / DAY
        share = busy(schedule, 0, days * DAY, gpus)
        print(f"| {gpus} | {len(schedule)} | {days:.1f} | {share:.0%} | {given.gpu_days / days:.0f} × |", flush=True)
    searched = [one for one in schedule if is_searched(one.spec, {one.spec.id: one.spec for one in schedule})]
    print(f"\n| generation | candidates | days with {gpus} GPUs | busy | mean and longest training, days |")
    print("|---|---|---|---|---|")
    begin = 0.0
    for generation in range(1 + max(one.spec.generation for one in searched)):
        here = [one for one in searched if one.spec.generation == generation]
        end = max(one.end for one in here)
        spans = [(one.end - one.begin) / DAY for one in here]
        print(
            f"| {generation} | {len(here)} | {(end - begin) / DAY:.2f} | {busy(schedule, begin, end, gpus):.0%} "
            f"| {mean(spans):.2f}, {max(spans):.2f} |"
        )
        begin = end
    end = max(one.end for one in schedule)
    print(f"| winner, longer | 1 | {(end - begin) / DAY:.2f} | {busy(schedule, begin, end, gpus):.0%} | |")


if __name__ == "__main__":
    main()
