"""The config of ``ganas search`` and ``ganas train``."""

from math import ceil
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ganas.config import (
    FREE,
    Config,
    Count,
    DataFacts,
    FilePath,
    Fraction,
    LearningConfig,
    Located,
    Positive,
    Rate,
    ScoringConfig,
    Section,
    Weight,
    Width,
    one_of,
    resolve_sections,
)
from ganas.cyclegan.sampling import SAMPLERS
from ganas.cyclegan.strategies import DERIVATIONS, STRATEGIES
from ganas.data.limits import VERIFIED
from ganas.learning.adversarial import adversarial_names
from ganas.learning.trackers import TRACKERS
from ganas.machine import Machine
from ganas.metrics.measurement import is_paired, selecting_metrics

DiscriminatorName = Literal["searched", "patchgan"]


class DataConfig(Section):
    """Which images, and how they are preprocessed."""

    a: Annotated[FilePath, Located("data.digest_a")]  # folder or zip of domain A
    b: Annotated[FilePath, Located("data.digest_b")]  # folder or zip of domain B
    resolution: Positive = 64  # side in training, in pixels
    load_scale: Annotated[float, Field(ge=1, le=16)] = 1.12  # shorter side: resolution × this, before the random crop
    flip: bool = True  # mirror half of the images
    # test images to score on instead of those held out, with metrics.split=test
    test_a: Annotated[FilePath | None, Located("data.digest_test")] = None
    test_b: Annotated[FilePath | None, Located("data.digest_test")] = None
    digest_test: str | None = None  # of both, filled in
    # folder of pairs (valA and valB, testA and testB, or A and B, with the same names) to score on, too
    pairs: Annotated[FilePath | None, Located("data.digest_pairs")] = None
    digest_pairs: str | None = None  # filled in
    split_seed: Count | None = None  # selects the held-out images; None: the run's seed
    validation: Count = 100  # images of each domain held out to select a checkpoint; at most a tenth of the domain
    # take so many images of each domain, chosen at random by the split_seed; None: all
    limit: Annotated[int, Field(ge=2)] | None = None
    skip_bad: Annotated[bool, FREE] = False  # skip unreadable files; the digest covers the others
    # images up to which all are decoded before training; of more, a sample is, and the digest is of names, sizes, times
    verify: Annotated[Positive, FREE] = VERIFIED
    white: Rate | None = None  # white level of images with more than 8 bits; None: by their tags and values
    icc: bool = True  # convert color profiles other than sRGB to sRGB
    # decoded images are kept in memory up to this size; beyond it, workers decode them again
    cache_mib: Annotated[Count, FREE] = 2048
    workers: Annotated[Count, FREE] = 2  # processes that decode, when the images do not fit the cache
    digest_a: str | None = None  # of the images, filled in: a resume notices changes
    digest_b: str | None = None

    def held_out(self, count: int) -> int:
        return min(self.validation, count // 10)


class NetsConfig(Section):
    """The sizes of the networks, and how a supernet mixes its ops."""

    layout: str = "framed"
    width: Width = 16.0  # of the generators; their encoders output 4 × width channels
    width_ab: Width | None = None  # of one generator; None: width
    width_ba: Width | None = None
    discriminator_width: Width = 64.0  # channels of the discriminators' first slot
    discriminator: DiscriminatorName = "searched"  # train: patchgan uses hand-made ones instead
    # merged: the ops of a supernet's slot share convolutions; naive: each op is computed by itself
    mixing: Literal["merged", "naive"] = "merged"

    def width_of(self, network: str) -> float:
        if network.startswith("discriminator"):
            return self.discriminator_width
        return (self.width_ab if network.endswith("ab") else self.width_ba) or self.width


class LossConfig(Section):
    """Equation 4: the adversarial loss and the weight of each term."""

    adversarial: Annotated[str, one_of(lambda: adversarial_names(penalty=False))] = "lsgan"
    adversarial_ab: Weight = 1.0
    adversarial_ba: Weight = 1.0
    cycle: Weight = 10.0
    identity_ab: Weight = 5.0
    identity_ba: Weight = 5.0
    pool: Count = 50  # earlier fakes that a discriminator may see again; 0: only new ones


class DistillationConfig(Section):
    """A trained translator that the generators also learn from."""

    # run of ganas train, or its model folder, with a generator of each direction; None: no distillation
    teacher: Annotated[FilePath | None, Located("distillation.digest")] = None
    digest: str | None = None  # of its generators, filled in
    # weight of the L1 distance to the teacher's image; as that of the cycle. 0: none
    image: Weight = 10.0
    # of the mean L1 distance to its features, whose values are about 1: the term starts about as large as that of the
    # images, which differ by about 0.1. 0: none
    features: Weight = 1.0

    @model_validator(mode="after")
    def _needs_a_teacher(self) -> Self:
        for name in ("image", "features"):
            if self.teacher is None and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"distillation.{name} needs a teacher: give --teacher RUN")
        return self


class SearchConfig(Section):
    """How architecture weights are sampled and learned."""

    strategy: Annotated[str, one_of(lambda: STRATEGIES)] = "of"  # which parameters learn when, from which images
    sampling: Annotated[str, one_of(lambda: SAMPLERS)] = "softmax"
    # how ops are chosen in the end. argmax: by their alphas, as in the paper; projection: by how much the loss on
    # held-out images rises when a slot keeps only what the op can represent, within the budget, or else within the
    # parameters of the hand-made network
    derive: Annotated[str, one_of(lambda: DERIVATIONS)] = "argmax"
    temperature_start: Rate = 5.0  # of Gumbel sampling
    temperature_end: Rate = 0.1
    warmup: Fraction = 0.0  # share of the images before the alphas learn; 0, as in the paper: they learn from the first
    alpha_lr: Rate | None = None  # Adam's learning rate for the alphas; None: that of the weights, as in the paper
    budget: Literal["params", "macs", "ms"] | None = None  # of each generator; ms: per image, on this machine
    budget_ab: Rate | None = None  # the limit; None: no limit
    budget_ba: Rate | None = None
    budget_width: Width | None = None  # generator width at which the limit holds; None: that of the search
    budget_weight: Weight = 0.3  # λ of the penalty while a generator's leading ops exceed its budget
    # strategy sampled: translators of a front, from tiny to full, for each direction
    points: Annotated[int, Field(ge=2)] = 6
    population: Annotated[int, Field(ge=2)] = 32  # subnetworks of a generation of the evolution
    generations: Positive = 20
    latency_resolution: Positive = 256  # side of the image that milliseconds are of, on one thread

    @model_validator(mode="after")
    def _whole_budget(self) -> Self:
        if (self.budget is None) != (self.budget_ab is None and self.budget_ba is None):
            raise ValueError("search.budget is the unit, search.budget_ab and search.budget_ba the limits: give both")
        if self.budget is None and self.budget_width is not None:
            raise ValueError("search.budget_width needs a budget: give search.budget and a limit, too")
        if self.budget_width is not None and STRATEGIES[self.strategy].sandwich:
            raise ValueError(
                f"search.budget_width is for architectures that are trained at other widths; those of "
                f"search.strategy={self.strategy} have the width that they were found at: leave it out"
            )
        return self


class TrainingConfig(LearningConfig):
    """How long and how the networks of a CycleGAN train. Images are counted in pairs."""

    images: Positive | None = None  # pairs in total; a resumed run may raise it; None: from `epochs`
    epochs: Positive | None = None  # of max(|A|, |B|) pairs; converted to images once
    # recompute the generators' cells in the backward pass, bit-identical: less memory, more time
    checkpointing: Annotated[bool, FREE] = False
    compile: bool = False  # torch.compile the generators' training step; takes a minute at the start: docs/speed.md
    # of weights and activations; auto: the faster one on this machine
    memory_format: Literal["auto", "channels_last", "contiguous"] = "auto"
    inherit: FilePath | None = None  # run folder of a search: start from its supernet's weights where shapes agree
    evaluate_every: Positive = 2000  # affects which generator is selected
    # that show numbers and samples while the run goes on; wandb needs an account, or WANDB_MODE=offline
    trackers: Annotated[tuple[Annotated[str, one_of(lambda: TRACKERS)], ...], FREE] = ("tensorboard",)

    @model_validator(mode="after")
    def _exclusive(self) -> Self:
        if (self.images is None) == (self.epochs is None):
            raise ValueError("give either training.images or training.epochs")
        if self.compile and self.checkpointing:
            raise ValueError("training.compile and training.checkpointing exclude each other: give one of the two")
        return self

    def length(self, epoch_images: int) -> int:
        """Return the pairs in total, given those of an epoch: max(|A|, |B|)."""
        return self.images or epoch_images * (self.epochs or 1)


class MetricsConfig(ScoringConfig):
    """How a checkpoint is selected."""

    # auto: kid with a feature network, else swd; last: the last checkpoint, though scores are still recorded
    select: Annotated[str, one_of(lambda: ["auto", *selecting_metrics(paired=True), "last"])] = "auto"
    # images to score on; selection on test images is biased, and labelled as such
    # all: held-out images, compared with all images of the other domain instead of up to 500 training images
    split: Literal["validation", "test", "all"] = "validation"
    # what translations are compared with. training: up to 500 training images of the other domain, or all with
    # split=all; scored, as the authors do: the images of the other domain that are scored themselves
    reference: Literal["training", "scored"] = "training"

    @model_validator(mode="after")
    def _one_reference(self) -> Self:
        if self.split == "all" and self.reference == "scored":
            raise ValueError(
                "metrics.split=all compares with all images, metrics.reference=scored with those that are scored: give "
                "one of the two"
            )
        return self


class RunConfig(Config):
    """The complete config of ``ganas search`` or ``ganas train``."""

    kind: Literal["search", "train"]
    architecture: str | None = None  # train: id of the architecture, whose ops are in architecture.json
    data: DataConfig
    nets: NetsConfig = NetsConfig()
    loss: LossConfig = LossConfig()
    distillation: DistillationConfig = DistillationConfig()
    training: TrainingConfig
    metrics: MetricsConfig = MetricsConfig()
    search: SearchConfig | None = None

    @model_validator(mode="after")
    def _pairs_to_select_by(self) -> Self:
        if is_paired(self.metrics.select) and self.data.pairs is None:
            raise ValueError(f"metrics.select={self.metrics.select} compares pairs: give them with --paired DIR")
        return self

    @classmethod
    def completed(cls, document: dict[str, Any]) -> dict[str, Any]:
        """Runs stored without a memory format were channels-last."""
        training = document.get("training")
        if not isinstance(training, dict):
            return document
        return {**document, "training": {"memory_format": "channels_last", **training}}

    @model_validator(mode="after")
    def _compiled_or_distilled(self) -> Self:
        if self.training.compile and self.distillation.teacher:
            raise ValueError("training.compile is not for distillation, which looks into the networks: leave one out")
        return self

    @property
    def total_images(self) -> int:
        """Length of the run, in pairs; known once resolved."""
        assert self.training.images is not None
        return self.training.images

    @property
    def split_seed(self) -> int:
        """The seed that selects the held-out images."""
        return self.seed if self.data.split_seed is None else self.data.split_seed


def resolve(config: RunConfig, machine: Machine, data: DataFacts) -> RunConfig:
    """Fill in what depends on the machine and on the data."""
    training, metrics = config.training, config.metrics
    device = machine.device(training.device)
    best = machine.memory_format(config.kind, device, machine.precision(device, training.precision))
    images = training.length(data.epoch_images)
    update = {
        "training.images": ceil(images / training.batch) * training.batch,
        "training.epochs": None,
        "training.inherit": training.inherit and training.inherit.absolute(),
        "training.memory_format": best if training.memory_format == "auto" else training.memory_format,
        "metrics.select": default_metric(metrics.features) if metrics.select == "auto" else metrics.select,
    }
    return resolve_sections(config, machine, data, update)


def default_metric(features: str | None) -> str:
    """The metric that best separates translators: KID with a feature network, for few images; else SWD."""
    return "kid" if features else "swd"
