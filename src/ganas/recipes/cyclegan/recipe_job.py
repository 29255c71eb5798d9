"""The job kinds ``search`` and ``train``: one run of a recipe in OUT/jobs/ID and, for a training, its scores."""

import json
from pathlib import Path
from typing import Any

import torch._dynamo  # noqa: F401  the first optimizer imports it, which would cost a forked worker a second

from ganas.cyclegan.architecture import load_architecture
from ganas.cyclegan.front_search import whole_milliseconds
from ganas.cyclegan.layout import DIRECTIONS
from ganas.cyclegan.search import search
from ganas.cyclegan.size import generator_sizes
from ganas.cyclegan.train import train
from ganas.cyclegan.translate import load_generator
from ganas.errors import SizeError
from ganas.evaluation import evaluate_run
from ganas.jobs.job import Job
from ganas.jobs.result import Result, training_progress
from ganas.metrics.cache import Cache
from ganas.progress import Reporter
from ganas.recipes.cyclegan.configs import job_config, training_config, with_images
from ganas.recipes.cyclegan.jobs import RecipeFolder, RecipeJob
from ganas.signals import StopSignal
from ganas.store import default_cache, write_atomically

TIMINGS = 3


def run_search(job: Job, stop: StopSignal, reporter: Reporter) -> Result:
    """Run a search, which resumes by itself and handles the signals that `stop` listens to."""
    folder, spec = _open(job, reporter)
    if not folder.output(spec).exists():  # else it was killed before it wrote its result
        config = job_config(spec, lambda name: str(folder.run(name).path))
        search(with_images(config, job.images), folder.run(spec.id).path)
    return _done(job, folder)


def run_training(job: Job, stop: StopSignal, reporter: Reporter) -> Result:
    """Train and score, as `run_search`; the result is failed if no width gives a size close to the target."""
    folder, spec = _open(job, reporter)
    if not folder.output(spec).exists():
        run = folder.run(spec.id)
        drawn = load_architecture(run.architecture) if spec.drawn is not None and run.architecture.is_file() else None
        try:
            config, architecture = training_config(spec, lambda name: str(folder.run(name).path), drawn)
        except SizeError as error:  # concerns this architecture only, unlike a damaged file
            return Result("failed", error=str(error))
        train(with_images(config, job.images), architecture, run.path)
        judged = evaluate_run(
            run.path,
            **_test_images(spec),
            features=spec.features,
            cache=Cache(default_cache()),
            skip_bad=config.data.skip_bad,
        )
        sizes = generator_sizes(architecture, config.nets, config.data.resolution)
        document: dict[str, Any] = {
            "architecture": architecture.id,
            "seed": config.seed,
            "sizes": {size.network.removeprefix("generator_"): vars(size) | {"bytes": size.bytes} for size in sizes},
            "untranslated": {direction: scores.untranslated.as_json() for direction, scores in judged.items()},
            "translated": {direction: scores.translated.as_json() for direction, scores in judged.items()},
        }
        if spec.timed:
            document["milliseconds"] = {
                direction: _milliseconds(run.generator(direction), spec.timed) for direction in DIRECTIONS
            }
        write_atomically(folder.scores(spec.id), (json.dumps(document, indent=1) + "\n").encode())
    return _done(job, folder)


def _test_images(spec: RecipeJob) -> dict[str, Any]:
    """The images that a training is scored on, and the metrics, as arguments of `evaluate_run`."""
    if spec.paired:
        return {"paired": spec.dataset.folder, "metrics": ("psnr", "perceptual") if spec.features else ("psnr",)}
    return {"a": spec.dataset.part("testA"), "b": spec.dataset.part("testB"), "metrics": None}


def _milliseconds(file: Path, side: int) -> float:
    """Of one image on one thread: the least of some medians, because other jobs may be running."""
    network, _ = load_generator(file)
    return min(whole_milliseconds(network, side) for _ in range(TIMINGS))


def _open(job: Job, reporter: Reporter) -> tuple[RecipeFolder, RecipeJob]:
    spec = RecipeJob.read(job.folder)
    reporter.say(f"{spec.kind} {spec.name} on {spec.dataset.name}")
    return RecipeFolder(job.path.parent.parent), spec


def _done(job: Job, folder: RecipeFolder) -> Result:
    images, seconds = training_progress(folder.run(job.name))
    return Result("done", images=max(images, job.images), seconds=seconds)  # max: the lines of its log may be lost
