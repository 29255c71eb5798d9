"""Presets, which set the scale of a run, and ``--set section.key=value``, which has the last word."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from ganas.config import Config, GrowConfig, RunConfig, fields, types, validate
from ganas.errors import ConfigError
from ganas.paths import expanded

Values = dict[str, Any]  # "section.key" -> value


def _tiny(kind: str) -> Values:
    """A few minutes on two cores, any images."""
    common: Values = {
        "data.resolution": 64,
        "data.validation": 50,
        "nets.discriminator_width": 32,
        "training.lr": 6e-4,
        "training.log_every": 100,
        "training.checkpoint_every": 400,
        "training.sample_every": 400,
        "training.evaluate_every": 400,
    }
    if kind == "search":
        return common | {
            "nets.width": 8,
            "training.batch": 4,
            "training.images": 400,
            "training.decay": 0,
            "search.warmup": 0.5,
            "search.alpha_lr": 0.03,
        }
    return common | {
        "nets.width": 16,
        "nets.discriminator": "patchgan",
        "training.images": 1200,
        "training.ema_half_life": 100,
    }


def _small(kind: str) -> Values:
    """Twelve minutes of search and thirty-two of training on one core, any images.

    docs/results/monet2photo_64_cpu_202611.md has the commands, the machine and the scores.
    """
    common: Values = {
        "data.resolution": 64,
        "nets.discriminator_width": 32,  # wider ones know the generators' small progress too well
        "training.lr": 6e-4,  # narrow networks bear it, and short runs need it
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
            "search.warmup": 0.5,  # alphas that learn from the first step choose what the crudest fakes need
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
        "nets.layout": "paper",
        "loss.adversarial": "bce",
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


def _grow_tiny() -> Values:
    """A few minutes on two cores, any images: to see that everything works, not to get good images."""
    return {
        "data.resolution": 16,
        "base.latent": 32,
        "base.channels": [32],
        "growth.sizes": [3],
        "growth.filters": [16, 32],
        "growth.depth": 3,
        "growth.keep": 2,
        "growth.probability": 0.5,
        "training.batch": 16,
        "training.images": 3200,
        "training.final_images": 6400,
        "training.ema_half_life": 160,
        "training.log_every": 800,
        "training.sample_every": 3200,
        "training.checkpoint_every": 1600,
        "metrics.images": 500,
    }


def _grow_small() -> Values:
    """About two hours on two cores, 8×8 to 32×32."""
    return {
        "data.resolution": 32,
        "base.latent": 64,
        "base.channels": [64],
        "growth.filters": [32, 64, 128],
        "growth.depth": 5,
        "growth.keep": 4,
        "growth.probability": 0.3,
        "training.batch": 16,
        "training.images": 16_000,
        "training.final_images": 96_000,
        "training.ema_half_life": 800,
        "training.log_every": 4000,
        "training.sample_every": 16_000,
        "training.checkpoint_every": 8000,
        "metrics.images": 1000,
    }


def _grow_gpu() -> Values:
    """Meant for a day on one GPU."""
    return {
        "data.resolution": 64,
        "base.latent": 256,
        "base.channels": [256],
        "growth.filters": [64, 128, 256, 512],
        "growth.depth": 7,
        "growth.keep": 6,
        "growth.probability": 0.3,
        "training.batch": 16,
        "training.images": 160_000,
        "training.final_images": 3_200_000,
        "training.ema_half_life": 8000,
        "training.log_every": 16_000,
        "training.sample_every": 80_000,
        "training.checkpoint_every": 40_000,
        "metrics.images": 5000,
    }


def _grow_paper() -> Values:
    """Experimental results, CIFAR-10: K = 20, p = 0.4, 100,000 iterations each. The paper tried twice as many."""
    return {
        "data.resolution": 32,
        "base.latent": 128,
        "base.channels": [512],
        "growth.depth": 8,
        "growth.keep": 20,
        "growth.probability": 0.4,
        "training.batch": 16,
        "training.images": 1_600_000,
        "training.final_images": 6_400_000,
        "training.ema_half_life": 10_000,
        "training.log_every": 32_000,
        "training.sample_every": 160_000,
        "training.checkpoint_every": 160_000,
        "metrics.images": 10_000,
    }


GROW_PRESETS: Mapping[str, Callable[[], Values]] = {
    "tiny": _grow_tiny,
    "small": _grow_small,
    "gpu": _grow_gpu,
    "paper": _grow_paper,
}

WASSERSTEIN: Values = {"training.lr": 1e-3, "training.betas": [0.0, 0.99], "training.decay": 0}  # Karras et al. 2018


def make_grow_config(*, preset: str, flags: Values, settings: Iterable[str] = ()) -> GrowConfig:
    """As `make_config`, for ``ganas grow``."""
    if preset not in GROW_PRESETS:
        raise ConfigError(f"unknown preset {preset!r}: choose one of {', '.join(GROW_PRESETS)}")
    overrides = _read_settings("grow", settings)
    given = {key: value for key, value in flags.items() if value is not None}
    return validate(GrowConfig, _nest({"kind": "grow"}, WASSERSTEIN | GROW_PRESETS[preset]() | given | overrides))


def make_config(
    kind: Literal["search", "train"],
    *,
    preset: str,
    flags: Values,  # "section.key" -> value; None: not given
    settings: Iterable[str] = (),  # of --set, "section.key=value"
) -> RunConfig:
    """Defaults, preset, flags and ``--set``, checked; raises `ConfigError` in one line that names the value."""
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}: choose one of {', '.join(PRESETS)}")
    values = PRESETS[preset](kind)
    values.update({key: value for key, value in flags.items() if value is not None})
    overrides = _read_settings(kind, settings)
    for one, other in (("training.images", "training.epochs"), ("training.epochs", "training.images")):
        if one in overrides and other not in overrides:
            values.pop(other, None)
    values.update(overrides)
    document = _nest({"kind": kind, **({"search": {}} if kind == "search" else {})}, values)
    return validate(RunConfig, document)


FOREIGN = {
    "search": ("metrics.select", "training.inherit"),
    "train": ("search", "nets.mixing", "nets.layout"),  # a layout is its architecture's
    "grow": ("growth.route", "training.decay"),
}


def _refuse_foreign(kind: str, key: str) -> None:
    """A key that the command would ignore, or that is not the user's to set, is an error."""
    if key.split(".")[0] in ("kind", "schema", "architecture"):
        raise ConfigError(f"--set cannot change {key}: it follows from the command")
    if any(key == name or key.startswith(f"{name}.") for name in FOREIGN[kind]):
        raise ConfigError(f"{key} has no meaning for ganas {kind}: leave it out")
    if key in ("search", "data", "nets", "loss", "training", "metrics", "base", "growth"):
        raise ConfigError(f"--set {key} names a whole section: set its keys, as in {key}.KEY=VALUE")


def _read_settings(kind: str, settings: Iterable[str]) -> Values:
    for key, _ in map(split_setting, settings):
        _refuse_foreign(kind, key)
    return dict(read_setting(GrowConfig if kind == "grow" else RunConfig, setting) for setting in settings)


def split_setting(setting: str) -> tuple[str, str]:
    """``section.key=value`` -> the key and the text of the value; raises `ConfigError`."""
    key, separator, text = setting.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"--set takes section.key=value, as in --set training.lr=1e-4; got {setting!r}")
    return key.strip(), text


def read_setting(model: type[Config], setting: str) -> tuple[str, Any]:
    """``section.key=value`` -> the key and the value, read as the key's type says; raises `ConfigError`.

    Text and paths are taken as they are, but for ~ at the beginning of a path, and for null and none where there may be
    no value: folders of such names are ./~ and ./null.
    What is not of the type stays text, and `validate` says so.
    """
    key, text = split_setting(setting)
    field = dict(fields(model)).get(key)
    if field and not text:
        nothing = ", or null" if NoneType in types(field.annotation) else ""
        raise ConfigError(f"--set {key} has no value: give {key}=VALUE{nothing}")
    return key, _read(text, field.annotation) if field else text


NOTHING = ("null", "none")
SWITCHES = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _read(text: str, annotation: Any) -> Any:
    kind, *others = sorted(types(annotation), key=lambda one: one is NoneType)
    word = text.strip().lower()
    if NoneType in others and word in NOTHING:
        return None
    if kind is bool:
        return SWITCHES.get(word, text)
    if kind in (int, float):
        return _number(text)
    if get_origin(kind) is tuple:
        items = word[1:-1] if word[:1] + word[-1:] == "[]" else word
        return [_read(item, get_args(kind)[0]) for item in items.split(",")] if items else []
    if kind is Path:  # no shell has expanded what follows a =
        return expanded(text)
    return text.strip() if get_origin(kind) is Literal else text


def _number(text: str) -> int | float | str:
    """1e5 is one for a whole number, too; `validate` sees to the rest."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _nest(document: dict[str, Any], values: Values) -> dict[str, Any]:
    for key, value in values.items():
        place = document
        *sections, name = key.split(".")
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise ConfigError(f"unknown key {key!r} in --set")
        place[name] = value
    return document
