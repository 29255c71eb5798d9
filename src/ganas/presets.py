"""Build the config of any kind of run from defaults, a preset, flags and ``--set``. No torch at import."""

from collections.abc import Iterable
from typing import Literal, overload

from ganas.cyclegan import presets as cyclegan
from ganas.cyclegan.config import RunConfig
from ganas.errors import ConfigError
from ganas.growing.config import GrowConfig
from ganas.growing.presets import make_grow_config
from ganas.settings import Values


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
    preset = preset or default_preset()
    if kind == "grow":
        return make_grow_config(preset=preset, flags=flags, settings=settings)
    if kind not in cyclegan.IGNORED_KEYS:
        raise ConfigError(f"unknown kind of run {kind!r}: choose one of search, train, grow")
    return cyclegan.make_config(kind, preset=preset, flags=flags, settings=settings)


def default_preset() -> str:
    """Return the preset that fits the machine: gpu if there is one, else small."""
    import torch

    return "gpu" if torch.cuda.is_available() else "small"
