"""What a run of ``ganas search`` or ``ganas train`` is told."""

from math import ceil
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ganas.config import (
    FREE,
    Config,
    Count,
    Fraction,
    LearningConfig,
    Located,
    Place,
    Positive,
    Rate,
    Section,
    Weight,
    Width,
    absolute_features,
    machine_choices,
    refuse_distance_without_network,
)

DiscriminatorName = Literal["searched", "patchgan"]
Sampling = Literal["softmax", "gumbel"]


class DataConfig(Section):
    """Which images, and what is done to them before a network sees them."""

    a: Annotated[Place, Located("data.digest_a")]  # folder or zip of domain A
    b: Annotated[Place, Located("data.digest_b")]  # folder or zip of domain B
    resolution: Positive = 64  # pixels a side in training
    load_scale: Annotated[float, Field(ge=1, le=16)] = 1.12  # shorter side: resolution × this, before the random crop
    flip: bool = True  # mirror half of the images
    # images to measure on instead of those held out: metrics.split=test
    test_a: Annotated[Place | None, Located("data.digest_test")] = None
    test_b: Annotated[Place | None, Located("data.digest_test")] = None
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
    discriminator: DiscriminatorName = "searched"  # train: patchgan takes hand-made ones instead
    # of a supernet's slot: merged shares convolutions among ops, naive computes every op by itself
    mixing: Literal["merged", "naive"] = "merged"

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

    strategy: Literal["of", "tf", "th", "ths"] = "of"  # who learns when, from what: ganas.cyclegan.search
    sampling: Sampling = "softmax"
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
    # specification of a feature network, as squeezenet:weights.safetensors
    features: Annotated[str | None, Located("metrics.digest")] = None
    digest: str | None = None  # of its weights, filled in: scores of others would not be comparable
    split: Literal["validation", "test"] = (
        "validation"  # what is measured; choosing on test images flatters, and is labelled
    )

    @model_validator(mode="after")
    def _measurable(self) -> Self:
        refuse_distance_without_network(self.select, self.features)
        return self


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
    chosen = machine_choices(training, cores=cores, cuda=cuda, fast_bf16=fast_bf16)
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
            "training": training.model_copy(update={"images": length, "epochs": None, "inherit": inherit} | chosen),
            "metrics": metrics.model_copy(update={"select": select, "features": features}),
        }
    )


def default_metric(features: str | None) -> str:
    """What tells translators best with this feature network: KID, for few images; without one, SWD."""
    return "kid" if features else "swd"
