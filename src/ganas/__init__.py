"""GAN architecture search: find, train and use the GAN that fits your images.

    import ganas
    config = ganas.make_config("search", preset="tiny", flags={"data.a": "paintings", "data.b": "photos"})
    found = ganas.search(config, "runs/search")

Everything public is in ``__all__`` and imported when it is first used; ``import ganas`` does not import torch.
docs/python.md has an example of each function.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ganas.version import __version__ as __version__

if TYPE_CHECKING:
    from ganas.cyclegan.architecture import Architecture, find_architecture, load_architecture
    from ganas.cyclegan.config import RunConfig
    from ganas.cyclegan.search import SearchResult, search
    from ganas.cyclegan.train import TrainResult, train
    from ganas.cyclegan.translate import translate
    from ganas.data.sources import ImageSource, open_source
    from ganas.errors import GanasError, NonFiniteError, Stopped, UserError
    from ganas.evaluation import TranslationScores, evaluate, evaluate_run
    from ganas.growing.architecture import GrowthArchitecture
    from ganas.growing.config import GrowConfig
    from ganas.growing.run import grow
    from ganas.growing.runner import GrowResult
    from ganas.growing.sample import sample
    from ganas.jobs.options import ExecutorOptions
    from ganas.metrics.measurement import Measurement
    from ganas.presets import make_config
    from ganas.recipes.reproduce import Reproduction, reproduce
    from ganas.records import RunRecord, read_run

__all__ = [
    "Architecture",
    "ExecutorOptions",
    "GanasError",
    "GrowConfig",
    "GrowResult",
    "GrowthArchitecture",
    "ImageSource",
    "Measurement",
    "NonFiniteError",
    "Reproduction",
    "RunConfig",
    "RunRecord",
    "SearchResult",
    "Stopped",
    "TrainResult",
    "TranslationScores",
    "UserError",
    "evaluate",
    "evaluate_run",
    "find_architecture",
    "grow",
    "load_architecture",
    "make_config",
    "open_source",
    "read_run",
    "reproduce",
    "sample",
    "search",
    "train",
    "translate",
]

_MODULES = {
    "ganas.cyclegan.architecture": ("Architecture", "find_architecture", "load_architecture"),
    "ganas.cyclegan.config": ("RunConfig",),
    "ganas.cyclegan.search": ("SearchResult", "search"),
    "ganas.cyclegan.train": ("TrainResult", "train"),
    "ganas.cyclegan.translate": ("translate",),
    "ganas.data.sources": ("ImageSource", "open_source"),
    "ganas.errors": ("GanasError", "NonFiniteError", "Stopped", "UserError"),
    "ganas.evaluation": ("TranslationScores", "evaluate", "evaluate_run"),
    "ganas.growing.architecture": ("GrowthArchitecture",),
    "ganas.growing.config": ("GrowConfig",),
    "ganas.growing.run": ("grow",),
    "ganas.growing.runner": ("GrowResult",),
    "ganas.growing.sample": ("sample",),
    "ganas.jobs.options": ("ExecutorOptions",),
    "ganas.metrics.measurement": ("Measurement",),
    "ganas.presets": ("make_config",),
    "ganas.recipes.reproduce": (
        "Reproduction",
        "reproduce",
    ),
    "ganas.records": (
        "RunRecord",
        "read_run",
    ),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'ganas' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
