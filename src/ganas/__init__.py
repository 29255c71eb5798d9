"""GAN architecture search: find, train and use the GAN that fits your images.

    import ganas
    config = ganas.make_config("search", preset="tiny", flags={"data.a": "paintings", "data.b": "photos"})
    found = ganas.search(config, Path("runs/search"))

Everything public is in ``__all__`` and comes when it is asked for: ``import ganas`` itself imports no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ganas.version import __version__ as __version__

if TYPE_CHECKING:
    from ganas.cyclegan.architecture import Architecture, load_architecture
    from ganas.cyclegan.config import RunConfig
    from ganas.cyclegan.presets import make_config
    from ganas.cyclegan.search import SearchResult, search
    from ganas.cyclegan.train import TrainResult, train
    from ganas.cyclegan.translate import translate
    from ganas.data.sources import ImageSource, open_source
    from ganas.errors import GanasError, NonFiniteError, Stopped, UserError
    from ganas.metrics.evaluate import evaluate, evaluate_folders
    from ganas.metrics.measurement import Measurement

__all__ = [
    "Architecture",
    "GanasError",
    "ImageSource",
    "Measurement",
    "NonFiniteError",
    "RunConfig",
    "SearchResult",
    "Stopped",
    "TrainResult",
    "UserError",
    "evaluate",
    "evaluate_folders",
    "load_architecture",
    "make_config",
    "open_source",
    "search",
    "train",
    "translate",
]

_HOMES = {
    "ganas.cyclegan.config": ("RunConfig",),
    "ganas.data.sources": ("ImageSource", "open_source"),
    "ganas.errors": ("GanasError", "NonFiniteError", "Stopped", "UserError"),
    "ganas.cyclegan.translate": ("translate",),
    "ganas.metrics.evaluate": ("evaluate", "evaluate_folders"),
    "ganas.metrics.measurement": ("Measurement",),
    "ganas.cyclegan.architecture": ("Architecture", "load_architecture"),
    "ganas.cyclegan.presets": ("make_config",),
    "ganas.cyclegan.search": ("SearchResult", "search"),
    "ganas.cyclegan.train": ("TrainResult", "train"),
}


def __getattr__(name: str) -> Any:
    """A public name out of its module, imported now (PEP 562)."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'ganas' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
