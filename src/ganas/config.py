"""What a run is told, in frozen sections.

A value is decided in this order, the later the stronger: the defaults below, the preset, flags of the command,
``--set`` (`ganas.presets`). `resolve` then fills in what depends on the data and the machine, and the result is the
run's ``config.yaml``: it is all that a resume, or another machine, needs to know.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from math import ceil
from pathlib import Path, PurePath
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from ganas.errors import ConfigError, shown
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
    if path == "":  # which pathlib takes for the current folder
        raise PydanticCustomError("empty_path", "input should be a path")
    return path


Place = Annotated[Path, BeforeValidator(_refuse_empty)]


@dataclass(frozen=True)
class Adjustable:
    """Marks a value that may change when a run goes on."""

    effect: str = ""  # on what it comes to, for people; empty: none


FREE = Adjustable()


class Section(BaseModel):
    """Frozen, and without room for unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(Section):
    """Which images, and what is done to them before a network sees them."""

    a: Place  # folder or zip of domain A
    b: Place  # folder or zip of domain B
    resolution: Positive = 64  # pixels a side in training
    load_scale: Annotated[float, Field(ge=1, le=16)] = 1.12  # shorter side: resolution × this, before the random crop
    flip: bool = True  # mirror half of the images
    test_a: Place | None = None  # images to measure on instead of those held out: metrics.split=test
    test_b: Place | None = None
    digest_test: str | None = None  # of both, filled in
    split_seed: Count | None = None  # of the choice of those held out; None: the run's seed
    validation: Count = 100  # images held out of each domain to choose a checkpoint by; at most a tenth of the domain
    skip_bad: Annotated[bool, FREE] = False  # go on without the files that cannot be read; the digest tells the others
    white: Rate | None = None  # the value that is white, of more than 8 bits; None: tags and values of the set tell
    icc: bool = True  # convert colour profiles other than sRGB to it
    # decoded images are kept in memory up to here; beyond, workers decode them again
    cache_mib: Annotated[Count, FREE] = 2048
    workers: Annotated[Count, FREE] = 2  # processes that decode, when the images do not fit the cache
    digest_a: str | None = None  # of the images, filled in: a resume notices that they changed
    digest_b: str | None = None

    def held_out(self, count: int) -> int:
        """How many of a domain's images are not learned from."""
        return min(self.validation, count // 10)


class NetsConfig(Section):
    """How large the networks are, and how a supernet mixes its ops."""

    layout: str = "framed"
    width: Width = 16.0  # of the generators; their encoders put out 4 × width channels
    width_ab: Width | None = None  # of one generator alone; None: width
    width_ba: Width | None = None
    discriminator_width: Width = 64.0  # channels of the discriminators' first slot
    discriminator: Literal["searched", "patchgan"] = "searched"  # train: patchgan takes hand-made ones instead
    # of a supernet's slot: merged shares convolutions among ops as a count says, timed as a measurement at the start
    # says, which is kept in the run; naive computes every op by itself
    mixing: Literal["merged", "timed", "naive"] = "merged"

    def width_of(self, network: str) -> float:
        """The width of a network by its name."""
        if network.startswith("discriminator"):
            return self.discriminator_width
        return (self.width_ab if network.endswith("ab") else self.width_ba) or self.width


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

    strategy: Literal["of", "tf", "th", "ths"] = "of"  # who learns when, from what: ganas.searching.oneshot
    sampling: Literal["softmax", "gumbel"] = "softmax"
    temperature_start: Rate = 5.0  # of Gumbel sampling
    temperature_end: Rate = 0.1
    warmup: Fraction = 0.0  # share of the images before the alphas learn; 0, as in the paper: from the first
    alpha_lr: Rate | None = None  # Adam's, for the alphas; None: that of the weights, as in the paper
    budget: Literal["params", "macs", "ms"] | None = None  # of each generator; ms: for one image, measured here
    budget_ab: Rate | None = None  # how many; None: no limit
    budget_ba: Rate | None = None
    budget_width: Width | None = None  # at which a generator has to keep to it; None: that of the search
    budget_weight: Weight = 0.3  # λ of the penalty while a generator's leading ops take more than its budget

    @model_validator(mode="after")
    def _whole_budget(self) -> Self:
        if (self.budget is None) != (self.budget_ab is None and self.budget_ba is None):
            raise ValueError("search.budget says of what, search.budget_ab and search.budget_ba how much: give both")
        if self.budget is None and self.budget_width is not None:
            raise ValueError("search.budget_width is of a budget: give search.budget and how much, too")
        return self


class LearningConfig(Section):
    """What every training has: how networks learn, on what, and what is kept on the way. Time is counted in images."""

    batch: Positive = 1
    lr: Rate = 2e-4
    betas: tuple[Momentum, Momentum] = (0.5, 0.999)
    decay: Fraction = 0.5  # the share of the images, at the end, over which the learning rate falls to zero
    ema_half_life: Rate | None = None  # images; None: no moving average of the generators
    precision: Literal["auto", "float32", "bf16"] = "auto"  # auto: bf16 where the machine is fast at it
    device: str = "auto"  # auto: cuda when there is one
    # of the CPU; None: what OMP_NUM_THREADS says, else all cores
    threads: Annotated[Positive | None, Adjustable("results may differ in the last bits from here on")] = None
    log_every: Annotated[Positive, FREE] = 400  # images, as all intervals
    sample_every: Annotated[Positive, FREE] = 2000
    checkpoint_every: Annotated[Positive, FREE] = 2000


class TrainingConfig(LearningConfig):
    """How long and how the networks of a CycleGAN learn. Images are pairs here."""

    images: Positive | None = None  # pairs to see in all, more when a run goes on; None: as many as `epochs` say
    epochs: Positive | None = None  # of max(|A|, |B|) pairs; converted to images once
    # compute the generators' cells again in the backward pass, to the same bit: less memory, more time
    checkpointing: Annotated[bool, FREE] = False
    compile: bool = False  # the generators' training step by torch.compile, a minute at the start: docs/speed.md
    inherit: Place | None = None  # a search's run folder: start from its supernet's weights where shapes agree
    evaluate_every: Positive = 2000  # which generator is chosen depends on it

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

    # auto: kid with a feature network, else swd; last: by none, though scores are written down all the same
    select: Literal["auto", "fid", "kid", "swd", "last"] = "auto"
    features: str | None = None  # specification of a feature network, as squeezenet:weights.safetensors
    digest: str | None = None  # of its weights, filled in: scores of others would not be comparable
    split: Literal["validation", "test"] = (
        "validation"  # what is measured; choosing on test images flatters, and is labelled
    )

    @model_validator(mode="after")
    def _measurable(self) -> Self:
        _refuse_distance_without_network(self.select, self.features)
        return self


def _refuse_distance_without_network(select: str, features: str | None) -> None:
    if select in ("fid", "kid") and not features:
        raise ValueError(f"metrics.select={select} needs a feature network: give --features")


# Where files lie, and the digest that tells them by what is in them.
PLACES = {
    "data.a": "data.digest_a",
    "data.b": "data.digest_b",
    "data.test_a": "data.digest_test",
    "data.test_b": "data.digest_test",
    "data.images": "data.digest",
    "metrics.features": "metrics.digest",
}


class Change(NamedTuple):
    """A value in which two configs differ."""

    key: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.key}: {shown(str(self.before))} → {shown(str(self.after))}"


class Config(Section):
    """What every run is told, whatever it is a run of."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    kind: str
    seed: Seed = 0

    def to_yaml(self) -> str:
        """The text of a run's ``config.yaml``."""
        return yaml.dump(self.model_dump(by_alias=True), Dumper=_Dumper, sort_keys=False, allow_unicode=True)

    def value(self, key: str) -> Any:
        """Of section.key."""
        return reduce(getattr, key.split("."), self)

    def changed(self, other: "Config") -> list[Change]:
        """Everything in which two configs differ, mine before and theirs after.

        Files that a digest tells by what is in them may lie elsewhere.
        """
        mine, theirs = (_flatten(config.model_dump(by_alias=True)) for config in (self, other))
        for place, digest in PLACES.items():
            if mine.get(digest) and mine[digest] == theirs.get(digest):
                for told in (mine, theirs):
                    told[place] = network_of(told[place]) if place == "metrics.features" else None
        keys = [key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)]
        return [Change(key, mine.get(key), theirs.get(key)) for key in keys]


class RunConfig(Config):
    """Everything a run of ``ganas search`` or ``ganas train`` is told."""

    kind: Literal["search", "train"]
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


# ── ganas grow ───────────────────────────────────────────────────────────────────────────────────────────────────────


class ImagesConfig(Section):
    """Which images a GAN learns to make."""

    images: Place  # folder or zip
    resolution: Positive = 32  # pixels a side at the end: 8 doubled as often as you like
    flip: bool = True  # mirror half of the images
    skip_bad: Annotated[bool, FREE] = False  # go on without the files that cannot be read; the digest tells the others
    white: Rate | None = None  # the value that is white, of more than 8 bits; None: tags and values of the set tell
    icc: bool = True  # convert colour profiles other than sRGB to it
    digest: str | None = None  # of the images, filled in: a resume notices that they changed


class BaseConfig(Section):
    """The networks at 8×8 that everything is grown onto."""

    latent: Positive = 512  # dimensions of z
    # of the base; several: as many initial candidates
    channels: Annotated[tuple[Filters, ...], Field(min_length=1)] = (512,)


class GrowthConfig(Section):
    """What may be grown, and how the search chooses (DGGAN, algorithm 1)."""

    sizes: Annotated[tuple[KernelSize, ...], Field(min_length=1)] = (3, 7)  # of kernels, odd
    filters: Annotated[tuple[Filters, ...], Field(min_length=1)] = (32, 64, 128, 256, 512, 1024)
    depth: Count = 8  # actions from the base to the end, fade-ins included
    keep: Positive = 20  # K: the best children that are the next parents
    probability: Annotated[float, Field(gt=0, le=1)] = 0.4  # p: that an action of a parent is tried
    # lower is better: the score over that of the ProgGAN route after as many images at the same resolution, the places
    # within each resolution in turn, or the score as it is
    rank_by: Literal["normalized", "per_resolution", "raw"] = "normalized"
    survival: Literal["best", "random"] = "best"  # random: parents are drawn; the baseline every search needs
    fade_images: Positive | None = None  # over which a doubling is blended in; None: half of a candidate's
    inherit_moments: bool = False  # Adam's, with the weights they belong to; measured: no clear difference
    inherit_average: bool = True  # the moving average goes on where the parent's stood
    route: tuple[str, ...] | None = None  # of --route: actions to follow instead of searching
    max_parameters: Positive | None = None  # of both networks together; None: any number
    max_macs: Positive | None = None  # of both networks together, for one image

    @model_validator(mode="after")
    def _odd_kernels(self) -> Self:
        if any(size % 2 == 0 for size in self.sizes):
            raise ValueError(f"growth.sizes are odd, so that the resolution stays: got {[*self.sizes]}")
        for name in ("sizes", "filters"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"growth.{name} holds a value twice: got {[*values]}")
        return self


class WassersteinConfig(Section):
    """The adversarial game of a grown GAN, and what keeps its discriminator in bounds."""

    adversarial: Literal["wgan", "lsgan", "bce", "hinge"] = "wgan"
    gradient: Weight = 10.0  # of the gradient penalty
    drift: Weight = 0.001  # of the squared scores of real images


class CandidateConfig(LearningConfig):
    """How each candidate learns, and how much longer the winner does."""

    images: Positive = 1_600_000  # that a candidate sees
    final_images: Count = 6_400_000  # more that the winner sees
    # seconds on the clock that a candidate may take; None: any number
    timeout: Annotated[Rate | None, FREE] = None


class ScoreConfig(Section):
    """What a candidate is worth: the distance of its images from real ones at its resolution, the lower the better."""

    select: Literal["auto", "fid", "kid", "swd"] = "auto"  # auto: fid with a feature network, else swd
    features: str | None = None  # specification of a feature network, as squeezenet:weights.safetensors
    digest: str | None = None  # of its weights, filled in: scores of others would not be comparable
    images: Annotated[int, Field(ge=2)] = 10_000  # made to be measured

    @model_validator(mode="after")
    def _measurable(self) -> Self:
        _refuse_distance_without_network(self.select, self.features)
        return self


class GrowConfig(Config):
    """Everything a run of ``ganas grow`` is told."""

    kind: Literal["grow"] = "grow"
    data: ImagesConfig
    base: BaseConfig = BaseConfig()
    growth: GrowthConfig = GrowthConfig()
    loss: WassersteinConfig = WassersteinConfig()
    training: CandidateConfig = CandidateConfig()
    metrics: ScoreConfig = ScoreConfig()

    @property
    def total_images(self) -> int:
        """Length of a training."""
        return self.training.images

    @property
    def device(self) -> str:
        """Where the networks are; known once resolved."""
        assert self.training.device != "auto"
        return self.training.device

    @property
    def search(self) -> None:
        """No alphas are learned here."""
        return None

    @property
    def fade_images(self) -> int:
        """Over which a doubling is blended in."""
        return self.growth.fade_images or self.training.images // 2

    @model_validator(mode="after")
    def _fits(self) -> Self:
        training, fade = self.training, self.fade_images
        if fade > training.images - training.batch:
            raise ValueError(
                f"growth.fade_images={fade} does not end within the training of a candidate: lower it, or raise "
                f"training.images={training.images}, which has to leave a batch of {training.batch} behind it"
            )
        return self


C = TypeVar("C", bound=Config)


class _Dumper(yaml.SafeDumper):
    """Writes paths as text, and escapes what is not printable: YAML reads some of it as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _write_text(dumper: yaml.SafeDumper, text: str | PurePath) -> yaml.ScalarNode:
    style = None if str(text).isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style)


_Dumper.add_representer(str, _write_text)
_Dumper.add_multi_representer(PurePath, _write_text)


def load_config(model: type[C], text: str | bytes, origin: str) -> C:
    """Read a ``config.yaml`` of a kind; raises `ConfigError` that names `origin`."""
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError(f"{origin} is not readable YAML: take an intact copy of it") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{origin} holds no config: take an intact copy of it")
    if isinstance(document.get("schema"), int) and document["schema"] > SCHEMA:
        raise ConfigError(f"{origin} has schema {document['schema']}, newer than this ganas knows: update ganas")
    kinds = get_args(model.model_fields["kind"].annotation)
    if "kind" in document and document["kind"] not in kinds:
        wanted = " or ".join(f"ganas {kind}" for kind in kinds)
        raise ConfigError(f"{origin} is of a run of ganas {document['kind']}, and one of {wanted} is wanted")
    try:
        return validate(model, document)
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
    settled = _settled(training, cores=cores, cuda=cuda, fast_bf16=fast_bf16)
    metrics = config.metrics
    select = default_metric(metrics.features) if metrics.select == "auto" else metrics.select
    data = config.data.model_copy(
        update={
            "a": config.data.a.absolute(),
            "b": config.data.b.absolute(),
            "test_a": config.data.test_a and config.data.test_a.absolute(),
            "test_b": config.data.test_b and config.data.test_b.absolute(),
            "digest_a": digests[0],
            "digest_b": digests[1],
        }
    )
    inherit = training.inherit and training.inherit.absolute()
    features = absolute_features(metrics.features)
    length = ceil(images / training.batch) * training.batch
    return config.model_copy(
        update={
            "data": data,
            "training": training.model_copy(update={"images": length, "epochs": None, "inherit": inherit} | settled),
            "metrics": metrics.model_copy(update={"select": select, "features": features}),
        }
    )


def default_metric(features: str | None) -> str:
    """What tells translators best with this feature network: KID, for few images; without one, SWD."""
    return "kid" if features else "swd"


def resolve_growth(
    config: GrowConfig, *, digest: str, features_digest: str | None, cuda: bool, fast_bf16: bool
) -> GrowConfig:
    """Fill in what depends on the data and on the machine. A candidate has one thread, whatever runs beside it."""
    training, metrics = config.training, config.metrics
    settled = _settled(training, cores=1, cuda=cuda, fast_bf16=fast_bf16)
    lengths = {
        name: ceil(count / training.batch) * training.batch
        for name, count in (("images", training.images), ("final_images", training.final_images))
    }
    select = ("fid" if metrics.features else "swd") if metrics.select == "auto" else metrics.select
    scores = {"select": select, "features": absolute_features(metrics.features), "digest": features_digest}
    return config.model_copy(
        update={
            "data": config.data.model_copy(update={"images": config.data.images.absolute(), "digest": digest}),
            "training": training.model_copy(update=settled | lengths),
            "metrics": metrics.model_copy(update=scores),
        }
    )


def _settled(training: LearningConfig, *, cores: int, cuda: bool, fast_bf16: bool) -> dict[str, Any]:
    """What is left to the machine."""
    return {
        "device": ("cuda" if cuda else "cpu") if training.device == "auto" else training.device,
        "precision": ("bf16" if fast_bf16 else "float32") if training.precision == "auto" else training.precision,
        "threads": training.threads or cores,
    }


def network_of(features: str | None) -> str | None:
    """NETWORK-PREPROCESSING-SIZE of a specification, without the place of its weights."""
    return features and features.partition(":")[0]


def absolute_features(features: str | None) -> str | None:
    """NAME:PATH with an absolute path, so that the same command from another folder means the same."""
    name, _, path = (features or "").partition(":")
    return f"{name}:{expanded(path).absolute()}" if path else features


def validate(model: type[C], document: dict[str, Any]) -> C:
    """A config of nested values; raises `ConfigError` in one line that names the value."""
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
    """Every value of a config by its key, section.key."""
    for name, field in model.model_fields.items():
        if section := _section(field):
            yield from fields(section, f"{prefix}{name}.")
        else:
            yield f"{prefix}{field.alias or name}", field


def types(annotation: Any) -> list[Any]:
    """The types that a value may have, `NoneType` among them, without what is annotated."""
    if get_origin(annotation) is Annotated:
        return types(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [found for one in get_args(annotation) for found in types(one)]
    return [annotation]


def adjustable(model: type[Config]) -> dict[str, Adjustable]:
    """What may change when a run goes on, by key."""
    marked = ((key, mark) for key, field in fields(model) for mark in field.metadata if isinstance(mark, Adjustable))
    return dict(marked)


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
