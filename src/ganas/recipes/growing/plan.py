"""Reproduce a table or a figure of DGGAN: open the images, do its growing runs one after the other, write the report.

A run is what ``ganas grow`` does, with its queue, its lock and its resume; here is only their order. No torch here.
"""

import tempfile
from collections.abc import Callable
from functools import cache as once
from functools import partial
from pathlib import Path

from ganas.config import absolute_features
from ganas.data.names import absolute
from ganas.errors import ConfigError, GanasError, Stopped, UserError
from ganas.growing.analysis import analyse, simulated
from ganas.growing.candidates import forget_failures
from ganas.growing.history import read_history
from ganas.jobs.executor import Executor
from ganas.jobs.options import ExecutorOptions
from ganas.paths import as_path
from ganas.progress import Reporter, readable_seconds
from ganas.recipes.growing.experiments import ANALYSIS, Experiment, experiment
from ganas.recipes.growing.jobs import GrowingFolder, GrowingJob, TrainingImages
from ganas.recipes.growing.published import DGGAN
from ganas.recipes.growing.report import Findings, write_report
from ganas.recipes.measuring import in_subprocess
from ganas.recipes.photographs import write_photographs
from ganas.recipes.reproduction import Reproduction, Request
from ganas.signals import StopSignal
from ganas.store import results_folder

UNKNOWN = TrainingImages("stand-in", "stand-in", "")  # to check a recipe before its images are read


class GrowingPlan:
    """The arguments of `reproduce`: checked, as far as possible before any image is read."""

    def __init__(self, request: Request) -> None:
        from ganas.growing.run import with_route
        from ganas.machine import check_device
        from ganas.metrics.features import load_features

        figure, scale, data, features = request.figure, request.scale, request.data, request.features
        made = partial(
            experiment,
            figure,
            scale,
            seed=request.seed,
            settings=request.settings,
            features=absolute_features(features),
        )
        jobs = made(UNKNOWN).jobs
        configs = [with_route(job.config(), job.route) for job in jobs]  # refuses routes that the limits do not admit
        self._config = configs[0]
        if request.executor.executor == "local":  # the nodes of a cluster check theirs
            check_device(self._config.training.device)
        if len(data) > 1:
            raise ConfigError(f"{figure} learns from one set of images: give --data once")
        if not data and scale != "tiny":
            raise ConfigError(f"--scale {scale} needs images: give --data IMAGES, all that ganas grow --data takes")
        if features:
            made = partial(made, weights=load_features(features, device="cpu").digest)
        elif scale != "tiny":
            Reporter().say("without --features scores are sliced Wasserstein distances; FID and IS need a network")
        self._made, self._data, self._out, self._executor = made, data, request.out, request.executor

    def cost(self) -> list[str]:
        """Return human-readable lines with the cost of the runs that remain, measured here."""
        with tempfile.TemporaryDirectory() as folder:
            made = self._made(self._open_images(Path(folder)))
            return in_subprocess(describe, made, GrowingFolder(self._out), self._executor.workers or 1)

    def run(self) -> Reproduction:
        """Run it."""
        return run_experiment(self._made(self._open_images(self._out)), self._out, self._executor)

    def _open_images(self, out: Path) -> TrainingImages:
        """Open and check the images; the built-in photographs in good light are written to `out`."""
        from ganas.growing.images import open_images

        name, path = (None, self._data[0]) if self._data else ("demo", str(write_photographs(out) / "trainB"))
        given = absolute(as_path(path))
        config = self._config.with_values({"data.images": given})
        source = open_images(config, minimum=2, resolution=config.data.resolution)
        return TrainingImages(name or (given.stem if given.is_file() else given.name), str(given), source.digest())


def describe(made: Experiment, folder: GrowingFolder, workers: int) -> list[str]:
    """Return human-readable lines: what each remaining run trains, and the time it takes."""
    from ganas.growing.candidates import candidates
    from ganas.growing.forecast import forecast
    from ganas.growing.run import open_data, with_route

    lines, total = [], 0.0
    for job in made.jobs:
        run = folder.run(job.id)
        if run.result.is_file():
            lines.append(f"{job.name}: done ({job.id})")
            continue
        config, source = open_data(with_route(job.config(), job.route))
        known = {spec.id: result for spec, result in candidates(run) if result}
        found = forecast(config, len(source), known)
        if job.name == DGGAN:  # ProgGAN's run trains the route
            found = found.without_route()
        total += found.seconds
        lines += [f"{job.name} ({job.id}):", *(f"  {line}" for line in found.lines(workers))]
    if total:
        at_best = f", {readable_seconds(total / workers)} with {workers} workers at best" if workers > 1 else ""
        lines.append(f"all runs: {readable_seconds(total)}{at_best}, without the scores of the report")
    return lines


def run_experiment(made: Experiment, out: Path, executor: ExecutorOptions | Executor) -> Reproduction:
    """Do all runs that are not done, and write the report, after each of them.

    A run that fails does not stop the others. Raises `UserError` for problems that affect every run, `GanasError` if
    none succeeded that the report needs.
    """
    from ganas.growing.run import grow

    folder, reporter, failed = GrowingFolder(out), Reporter(), list[str]()
    with results_folder(out, new=False), StopSignal().listening() as stop:
        collector, written = Collector(made, folder), None
        folder.announce(made.jobs)
        for number, job in enumerate(made.jobs, 1):
            stop.check()
            run = folder.run(job.id)
            if folder.error(job):
                forget_failures(run)
            folder.write_job(job)
            reporter.say(
                f"run {number} of {len(made.jobs)}: {job.name} on {job.dataset.name}, seed {job.seed} ({job.id})"
            )
            try:
                grow(job.config(), run.path, route=job.route, executor=executor)
            except (Stopped, UserError):
                raise
            except GanasError as error:
                failed.append(f"{job.id}: {error}")
                folder.write_job(job, str(error))
                continue
            with stop.interruptible():
                try:
                    collector.add(job)
                except UserError as error:  # of what one run left behind: the others may still have a report
                    failed.append(f"{job.id}: {error}")
                if collector.findings:
                    written = write_report(made, collector.findings, out)
        failed += collector.findings.failed
        if written is None:
            raise GanasError(f"no run that {made.figure} needs succeeded; the first of {len(failed)}: {failed[0]}")
        table, files = written
        return Reproduction(table, tuple(files), tuple(failed))


class Collector:
    """What the finished runs say: the analysis of the search for figure 3, else the scores of all models."""

    def __init__(self, made: Experiment, folder: GrowingFolder) -> None:
        self._analyses, self._folder = made.figure == ANALYSIS, folder
        self._score = once(self._open_scorer)
        self.findings = Findings()

    def add(self, job: GrowingJob) -> None:
        """Add what a run says that has ended; raises `UserError` for one that is damaged."""
        if not self._analyses:
            self.findings = self.findings.with_scores(self._score()(job))
        elif job.name == DGGAN:
            history = read_history(self._folder.run(job.id).path)
            self.findings = Findings(analysis=analyse(history), simulations=simulated(history, job.config()))

    def _open_scorer(self) -> Callable[[GrowingJob], Findings]:
        from ganas.recipes.growing.scores import Scorer  # imports torch

        return Scorer(self._folder).score
