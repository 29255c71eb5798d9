"""Reproduce a figure of CycleGANAS: open or download data sets, run its searches and trainings, write the report."""

import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import mean

from ganas.config import absolute_features
from ganas.errors import ConfigError, GanasError
from ganas.jobs.executor import Executor
from ganas.jobs.job import Job
from ganas.jobs.queue import Queue
from ganas.jobs.result import Result
from ganas.progress import Reporter, readable_seconds
from ganas.recipes.cyclegan.configs import images_of, job_config, portable_config, refuse_changed
from ganas.recipes.cyclegan.datasets import demo_dataset, expected_dataset, find_dataset
from ganas.recipes.cyclegan.figures import FIGURES, Recipe, recipe
from ganas.recipes.cyclegan.jobs import JOB, Dataset, RecipeFolder, RecipeJob
from ganas.recipes.cyclegan.report import as_markdown, collect, write_report
from ganas.recipes.measuring import in_subprocess
from ganas.recipes.reproduction import Reproduction, Request
from ganas.signals import StopSignal
from ganas.store import results_folder


class Plan:
    """The arguments of `reproduce`: checked, as far as possible before any image is read or downloaded."""

    def __init__(self, request: Request) -> None:
        from ganas.machine import check_device
        from ganas.metrics.features import load_features

        scale, features = request.scale, request.features
        self._recipe = partial(
            recipe,
            request.figure,
            scale,
            features=absolute_features(features),
            seed=request.seed,
            settings=request.settings,
        )
        self._config = job_config(self._recipe([Dataset("stand-in", "stand-in", 100, 100, "")]).jobs[0])
        device = self._config.training.device
        if device.startswith("cuda:"):
            raise ConfigError("training.device: give cuda alone, jobs are spread over all GPUs")
        if request.executor.executor == "local":  # the nodes of a cluster check theirs
            check_device(device)
        self._datasets = request.data or (FIGURES[request.figure].datasets if scale == "paper" else ())
        if not self._datasets and scale != "tiny":
            raise ConfigError(f"--scale {scale} needs images: give --data DIR, once or more")
        if features:
            self._recipe = partial(self._recipe, weights=load_features(features, device="cpu").digest)
        elif scale != "tiny":
            Reporter().say(
                "without --features scores are sliced Wasserstein distances; adding a network later trains everything "
                "again"
            )
        self._out, self._executor = request.out, request.executor

    def cost(self) -> list[str]:
        """Return human-readable lines with the cost of the remaining jobs, measured here; nothing is downloaded."""
        from ganas.recipes.cyclegan.cost import describe

        with tempfile.TemporaryDirectory() as folder:
            found = [expected_dataset(name, self._config.data) for name in self._datasets]
            made = self._recipe(found or [demo_dataset(Path(folder))])
            return in_subprocess(describe, made, RecipeFolder(self._out), self._executor.workers or 1)

    def run(self) -> Reproduction:
        """Run it, with jobs of one core each."""
        import torch

        gpus = 0 if self._config.training.device == "cpu" else torch.cuda.device_count()
        executor = self._executor.open(gpus=gpus)
        found = [find_dataset(name, self._config.data) for name in self._datasets]
        return run_recipe(self._recipe(found or [demo_dataset(self._out)]), self._out, executor)


def run_recipe(recipe: Recipe, out: Path, executor: Executor) -> Reproduction:
    """Run all jobs that are not done, and write the report.

    Raises `RunError` for problems that affect every job or a folder in use, else as `reproduce`.
    """
    folder = RecipeFolder(out)
    with results_folder(out, new=False), StopSignal().listening() as stop:
        results = _run_jobs(recipe, folder, executor, stop)
        failed = tuple(f"{job.id}: {results[job.id].error}" for job in recipe.jobs if results[job.id].state == "failed")
        rows = collect(recipe, folder)
        if not rows:
            raise GanasError(f"every training failed; the first of {len(failed)}: {failed[0]}")
        if any(row.milliseconds for row in rows):
            from ganas.recipes.cyclegan.timing import time_together  # imports torch

            time_together(recipe, folder, stop, Reporter())
            rows = collect(recipe, folder)
        return Reproduction(as_markdown(recipe, rows), tuple(write_report(recipe, rows, out)), failed)


def _run_jobs(recipe: Recipe, folder: RecipeFolder, executor: Executor, stop: StopSignal) -> Mapping[str, Result]:
    jobs, reporter = {job.id: job for job in recipe.jobs}, Reporter()

    def describe(job: RecipeJob) -> str:
        return f"{job.kind} {job.name} on {job.dataset.name}, seed {job.seed} ({job.id})"

    def begin(started: Job) -> None:
        job = jobs[started.name]
        started.folder.write_text(started.path / JOB, job.to_json())
        started.folder.write_text(started.folder.config, portable_config(job).to_yaml())
        reporter.say(f"{describe(job)}: started")

    def eta() -> float | None:
        return _seconds_left(recipe.jobs, queue.results, queue.capacity)

    queue = Queue(executor, stop, prepare=begin, eta=eta)
    needed = {parent for job in recipe.jobs for parent in job.parents}
    for job in sorted(recipe.jobs, key=lambda job: job.id not in needed):  # else workers wait for a late teacher
        refuse_changed(job, folder)
        job_folder = folder.job(job.id)
        if not folder.result(job):  # retry what failed in an earlier call: its cause may have been fixed
            job_folder.result.unlink(missing_ok=True)
        queue.add(Job(job.kind, job_folder.path, images_of(job), job.parents, folder.output(job)))
    reporter.say(f"{len(jobs)} jobs, {len(queue.results)} done before; their folders: {folder.path / 'jobs'}")
    for name in queue.results:  # an earlier driver may have been killed before it released them
        queue.release(name)
    with queue.running():
        while len(queue.results) < len(jobs):
            for ended in queue.step():
                job, result = jobs[ended.name], queue.results[ended.name]
                done = result.state == "done"
                if done:  # the next call resumes failed jobs
                    queue.release(ended.name)
                outcome = f"done in {readable_seconds(result.took)}" if done else f"failed: {result.error}"
                reporter.say(f"{describe(job)}: {outcome}; {queue.status()}{queue.eta()}")
                if job.kind == "train" and (rows := collect(recipe, folder)):
                    write_report(recipe, rows, folder.path)  # so that users can read it while the recipe runs
    return queue.results


def _seconds_left(jobs: Sequence[RecipeJob], results: Mapping[str, Result], capacity: int) -> float | None:
    """Estimate the time left from the mean time of finished jobs of the same kind, or else of any; None without any."""
    seconds: dict[str, list[float]] = {"search": [], "train": []}
    for job in jobs:
        if job.id in results and results[job.id].state == "done":
            seconds[job.kind].append(results[job.id].took)
    either = seconds["search"] + seconds["train"]
    if not either:
        return None
    return sum(mean(seconds[job.kind] or either) for job in jobs if job.id not in results) / capacity
