"""``ganas reproduce``: a recipe's searches and trainings as a queue over an executor, then its table and figure."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from ganas.errors import ConfigError, GanasError, RunError, Stopped
from ganas.jobs.executor import Executor
from ganas.jobs.options import ExecutorOptions
from ganas.jobs.result import Result, read_result
from ganas.paths import StrPath, as_path
from ganas.progress import Reporter, readable_seconds
from ganas.recipes.configs import portable_config, refuse_changed
from ganas.recipes.figures import Recipe
from ganas.recipes.jobs import JOB, Job, Workplace
from ganas.recipes.report import as_markdown, collect, write_report
from ganas.signals import StopSignal
from ganas.store import Run, results_folder

WORKER = ("-m", "ganas.recipes.worker")  # of a job
POLL_SECONDS = 0.2


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

    return options.open(WORKER, gpus=0 if device == "cpu" else torch.cuda.device_count())


def reproduce(recipe: Recipe, place: StrPath, executor: Executor) -> Reproduction:
    """Do what is not done yet, in any order that the jobs allow; the same call again goes on.

    Raises `RunError` for trouble that somebody has to mend, or a folder in use; `Stopped` when asked to stop.
    """
    out = as_path(place)
    workplace, reporter = Workplace(out), Reporter()
    with results_folder(out, new=False), StopSignal().listening() as stop:
        try:
            results = _do(recipe, workplace, executor, reporter, stop)
        except Stopped as stopped:
            raise Stopped(f"{stopped}; all is saved, and the same command goes on from there") from None
        finally:
            executor.cancel()
        failed = tuple(f"{job.id}: {results[job.id].error}" for job in recipe.jobs if results[job.id].state == "failed")
        rows = collect(recipe, workplace)
        if not rows:
            raise GanasError(f"every training failed; the first of {len(failed)}: {failed[0]}")
        return Reproduction(as_markdown(recipe, rows), tuple(write_report(recipe, rows, out)), failed)


def _do(
    recipe: Recipe, workplace: Workplace, executor: Executor, reporter: Reporter, stop: StopSignal
) -> dict[str, Result]:
    jobs = recipe.jobs
    results: dict[str, Result] = {}
    running: dict[Path, Job] = {}
    for job in jobs:  # what failed in an earlier call is tried again: its cause may be gone
        refuse_changed(job, workplace)
        if known := workplace.outcome(job):
            results[job.id] = known
        else:
            workplace.job(job.id).result.unlink(missing_ok=True)
    reporter.say(f"{len(jobs)} jobs, {len(results)} of them done before; their folders: {workplace.path / 'jobs'}")
    while len(results) < len(jobs):
        stop.check()
        for job in jobs:
            folder = workplace.job(job.id)
            if job.id in results or folder.path in running:
                continue
            known = read_result(folder) or _hopeless(job, results)
            if known:
                results[job.id] = known
            elif len(running) < executor.capacity and all(parent in results for parent in job.parents):
                folder.write_text(folder.path / JOB, job.to_json())
                folder.write_text(folder.config, portable_config(job).to_yaml())
                running[folder.path] = job
                executor.submit(folder.path)
                reporter.say(f"{_named(job)}: begun")
        for ended in executor.poll():
            job = running.pop(ended.job)
            if ended.trouble:
                raise RunError(f"{job.id} cannot be done: {ended.error}")
            result = Result("failed", error=ended.error) if ended.error else read_result(Run(ended.job))
            if result is None:  # somebody has removed it: it is begun again
                continue
            results[job.id] = result
            took = f"done in {readable_seconds(result.took)}"
            said = took if result.state == "done" else f"failed: {result.error}"
            counts = f"{len(results)} of {len(jobs)} jobs ended, {len(running)} running"
            left = _seconds_left(jobs, results, max(1, executor.capacity))
            outlook = "" if left is None else f"; about {readable_seconds(left)} left"
            reporter.say(f"{_named(job)}: {said}; {counts}{outlook}")
            if job.kind == "train" and (rows := collect(recipe, workplace)):
                write_report(recipe, rows, workplace.path)  # of what there is: it grows while one waits
        time.sleep(POLL_SECONDS)
    return results


def _named(job: Job) -> str:
    return f"{job.kind} {job.name} on {job.dataset.name}, seed {job.seed} ({job.id})"


def _seconds_left(jobs: Sequence[Job], results: dict[str, Result], capacity: int) -> float | None:
    """If what is left takes as long as what is done of its kind, or of any, did in the mean; None: nothing is done."""
    seconds = {
        kind: [results[job.id].took for job in jobs if job.kind == kind and _done(job, results)]
        for kind in ("search", "train")
    }
    either = [one for some in seconds.values() for one in some]
    if not either:
        return None
    return sum(mean(seconds[job.kind] or either) for job in jobs if job.id not in results) / capacity


def _done(job: Job, results: dict[str, Result]) -> bool:
    return job.id in results and results[job.id].state == "done"


def _hopeless(job: Job, results: dict[str, Result]) -> Result | None:
    """A job whose architecture will never be found."""
    lost = next((parent for parent in job.parents if parent in results and results[parent].state == "failed"), None)
    return Result("failed", error=f"it needs {lost}, which failed") if lost else None
