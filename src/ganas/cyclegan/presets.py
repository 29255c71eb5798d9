"""Presets of ``ganas search`` and ``ganas train``, which set the scale of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from ganas.cyclegan.strategies import STRATEGIES
from ganas.errors import ConfigError

if TYPE_CHECKING:  # the help of commands lists the presets: it must not wait for pydantic
    from ganas.settings import Values


def _tiny(kind: str) -> Values:
    """A few minutes on two cores, any images."""
    values = _small(kind) | {
        "data.validation": 50,
        "training.images": 400,
        "training.log_every": 100,
        "training.checkpoint_every": 400,
        "training.sample_every": 400,
        "training.evaluate_every": 400,
    }
    return values | ({"training.images": 1200, "training.ema_half_life": 100} if kind == "train" else {})


def _small(kind: str) -> Values:
    """Twelve minutes of search and thirty-two of training on one core, any images.

    docs/results/monet2photo_64_cpu_202611.md has the commands, the machine and the scores.
    """
    common: Values = {
        "data.resolution": 64,
        "nets.discriminator_width": 32,  # wider ones overpower generators this small
        "training.lr": 6e-4,  # narrow networks tolerate it, and short runs need it
        "training.log_every": 200,
        "training.checkpoint_every": 800,
        "training.sample_every": 1600,
        "training.evaluate_every": 800,
    }
    if kind == "search":
        return common | {
            "nets.width": 8,
            "training.batch": 4,
            "training.images": 4000,
            "training.decay": 0,
            "search.warmup": 0.5,  # alphas that learn from the first step select ops for the crudest fakes
            "search.alpha_lr": 0.03,
        }
    return common | {
        "nets.width": 16,
        "nets.discriminator": "patchgan",  # a search this short fits discriminators to its own crude fakes (LOG.md)
        "training.images": 14_000,
        "training.ema_half_life": 500,
    }


def _gpu(kind: str) -> Values:
    """A day on one GPU."""
    common: Values = {
        "data.resolution": 256,
        "training.log_every": 500,
        "training.checkpoint_every": 5000,
        "training.sample_every": 5000,
        "training.evaluate_every": 10000,
    }
    if kind == "search":
        return common | {"nets.width": 16, "training.images": 120_000, "training.decay": 0}
    return common | {"nets.width": 64, "training.images": 200_000}


def _paper(kind: str) -> Values:
    """Section 4: 256², batch 1; 400 epochs of search at 64 encoder channels, 100 + 100 epochs of training."""
    common: Values = {
        "data.resolution": 256,
        "data.load_scale": 286 / 256,
        "data.validation": 0,  # all images train; scores are of test images, where metrics.split=test gives some
        "metrics.reference": "scored",
        "nets.layout": "paper",
        "loss.adversarial": "bce",
        "training.precision": "float32",
        "training.log_every": 1000,
        "training.checkpoint_every": 5000,
        "training.sample_every": 5000,
        "training.evaluate_every": 10000,
    }
    if kind == "search":
        return common | {"nets.width": 16, "training.epochs": 400, "training.decay": 0, "search.sampling": "softmax"}
    return common | {"nets.width": 64, "training.epochs": 200}


def _reference(kind: str) -> Values:
    """What the authors' released code does where it differs from the paper: layout, lsgan, Gumbel sampling."""
    values = _paper(kind) | {"nets.layout": "reference", "loss.adversarial": "lsgan"}
    return values | ({"search.sampling": "gumbel"} if kind == "search" else {})


PRESETS: Mapping[str, Callable[[str], Values]] = {
    "tiny": _tiny,
    "small": _small,
    "gpu": _gpu,
    "paper": _paper,
    "reference": _reference,
}
# A front's largest choice is the hand-made network: a search for one trains as that does, and as wide.
AS_TRAINED = ("nets.width", "training.batch", "training.decay")


def preset_values(preset: str, kind: str, strategy: str | None = None) -> Values:
    """The values of a preset for a kind of run; those of searches also depend on the strategy."""
    values = {**PRESETS[preset](kind)}
    if kind == "search" and finds_front(strategy):
        training = PRESETS[preset]("train")
        values = {key: value for key, value in values.items() if key not in AS_TRAINED}
        values |= {key: training[key] for key in AS_TRAINED if key in training}
    return values


def refuse_ignored(strategy: str | None, keys: Iterable[str]) -> None:
    """Raise `ConfigError` for a key that searches with the strategy ignore."""
    front = finds_front(strategy)
    for key in keys:
        if key in (MIXTURE_KEYS if front else FRONT_KEYS):
            raise ConfigError(f"{key} has no meaning for --strategy {strategy or 'of'}: leave it out")


def finds_front(strategy: str | None) -> bool:
    """Whether a strategy trains subnetworks, among which it finds a front."""
    known = STRATEGIES.get((strategy or "").strip())  # as given: --set keeps spaces
    return known is not None and known.sandwich


IGNORED_KEYS = {  # keys that a kind of run ignores
    "search": ("metrics.select", "training.inherit"),
    "train": ("search", "nets.mixing", "nets.layout"),  # the architecture determines the layout
}
MIXTURE_KEYS = (
    *("nets.mixing", "search.sampling", "search.derive", "search.temperature_start", "search.temperature_end"),
    *("search.warmup", "search.alpha_lr", "search.budget_weight"),
)
FRONT_KEYS = ("search.points", "search.population", "search.generations", "search.latency_resolution")
