"""Run a growing search: ask the strategy, train, tell it the scores. No torch here.

The same workers train the ProgGAN route that normalizes scores.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from statistics import mean

from ganas.errors import ConfigError, GanasError
from ganas.growing.autogan import GANArchitecture
from ganas.growing.baseline_cache import BaselineCache
from ganas.growing.candidates import Spec, best_by_resolution, copied, score_of, work
from ganas.growing.config import GrowConfig
from ganas.growing.plan import (
    baseline_route,
    candidate_spec,
    final_training_spec,
    open_strategy,
    remaining_stages,
    route_specs,
    tell_finished,
)
from ganas.jobs.executor import Executor
from ganas.jobs.job import Job
from ganas.jobs.queue import Queue
from ganas.jobs.result import Result, read_result
from ganas.progress import Reporter
from ganas.signals import StopSignal
from ganas.store import Run, default_cache


class SearchFailedError(GanasError):
    """No candidate is left to continue with."""


@dataclass(frozen=True)
class GrowResult:
    """The result of a search or a route."""

    architecture: GANArchitecture
    winner: str  # id of the candidate that was trained longer
    metric: str
    score: float  # after the longer training
    candidates: int  # trained, without those of the route that normalizes scores
    failed: int

    def lines(self) -> list[str]:
        """Human-readable lines."""
        return [
            f"{self.candidates} candidates tried, {self.failed} of them failed",
            f"winner {self.winner}: {self.architecture}",
            f"{self.metric} {self.score:.4g}",
        ]


class Growth:
    """One run of ``ganas grow``: a search with its ProgGAN route, or a route alone."""

    def __init__(
        self,
        run: Run,
        config: GrowConfig,
        executor: Executor,
        reporter: Reporter,
        stop: StopSignal,
        prepare: Callable[[], None] = lambda: None,  # called before each job starts
    ) -> None:
        self._run, self._config, self._reporter, self._prepare = run, config, reporter, prepare
        self._queue = Queue(executor, stop, prepare=self._begin, eta=self._seconds_left)
        self._specs: dict[str, Spec] = {}  # of all jobs
        self._unreleased: set[str] = set()  # jobs that may still have checkpoints
        self._search = open_strategy(config)
        self._route = [] if config.growth.route is not None else baseline_route(config)
        self._cache = BaselineCache(default_cache(), config)

    def run(self) -> GrowResult:
        """Search or follow the route, then train the winner longer."""
        with self._queue.running():
            if self._config.growth.route is None:
                winner, tried = self._find()
            else:
                tried = [*route_specs(self._config, self._config.growth.route)]
                for spec in tried:
                    self._finish(spec)
                winner = tried[-1]
            last = self._longer(winner) or winner
            self._finish(last)  # its weights may have been removed
            self._release()
        ((metric, score),) = self._queue.results[last.id].scores.items()
        failed = sum(self._queue.results[spec.id].state == "failed" for spec in tried)
        return GrowResult(last.architecture, last.id, metric, score, len(tried), failed)

    def _find(self) -> tuple[Spec, list[Spec]]:
        """Run the search; return its winner and all candidates of the strategy."""
        search = self._search
        while asked := search.ask():
            new = [(candidate_spec(self._config, one), images) for one, images in asked if self._is_new(one.id, images)]
            for spec, images in sorted(new, key=lambda pair: work(pair[0]), reverse=True):  # all wait for the last
                self._add(spec, images)
            generation = len(search.beams)
            known = tell_finished(search, self._queue.results, self._route)  # first: a finished search trains nothing
            if len(search.beams) > generation:
                self._remove_weights()
            if not known:
                stuck = any(candidate.id in self._queue.results for candidate, _ in asked)
                if not self._follow_route(stuck):
                    if self._queue.idle:
                        raise RuntimeError(f"the search waits for {[candidate.id for candidate, _ in asked]} forever")
                    self._step()
        winner = search.winner()
        if winner is None:
            raise SearchFailedError(
                f"every candidate failed, for reasons that their log.txt in {self._run.candidates} tells: remove that "
                f"folder to try again"
            )
        return candidate_spec(self._config, winner), [
            candidate_spec(self._config, one) for one in search.candidates.values()
        ]

    def _follow_route(self, stuck: bool) -> bool:
        """Train the next candidate of the ProgGAN route; return whether its score became known.

        stuck: some candidates lack nothing but its score
        """
        for spec in self._route:
            known = spec.id in self._queue.results
            folder = self._run.candidate(spec.id)
            # the cache holds no weights, and the base needs its own
            if spec.parent and spec.id not in self._specs and read_result(folder) is None:
                if kept := self._cache.read(spec):
                    folder.write_text(folder.spec, spec.to_json())
                    folder.write_text(folder.result, copied(kept).to_json())
            self._add(spec, first=True)
            result = self._queue.results.get(spec.id)
            if result is None or (result.state == "failed" and not stuck):
                return False
            if result.state == "failed":
                raise SearchFailedError(
                    f"the ProgGAN route failed, which scores are normalized by ({result.error}): remove "
                    f"{str(folder.path)!r} to try again, or search without it, by --set "
                    f"growth.rank_by=raw and another --out"
                )
            if not known:
                return True
        return False

    def _longer(self, winner: Spec) -> Spec | None:
        """Train the winner longer; None if it is too small, if the config has no longer training, or if it fails."""
        reached = winner.architecture.resolution
        if reached < self._config.data.resolution:
            self._reporter.say(
                f"the search ended at {reached}×{reached}, no larger candidate succeeded, for reasons that their "
                f"log.txt in {self._run.candidates} tells: remove their folders to try again"
            )
            return None
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
        """Train one candidate and wait for it."""
        self._add(spec, first=True)
        self._queue.ensure_product(spec.id)
        while spec.id not in self._queue.results:
            self._step()
        if self._queue.results[spec.id].state == "failed":
            raise SearchFailedError(f"candidate {spec.id} failed: {self._queue.results[spec.id].error}")

    def _add(self, spec: Spec, images: int | None = None, *, first: bool = False) -> None:
        """Queue the training of a candidate to its end, or to an earlier target in images."""
        target = images or spec.images
        if not self._is_new(spec.id, target):
            return
        if target < spec.images and self._route:
            raise ConfigError(
                f"growth.strategy={self._config.growth.strategy} compares candidates after {target} images, where the "
                f"ProgGAN route has no scores: give growth.rank_by=pooled, per_resolution or raw"
            )
        self._specs[spec.id] = spec
        folder = self._run.candidate(spec.id)
        after = (spec.parent,) if spec.parent else ()
        self._queue.add(Job("candidate", folder.path, target, after, folder.final), first=first)
        if spec.id in self._queue.results:  # the driver may have been killed before the release
            self._unreleased.add(spec.id)

    def _is_new(self, name: str, images: int) -> bool:
        return name not in self._queue.jobs or self._queue.jobs[name].images < images

    def _release(self) -> None:
        """Remove the checkpoints of finished candidates that need no more training."""
        for name in self._unreleased & self._queue.results.keys():
            if name not in self._search.candidates or not self._search.may_continue(name):
                self._queue.release(name)
                self._unreleased.remove(name)

    def _begin(self, job: Job) -> None:
        self._unreleased.add(job.name)
        job.folder.write_text(job.folder.spec, self._specs[job.name].to_json())
        self._prepare()

    def _step(self) -> None:
        """Advance the queue and log each candidate that ended."""
        for job in self._queue.step():
            spec, result = self._specs[job.name], self._queue.results[job.name]
            if result.state == "failed" and job.name in self._queue.rerun:
                raise SearchFailedError(
                    f"the weights of candidate {job.name} are missing, and training it again failed: {result.error}"
                )
            if spec in self._route or self._config.growth.route is not None:
                self._cache.write(spec, result)
            left = f"{self._queue.status()}{self._best()}{self._queue.eta()}"
            self._reporter.say(f"{_outcome(spec, result)}; {left}")
        self._release()

    def _best(self) -> str:
        """The best score at the highest resolution so far, as text."""
        route_only = {spec.id for spec in self._route} - self._search.candidates.keys()
        done = [
            (-self._specs[name].architecture.resolution, score)
            for name, result in self._queue.results.items()
            if name not in route_only and (score := score_of(result)) is not None
        ]
        if not done:
            return ""
        resolution, score = min(done)
        return f"; best {score:.4g} at {-resolution}×{-resolution}"

    def _seconds_left(self) -> float | None:
        """Estimate the seconds until the end of the run."""
        results = self._queue.results
        done = [(replace(self._specs[name], images=result.images), result) for name, result in results.items()]
        ahead = [spec for _, specs in remaining_stages(self._config, results) for spec in specs]
        return seconds_left(ahead, done, self._queue.capacity)

    def _remove_weights(self) -> None:
        """Remove the weights of candidates that will have no children."""
        search, winner = self._search, self._search.winner()
        needed = {*search.beams[-1], *(spec.id for spec in self._route), *([winner.id] if winner else [])}
        trained = [(name, self._queue.results.get(name)) for name, one in search.candidates.items() if not one.repeat]
        best = best_by_resolution((self._specs[name], result) for name, result in trained if result)
        needed |= {*(one.id for one in search.finalists), *best.values()}
        needed |= {one.parent or "" for one in (*search.finalists, *(candidate for candidate, _ in search.ask()))}
        for name in search.scores.keys() - needed:
            if not search.may_continue(name):
                self._run.candidate(name).final.unlink(missing_ok=True)


def _outcome(spec: Spec, result: Result) -> str:
    size, grown = spec.architecture.resolution, spec.action or ("base" if spec.parent is None else "trained on")
    if result.state == "failed":
        outcome = f"failed: {result.error}"
    else:
        outcome = f"{result.facts['start']:.4g} → {score_of(result):.4g} in {result.seconds:.0f} s"
    return f"{spec.id} generation {spec.generation}, {grown}, {size}×{size}: {outcome}"


def seconds_left(
    specs: Iterable[Spec],  # not trained yet
    done: Iterable[tuple[Spec, Result]],
    capacity: int,  # candidates trained at once
) -> float | None:
    """Estimate the seconds left; None before any candidate has finished.

    Training time is taken as proportional to a candidate's multiply-accumulates times its images, at the rate seen at
    its resolution, or at the next lower one; startup and scoring take as long as the average so far.
    """
    seen: dict[int, list[tuple[float, float, float]]] = {}  # resolution -> work, its seconds, overhead
    for spec, result in done:
        if result.state == "done" and result.seconds > 0:
            seen.setdefault(spec.architecture.resolution, []).append(
                (work(spec), result.seconds, result.took - result.seconds)
            )
    if not seen:
        return None

    def expected(spec: Spec) -> float:
        below = [resolution for resolution in seen if resolution <= spec.architecture.resolution]
        similar = seen[max(below, default=min(seen))]
        rate = sum(seconds for _, seconds, _ in similar) / sum(works for works, _, _ in similar)
        return work(spec) * rate + mean(overhead for _, _, overhead in similar)

    return sum(map(expected, specs)) / capacity
