"""What a recipe will cost on this machine: a step of each kind of job is measured, once."""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import chdir
from dataclasses import dataclass
from multiprocessing import get_context

import torch

from ganas.config import DataFacts
from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.config import RunConfig, resolve
from ganas.cyclegan.cost import measure_cost
from ganas.cyclegan.layout import find_layout
from ganas.cyclegan.strategies import STRATEGIES, joint_phases
from ganas.errors import GanasError
from ganas.machine import this_machine
from ganas.progress import readable_seconds
from ganas.recipes.configs import config_of, refuse_changed, training_config
from ganas.recipes.figures import Recipe, layout_of
from ganas.recipes.jobs import Job, Workplace

STAND_IN = "random:{layout}:0"  # for an architecture that is not found yet


@dataclass(frozen=True)
class JobCost:
    """One job, as far as steps go."""

    job: Job
    images: int  # pairs
    step_seconds: float
    seconds: float


def recipe_cost(jobs: Sequence[Job]) -> Iterator[JobCost]:
    """Job by job; jobs that differ in nothing but data, seed or repeat are measured once."""
    known: dict[tuple[object, ...], float] = {}
    for job in jobs:
        config, architecture = _expected(job)
        layout = find_layout(config.nets.layout)
        learning = (count - config.data.held_out(count) for count in (job.dataset.count_a, job.dataset.count_b))
        config = resolve(config, this_machine(), DataFacts({}, max(learning)))
        key = (job.kind, architecture.id if architecture else None, config.nets, config.data.resolution, config.search)
        if key not in known:
            phases = STRATEGIES[config.search.strategy].phases if config.search else joint_phases
            known[key] = measure_cost(config, layout, architecture, phases).step_seconds
        seconds = known[key] * config.total_images / config.training.batch
        yield JobCost(job, config.total_images, known[key], seconds)


def _expected(job: Job) -> tuple[RunConfig, Architecture | None]:
    """What a job will be told, but for what is not found yet, and for a device that only a cluster's nodes have."""
    stand_in = STAND_IN.format(layout=layout_of(job.preset))
    config, architecture = (config_of(job), None) if job.kind == "search" else training_config(job, lambda _: stand_in)
    if not torch.cuda.is_available():
        training = config.training.model_copy(update={"device": "auto"})
        config = config.model_copy(update={"training": training})
    return config, architecture


def describe_apart(recipe: Recipe, workplace: Workplace, workers: int) -> list[str]:
    """`describe` in a process of its own: a driver goes on for days, and would keep the memory that measuring took."""
    # what it begins with it would import from the current folder, to which it goes back by itself
    with chdir(sys.prefix), ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
        try:
            return apart.submit(describe, recipe, workplace, workers).result()
        except BrokenProcessPool:
            raise GanasError(
                "the process that measures a step of each job died, perhaps for want of memory: free some, and "
                "try again"
            ) from None


def describe(recipe: Recipe, workplace: Workplace, workers: int) -> list[str]:
    """For people: searches and trainings that are not done yet, each kind with its time, and all together."""
    for job in recipe.jobs:
        refuse_changed(job, workplace)
    left = [job for job in recipe.jobs if workplace.outcome(job) is None]
    done = len(recipe.jobs) - len(left)
    lines = [f"{done} of {len(recipe.jobs)} jobs are done"] if done else []
    if not left:
        return lines
    costs = [*recipe_cost(left)]
    for kind, one, several in (("search", "search", "searches"), ("train", "training", "trainings")):
        mine = [cost for cost in costs if cost.job.kind == kind]
        if mine:
            longest = max(mine, key=lambda cost: cost.seconds)
            lines.append(
                f"{len(mine)} {one if len(mine) == 1 else several}: {sum(cost.images for cost in mine):,} pairs, "
                f"{readable_seconds(sum(cost.seconds for cost in mine))} of steps one after another; the longest, "
                f"{longest.job.name} on {longest.job.dataset.name}, {readable_seconds(longest.seconds)}"
            )
    total = sum(cost.seconds for cost in costs)
    with_workers = f", {readable_seconds(total / workers)} with {workers} workers at best" if workers > 1 else ""
    return [*lines, f"in all {readable_seconds(total)}{with_workers}, measured here; scores are not counted"]
