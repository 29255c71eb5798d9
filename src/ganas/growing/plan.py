"""What a growing search does next: its candidates, the ProgGAN route beside it, and what results say. No torch here.

Which candidates there are follows from the config and their scores alone, so a search that was stopped, or killed, is
repeated from the results that lie in its folder. The ProgGAN route that scores are normalised by consists of fade-ins,
and of as much training at each resolution as a candidate can have had there.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ganas.errors import ConfigError
from ganas.growing.actions import FADE, Action, Limits, Space, growing_actions, parse_action
from ganas.growing.architecture import GrowthArchitecture, doublings
from ganas.growing.candidates import Spec, score_of
from ganas.growing.config import GrowConfig
from ganas.growing.topk import Candidate, Score, TopK, child_id, training_seed, uniform
from ganas.jobs.result import Result

Step = Action | None  # of a route; None: train on as it is
CONTINUE = "on"  # its name
ROUTE = "ProgGAN route"  # the stage of its candidates


def growth_space(config: GrowConfig) -> Space:
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


def open_search_state(config: GrowConfig) -> TopK:
    """The search that a config asks for, nothing told yet."""
    growth = config.growth
    return TopK(
        bases(config),
        growth_space(config),
        keep=growth.keep,
        probability=growth.probability,
        seed=config.seed,
        rank_by=growth.rank_by,
        survival=growth.survival,
    )


def candidate_spec(config: GrowConfig, candidate: Candidate) -> Spec:
    """What the worker of a candidate is told."""
    return Spec(
        id=candidate.id,
        architecture=candidate.architecture,
        parent=candidate.parent,
        action=None if candidate.action == CONTINUE else candidate.action,
        generation=candidate.generation,
        seed=training_seed(config.seed, candidate),
        images=config.training.images,
    )


def final_training_spec(config: GrowConfig, winner: Spec) -> Spec | None:
    """The winner trained on, where the config asks for it."""
    images = config.training.final_images
    if not images:
        return None
    name = child_id(winner.id, f"{images} images more")
    candidate = Candidate(name, winner.architecture, winner.id, CONTINUE, winner.generation + 1)
    return replace(candidate_spec(config, candidate), images=images)


# ── the route ────────────────────────────────────────────────────────────────────────────────────────────────────────


def proggan_steps(config: GrowConfig) -> list[Step]:
    """Fade-ins alone, with as much training at each resolution as any candidate can have had there."""
    needed = doublings(config.data.resolution)
    on: list[Step] = [None] * (config.growth.depth - needed)
    return on + [step for _ in range(needed) for step in (FADE, *on)]


def parse_route(texts: Sequence[str]) -> list[Step]:
    """Actions by name, ``on`` for a stretch of training without growing."""
    return [None if text == CONTINUE else parse_action(text) for text in texts]


def route_specs(config: GrowConfig, steps: Sequence[Step]) -> Iterator[Spec]:
    """The candidates along a route, from the first base on."""
    base = bases(config)[0]
    candidate = Candidate(base.id, base)
    yield candidate_spec(config, candidate)
    for step in steps:
        name = str(step) if step else CONTINUE
        grown = step(candidate.architecture) if step else candidate.architecture
        candidate = Candidate(child_id(candidate.id, name), grown, candidate.id, name, candidate.generation + 1)
        yield candidate_spec(config, candidate)


def baseline_route(config: GrowConfig) -> list[Spec]:
    """The candidates whose scores others are normalised by; none where that is not asked for."""
    return [*route_specs(config, proggan_steps(config))] if config.growth.rank_by == "normalized" else []


def remaining_stages(config: GrowConfig, results: Mapping[str, Result]) -> Iterator[tuple[str, list[Spec]]]:
    """The stages that a run has yet to go through, each with its name, as if unknown scores were drawn by lot."""
    growth = config.growth

    def left(name: str, specs: Iterable[Spec]) -> tuple[str, list[Spec]]:
        return name, [spec for spec in specs if spec.id not in results]

    if growth.route is not None:
        specs = [*route_specs(config, parse_route(growth.route))]
        yield left("route", specs)
        last = specs[-1]
    else:
        search, route = open_search_state(config), baseline_route(config)
        while asked := search.ask():
            if tell_finished(search, results, route):
                continue
            yield left(f"generation {search.generation}", (candidate_spec(config, candidate) for candidate in asked))
            for candidate in asked:
                search.tell(candidate.id, Score(0.5 + uniform("unfold", candidate.id), 1.0))
        yield left(ROUTE, (spec for spec in route if spec.id not in search.candidates))
        winner = search.winner()
        if winner is None:  # all have failed
            return
        last = candidate_spec(config, winner)
    longer = final_training_spec(config, last)
    if longer:
        yield left("winner, longer", [longer])


# ── what results say ─────────────────────────────────────────────────────────────────────────────────────────────────


def tell_finished(search: TopK, results: Mapping[str, Result], route: Sequence[Spec]) -> bool:
    """Tell a search the results of what it asked for, as far as there are; whether there were any."""
    baselines = _baselines(results, route)
    told = False
    for candidate in search.ask():
        result = results.get(candidate.id)
        baseline = baselines.get(_stage(search, candidate))
        score = score_of(result) if result else None
        if result and (baseline is not None or not route or score is None):
            search.tell(candidate.id, None if score is None else Score(score, baseline))
            told = True
    return told


def _baselines(results: Mapping[str, Result], route: Sequence[Spec]) -> dict[tuple[int, int], float]:
    """The route's scores by resolution and the stretches of training there, as far as it has come."""
    scores: dict[tuple[int, int], float] = {}
    stretches: dict[int, int] = {}
    for spec in route:
        result = results.get(spec.id)
        if result is None or (score := score_of(result)) is None:
            break
        resolution = spec.architecture.resolution
        stretches[resolution] = stretches.get(resolution, 0) + 1
        scores[resolution, stretches[resolution]] = score
    return scores


def _stage(search: TopK, candidate: Candidate) -> tuple[int, int]:
    """A candidate's resolution, and how many stretches of training its line had there."""
    resolution, stretches = candidate.architecture.resolution, 1
    while candidate.parent and search.candidates[candidate.parent].architecture.resolution == resolution:
        candidate = search.candidates[candidate.parent]
        stretches += 1
    return resolution, stretches
