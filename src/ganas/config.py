"""The config of a run, in frozen sections.

Values come from these sources, each overriding the previous one: the defaults below, the preset, the flags of the
command, ``--set`` (`ganas.settings`). `resolve` then fills in what depends on the data and the machine. The result is
the run's ``config.yaml``, which is all that a resume, or another machine, needs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path, PurePath
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from ganas.data.names import absolute
from ganas.errors import ConfigError, shown
from ganas.machine import Machine
from ganas.metrics.measurement import METRICS
from ganas.paths import expanded

SCHEMA = 1

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Width = Annotated[float, Field(ge=1, le=1024)]
Filters = Annotated[int, Field(ge=1, le=16384)]
KernelSize = Annotated[int, Field(ge=1, le=63)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


def _refuse_empty(path: Any) -> Any:
    if path == "":  # pathlib takes it for the current folder
        raise PydanticCustomError("empty_path", "input should be a path")
    return path


FilePath = Annotated[Path, BeforeValidator(_refuse_empty)]


def one_of(names: Callable[[], Iterable[str]]) -> AfterValidator:
    """Validate a name against a table that may grow: the table is read when a config is validated."""

    def check(text: str) -> str:
        *rest, last = known = [*names()]
        if text.strip() not in known:
            choices = f"{', '.join(map(repr, rest))} or {last!r}"
            raise PydanticCustomError("unknown_name", "input should be {choices}", {"choices": choices})
        return text.strip()

    return AfterValidator(check)


@dataclass(frozen=True)
class Adjustable:
    """Marks a value that may change when a run resumes."""

    effect: str = ""  # of a change on the results, human-readable; empty: none


FREE = Adjustable()


@dataclass(frozen=True)
class Located:
    """Marks a path whose files are identified by a digest of their content, another value of the config."""

    digest: str  # its key, section.key


class Section(BaseModel):
    """A frozen section that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LearningConfig(Section):
    """The options of every training: optimizer, hardware and intervals. Time is counted in images."""

    batch: Positive = 1
    lr: Rate = 2e-4
    betas: tuple[Momentum, Momentum] = (0.5, 0.999)
    decay: Fraction = 0.5  # the final share of the images, over which the learning rate falls to zero
    ema_half_life: Rate | None = None  # images; None: no EMA of the generators
    precision: Literal["auto", "float32", "bf16"] = "auto"  # auto: bf16 where the machine is fast at it
    device: str = "auto"  # auto: cuda if available
    # CPU threads; None: OMP_NUM_THREADS, else all cores
    threads: Annotated[Positive | None, Adjustable("results may differ in the last bits from here on")] = None
    log_every: Annotated[Positive, FREE] = 400  # images, like all intervals
    sample_every: Annotated[Positive, FREE] = 2000
    checkpoint_every: Annotated[Positive, FREE] = 2000


class ScoringConfig(Section):
    """The metric of a run, and the feature network that it may need."""

    select: str = "auto"
    # feature network, such as squeezenet:weights.safetensors
    features: Annotated[str | None, Located("metrics.digest")] = None
    digest: str | None = None  # of its weights, filled in: scores by other weights are not comparable

    @model_validator(mode="after")
    def _measurable(self) -> Self:
        if self.select in METRICS and METRICS[self.select].needs != "nothing" and not self.features:
            raise ValueError(
                f"metrics.select={self.select} needs a feature network: give --features, or metrics.select=swd, "
                "which needs none"
            )
        return self


class Change(NamedTuple):
    """A key whose value differs between two configs."""

    key: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.key}: {shown(str(self.before))} → {shown(str(self.after))}"


class Config(Section):
    """The values that every kind of run has."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    kind: str
    seed: Seed = 0

    def to_yaml(self) -> str:
        """The text of a run's ``config.yaml``."""
        return yaml.dump(self.model_dump(by_alias=True), Dumper=_Dumper, sort_keys=False, allow_unicode=True)

    @classmethod
    def completed(cls, document: dict[str, Any]) -> dict[str, Any]:
        """Add the keys that ganas did not write yet when a config was stored."""
        return document

    def value(self, key: str) -> Any:
        """Return the value of ``section.key``."""
        return reduce(getattr, key.split("."), self)

    def with_values(self, values: Mapping[str, Any]) -> Self:
        """Return a copy with other values, by key ``section.key``; they are not validated."""
        config = self
        for key, value in values.items():
            name, _, inner = key.partition(".")
            changed = getattr(config, name).model_copy(update={inner: value}) if inner else value
            config = config.model_copy(update={name: changed})
        return config

    @property
    def device(self) -> str:
        """The device of the networks; known once resolved."""
        device: str = self.value("training.device")
        assert device != "auto"
        return device

    def changed(self, other: "Config") -> list[Change]:
        """List the differences between two configs, this one's values before and the other's after.

        A path that is identified by a digest may differ as long as the digests agree.
        """
        mine, theirs = (_flatten(config.model_dump(by_alias=True)) for config in (self, other))
        for path, digest in located(type(self)).items():
            if mine.get(digest) and mine[digest] == theirs.get(digest):
                for values in (mine, theirs):
                    values[path] = network_of(values[path]) if path == "metrics.features" else None
        keys = [key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)]
        return [Change(key, mine.get(key), theirs.get(key)) for key in keys]


C = TypeVar("C", bound=Config)
Mark = TypeVar("Mark")


class _Dumper(yaml.SafeDumper):
    """Writes paths as text, and escapes unprintable characters, some of which YAML reads as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _write_text(dumper: yaml.SafeDumper, text: str | PurePath) -> yaml.ScalarNode:
    style = None if str(text).isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style)


_Dumper.add_representer(str, _write_text)
_Dumper.add_multi_representer(PurePath, _write_text)


def load_config(model: type[C], text: str | bytes, origin: str) -> C:
    """Read the ``config.yaml`` of a run; raises `ConfigError` that names `origin`."""
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError(f"{origin} is not readable YAML: use an intact copy") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{origin} holds no config: use an intact copy")
    if isinstance(document.get("schema"), int) and document["schema"] > SCHEMA:
        raise ConfigError(f"{origin} has schema {document['schema']}, newer than this ganas knows: update ganas")
    kinds = get_args(model.model_fields["kind"].annotation)
    if "kind" in document and document["kind"] not in kinds:
        expected = " or ".join(f"ganas {kind}" for kind in kinds)
        raise ConfigError(f"{origin} is from a run of ganas {document['kind']}: give a run of {expected}")
    try:
        return validate(model, model.completed(document))
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from None


def kind_of(text: str | bytes) -> str | None:
    """Return the kind of run that a ``config.yaml`` is of; None if it is damaged: `load_config` says how."""
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return None
    return document.get("kind") if isinstance(document, dict) else None


@dataclass(frozen=True)
class DataFacts:
    """The facts about the data that a config is resolved with."""

    digests: Mapping[str, str | None]  # by config key, such as data.digest_a
    epoch_images: int = 1  # images, or pairs, per epoch


def resolve_sections(
    config: C,
    machine: Machine,
    data: DataFacts,
    update: Mapping[str, Any],  # values that the method resolves, by key
) -> C:
    """Replace ``auto`` in a run's training section, make the data's paths absolute, and fill in digests."""
    training = config.value("training")
    device = machine.device(training.device)
    values = {
        "training.device": device,
        "training.precision": machine.precision(device, training.precision),
        "training.threads": training.threads or machine.threads,
    }
    for key in located(type(config)):
        value = config.value(key)
        values[key] = absolute(value) if isinstance(value, Path) else absolute_features(value)
    return config.with_values({**values, **data.digests, **update})


def network_of(features: str | None) -> str | None:
    """NETWORK-PREPROCESSING-SIZE of a feature specification, without the path of its weights."""
    return features and features.partition(":")[0]


def absolute_features(features: str | None) -> str | None:
    """Make the path in NAME:PATH absolute, so that a resume works from another folder."""
    name, _, path = (features or "").partition(":")
    return f"{name}:{expanded(path).absolute()}" if path else features


def validate(model: type[C], document: dict[str, Any]) -> C:
    """Build a config from nested values; raises `ConfigError` in one line that names the value."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise ConfigError("; ".join(_describe(model, detail) for detail in error.errors()[:3])) from None


def _describe(model: type[Config], detail: Any) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"unknown key {key!r}: {_known_keys(model, detail['loc'])}"
    message = detail["msg"].removeprefix("Value error, ")
    if not key or detail["type"] == "value_error":
        return str(message)
    return f"{key}: {message[0].lower()}{message[1:]}, got {detail['input']!r}"


def _known_keys(model: type[Config], location: tuple[int | str, ...]) -> str:
    section: type[BaseModel] = model
    for part in location[:-1]:
        field = section.model_fields.get(str(part))
        section = (field and _section(field)) or model
    return f"{'.'.join(map(str, location[:-1])) or 'a config'} has {', '.join(section.model_fields)}"


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield every field of a config with its key, ``section.key``."""
    for name, field in model.model_fields.items():
        if section := _section(field):
            yield from fields(section, f"{prefix}{name}.")
        else:
            yield f"{prefix}{field.alias or name}", field


def types(annotation: Any) -> list[Any]:
    """The types that an annotation allows, including `NoneType`, without `Annotated` metadata."""
    if get_origin(annotation) is Annotated:
        return types(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [found for one in get_args(annotation) for found in types(one)]
    return [annotation]


def adjustable(model: type[Config]) -> dict[str, Adjustable]:
    """The values that may change when a run resumes, by key."""
    return dict(_marked(model, Adjustable))


def located(model: type[Config]) -> dict[str, str]:
    """Map the key of each path to the key of the digest that identifies its files."""
    return {key: mark.digest for key, mark in _marked(model, Located)}


def _marked(model: type[Config], kind: type[Mark]) -> Iterator[tuple[str, Mark]]:
    return ((key, mark) for key, field in fields(model) for mark in field.metadata if isinstance(mark, kind))


def _section(field: FieldInfo) -> type[BaseModel] | None:
    found = (one for one in types(field.annotation) if isinstance(one, type) and issubclass(one, BaseModel))
    return next(found, None)


def _flatten(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
