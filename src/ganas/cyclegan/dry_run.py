"""What a search or a training would cost, before it is begun."""

from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.cost import describe, measure_cost
from ganas.cyclegan.layout import find_layout
from ganas.cyclegan.search import open_search
from ganas.cyclegan.train import open_training
from ganas.paths import StrPath
from ganas.store import Run


def dry_run(
    config: RunConfig,
    out: StrPath,
    architecture: Architecture | None = None,  # train: of what
    *,
    repeats: int = 1,  # train
) -> tuple[RunConfig, list[str]]:
    """The config as it would be resolved, and what the run would cost, a line each; nothing is written."""
    if config.search:
        resolved, *_ = open_search(config, Run(out))
    else:
        assert architecture, "a training has an architecture"
        resolved, *_ = open_training(config, architecture, Run(out))
    lines = describe(measure_cost(resolved, find_layout(resolved.nets.layout), architecture), repeats)
    if config.search and config.search.budget == "ms":
        lines.append("budget           in milliseconds: the search measures them first, and then says whether it fits")
    return resolved, lines
