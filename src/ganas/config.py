"""What a run is told: frozen sections, presets that set scale, and ``--set section.key=value``.

A value is decided in this order, the later the stronger: the defaults below, the preset, flags of the command,
``--set``. `resolve` then fills in what depends on the data and the machine, and the result is the run's
``config.yaml``: it is all that a resume, or another machine, needs to know.
"""

from collections.abc import Callable, Iterable, Mapping
from math import ceil
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ganas.errors import ConfigError

SCHEMA = 1

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Section(BaseModel):
    """Frozen, and without room for unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(Section):
    """Which images, and what is done to them before a network sees them."""

    a: Path  # folder or zip of domain A
    b: Path  # folder or zip of domain B
    resolution: Positive = 64  # pixels a side in training
    load_scale: Annotated[float, Field(ge=1, le=16)] = 1.12  # shorter side: resolution × this, before the random crop
    flip: bool = True  # mirror half of the images
    test_a: Path | None = None  # images to measure on instead of those held out: metrics.split=test
    test_b: Path | None = None
    digest_test: str | None = None  # of both, filled in
    split_seed: Count | None = None  # of the choice of those held out; None: the run's seed
    validation: Count = 100  # images held out of each domain to choose a checkpoint by; at most a tenth of the domain
    skip_bad: bool = False  # go on without the files that cannot be read
    cache_mib: Count = 2048  # decoded images are kept in memory up to here; beyond, workers decode them again
    workers: Count = 2  # processes that decode, when the images do not fit the cache
    digest_a: str | None = None  # of the images, filled in: a resume notices that they changed
    digest_b: str | None = None


class NetsConfig(Section):
    """How large the networks are, and how a supernet mixes its ops."""

    layout: str = "framed"
    width: Annotated[float, Field(ge=1, le=1024)] = 16.0  # of the generators; their encoders put out 4 × width channels
    discriminator_width: Annotated[float, Field(ge=1, le=1024)] = 64.0  # channels of the discriminators' first slot
    discriminator: Literal["searched", "patchgan"] = "searched"  # train: patchgan takes hand-made ones instead
    # of a supernet's slot: merged shares convolutions among ops as a count says, timed as a measurement at the start
    # says, which is kept in the run; naive computes every op by itself
    mixing: Literal["merged", "timed", "naive"] = "merged"

    def width_of(self, network: str) -> float:
        """The width of a network by its name."""
        return self.width if network.startswith("generator") else self.discriminator_width


class LossConfig(Section):
    """Equation 4: the adversarial game and the weight of each term."""

    adversarial: Literal["lsgan", "bce", "hinge"] = "lsgan"
    adversarial_ab: Weight = 1.0
    adversarial_ba: Weight = 1.0
    cycle: Weight = 10.0
    identity_ab: Weight = 5.0
    identity_ba: Weight = 5.0
    pool: Count = 50  # fakes a discriminator may be shown again; 0: only fresh ones


class SearchConfig(Section):
    """How architecture weights are sampled and learned."""

    strategy: Literal["of"] = "of"  # of: one step over alphas and weights on everything (Algorithm 1)
    sampling: Literal["softmax", "gumbel"] = "softmax"
    temperature_start: Rate = 5.0  # of Gumbel sampling
    temperature_end: Rate = 0.1
    warmup: Fraction = 0.0  # share of the images before the alphas learn; 0, as in the paper: from the first
    alpha_lr: Rate | None = None  # Adam's, for the alphas; None: that of the weights, as in the paper


class TrainingConfig(Section):
    """How long and how the networks learn. Time is counted in images: pairs seen."""

    images: Positive | None = None  # pairs to see in all; None: as many as `epochs` say
    epochs: Positive | None = None  # of max(|A|, |B|) pairs; converted to images once
    batch: Positive = 1
    lr: Rate = 2e-4
    betas: tuple[Momentum, Momentum] = (0.5, 0.999)
    decay: Fraction = 0.5  # the share of the images, at the end, over which the learning rate falls to zero
    ema_half_life: Rate | None = None  # images; None: no moving average of the generators
    precision: Literal["auto", "float32", "bf16"] = "auto"  # auto: bf16 where the machine is fast at it
    device: str = "auto"  # auto: cuda when there is one
    threads: Positive | None = None  # of the CPU; None: all cores
    checkpointing: bool = False  # compute the generators' cells again in the backward pass: less memory, more time
    compile: bool = False  # the generators' training step by torch.compile, a minute at the start: docs/speed.md
    inherit: Path | None = None  # a search's run folder: start from its supernet's weights where shapes agree
    log_every: Positive = 400  # images, as all intervals
    sample_every: Positive = 2000
    evaluate_every: Positive = 2000
    checkpoint_every: Positive = 2000

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.images is None) == (self.epochs is None):
            raise ValueError("give training.images or training.epochs, one of the two")
        return self

    @model_validator(mode="after")
    def _one_way_to_compute(self) -> Self:
        if self.compile and self.checkpointing:
            raise ValueError("training.compile and training.checkpointing exclude each other: give one of the two")
        return self


class MetricsConfig(Section):
    """What a checkpoint is chosen by."""

    select: Literal["auto", "fid", "kid", "swd", "last"] = "auto"  # auto: kid with a feature network, else swd
    features: str | None = None  # specification of a feature network, as squeezenet:weights.safetensors
    digest: str | None = None  # of its weights, filled in: scores of others would not be comparable
    split: Literal["validation", "test"] = (
        "validation"  # what is measured; choosing on test images flatters, and is labelled
    )


class RunConfig(Section):
    """Everything a run is told."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    kind: Literal["search", "train"]
    seed: Seed = 0
    architecture: str | None = None  # train: the id of the architecture; its ops lie beside, in architecture.json
    data: DataConfig
    nets: NetsConfig = NetsConfig()
    loss: LossConfig = LossConfig()
    training: TrainingConfig
    metrics: MetricsConfig = MetricsConfig()
    search: SearchConfig | None = None

    @property
    def total_images(self) -> int:
        """Length of the run in pairs; known once resolved."""
        assert self.training.images is not None
        return self.training.images

    @property
    def split_seed(self) -> int:
        """What decides which images are held out."""
        return self.seed if self.data.split_seed is None else self.data.split_seed

    @property
    def device(self) -> str:
        """Where the networks are; known once resolved."""
        assert self.training.device != "auto"
        return self.training.device

    def to_yaml(self) -> str:
        """The text of a run's ``config.yaml``."""
        return yaml.safe_dump(self.model_dump(mode="json", by_alias=True), sort_keys=False, allow_unicode=True)

    def changed(self, other: "RunConfig") -> list[str]:
        """``key: mine → theirs`` for everything in which two configs differ."""
        mine, theirs = (_flatten(config.model_dump(mode="json", by_alias=True)) for config in (self, other))
        keys = [*mine, *(key for key in theirs if key not in mine)]
        return [f"{key}: {mine.get(key)} → {theirs.get(key)}" for key in keys if mine.get(key) != theirs.get(key)]


# ── presets ──────────────────────────────────────────────────────────────────────────────────────────────────────────

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
    overrides = dict(parse_setting(setting) for setting in settings)
    for key in overrides:
        _refuse_foreign(kind, key)
    for one, other in (("training.images", "training.epochs"), ("training.epochs", "training.images")):
        if one in overrides and other not in overrides:
            values.pop(other, None)
    values.update(overrides)
    document = _nest({"kind": kind, **({"search": {}} if kind == "search" else {})}, values)
    return _validate(document)


FOREIGN = {"search": ("metrics.select", "training.inherit"), "train": ("search", "nets.mixing")}


def _refuse_foreign(kind: str, key: str) -> None:
    """A key that the command would ignore, or that is not the user's to set, is an error."""
    if key.split(".")[0] in ("kind", "schema", "architecture"):
        raise ConfigError(f"--set cannot change {key}: it follows from the command")
    if any(key == name or key.startswith(f"{name}.") for name in FOREIGN[kind]):
        raise ConfigError(f"{key} has no meaning for ganas {kind}: leave it out")
    if key in ("search", "data", "nets", "loss", "training", "metrics"):
        raise ConfigError(f"--set {key} names a whole section: set its keys, as in {key}.KEY=VALUE")


def parse_setting(setting: str) -> tuple[str, Any]:
    """``section.key=value`` -> the key and the value, read as YAML; raises `ConfigError`."""
    key, separator, text = setting.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"--set takes section.key=value, as in --set training.lr=1e-4; got {setting!r}")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError(f"--set {key}: cannot read the value {text!r}") from None
    return key.strip(), _number(value)


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-4 as text; here it is a number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def load_config(text: str | bytes, origin: str) -> RunConfig:
    """Read a ``config.yaml``; raises `ConfigError` that names `origin`."""
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError(f"{origin} is not readable YAML: take an intact copy of it") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{origin} holds no config: take an intact copy of it")
    if isinstance(document.get("schema"), int) and document["schema"] > SCHEMA:
        raise ConfigError(f"{origin} has schema {document['schema']}, newer than this ganas knows: update ganas")
    try:
        return _validate(document)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from None


def resolve(
    config: RunConfig,
    *,
    epoch_images: int,
    digests: tuple[str, str],
    cores: int,
    cuda: bool,
    fast_bf16: bool,
) -> RunConfig:
    """Fill in what depends on the data (an epoch is max(|A|, |B|) pairs) and on the machine."""
    training = config.training
    images = training.images or epoch_images * (training.epochs or 1)
    device = ("cuda" if cuda else "cpu") if training.device == "auto" else training.device
    precision = ("bf16" if fast_bf16 else "float32") if training.precision == "auto" else training.precision
    select = ("kid" if config.metrics.features else "swd") if config.metrics.select == "auto" else config.metrics.select
    data = config.data.model_copy(
        update={
            "a": config.data.a.absolute(),
            "b": config.data.b.absolute(),
            "test_a": config.data.test_a.expanduser().absolute() if config.data.test_a else None,
            "test_b": config.data.test_b.expanduser().absolute() if config.data.test_b else None,
            "digest_a": digests[0],
            "digest_b": digests[1],
        }
    )
    inherit = training.inherit.absolute() if training.inherit else None
    features = _absolute_features(config.metrics.features)
    length = ceil(images / training.batch) * training.batch
    return config.model_copy(
        update={
            "data": data,
            "training": training.model_copy(
                update={
                    "images": length,
                    "epochs": None,
                    "device": device,
                    "precision": precision,
                    "threads": training.threads or cores,
                    "inherit": inherit,
                }
            ),
            "metrics": config.metrics.model_copy(update={"select": select, "features": features}),
        }
    )


def _absolute_features(features: str | None) -> str | None:
    """NAME:PATH with an absolute path, so that the same command from another folder means the same."""
    name, separator, path = (features or "").partition(":")
    return f"{name}:{Path(path).expanduser().absolute()}" if separator else features


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


def _validate(document: dict[str, Any]) -> RunConfig:
    try:
        return RunConfig.model_validate(document)
    except ValidationError as error:
        raise ConfigError("; ".join(_describe(detail) for detail in error.errors()[:3])) from None


def _describe(detail: Any) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"unknown key {key!r}: {_known_keys(detail['loc'])}"
    message = detail["msg"].removeprefix("Value error, ")
    if not key or detail["type"] == "value_error":
        return str(message)
    return f"{key}: {message[0].lower()}{message[1:]}, got {detail['input']!r}"


def _known_keys(location: tuple[int | str, ...]) -> str:
    section: Any = RunConfig
    for part in location[:-1]:
        field = section.model_fields.get(str(part))
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())] if field else []
        section = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), RunConfig)
    return f"{'.'.join(map(str, location[:-1])) or 'a config'} has {', '.join(section.model_fields)}"


def _flatten(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
