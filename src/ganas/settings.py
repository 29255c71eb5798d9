"""``--set section.key=value``: read as the key's type says."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from ganas.config import Config, fields, sections, types
from ganas.errors import ConfigError
from ganas.paths import expanded

Values = dict[str, Any]  # "section.key" -> value


def read_settings(model: type[Config], kind: str, foreign: Sequence[str], settings: Iterable[str]) -> Values:
    """All of a command's ``--set``; `foreign` keys and sections have no meaning for its `kind` of run.

    Raises `ConfigError`: a key that the command would ignore, or that is not the user's to set, is an error.
    """
    settings = [*settings]
    for key, _ in map(split_setting, settings):
        if key.split(".")[0] in ("kind", "schema", "architecture"):
            raise ConfigError(f"--set cannot change {key}: it follows from the command")
        if any(key == name or key.startswith(f"{name}.") for name in foreign):
            raise ConfigError(f"{key} has no meaning for ganas {kind}: leave it out")
        if key in sections(model):
            raise ConfigError(f"--set {key} names a whole section: set its keys, as in {key}.KEY=VALUE")
    return dict(read_setting(model, setting) for setting in settings)


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


def nest(document: dict[str, Any], values: Values) -> dict[str, Any]:
    """Put values into a document of sections."""
    for key, value in values.items():
        place = document
        *sections, name = key.split(".")
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise ConfigError(f"unknown key {key!r} in --set")
        place[name] = value
    return document
