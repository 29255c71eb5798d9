"""Parse ``--set section.key=value`` according to the type of the key."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from ganas.config import Config, fields, types
from ganas.errors import ConfigError
from ganas.paths import expanded

Values = dict[str, Any]  # "section.key" -> value


def read_settings(model: type[Config], kind: str, ignored: Sequence[str], settings: Iterable[str]) -> Values:
    """Parse all ``--set`` options of a command; `ignored` lists the keys and sections that its `kind` of run ignores.

    Raises `ConfigError` for a key that the command would ignore, and for one that users cannot set.
    """
    settings = [*settings]
    for key, _ in map(split_setting, settings):
        if key.split(".")[0] in ("kind", "schema", "architecture"):
            raise ConfigError(f"--set cannot change {key}: it follows from the command")
        if any(key == name or key.startswith(f"{name}.") for name in ignored):
            raise ConfigError(f"{key} has no meaning for ganas {kind}: leave it out")
        if any(name.startswith(f"{key}.") for name, _ in fields(model)):
            raise ConfigError(f"--set {key} names a whole section: set its keys, as in {key}.KEY=VALUE")
    return dict(read_setting(model, setting) for setting in settings)


def split_setting(setting: str) -> tuple[str, str]:
    """Split ``section.key=value`` into the key and the text of the value; raises `ConfigError`."""
    key, separator, text = setting.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"--set takes section.key=value, as in --set training.lr=1e-4; got {setting!r}")
    return key.strip(), text


def read_setting(model: type[Config], setting: str) -> tuple[str, Any]:
    """Parse ``section.key=value`` into the key and a value of the key's type; raises `ConfigError`.

    Text and paths are taken literally, except for a leading ~ in a path, and for null and none where the value is
    optional: write ./~ and ./null for folders of these names. A value that does not fit the type stays text, which
    `validate` rejects.
    """
    key, text = split_setting(setting)
    field = dict(fields(model)).get(key)
    if field and not text:
        nothing = ", or null" if NoneType in types(field.annotation) else ""
        raise ConfigError(f"--set {key} has no value: give {key}=VALUE{nothing}")
    return key, _read(text, field.annotation) if field else text


NULL_WORDS = ("null", "none")
BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _read(text: str, annotation: Any) -> Any:
    kind, *optional = sorted(types(annotation), key=lambda one: one is NoneType)
    word = text.strip().lower()
    if NoneType in optional and word in NULL_WORDS:
        return None
    if kind is bool:
        return BOOLEANS.get(word, text)
    if kind in (int, float):
        return _number(text)
    if get_origin(kind) is tuple:
        items = word[1:-1] if word[:1] + word[-1:] == "[]" else word
        return [_read(item, get_args(kind)[0]) for item in items.split(",")] if items else []
    if kind is Path:  # shells do not expand ~ after =
        return expanded(text)
    if get_origin(kind) is Literal:
        return {str(choice): choice for choice in get_args(kind)}.get(text.strip(), text.strip())
    return text


def _number(text: str) -> int | float | str:
    """Parse an int or a float; for an integer key `validate` accepts a whole float such as 1e5."""
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def nest(document: dict[str, Any], values: Values) -> dict[str, Any]:
    """Put ``section.key`` values into a nested document."""
    for key, value in values.items():
        node = document
        *sections, name = key.split(".")
        for section in sections:
            node = node.setdefault(section, {})
            if not isinstance(node, dict):
                raise ConfigError(f"unknown key {key!r} in --set")
        node[name] = value
    return document
