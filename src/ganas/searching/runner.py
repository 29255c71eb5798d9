"""A growing search from begin to end: ask, submit, poll, tell (DGGAN, algorithm 1). No torch here.

Which candidates there are follows from the config and their scores alone, so a search that was stopped, or killed, is
repeated from the results that lie in its folder. The ProgGAN route that scores are normalised by is trained beside it,
by the same workers: fade-ins, and as much training at each resolution as a candidate can have had there.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ganas.candidates import Result, Spec, read_result, read_spec
from ganas.config import GrowConfig
from ganas.errors import ConfigError, GanasError, RunError
from ganas.executors.base import Executor
from ganas.nets.layers import GrowthArchitecture, doublings
from ganas.progress import Reporter, StopSignal
from ganas.searching.growth import FADE, Action, Limits, Space, growing_actions, parse_action
from ganas.searching.topk import Candidate, Score, TopK, child_id, training_seed
from ganas.store import Run

POLL_SECONDS = 0.1

Step = Action | None  # of a route; None: train on as it is
ON = "on"  # its name


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
    return [None if text == ON else parse_action(text) for text in texts]


def route_specs(config: GrowConfig, steps: Sequence[Step]) -> Iterator[Spec]:
    """The candidates along a route, from the first base on."""
    base = bases(config)[0]
    candidate = Candidate(base.id, base)
    yield spec_of(config, candidate)
    for step in steps:
        name = str(step) if step else ON
        grown = step(candidate.architecture) if step else candidate.architecture
        candidate = Candidate(child_id(candidate.id, name), grown, candidate.id, name, candidate.generation + 1)
        yield spec_of(config, candidate)


def spec_of(config: GrowConfig, candidate: Candidate) -> Spec:
    """What the worker of a candidate is told."""
    return Spec(
        id=candidate.id,
        architecture=candidate.architecture,
        parent=candidate.parent,
        action=None if candidate.action == ON else candidate.action,
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

    def turn(self) -> None:
        """Start what can be started, take what has ended; raises `RunError` for trouble that somebody has to mend."""
        while len(self._running) < self._executor.capacity and (spec := self._next()):
            self._waiting.remove(spec)
            folder = self._run.candidate(spec.id)
            folder.write_text(folder.spec, spec.to_json())
            self._running[folder.path] = spec
            self._executor.submit(folder.path)
        for ended in self._executor.poll():
            spec = self._running.pop(ended.job)
            if ended.trouble:
                raise RunError(f"candidate {spec.id} cannot be trained: {ended.error}")
            folder = self._run.candidate(spec.id)
            if ended.error:
                folder.write_text(folder.result, Result("failed", error=ended.error).to_json())
            result = read_result(folder)
            assert result is not None
            self.results[spec.id] = result
            self._tell(spec, result)

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
        self._waiting.insert(0, read_spec(folder))
        folder.result.unlink(missing_ok=True)

    def _tell(self, spec: Spec, result: Result) -> None:
        size, grown = spec.architecture.resolution, spec.action or ("base" if spec.parent is None else "trained on")
        if result.state == "failed":
            outcome = f"failed: {result.error}"
        else:
            outcome = f"{result.start:.4g} → {result.end:.4g} in {result.seconds:.0f} s"
        failed = sum(one.state == "failed" for one in self.results.values())
        self._reporter.say(
            f"{spec.id} generation {spec.generation}, {grown}, {size}×{size}: {outcome}; "
            f"{len(self.results) - failed} done, {failed} failed, {len(self._running)} running, "
            f"{len(self._waiting)} waiting"
        )


class Growth:
    """One run of ``ganas grow``: a search with the route beside it, or a route alone."""

    def __init__(self, run: Run, config: GrowConfig, executor: Executor, reporter: Reporter, stop: StopSignal) -> None:
        self._run, self._config, self._stop, self._reporter = run, config, stop, reporter
        self.queue = Queue(run, executor, reporter)

    def run(self) -> GrowResult:
        """To the end: search or follow the route, then train the winner longer."""
        if self._config.growth.route is None:
            winner, tried = self._search()
        else:
            tried = [*route_specs(self._config, parse_route(self._config.growth.route))]
            for spec in tried:
                self._finish(spec)
            winner = tried[-1]
        last = self._longer(winner) or winner
        result = self.queue.results[last.id]
        assert result.end is not None and result.metric is not None
        failed = sum(self.queue.results[spec.id].state == "failed" for spec in tried)
        return GrowResult(last.architecture, last.id, result.metric, result.end, len(tried), failed)

    def _search(self) -> tuple[Spec, list[Spec]]:
        """Top-K greedy pruning: the winner, and all that were tried."""
        search, route = search_of(self._config), baseline_route(self._config)
        while asked := search.ask():
            self._stop.check()
            for candidate in asked:
                self.queue.want(spec_of(self._config, candidate))
            generation = search.generation
            known = tell_known(search, self.queue.results, route)  # first: a finished search begins nothing
            if search.generation > generation:
                self._forget(search, route)
            if not known and not self._follow(route):
                self.queue.turn()
                time.sleep(POLL_SECONDS)
        winner = search.winner()
        if winner is None:
            raise SearchFailedError(f"every candidate failed; see {self._run.candidates}")
        return spec_of(self._config, winner), [spec_of(self._config, one) for one in search.candidates.values()]

    def _follow(self, route: Sequence[Spec]) -> bool:
        """Have the next candidate of the route trained; whether more of it is known than before."""
        for spec in route:
            known = spec.id in self.queue.results
            self.queue.want(spec, soon=True)
            result = self.queue.results.get(spec.id)
            if result is None:
                return False
            if result.end is None:
                raise SearchFailedError(
                    f"the ProgGAN route failed, which scores are normalised by ({result.error}): "
                    f"give --set growth.rank_by=raw to search without it"
                )
            if not known:
                return True
        return False

    def _longer(self, winner: Spec) -> Spec | None:
        """Train the winner on; None where that is not asked for, or fails: then it stays as it is."""
        images = self._config.training.final_images
        if not images:
            return None
        name = child_id(winner.id, f"{images} images more")
        candidate = Candidate(name, winner.architecture, winner.id, ON, winner.generation + 1)
        longer = replace(spec_of(self._config, candidate), images=images)
        try:
            self._finish(longer)
        except SearchFailedError as error:
            self._reporter.say(f"{error}; the winner is kept as it was before")
            return None
        return longer

    def _finish(self, spec: Spec) -> None:
        """Have one candidate trained, and wait for it."""
        self.queue.want(spec, soon=True)
        while spec.id not in self.queue.results:
            self._stop.check()
            self.queue.turn()
            time.sleep(POLL_SECONDS)
        if self.queue.results[spec.id].state == "failed":
            raise SearchFailedError(f"candidate {spec.id} failed: {self.queue.results[spec.id].error}")

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
