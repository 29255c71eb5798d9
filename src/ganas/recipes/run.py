"""``ganas reproduce`` from names to results: data sets are opened or downloaded, and a recipe for them carried out."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ganas.config import absolute_features
from ganas.cyclegan.config import RunConfig
from ganas.errors import ConfigError
from ganas.jobs.options import ExecutorOptions
from ganas.paths import StrPath, as_path
from ganas.progress import Reporter
from ganas.recipes import reproduce as queue
from ganas.recipes.configs import job_config
from ganas.recipes.datasets import demo_dataset, expected_dataset, find_dataset
from ganas.recipes.figures import NO_FEATURES, PAPER_DATASETS, Network, Recipe, recipe
from ganas.recipes.jobs import Dataset, RecipeFolder


@dataclass(frozen=True)
class _Request:
    """What is asked for, as far as it is known before any image is read."""

    figure: str
    scale: str
    names: Sequence[str]  # of data sets; none: the built-in photographs
    network: Network
    seed: int
    settings: Sequence[str]
    config: RunConfig  # of its first job, with a stand-in for the images

    def of(self, datasets: Sequence[Dataset]) -> Recipe:
        return recipe(self.figure, self.scale, datasets, network=self.network, seed=self.seed, settings=self.settings)

    def cost(self, out: Path, workers: int) -> list[str]:
        """What its jobs take that are not done yet, for people; measured here. Nothing is downloaded."""
        from ganas.recipes.cost import describe_in_subprocess

        with tempfile.TemporaryDirectory() as folder:
            data = self.config.data
            datasets = [expected_dataset(name, data) for name in self.names] or [demo_dataset(Path(folder))]
            return describe_in_subprocess(self.of(datasets), RecipeFolder(out), workers)


def reproduce(
    figure: str,  # fig3, fig4, fig5 or fig6 of CycleGANAS
    out: StrPath,
    *,
    scale: str = "tiny",  # or small, paper: how large, how long and how often
    # folders with trainA, trainB, testA and testB, or the paper's by name, which are downloaded once. None given:
    # at tiny scale built-in photographs, at the paper's scale those of the figure
    data: Sequence[str] = (),
    executor: ExecutorOptions = ExecutorOptions(),
    features: str | None = None,  # specification of a feature network; None: scores are sliced Wasserstein distances
    seed: int = 0,
    settings: Sequence[str] = (),  # as --set, "section.key=value", for every job
) -> queue.Reproduction:
    """Make a figure of the paper: every search and training of it, a table, and the drawing; the same call goes on.

    Raises `UserError` for anything the user can mend, `GanasError` when every training failed, `Stopped`.
    """
    request, folder = _request(figure, scale, data, executor, features, seed, settings), as_path(out)
    if scale == "paper":
        for line in request.cost(folder, executor.workers or 1):
            Reporter().say(line)
    workers = queue.open_executor(executor, request.config.training.device)
    datasets = [find_dataset(name, request.config.data) for name in request.names] or [demo_dataset(folder)]
    return queue.reproduce(request.of(datasets), folder, workers)


def dry_run(
    figure: str,
    out: StrPath,
    *,
    scale: str = "tiny",
    data: Sequence[str] = (),
    executor: ExecutorOptions = ExecutorOptions(),
    features: str | None = None,
    seed: int = 0,
    settings: Sequence[str] = (),
) -> list[str]:
    """What `reproduce` would cost with these arguments, a line each; nothing is written or downloaded."""
    request = _request(figure, scale, data, executor, features, seed, settings)
    return request.cost(as_path(out), executor.workers or 1)


def _request(
    figure: str,
    scale: str,
    data: Sequence[str],
    executor: ExecutorOptions,
    features: str | None,
    seed: int,
    settings: Sequence[str],
) -> _Request:
    """Everything that can be checked before anything is downloaded."""
    from ganas.metrics.features import load_features

    stand_in = Dataset("stand-in", "stand-in", 100, 100, "")
    unread = Network(absolute_features(features), None)
    config = job_config(recipe(figure, scale, [stand_in], network=unread, seed=seed, settings=settings).jobs[0])
    queue.check_jobs_device(executor, config.training.device)
    names = data or (PAPER_DATASETS[figure] if scale == "paper" else ())
    if not names and scale != "tiny":
        raise ConfigError(f"--scale {scale} needs images: give --data DIR, once or more")
    network = NO_FEATURES
    if features:
        network = Network(absolute_features(features), load_features(features, device="cpu").digest)
    elif scale != "tiny":
        Reporter().say(
            "without --features scores are sliced Wasserstein distances; adding a network later trains everything again"
        )
    return _Request(figure, scale, names, network, seed, settings, config)
