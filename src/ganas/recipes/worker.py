"""python -m ganas.recipes.worker OUT/jobs/ID [DRIVER]: one search or training of a recipe, and how good it came out."""

import json
import sys

from ganas.errors import SizeError
from ganas.jobs.result import Result, training_of
from ganas.jobs.worker import main_of
from ganas.progress import Reporter
from ganas.recipes.jobs import Job, Workplace
from ganas.signals import StopSignal
from ganas.store import Run, default_cache, write_atomically


def work(folder: Run, stop: StopSignal, reporter: Reporter) -> Result:
    """The job whose folder this is; its run resumes by itself, and listens to `stop`, which is listening already."""
    workplace, job = Workplace.of(folder), Job.read(folder)
    reporter.say(f"{job.kind} {job.name} on {job.dataset.name}")
    if not workplace.product(job).exists():  # else it was killed before it could say so
        refusal = _search(workplace, job) if job.kind == "search" else _train(workplace, job)
        if refusal:
            return Result("failed", error=refusal)
    run = workplace.run(job.id)
    for checkpoint in run.checkpoint_paths():
        checkpoint.unlink()
    images, seconds = training_of(run)
    return Result("done", images=images, seconds=seconds)


def _search(workplace: Workplace, job: Job) -> str | None:
    from ganas.cyclegan.search import search
    from ganas.recipes.configs import config_of

    search(config_of(job), workplace.run(job.id).path)
    return None


def _train(workplace: Workplace, job: Job) -> str | None:
    """Train and judge; why it cannot be, where that is for this job alone."""
    from ganas.cyclegan.find import generator_sizes
    from ganas.cyclegan.train import train
    from ganas.evaluation import evaluate_run
    from ganas.metrics.cache import Cache
    from ganas.recipes.configs import training_config

    try:
        config, architecture = training_config(job, lambda name: str(workplace.run(name).path))
    except SizeError as error:  # of this architecture; a damaged file would be every other job's trouble, too
        return str(error)
    run = workplace.run(job.id)
    train(config, architecture, run.path)
    a, b = job.dataset.part("testA"), job.dataset.part("testB")
    cache, skip = Cache(default_cache()), config.data.skip_bad
    judged = evaluate_run(run.path, a=a, b=b, metrics=None, features=job.features, cache=cache, skip_bad=skip)
    sizes = generator_sizes(architecture, config.nets, config.data.resolution)
    document = {
        "architecture": architecture.id,
        "seed": config.seed,
        "sizes": {size.network.removeprefix("generator_"): vars(size) | {"bytes": size.bytes} for size in sizes},
        "untranslated": {direction: one.untranslated.as_json() for direction, one in judged.items()},
        "translated": {direction: one.translated.as_json() for direction, one in judged.items()},
    }
    write_atomically(workplace.scores(job.id), (json.dumps(document, indent=1) + "\n").encode())
    return None


if __name__ == "__main__":
    sys.exit(main_of(work))
