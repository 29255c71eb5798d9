"""The plan of a growing search: its candidates, the ProgGAN route, and the scores told to its strategy. No torch.

The candidates follow from the config and their scores, so a stopped or killed search is replayed from the results in
its folder. Scores are normalized by the ProgGAN route: fade-ins, with as much training at each resolution as any
candidate can have had there.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ganas.errors import ConfigError
from ganas.growing.actions import TRAIN_ON, Space, growing_actions, parse_action, proggan_route
from ganas.growing.architecture import GrowthArchitecture, doublings
from ganas.growing.autogan import AutoGANArchitecture
from ganas.growing.candidates import Spec, score_of
from ganas.growing.children import child, child_id, lineage_seed, training_seed, uniform
from ganas.growing.config import STRATEGIES, GrowConfig
from ganas.growing.strategy import Candidate, GrowingStrategy, Score
from ganas.jobs.result import Result

ROUTE = "ProgGAN route"  # the name of its stage


def growth_space(config: GrowConfig) -> Space:
    """The search space; raises `ConfigError` if it cannot reach the final resolution."""
    growth, resolution, start = config.growth, config.data.resolution, config.base.resolution
    needed = doublings(resolution, start)
    if growth.depth < needed:
        raise ConfigError(
            f"growth.depth={growth.depth} actions cannot double {start} pixels to {resolution}: give {needed} or more"
        )
    actions = growing_actions(growth.sizes, growth.filters, train_on=growth.train_on)
    space = Space(
        actions,
        growth.depth,
        resolution,
        max_parameters=growth.max_parameters,
        max_macs=growth.max_macs,
        doublings=growth.doublings,
        base=start,
        fmap_base=growth.fmap_base,
    )
    for base in bases(config):
        if growth.depth and not space.legal(base, 0):
            raise ConfigError(
                f"no legal action: growing {base.channels} channels to {resolution} pixels exceeds "
                f"growth.max_parameters or growth.max_macs; raise them, or lower base.channels"
            )
    return space


def bases(config: GrowConfig) -> list[GrowthArchitecture]:
    """The initial candidates."""
    base = config.base
    return [GrowthArchitecture(base.latent, width, base=base.resolution) for width in dict.fromkeys(base.channels)]


def autogan_of(config: GrowConfig) -> AutoGANArchitecture:
    """AutoGAN's networks at the width of a config, the discriminator half as wide; raises `ArchitectureError`."""
    base, width = config.base, config.base.channels[0]
    assert base.autogan
    return AutoGANArchitecture(base.autogan, base.latent, width, max(1, width // 2), config.data.resolution)


def open_strategy(config: GrowConfig) -> GrowingStrategy:
    """The strategy of a config, before any score."""
    growth = config.growth
    return STRATEGIES[growth.strategy](
        bases(config),
        growth_space(config),
        images=config.training.images,
        keep=growth.keep,
        probability=growth.probability,
        seed=config.seed,
        rank_by=config.rank_by,
        finalists=growth.finalists,
    )


def candidate_spec(config: GrowConfig, candidate: Candidate) -> Spec:
    """The spec of a candidate of this run, with the images of its whole training."""
    return Spec(
        id=candidate.id,
        architecture=candidate.architecture,
        parent=candidate.parent,
        action=None if candidate.action == str(TRAIN_ON) else candidate.action,
        generation=candidate.generation,
        seed=training_seed(config.seed, candidate),
        images=config.training.images,
    )


def final_training_spec(config: GrowConfig, winner: Spec) -> Spec | None:
    """The spec of the longer training of the winner; None if the config has none."""
    images = config.training.final_images
    if not images:
        return None
    name = child_id(winner.id, f"{images} images more")
    # where more training is an action, the winner may have been trained on already: do not repeat it
    seed = lineage_seed(config.seed, winner.id, name if config.growth.train_on else str(TRAIN_ON))
    return replace(
        winner,
        id=name,
        parent=winner.id,
        action=None,
        generation=winner.generation + 1,
        seed=seed,
        images=images,
        evaluations=config.training.final_evaluations,
    )


# ── the route ────────────────────────────────────────────────────────────────────────────────────────────────────────


def proggan_steps(config: GrowConfig) -> list[str]:
    """The ProgGAN route: fade-ins, with as much training at each resolution as any candidate can have had."""
    first, *others = growth_space(config).growths
    on, fades = [str(TRAIN_ON)], doubling_steps(config)
    return on * first + [step for fade, growths in zip(fades, others, strict=True) for step in (fade, *on * growths)]


def doubling_steps(config: GrowConfig) -> list[str]:
    """The fade-ins of the ProgGAN route, without training on between them."""
    return proggan_route(config.data.resolution, config.base.resolution, config.growth.fmap_base)


def route_specs(config: GrowConfig, steps: Iterable[str]) -> Iterator[Spec]:
    """The candidates along a route, from the first base on, or AutoGAN's networks. A step is an action.

    Raises `ArchitectureError` for an unknown action.
    """
    if config.base.autogan:
        fixed = autogan_of(config)
        yield Spec(fixed.id, fixed, None, None, 0, lineage_seed(config.seed, None, fixed.id), config.training.images)
        return
    base = bases(config)[0]
    candidate = Candidate(base.id, base)
    yield candidate_spec(config, candidate)
    for step in steps:
        candidate = child(candidate, parse_action(step))
        yield candidate_spec(config, candidate)


def baseline_route(config: GrowConfig) -> list[Spec]:
    """The candidates that normalize scores; empty unless they rank by normalized scores."""
    return [*route_specs(config, proggan_steps(config))] if config.rank_by == "normalized" else []


def remaining_stages(config: GrowConfig, results: Mapping[str, Result]) -> Iterator[tuple[str, list[Spec]]]:
    """The stages left of a run, by name, each with the training left of its candidates. Unknown scores are random."""
    growth = config.growth

    def left(name: str, specs: Iterable[Spec]) -> tuple[str, list[Spec]]:
        return name, [spec for spec in specs if spec.id not in results]

    if growth.route is not None:
        specs = [*route_specs(config, growth.route)]
        yield left("route", specs)
        last = specs[-1]
    else:
        search, route = open_strategy(config), baseline_route(config)
        reached = {name: result.images for name, result in results.items()}
        while asked := search.ask():
            if tell_finished(search, results, route):
                continue
            ahead = [(candidate_spec(config, one), n - reached.get(one.id, 0)) for one, n in asked]
            rung = f", to {asked[0][1]:,} images" if asked[0][1] < config.training.images else ""
            stage = "repeats of the finalists" if asked[0][0].repeat else f"generation {len(search.beams)}{rung}"
            yield stage, [replace(spec, images=n) for spec, n in ahead if n > 0]
            for candidate, images in asked:
                reached[candidate.id] = images
                search.tell(candidate.id, images, Score(0.5 + uniform("unfold", candidate.id), 1.0))
        yield left(ROUTE, (spec for spec in route if spec.id not in search.candidates))
        winner = search.winner()
        if winner is None:  # all candidates failed
            return
        last = candidate_spec(config, winner)
    longer = final_training_spec(config, last)
    if longer:
        yield left("winner, longer", [longer])


# ── scores ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def tell_finished(search: GrowingStrategy, results: Mapping[str, Result], route: Sequence[Spec]) -> bool:
    """Tell a strategy the scores it waits for, as far as they are known; return whether there were any."""
    baselines = _baselines(results, route)
    known = False
    for candidate, images in search.ask():
        result = results.get(candidate.id)
        if result is None or (result.state == "done" and result.images < images):
            continue
        baseline, score = baselines.get(_stage(search, candidate)), score_of(result, images)
        if baseline is not None or not route or score is None:
            search.tell(candidate.id, images, None if score is None else Score(score, baseline))
            known = True
    return known


def _baselines(results: Mapping[str, Result], route: Sequence[Spec]) -> dict[tuple[int, int], float]:
    """The route's scores so far, by resolution and number of trainings at it."""
    scores: dict[tuple[int, int], float] = {}
    trainings: dict[int, int] = {}
    for spec in route:
        result = results.get(spec.id)
        if result is None or (score := score_of(result)) is None:
            break
        resolution = spec.architecture.resolution
        trainings[resolution] = trainings.get(resolution, 0) + 1
        scores[resolution, trainings[resolution]] = score
    return scores


def _stage(search: GrowingStrategy, candidate: Candidate) -> tuple[int, int]:
    """A candidate's resolution, and the number of trainings of its lineage at it."""
    resolutions = [one.architecture.resolution for one in lineage_of(search, candidate)]
    return resolutions[-1], resolutions.count(resolutions[-1])


def lineage_of(search: GrowingStrategy, candidate: Candidate) -> list[Candidate]:
    """A candidate and its ancestors, from the base on."""
    line = [candidate]
    while parent := line[0].parent:
        line.insert(0, search.candidates[parent])
    return line
