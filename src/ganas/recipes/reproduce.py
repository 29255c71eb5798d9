"""``ganas reproduce``: the figures and tables of both papers, by name."""

from collections.abc import Sequence

from ganas.errors import ConfigError
from ganas.jobs.options import ExecutorOptions
from ganas.paths import StrPath, as_path
from ganas.progress import Reporter
from ganas.recipes.cyclegan.figures import FIGURES
from ganas.recipes.cyclegan.plan import Plan
from ganas.recipes.growing.experiments import EXPERIMENTS
from ganas.recipes.growing.plan import GrowingPlan
from ganas.recipes.reproduction import RecipePlan, Reproduction, Request

ALL = (*FIGURES, *EXPERIMENTS)


def reproduce(
    # fig3, fig4, fig5 or fig6 of CycleGANAS, or front; table1, table2, table3, dggan-fig2 or dggan-fig3 of DGGAN
    figure: str,
    out: StrPath,
    *,
    scale: str = "tiny",  # or small, paper: model sizes, training lengths and repeats
    # folders with trainA, trainB, testA and testB, or names of the paper's data sets, which are downloaded once;
    # default: the built-in photographs at tiny scale, the figure's data sets at paper scale. Of DGGAN one folder of
    # images, or whatever ganas grow takes; default: the built-in photographs at tiny scale
    data: Sequence[str] = (),
    executor: ExecutorOptions = ExecutorOptions(),
    features: str | None = None,  # specification of a feature network; None: scores are sliced Wasserstein distances
    seed: int = 0,
    settings: Sequence[str] = (),  # as --set, "section.key=value", for every job
) -> Reproduction:
    """Run every search and training of a figure or table, then write a table and a plot; the same call resumes.

    Raises `UserError` for anything the user can fix, `GanasError` if every run failed, `Stopped` on a signal.
    """
    plan = open_plan(Request(figure, as_path(out), scale, data, executor, features, seed, settings))
    if scale == "paper":
        for line in plan.cost():
            Reporter().say(line)
    return plan.run()


def open_plan(request: Request) -> RecipePlan:
    """Check the arguments of `reproduce`, as far as possible before any image is read or downloaded."""
    if request.figure not in ALL:
        raise ConfigError(f"unknown figure {request.figure!r}: choose one of {', '.join(ALL)}")
    return Plan(request) if request.figure in FIGURES else GrowingPlan(request)
