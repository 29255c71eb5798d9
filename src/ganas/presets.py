"""Build the config of any kind of run from defaults, a preset, flags and ``--set``. No torch at import."""

from collections.abc import Iterable
from typing import Any, Literal, overload

from ganas.config import validate
from ganas.cyclegan import presets as cyclegan
from ganas.cyclegan.config import RunConfig
from ganas.errors import ConfigError
from ganas.growing import presets as growing
from ganas.growing.config import GrowConfig
from ganas.settings import Values, nest, read_settings


@overload
def make_config(
    kind: Literal["search", "train"], *, preset: str | None = None, flags: Values, settings: Iterable[str] = ()
) -> RunConfig: ...


@overload
def make_config(
    kind: Literal["grow"], *, preset: str | None = None, flags: Values, settings: Iterable[str] = ()
) -> GrowConfig: ...


def make_config(
    kind: Literal["search", "train", "grow"],
    *,
    preset: str | None = None,  # tiny, small, gpu, paper; search and train also reference. None: `default_preset`
    flags: Values,  # "section.key" -> value; None: not set
    settings: Iterable[str] = (),  # "section.key=value", as after --set
) -> RunConfig | GrowConfig:
    """Build and validate the config of a run; raises `ConfigError`, one line that names the value."""
    if kind not in ("search", "train", "grow"):
        raise ConfigError(f"unknown kind of run {kind!r}: choose one of search, train, grow")
    preset = preset or default_preset()
    presets = [*(growing.PRESETS if kind == "grow" else cyclegan.PRESETS)]
    if preset not in presets:
        raise ConfigError(f"unknown preset {preset!r}: choose one of {', '.join(presets)}")
    given = {key: value for key, value in flags.items() if value is not None}
    if kind == "grow":
        overrides = read_settings(GrowConfig, kind, growing.IGNORED_KEYS, settings)
        values = growing.WASSERSTEIN | growing.PRESETS[preset] | given | overrides
        return validate(GrowConfig, nest({"kind": kind}, values))
    overrides = read_settings(RunConfig, kind, cyclegan.IGNORED_KEYS[kind], settings)
    strategy = overrides.get("search.strategy", given.get("search.strategy"))
    if kind == "search":
        cyclegan.refuse_ignored(strategy, overrides)
    values = cyclegan.preset_values(preset, kind, strategy)
    for over in (given, overrides):
        for one, other in (("training.images", "training.epochs"), ("training.epochs", "training.images")):
            if one in over and other not in over:
                values.pop(other, None)
        values |= over
    document: dict[str, Any] = {"kind": kind, "search": {}} if kind == "search" else {"kind": kind}
    return validate(RunConfig, nest(document, values))


def default_preset() -> str:
    """Return the preset that fits the machine: gpu if there is one, else small."""
    import torch

    return "gpu" if torch.cuda.is_available() else "small"
