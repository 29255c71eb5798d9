"""``ganas reproduce``: a recipe's searches and trainings as a queue over an executor, then its table and figure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from ganas.errors import ConfigError, GanasError
from ganas.jobs.executor import Executor
from ganas.jobs.job import Job as QueueJob
from ganas.jobs.options import ExecutorOptions
from ganas.jobs.queue import Queue
from ganas.jobs.result import Result
from ganas.paths import StrPath, as_path
from ganas.progress import Reporter, readable_seconds
from ganas.recipes.configs import images_of, portable_config, refuse_changed
from ganas.recipes.figures import Recipe
from ganas.recipes.jobs import JOB, Job, RecipeFolder
from ganas.recipes.report import as_markdown, collect, write_report
from ganas.signals import StopSignal
from ganas.store import results_folder


@dataclass(frozen=True)
class Reproduction:
    """What came of a recipe."""

    table: str  # Markdown
    files: tuple[Path, ...]
    failed: tuple[str, ...]  # a line for each job that came to nothing


def check_jobs_device(options: ExecutorOptions, device: str) -> None:
    """Raise `ConfigError` where jobs cannot have the device; what the nodes of a cluster have, they know themselves."""
    from ganas.machine import check_device

    if device.startswith("cuda:"):
        raise ConfigError("training.device: give cuda alone, jobs are spread over the GPUs there are")
    if options.executor == "local":
        check_device(device)


def open_executor(options: ExecutorOptions, device: str) -> Executor:
    """What does a recipe's jobs, a core each, on `device` (auto, cpu or cuda); raises `ConfigError`."""
    import torch

    return options.open(gpus=0 if device == "cpu" else torch.cuda.device_count())


def reproduce(recipe: Recipe, place: StrPath, executor: Executor) -> Reproduction:
    """Do what is not done yet, in any order that the jobs allow; the same call again goes on.

    Raises `RunError` for trouble that somebody has to mend, or a folder in use; `Stopped` when asked to stop.
    """
    out = as_path(place)
    recipe_folder, reporter = RecipeFolder(out), Reporter()
    with results_folder(out, new=False), StopSignal().listening() as stop:
        results = _do(recipe, recipe_folder, executor, reporter, stop)
        failed = tuple(f"{job.id}: {results[job.id].error}" for job in recipe.jobs if results[job.id].state == "failed")
        rows = collect(recipe, recipe_folder)
        if not rows:
            raise GanasError(f"every training failed; the first of {len(failed)}: {failed[0]}")
        return Reproduction(as_markdown(recipe, rows), tuple(write_report(recipe, rows, out)), failed)


def _do(
    recipe: Recipe, recipe_folder: RecipeFolder, executor: Executor, reporter: Reporter, stop: StopSignal
) -> Mapping[str, Result]:
    jobs = {job.id: job for job in recipe.jobs}

    def begin(started: QueueJob) -> None:
        job = jobs[started.name]
        started.folder.write_text(started.path / JOB, job.to_json())
        started.folder.write_text(started.folder.config, portable_config(job).to_yaml())
        reporter.say(f"{_named(job)}: begun")

    def eta() -> float | None:
        return _seconds_left(recipe.jobs, queue.results, queue.capacity)

    queue = Queue(executor, stop, prepare=begin, eta=eta)
    for job in recipe.jobs:
        refuse_changed(job, recipe_folder)
        folder, product = recipe_folder.job(job.id), recipe_folder.product(job)
        if not recipe_folder.outcome(job):  # what failed in an earlier call is tried again: its cause may be gone
            folder.result.unlink(missing_ok=True)
        queue.add(QueueJob(job.kind, folder.path, images_of(job), job.parents, product))
    reporter.say(f"{len(jobs)} jobs, {len(queue.results)} done before; their folders: {recipe_folder.path / 'jobs'}")
    for name in queue.results:  # the driver may have been killed before it did
        queue.release(name)
    with queue.running():
        while len(queue.results) < len(jobs):
            for ended in queue.step():
                job, result = jobs[ended.name], queue.results[ended.name]
                queue.release(ended.name)
                took = f"done in {readable_seconds(result.took)}"
                said = took if result.state == "done" else f"failed: {result.error}"
                reporter.say(f"{_named(job)}: {said}; {queue.status()}{queue.eta()}")
                if job.kind == "train" and (rows := collect(recipe, recipe_folder)):
                    write_report(recipe, rows, recipe_folder.path)  # of what there is: it grows while one waits
    return queue.results


def _named(job: Job) -> str:
    return f"{job.kind} {job.name} on {job.dataset.name}, seed {job.seed} ({job.id})"


def _seconds_left(jobs: Sequence[Job], results: Mapping[str, Result], capacity: int) -> float | None:
    """If what is left takes as long as what is done of its kind, or of any, did in the mean; None: nothing is done."""
    seconds = {
        kind: [results[job.id].took for job in jobs if job.kind == kind and _done(job, results)]
        for kind in ("search", "train")
    }
    either = [one for some in seconds.values() for one in some]
    if not either:
        return None
    return sum(mean(seconds[job.kind] or either) for job in jobs if job.id not in results) / capacity


def _done(job: Job, results: Mapping[str, Result]) -> bool:
    return job.id in results and results[job.id].state == "done"
