"""A growing search from begin to end: ask, submit, poll, tell (DGGAN, algorithm 1). No torch here.

The ProgGAN route that scores are normalised by is trained beside it, by the same workers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ganas.errors import GanasError
from ganas.growing.architecture import GrowthArchitecture
from ganas.growing.baseline_cache import BaselineCache
from ganas.growing.candidates import Spec, score_of, work
from ganas.growing.config import GrowConfig
from ganas.growing.eta import seconds_left
from ganas.growing.plan import (
    baseline_route,
    candidate_spec,
    final_training_spec,
    open_search_state,
    parse_route,
    remaining_stages,
    route_specs,
    tell_finished,
)
from ganas.growing.topk import Candidate, TopK
from ganas.jobs.executor import Executor
from ganas.jobs.job import Job
from ganas.jobs.queue import Queue
from ganas.jobs.result import Result, read_result
from ganas.progress import Reporter
from ganas.signals import StopSignal
from ganas.store import Run, default_cache


class SearchFailedError(GanasError):
    """There is no candidate to go on with."""


@dataclass(frozen=True)
class GrowResult:
    """What a search, or a route, ended with."""

    architecture: GrowthArchitecture
    winner: str  # id of the candidate that was trained longer
    metric: str
    score: float  # after that
    candidates: int  # tried; those of the route that scores are normalised by do not count
    failed: int

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"{self.candidates} candidates tried, {self.failed} of them failed",
            f"winner {self.winner}: {self.architecture}",
            f"{self.metric} {self.score:.4g}",
        ]


class Growth:
    """One run of ``ganas grow``: a search with the route beside it, or a route alone."""

    def __init__(
        self,
        run: Run,
        config: GrowConfig,
        executor: Executor,
        reporter: Reporter,
        stop: StopSignal,
        prepare: Callable[[], None] = lambda: None,  # what workers need; called before each begins
    ) -> None:
        self._run, self._config, self._reporter, self._prepare = run, config, reporter, prepare
        self._queue = Queue(executor, stop, prepare=self._begin, eta=self._seconds_left)
        self._specs: dict[str, Spec] = {}  # of all that were wanted
        self._searched: Mapping[str, Candidate] = {}  # all that the search has asked for
        self._kept = BaselineCache(default_cache(), config)
        self._route: set[str] = set()  # ids of what scores are normalised by

    def run(self) -> GrowResult:
        """To the end: search or follow the route, then train the winner longer."""
        with self._queue.running():
            return self._grow()

    def _grow(self) -> GrowResult:
        if self._config.growth.route is None:
            winner, tried = self._search()
            reached = winner.architecture.resolution
            if reached < self._config.data.resolution:
                self._reporter.say(
                    f"the search ended at {reached}×{reached}, no larger candidate succeeded, for reasons that their "
                    f"log.txt in {self._run.candidates} tells: remove their folders to try again"
                )
                return self._result(winner, tried)
        else:
            tried = [*route_specs(self._config, parse_route(self._config.growth.route))]
            for spec in tried:
                self._finish(spec)
            winner = tried[-1]
        return self._result(self._longer(winner) or winner, tried)

    def _result(self, last: Spec, tried: Sequence[Spec]) -> GrowResult:
        """What is told in the end, and the weights of the last there."""
        self._finish(last)  # they may have been removed
        ((metric, score),) = self._queue.results[last.id].scores.items()
        failed = sum(self._queue.results[spec.id].state == "failed" for spec in tried)
        return GrowResult(last.architecture, last.id, metric, score, len(tried), failed)

    def _search(self) -> tuple[Spec, list[Spec]]:
        """Top-K greedy pruning: the winner, and all that were tried."""
        search, route = open_search_state(self._config), baseline_route(self._config)
        self._route = {spec.id for spec in route}
        self._searched = search.candidates
        while asked := search.ask():
            new = [candidate_spec(self._config, candidate) for candidate in asked if candidate.id not in self._specs]
            for spec in sorted(new, key=work, reverse=True):  # the largest first: all wait for the last that ends
                self._want(spec)
            generation = search.generation
            known = tell_finished(search, self._queue.results, route)  # first: a finished search begins nothing
            if search.generation > generation:
                self._forget(search, route)
            if not known:
                stuck = any(candidate.id in self._queue.results for candidate in asked)
                if not self._follow(route, stuck):
                    self._turn()
        winner = search.winner()
        if winner is None:
            raise SearchFailedError(
                f"every candidate failed, for reasons that their log.txt in {self._run.candidates} tells: remove that "
                f"folder to try again"
            )
        return candidate_spec(self._config, winner), [
            candidate_spec(self._config, one) for one in search.candidates.values()
        ]

    def _follow(self, route: Sequence[Spec], stuck: bool) -> bool:
        """Have the next candidate of the route trained; whether more of it is known than before.

        stuck: there are candidates that wait for its score and for nothing else
        """
        for spec in route:
            known = spec.id in self._queue.results
            folder = self._run.candidate(spec.id)
            if spec.parent and spec.id not in self._specs and read_result(folder) is None:  # the base is needed whole
                if kept := self._kept.read(spec):
                    folder.write_text(folder.spec, spec.to_json())
                    folder.write_text(folder.result, kept.to_json())
            self._want(spec, soon=True)
            result = self._queue.results.get(spec.id)
            if result is None or (result.state == "failed" and not stuck):
                return False
            if result.state == "failed":
                raise SearchFailedError(
                    f"the ProgGAN route failed, which scores are normalised by ({result.error}): remove "
                    f"{str(self._run.candidate(spec.id).path)!r} to try again, or search without it, by --set "
                    f"growth.rank_by=raw and another --out"
                )
            if not known:
                return True
        return False

    def _longer(self, winner: Spec) -> Spec | None:
        """Train the winner on; None where that is not asked for, or fails: then it stays as it is."""
        longer = final_training_spec(self._config, winner)
        if longer is None:
            return None
        try:
            self._finish(longer)
        except SearchFailedError as error:
            self._reporter.say(f"{error}; the winner is kept as it was before")
            return None
        return longer

    def _finish(self, spec: Spec) -> None:
        """Have one candidate trained, and wait for it."""
        self._want(spec, soon=True)
        self._queue.ensure_product(spec.id)
        while spec.id not in self._queue.results:
            self._turn()
        if self._queue.results[spec.id].state == "failed":
            raise SearchFailedError(f"candidate {spec.id} failed: {self._queue.results[spec.id].error}")

    def _want(self, spec: Spec, *, soon: bool = False) -> None:
        """Train a candidate, unless it was or is; `soon`: before the others."""
        if spec.id not in self._specs:
            self._specs[spec.id] = spec
            folder = self._run.candidate(spec.id)
            after = (spec.parent,) if spec.parent else ()
            self._queue.add(Job("candidate", folder.path, spec.images, after, folder.final), first=soon)
            if spec.id in self._queue.results:  # the driver may have been killed before it did
                self._queue.release(spec.id)

    def _begin(self, job: Job) -> None:
        job.folder.write_text(job.folder.spec, self._specs[job.name].to_json())
        self._prepare()

    def _turn(self) -> None:
        """Let the queue go on, and say what ended."""
        for job in self._queue.step():
            spec, result = self._specs[job.name], self._queue.results[job.name]
            if result.state == "failed" and job.name in self._queue.rerun:
                raise SearchFailedError(
                    f"the weights of candidate {job.name} are gone, and cannot be made again: {result.error}"
                )
            self._queue.release(job.name)
            if job.name in self._route:
                self._kept.write(spec, result)
            left = f"{self._queue.status()}{self._best()}{self._queue.eta()}"
            self._reporter.say(f"{_outcome(spec, result)}; {left}")

    def _best(self) -> str:
        """The best so far: at the highest resolution that was reached."""
        alone = self._route - self._searched.keys()  # the baseline's own are no finds
        done = [
            (-self._specs[name].architecture.resolution, score)
            for name, result in self._queue.results.items()
            if name not in alone and (score := score_of(result)) is not None
        ]
        if not done:
            return ""
        resolution, end = min(done)
        return f"; best {end:.4g} at {-resolution}×{-resolution}"

    def _seconds_left(self) -> float | None:
        """Seconds that the run will go on."""
        done = {name: (self._specs[name], result) for name, result in self._queue.results.items()}
        ahead = [spec for _, specs in remaining_stages(self._config, self._queue.results) for spec in specs]
        return seconds_left(ahead, done, self._queue.capacity)

    def _forget(self, search: TopK, route: Sequence[Spec]) -> None:
        """Remove the weights of candidates that will have no children."""
        winner = search.winner()
        needed = {*search.beams[-1], *(spec.id for spec in route), *([winner.id] if winner else [])}
        for name in search.scores.keys() - needed:
            self._run.candidate(name).final.unlink(missing_ok=True)


def _outcome(spec: Spec, result: Result) -> str:
    size, grown = spec.architecture.resolution, spec.action or ("base" if spec.parent is None else "trained on")
    if result.state == "failed":
        outcome = f"failed: {result.error}"
    else:
        outcome = f"{result.facts['start']:.4g} → {score_of(result):.4g} in {result.seconds:.0f} s"
    return f"{spec.id} generation {spec.generation}, {grown}, {size}×{size}: {outcome}"
