"""The jobs of kinds ``search`` and ``train``: one run of a recipe, in OUT/jobs/ID, and how good it came out."""

import json

import torch._dynamo  # noqa: F401  the first optimiser imports it: a second that a forked worker need not wait

from ganas.cyclegan.find import generator_sizes
from ganas.cyclegan.search import search
from ganas.cyclegan.train import train
from ganas.errors import SizeError
from ganas.evaluation import evaluate_run
from ganas.jobs.job import Job
from ganas.jobs.result import Result, training_progress
from ganas.metrics.cache import Cache
from ganas.progress import Reporter
from ganas.recipes.configs import job_config, seeing, training_config
from ganas.recipes.jobs import Job as RecipeJob
from ganas.recipes.jobs import RecipeFolder
from ganas.signals import StopSignal
from ganas.store import default_cache, write_atomically


def run_search(job: Job, stop: StopSignal, reporter: Reporter) -> Result:
    """Search; its run resumes by itself, and listens to `stop`, which is listening already."""
    recipe_folder, told = _opened(job, reporter)
    if not recipe_folder.product(told).exists():  # else it was killed before it could say so
        search(seeing(job_config(told), job.images), recipe_folder.run(told.id).path)
    return _done(job, recipe_folder)


def run_training(job: Job, stop: StopSignal, reporter: Reporter) -> Result:
    """Train and judge, as `run_search` does; failed where no width comes near the wanted size."""
    recipe_folder, told = _opened(job, reporter)
    if not recipe_folder.product(told).exists():
        try:
            config, architecture = training_config(told, lambda name: str(recipe_folder.run(name).path))
        except SizeError as error:  # of this architecture; a damaged file would be every other job's trouble, too
            return Result("failed", error=str(error))
        run = recipe_folder.run(told.id)
        train(seeing(config, job.images), architecture, run.path)
        a, b = told.dataset.part("testA"), told.dataset.part("testB")
        cache, skip = Cache(default_cache()), config.data.skip_bad
        judged = evaluate_run(run.path, a=a, b=b, metrics=None, features=told.features, cache=cache, skip_bad=skip)
        sizes = generator_sizes(architecture, config.nets, config.data.resolution)
        document = {
            "architecture": architecture.id,
            "seed": config.seed,
            "sizes": {size.network.removeprefix("generator_"): vars(size) | {"bytes": size.bytes} for size in sizes},
            "untranslated": {direction: one.untranslated.as_json() for direction, one in judged.items()},
            "translated": {direction: one.translated.as_json() for direction, one in judged.items()},
        }
        write_atomically(recipe_folder.scores(told.id), (json.dumps(document, indent=1) + "\n").encode())
    return _done(job, recipe_folder)


def _opened(job: Job, reporter: Reporter) -> tuple[RecipeFolder, RecipeJob]:
    told = RecipeJob.read(job.folder)
    reporter.say(f"{told.kind} {told.name} on {told.dataset.name}")
    return RecipeFolder.of(job.folder), told


def _done(job: Job, recipe_folder: RecipeFolder) -> Result:
    images, seconds = training_progress(recipe_folder.run(job.name))
    return Result("done", images=max(images, job.images), seconds=seconds)  # max: its lines may be gone
