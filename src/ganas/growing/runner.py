"""A growing search from begin to end: ask, submit, poll, tell (DGGAN, algorithm 1). No torch here.

The ProgGAN route that scores are normalised by is trained beside it, by the same workers.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganas.errors import GanasError, RunError
from ganas.growing.architecture import GrowthArchitecture
from ganas.growing.baseline_cache import KeptResults
from ganas.growing.candidates import Spec, read_spec, work
from ganas.growing.config import GrowConfig
from ganas.growing.eta import seconds_left
from ganas.growing.plan import (
    baseline_route,
    longer_spec,
    parse_route,
    route_specs,
    search_of,
    spec_of,
    tell_known,
    unfold,
)
from ganas.growing.topk import Candidate, TopK
from ganas.jobs.executor import Executor
from ganas.jobs.result import Result, failure, read_result
from ganas.progress import Reporter, readable_seconds
from ganas.signals import StopSignal
from ganas.store import Run, default_cache

POLL_SECONDS = 0.1
LOOK_SECONDS = 5.0  # between estimates of the time left: of thousands of candidates each takes a second


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


class Queue:
    """Jobs over an executor: what was asked for is submitted as workers become free, and results are kept."""

    def __init__(self, run: Run, executor: Executor, prepare: Callable[[], None]) -> None:
        self._run, self._executor, self._prepare = run, executor, prepare
        self._remade: set[str] = set()  # whose weights were gone
        self._waiting: list[Spec] = []
        self._running: dict[Path, Spec] = {}
        self.specs: dict[str, Spec] = {}  # of all that were wanted
        self.results: dict[str, Result] = {}

    def want(self, spec: Spec, *, soon: bool = False) -> None:
        """Have a candidate trained, unless it was or is; `soon`: before the others."""
        if spec.id in self.specs:
            return
        self.specs[spec.id] = spec
        result = read_result(self._run.candidate(spec.id))
        if result:
            self.results[spec.id] = result
        else:
            self._waiting.insert(0 if soon else len(self._waiting), spec)

    def know(self, spec: Spec, result: Result) -> None:
        """A result that was found elsewhere, unless there is one here, or will be."""
        if spec.id not in self.specs and read_result(self._run.candidate(spec.id)) is None:
            self._write(spec, result)

    def need(self, spec: Spec) -> None:
        """Have a candidate's weights made anew, if they were removed."""
        if spec.id in self.results and not self._run.candidate(spec.id).final.exists():
            self._train_again(spec.id)

    def turn(self) -> list[Spec]:
        """Start what can be started; what has ended. Raises `RunError` for trouble that somebody has to mend."""
        while len(self._running) < self._executor.capacity and (spec := self._next()):
            self._waiting.remove(spec)
            folder = self._run.candidate(spec.id)
            folder.write_text(folder.spec, spec.to_json())
            self._prepare()
            self._running[folder.path] = spec
            self._executor.submit(folder.path)
        done = []
        for ended in self._executor.poll():
            spec = self._running.pop(ended.job)
            if ended.trouble:
                raise RunError(f"candidate {spec.id} cannot be trained: {ended.error}")
            if ended.error:
                self._write(spec, failure(self._run.candidate(spec.id), ended.error))
            result = read_result(self._run.candidate(spec.id))
            assert result is not None
            self.results[spec.id] = result
            done.append(spec)
        return done

    def counts(self) -> str:
        """How many are done, failed, running, waiting."""
        failed = sum(result.state == "failed" for result in self.results.values())
        return (
            f"{len(self.results) - failed} done, {failed} failed, {len(self._running)} running, "
            f"{len(self._waiting)} waiting"
        )

    def _write(self, spec: Spec, result: Result) -> None:
        folder = self._run.candidate(spec.id)
        folder.write_text(folder.spec, spec.to_json())
        folder.write_text(folder.result, result.to_json())

    def _next(self) -> Spec | None:
        """The first that waits and whose parent has left its weights."""
        for spec in [*self._waiting]:
            if spec.parent is None or self._run.candidate(spec.parent).final.exists():
                return spec
            self._train_again(spec.parent)
        return None

    def _train_again(self, name: str) -> None:
        """Make weights anew that were removed, since nobody seemed to inherit them; the same ones, bit for bit."""
        if any(name == spec.id for spec in (*self._waiting, *self._running.values())):
            return
        folder = self._run.candidate(name)
        result = read_result(folder)
        if name in self._remade and result and result.state == "failed":
            raise SearchFailedError(
                f"the weights of candidate {name} are gone, and cannot be made again: {result.error}"
            )
        self._remade.add(name)
        self.specs[name] = read_spec(folder)
        self._waiting.insert(0, self.specs[name])
        self.results.pop(name, None)
        folder.result.unlink(missing_ok=True)


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
        self._run, self._config, self._stop, self._reporter = run, config, stop, reporter
        self._executor = executor
        self._searched: Mapping[str, Candidate] = {}  # all that the search has asked for
        self._kept = KeptResults(default_cache(), config)
        self._looked = -LOOK_SECONDS  # when it was estimated
        self._left: float | None = None  # seconds that the run will go on
        self._route: set[str] = set()  # ids of what scores are normalised by
        self.queue = Queue(run, executor, prepare)

    def run(self) -> GrowResult:
        """To the end: search or follow the route, then train the winner longer."""
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
        result = self.queue.results[last.id]
        assert result.end is not None and result.metric is not None
        failed = sum(self.queue.results[spec.id].state == "failed" for spec in tried)
        return GrowResult(last.architecture, last.id, result.metric, result.end, len(tried), failed)

    def _search(self) -> tuple[Spec, list[Spec]]:
        """Top-K greedy pruning: the winner, and all that were tried."""
        search, route = search_of(self._config), baseline_route(self._config)
        self._route = {spec.id for spec in route}
        self._searched = search.candidates
        while asked := search.ask():
            self._stop.check()
            new = [spec_of(self._config, candidate) for candidate in asked if candidate.id not in self.queue.specs]
            for spec in sorted(new, key=work, reverse=True):  # the largest first: all wait for the last that ends
                self.queue.want(spec)
            generation = search.generation
            known = tell_known(search, self.queue.results, route)  # first: a finished search begins nothing
            if search.generation > generation:
                self._forget(search, route)
            if not known:
                stuck = any(candidate.id in self.queue.results for candidate in asked)
                if not self._follow(route, stuck):
                    self._turn()
        winner = search.winner()
        if winner is None:
            raise SearchFailedError(
                f"every candidate failed, for reasons that their log.txt in {self._run.candidates} tells: remove that "
                f"folder to try again"
            )
        return spec_of(self._config, winner), [spec_of(self._config, one) for one in search.candidates.values()]

    def _follow(self, route: Sequence[Spec], stuck: bool) -> bool:
        """Have the next candidate of the route trained; whether more of it is known than before.

        stuck: there are candidates that wait for its score and for nothing else
        """
        for spec in route:
            known = spec.id in self.queue.results
            if spec.parent and (kept := self._kept.read(spec)):  # the base is needed whole
                self.queue.know(spec, kept)
            self.queue.want(spec, soon=True)
            result = self.queue.results.get(spec.id)
            if result is None or (result.end is None and not stuck):
                return False
            if result.end is None:
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
        longer = longer_spec(self._config, winner)
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
        self.queue.want(spec, soon=True)
        self.queue.need(spec)
        while spec.id not in self.queue.results:
            self._stop.check()
            self._turn()
        if self.queue.results[spec.id].state == "failed":
            raise SearchFailedError(f"candidate {spec.id} failed: {self.queue.results[spec.id].error}")

    def _turn(self) -> None:
        """Let the queue go on, and say what ended."""
        for spec in self.queue.turn():
            if spec.id in self._route:
                self._kept.write(spec, self.queue.results[spec.id])
            if time.monotonic() - self._looked > LOOK_SECONDS:
                self._looked, self._left = time.monotonic(), self._seconds_left()
            outlook = "" if self._left is None else f"; about {readable_seconds(self._left)} left"
            outcome = _outcome(spec, self.queue.results[spec.id])
            self._reporter.say(f"{outcome}; {self.queue.counts()}{self._best()}{outlook}")
        time.sleep(POLL_SECONDS)

    def _best(self) -> str:
        """The best so far: at the highest resolution that was reached."""
        results, specs = self.queue.results, self.queue.specs
        alone = self._route - self._searched.keys()  # the baseline's own are no finds
        done = [
            (-specs[name].architecture.resolution, result.end)
            for name, result in results.items()
            if result.end is not None and name not in alone
        ]
        if not done:
            return ""
        resolution, end = min(done)
        return f"; best {end:.4g} at {-resolution}×{-resolution}"

    def _seconds_left(self) -> float | None:
        """Seconds that the run will go on."""
        done = {name: (self.queue.specs[name], result) for name, result in self.queue.results.items()}
        ahead = [spec for _, specs in unfold(self._config, self.queue.results) for spec in specs]
        return seconds_left(ahead, done, max(1, self._executor.capacity))

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
        outcome = f"{result.start:.4g} → {result.end:.4g} in {result.seconds:.0f} s"
    return f"{spec.id} generation {spec.generation}, {grown}, {size}×{size}: {outcome}"
