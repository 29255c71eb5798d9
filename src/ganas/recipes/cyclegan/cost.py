"""Estimate the cost of a recipe on this machine by measuring one step of each kind of job."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from ganas.config import DataFacts
from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.config import DistillationConfig, RunConfig, resolve
from ganas.cyclegan.cost import measure_cost
from ganas.cyclegan.layout import find_layout
from ganas.machine import this_machine
from ganas.progress import readable_seconds
from ganas.recipes.cyclegan.configs import job_config, refuse_changed, training_config
from ganas.recipes.cyclegan.figures import Recipe, layout_of
from ganas.recipes.cyclegan.jobs import RecipeFolder, RecipeJob


class JobCost(NamedTuple):
    """The cost of one job's optimizer steps, without start-up and scores."""

    seconds: float
    images: int  # image pairs
    job: RecipeJob


def recipe_cost(jobs: Sequence[RecipeJob]) -> Iterator[JobCost]:
    """Yield the cost of each job; jobs that differ only in data, seed or repeat share one measurement."""
    measured: dict[tuple[object, ...], float] = {}
    for job in jobs:
        config, architecture = _expected(job)
        layout = find_layout(config.nets.layout)
        config = resolve(config, this_machine(), DataFacts({}, max(job.dataset.training_counts(config.data))))
        key = (job.kind, architecture.id if architecture else None, config.nets, config.data.resolution, config.search)
        if key not in measured:
            measured[key] = measure_cost(config, layout, architecture).step_seconds
        yield JobCost(measured[key] * config.total_images / config.training.batch, config.total_images, job)


def _expected(job: RecipeJob) -> tuple[RunConfig, Architecture | None]:
    """Return the config and architecture of a job, as far as they are known on this machine.

    A random architecture stands in for one that is not found yet, and device=auto for a GPU of a cluster's nodes.
    """
    stand_in = f"random:{layout_of(job.preset)}:0"
    if job.point is not None:
        job = replace(job, architecture="random:elastic:0", point=None, drawn=None)
    config, architecture = (job_config(job), None) if job.kind == "search" else training_config(job, lambda _: stand_in)
    config = config.with_values({"distillation": DistillationConfig()})  # the teacher is not there yet; it adds little
    if not torch.cuda.is_available():
        training = config.training.model_copy(update={"device": "auto"})
        config = config.model_copy(update={"training": training})
    return config, architecture


def describe(recipe: Recipe, recipe_folder: RecipeFolder, workers: int) -> list[str]:
    """Return human-readable lines: the remaining searches and trainings, their times, and the total."""
    for job in recipe.jobs:
        refuse_changed(job, recipe_folder)
    remaining = [job for job in recipe.jobs if recipe_folder.result(job) is None]
    done = len(recipe.jobs) - len(remaining)
    lines = [f"{done} of {len(recipe.jobs)} jobs are done"] if done else []
    if not remaining:
        return lines
    costs = [*recipe_cost(remaining)]
    for kind, singular, plural in (("search", "search", "searches"), ("train", "training", "trainings")):
        if of_kind := [cost for cost in costs if cost.job.kind == kind]:
            longest = max(of_kind, key=lambda cost: cost.seconds)
            lines.append(
                f"{len(of_kind)} {singular if len(of_kind) == 1 else plural}: "
                f"{sum(cost.images for cost in of_kind):,} pairs, "
                f"{readable_seconds(sum(cost.seconds for cost in of_kind))} of steps in sequence; "
                f"longest: {longest.job.name} on {longest.job.dataset.name}, {readable_seconds(longest.seconds)}"
            )
    total = sum(cost.seconds for cost in costs)
    with_workers = f", {readable_seconds(total / workers)} with {workers} workers at best" if workers > 1 else ""
    return [*lines, f"total {readable_seconds(total)}{with_workers}, measured on this machine, without scoring"]
