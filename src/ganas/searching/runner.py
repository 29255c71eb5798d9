"""A growing search from begin to end: ask, submit, poll, tell (DGGAN, algorithm 1). No torch here.

Which candidates there are follows from the config and their scores alone, so a search that was stopped, or killed, is
repeated from the results that lie in its folder. The ProgGAN route that scores are normalised by is trained beside it,
by the same workers: fade-ins, and as much training at each resolution as a candidate can have had there.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ganas.candidates import Result, Spec, read_result
from ganas.config import GrowConfig
from ganas.errors import ConfigError, GanasError
from ganas.executors.base import Executor
from ganas.nets.layers import GrowthArchitecture, doublings
from ganas.progress import Reporter, StopSignal
from ganas.searching.growth import FADE, Action, Limits, Space, growing_actions, parse_action
from ganas.searching.topk import Candidate, Score, TopK, child_id, training_seed
from ganas.store import Run

POLL_SECONDS = 0.1

Step = Action | None  # of a route; None: train on as it is


class SearchFailedError(GanasError):
    """There is no candidate to go on with."""


@dataclass(frozen=True)
class GrowResult:
    """What a search, or a route, ended with."""

    architecture: GrowthArchitecture
    winner: str  # id of the candidate that was trained longer
    metric: str
    score: float  # after that
    candidates: int  # trained
    failed: int

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"{self.candidates} candidates trained, {self.failed} of them failed",
            f"winner {self.winner}: {self.architecture}",
            f"{self.metric} {self.score:.4g}",
        ]


def space_of(config: GrowConfig) -> Space:
    """What the config lets a search grow; raises `ConfigError` where there is no way to the final resolution."""
    growth, resolution = config.growth, config.data.resolution
    needed = doublings(resolution)
    if growth.depth < needed:
        raise ConfigError(
            f"growth.depth={growth.depth} actions cannot double 8 pixels to {resolution}: give {needed} or more"
        )
    limits = Limits(growth.max_parameters, growth.max_macs)
    space = Space(growing_actions(growth.sizes, growth.filters), growth.depth, resolution, limits)
    for base in bases(config):
        if growth.depth and not space.legal(base, 0):
            raise ConfigError(
                f"no legal action: growing {base.channels} channels to {resolution} pixels exceeds "
                f"growth.max_parameters or growth.max_macs; raise them, or lower base.channels"
            )
    return space


def bases(config: GrowConfig) -> list[GrowthArchitecture]:
    """The initial candidates."""
    return [GrowthArchitecture(config.base.latent, channels) for channels in dict.fromkeys(config.base.channels)]


def search_of(config: GrowConfig) -> TopK:
    """The search that a config asks for, nothing told yet."""
    growth = config.growth
    return TopK(
        bases(config),
        space_of(config),
        keep=growth.keep,
        probability=growth.probability,
        seed=config.seed,
        rank_by=growth.rank_by,
        survival=growth.survival,
    )


def proggan_steps(config: GrowConfig) -> list[Step]:
    """Fade-ins alone, with as much training at each resolution as any candidate can have had there."""
    needed = doublings(config.data.resolution)
    on: list[Step] = [None] * (config.growth.depth - needed)
    return on + [step for _ in range(needed) for step in (FADE, *on)]


def parse_route(texts: Sequence[str]) -> list[Step]:
    """Actions by name, ``on`` for a stretch of training without growing."""
    return [None if text == "on" else parse_action(text) for text in texts]


def route_specs(config: GrowConfig, steps: Sequence[Step]) -> Iterator[Spec]:
    """The candidates along a route, from the first base on."""
    base = bases(config)[0]
    candidate = Candidate(base.id, base)
    yield spec_of(config, candidate)
    for step in steps:
        name = str(step) if step else "on"
        grown = step(candidate.architecture) if step else candidate.architecture
        candidate = Candidate(child_id(candidate.id, name), grown, candidate.id, name, candidate.generation + 1)
        yield spec_of(config, candidate)


def spec_of(config: GrowConfig, candidate: Candidate) -> Spec:
    """What the worker of a candidate is told."""
    return Spec(
        id=candidate.id,
        architecture=candidate.architecture,
        parent=candidate.parent,
        action=None if candidate.action == "on" else candidate.action,
        generation=candidate.generation,
        seed=training_seed(config.seed, candidate),
        images=config.training.images,
    )


class Queue:
    """Jobs over an executor: what was asked for is submitted as workers become free, and results are kept."""

    def __init__(self, run: Run, executor: Executor, reporter: Reporter) -> None:
        self._run, self._executor, self._reporter = run, executor, reporter
        self._waiting: list[Spec] = []
        self._running: dict[Path, Spec] = {}
        self.results: dict[str, Result] = {}
        self._known: set[str] = set()

    def want(self, spec: Spec, *, soon: bool = False) -> None:
        """Have a candidate trained, unless it was or is; `soon`: before the others."""
        if spec.id in self._known:
            return
        self._known.add(spec.id)
        result = read_result(self._run.candidate(spec.id))
        if result:
            self.results[spec.id] = result
        else:
            self._waiting.insert(0 if soon else len(self._waiting), spec)

    @property
    def busy(self) -> bool:
        """Whether anything is waited for."""
        return bool(self._waiting or self._running)

    def turn(self) -> None:
        """Start what can be started, take what has ended."""
        while self._waiting and len(self._running) < self._executor.capacity:
            spec = self._waiting.pop(0)
            folder = self._run.candidate(spec.id)
            folder.write_text(folder.spec, spec.to_json())
            self._running[folder.path] = spec
            self._executor.submit(folder.path)
        for ended in self._executor.poll():
            spec = self._running.pop(ended.job)
            folder = self._run.candidate(spec.id)
            if ended.error:
                folder.write_text(folder.result, Result("failed", error=ended.error).to_json())
            result = read_result(folder)
            assert result is not None
            self.results[spec.id] = result
            self._tell(spec, result)

    def _tell(self, spec: Spec, result: Result) -> None:
        size, grown = spec.architecture.resolution, spec.action or ("base" if spec.parent is None else "trained on")
        if result.state == "failed":
            outcome = f"failed: {result.error}"
        else:
            outcome = f"{result.start:.4g} → {result.end:.4g} in {result.seconds:.0f} s"
        self._reporter.say(
            f"{spec.id} generation {spec.generation}, {grown}, {size}×{size}: {outcome}; "
            f"{len(self.results)} done, {len(self._running)} running, {len(self._waiting)} waiting"
        )


class Growth:
    """One run of ``ganas grow``: a search with the route beside it, or a route alone."""

    def __init__(self, run: Run, config: GrowConfig, executor: Executor, reporter: Reporter, stop: StopSignal) -> None:
        self._run, self._config, self._executor, self._stop = run, config, executor, stop
        self._reporter = reporter
        self.queue = Queue(run, executor, reporter)

    def route(self, steps: Sequence[Step]) -> Spec:
        """Train a route; its last candidate."""
        specs = [*route_specs(self._config, steps)]
        for spec in specs:
            self._finish(spec)
        return specs[-1]

    def search(self) -> Spec:
        """Search; the winner."""
        search, route = search_of(self._config), baseline_route(self._config)
        while asked := search.ask():
            self._stop.check()
            self._follow(route)
            for candidate in asked:
                self.queue.want(spec_of(self._config, candidate))
            self.queue.turn()
            generation = search.generation
            if not tell_known(search, self.queue.results, route):
                time.sleep(POLL_SECONDS)
            elif search.generation > generation:
                self._forget(search, route)
        winner = search.winner()
        if winner is None:
            raise SearchFailedError(f"every candidate failed; see {self._run.candidates}")
        return spec_of(self._config, winner)

    def _follow(self, route: Sequence[Spec]) -> None:
        """Have the next candidate of the route trained."""
        for spec in route:
            self.queue.want(spec, soon=True)
            result = self.queue.results.get(spec.id)
            if result is None:
                return
            if result.end is None:
                raise SearchFailedError(
                    f"the ProgGAN route failed, which scores are normalised by ({result.error}): "
                    f"give --set growth.rank_by=raw to search without it"
                )

    def _finish(self, spec: Spec) -> Result:
        """Have one candidate trained, and wait for it."""
        self.queue.want(spec)
        while spec.id not in self.queue.results:
            self._stop.check()
            self.queue.turn()
            time.sleep(POLL_SECONDS)
        result = self.queue.results[spec.id]
        if result.state == "failed":
            raise SearchFailedError(f"candidate {spec.id} failed: {result.error}")
        return result

    def finish(self, winner: Spec) -> GrowResult:
        """Train the winner longer, and say what came of it."""
        last, result = winner, self.queue.results[winner.id]
        if self._config.training.final_images:
            name = f"{self._config.training.final_images} images more"
            identity = child_id(winner.id, name)
            candidate = Candidate(identity, winner.architecture, winner.id, name, winner.generation)
            last = replace(spec_of(self._config, candidate), action=None, images=self._config.training.final_images)
            result = self._finish(last)
        assert result.end is not None and result.metric is not None
        results = self.queue.results.values()
        return GrowResult(
            architecture=last.architecture,
            winner=last.id,
            metric=result.metric,
            score=result.end,
            candidates=len(results),
            failed=sum(one.state == "failed" for one in results),
        )

    def wait_for_workers(self) -> None:
        """Ask all workers to stop."""
        self._executor.cancel()

    def _forget(self, search: TopK, route: Sequence[Spec]) -> None:
        """Remove the weights of candidates that will have no children."""
        winner = search.winner()
        needed = {*search.beams[-1], *(spec.id for spec in route), *([winner.id] if winner else [])}
        for name in search.scores.keys() - needed:
            self._run.candidate(name).final.unlink(missing_ok=True)


# ── what results say ─────────────────────────────────────────────────────────────────────────────────────────────────


def baseline_route(config: GrowConfig) -> list[Spec]:
    """The candidates whose scores others are normalised by; none where that is not asked for."""
    return [*route_specs(config, proggan_steps(config))] if config.growth.rank_by == "normalized" else []


def tell_known(search: TopK, results: Mapping[str, Result], route: Sequence[Spec]) -> bool:
    """Tell a search the results of what it asked for, as far as there are; whether there were any."""
    baselines = _baselines(results, route)
    told = False
    for candidate in search.ask():
        result = results.get(candidate.id)
        baseline = baselines.get(_stage(search, candidate))
        if result and (baseline is not None or not route or result.end is None):
            search.tell(candidate.id, None if result.end is None else Score(result.end, baseline))
            told = True
    return told


def _baselines(results: Mapping[str, Result], route: Sequence[Spec]) -> dict[tuple[int, int], float]:
    """The route's scores by resolution and the stretches of training there, as far as it has come."""
    scores: dict[tuple[int, int], float] = {}
    stretches: dict[int, int] = {}
    for spec in route:
        result = results.get(spec.id)
        if result is None or result.end is None:
            break
        resolution = spec.architecture.resolution
        stretches[resolution] = stretches.get(resolution, 0) + 1
        scores[resolution, stretches[resolution]] = result.end
    return scores


def _stage(search: TopK, candidate: Candidate) -> tuple[int, int]:
    """A candidate's resolution, and how many stretches of training its line had there."""
    resolution, stretches = candidate.architecture.resolution, 1
    while candidate.parent and search.candidates[candidate.parent].architecture.resolution == resolution:
        candidate = search.candidates[candidate.parent]
        stretches += 1
    return resolution, stretches
