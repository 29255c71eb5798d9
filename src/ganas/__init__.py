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
    from ganas.comparison import Comparison as Comparison
    from ganas.comparison import compare as compare
    from ganas.cyclegan.architecture import Architecture as Architecture
    from ganas.cyclegan.architecture import find_architecture as find_architecture
    from ganas.cyclegan.architecture import load_architecture as load_architecture
    from ganas.cyclegan.config import RunConfig as RunConfig
    from ganas.cyclegan.search import SearchResult as SearchResult
    from ganas.cyclegan.search import search as search
    from ganas.cyclegan.train import TrainResult as TrainResult
    from ganas.cyclegan.train import train as train
    from ganas.cyclegan.translate import translate as translate
    from ganas.data.sources import ImageSource as ImageSource
    from ganas.data.sources import open_source as open_source
    from ganas.data.tasks import Task as Task
    from ganas.data.tasks import write_task as write_task
    from ganas.errors import GanasError as GanasError
    from ganas.errors import NonFiniteError as NonFiniteError
    from ganas.errors import Stopped as Stopped
    from ganas.errors import UserError as UserError
    from ganas.evaluation import TranslationScores as TranslationScores
    from ganas.evaluation import evaluate as evaluate
    from ganas.evaluation import evaluate_grown as evaluate_grown
    from ganas.evaluation import evaluate_run as evaluate_run
    from ganas.growing.architecture import GrowthArchitecture as GrowthArchitecture
    from ganas.growing.config import GrowConfig as GrowConfig
    from ganas.growing.run import grow as grow
    from ganas.growing.runner import GrowResult as GrowResult
    from ganas.growing.sample import sample as sample
    from ganas.jobs.options import ExecutorOptions as ExecutorOptions
    from ganas.metrics.measurement import Measurement as Measurement
    from ganas.presets import make_config as make_config
    from ganas.recipes.reproduce import reproduce as reproduce
    from ganas.recipes.reproduction import Reproduction as Reproduction
    from ganas.records import RunRecord as RunRecord
    from ganas.records import read_run as read_run
    from ganas.report.page import write_report as write_report

_MODULES = {
    "ganas.comparison": ("Comparison", "compare"),
    "ganas.cyclegan.architecture": ("Architecture", "find_architecture", "load_architecture"),
    "ganas.cyclegan.config": ("RunConfig",),
    "ganas.cyclegan.search": ("SearchResult", "search"),
    "ganas.cyclegan.train": ("TrainResult", "train"),
    "ganas.cyclegan.translate": ("translate",),
    "ganas.data.sources": ("ImageSource", "open_source"),
    "ganas.data.tasks": ("Task", "write_task"),
    "ganas.errors": ("GanasError", "NonFiniteError", "Stopped", "UserError"),
    "ganas.evaluation": ("TranslationScores", "evaluate", "evaluate_grown", "evaluate_run"),
    "ganas.growing.architecture": ("GrowthArchitecture",),
    "ganas.growing.config": ("GrowConfig",),
    "ganas.growing.run": ("grow",),
    "ganas.growing.runner": ("GrowResult",),
    "ganas.growing.sample": ("sample",),
    "ganas.jobs.options": ("ExecutorOptions",),
    "ganas.metrics.measurement": ("Measurement",),
    "ganas.presets": ("make_config",),
    "ganas.recipes.reproduce": ("reproduce",),
    "ganas.recipes.reproduction": ("Reproduction",),
    "ganas.records": ("RunRecord", "read_run"),
    "ganas.report.page": ("write_report",),
}
__all__ = sorted(name for names in _MODULES.values() for name in names)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'ganas' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
