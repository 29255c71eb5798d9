"""The config of ``ganas grow``."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from math import ceil
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ganas.config import (
    FREE,
    Config,
    Count,
    DataFacts,
    FilePath,
    Filters,
    KernelSize,
    LearningConfig,
    Located,
    Positive,
    Rate,
    ScoringConfig,
    Section,
    Weight,
    one_of,
    resolve_sections,
)
from ganas.data.limits import VERIFIED
from ganas.growing.actions import FMAP_BASE, FULL_WIDTH, Doublings, Fade
from ganas.growing.architecture import BASE
from ganas.growing.autogan import FOUND
from ganas.growing.strategy import GrowingStrategy
from ganas.growing.topk import RACE, RankBy, TopK
from ganas.learning.adversarial import adversarial_names
from ganas.machine import Machine
from ganas.metrics.measurement import selecting_metrics

SMALLEST_SWD = 8  # pixels a side that the sliced Wasserstein distance needs

# called with initial architectures and space, and with images, keep, probability, seed and rank_by by name
STRATEGIES: Mapping[str, Callable[..., GrowingStrategy]] = {
    "topk": TopK,
    "racing": partial(TopK, rungs=RACE),
    "random": partial(TopK, random=True),
}


class ImagesConfig(Section):
    """Which images a GAN learns to generate."""

    images: Annotated[FilePath, Located("data.digest")]  # folder or zip
    resolution: Positive = 32  # final side in pixels: that of the base, doubled any number of times
    flip: bool = True  # mirror half of the images
    limit: Annotated[int, Field(ge=2)] | None = None  # take so many images, chosen at random by the seed; None: all
    skip_bad: Annotated[bool, FREE] = False  # skip unreadable files; the digest covers the others
    # images up to which all are decoded before training; of more, a sample is, and the digest is of names, sizes, times
    verify: Annotated[Positive, FREE] = VERIFIED
    # decoded images are kept in the run's images.npy up to this size; beyond it, they are decoded again
    cache_mib: Annotated[Count, FREE] = 32_768
    white: Rate | None = None  # white level of images with more than 8 bits; None: by their tags and values
    icc: bool = True  # convert color profiles other than sRGB to sRGB
    digest: str | None = None  # of the images, filled in: a resume notices changes


class BaseConfig(Section):
    """The small networks that everything is grown onto."""

    latent: Positive = 512  # dimensions of z
    # instead of networks that grow: those that AutoGAN found, as its authors name them; channels are its generator's
    autogan: Annotated[str, one_of(lambda: FOUND)] | None = None
    resolution: Literal[4, 8] = BASE  # side of their images; DGGAN starts at 8×8, ProgGAN at 4×4
    # of the base; several values: one initial candidate each
    channels: Annotated[tuple[Filters, ...], Field(min_length=1)] = (512,)


class GrowthConfig(Section):
    """The search space, and how the search selects (DGGAN, algorithm 1)."""

    sizes: Annotated[tuple[KernelSize, ...], Field(min_length=1)] = (3, 7)  # kernel sizes, odd
    filters: Annotated[tuple[Filters, ...], Field(min_length=1)] = (32, 64, 128, 256, 512, 1024)
    train_on: bool = False  # more training without a change is an action, too
    depth: Count = 8  # actions from the base to the final networks, including fade-ins
    keep: Positive = 20  # K: number of best children that become the next parents
    probability: Annotated[float, Field(gt=0, le=1)] = 0.4  # p: probability that a parent's action is tried
    # late: as in the paper, at any time, at the latest when only doublings are left; even: after an equal share of the
    # growths; early: before any. With even and early a generation has one resolution
    doublings: Doublings = "late"
    # filters of a doubling to r > 32 pixels: at most 2·fmap_base/r, as in ProgGAN (512 at 32, then 256, 128, ...), and
    # at most the current width; None: the current width
    fmap_base: Positive | None = FMAP_BASE
    # lower is better; normalized: the score divided by that of the ProgGAN route after as many images at the same
    # resolution; per_resolution: the ranks within each resolution, interleaved; raw: the score itself; pooled:
    # predicted from its growths by all candidates so far, plus half of its own residual;
    # auto: per_resolution in a race or with even or early doublings, else normalized
    rank_by: RankBy | Literal["auto"] = "auto"
    # topk: algorithm 1; racing: candidates stop at a quarter and at half of their images, but for the best; random:
    # random parents, the baseline every search needs
    strategy: Annotated[str, one_of(lambda: STRATEGIES)] = "topk"
    # how many of the best are trained three more times from their parents, with seeds in common, before the winner is
    # chosen by the mean of these scores; 0: the winner is the best by its only score
    finalists: Count = 0
    # which growths are faded in; doublings, as in the paper: a new convolution is there at once
    fade: Fade = "doublings"
    # over which a growth is faded in; None: half of a candidate's images; a fifth in a race or with fade=every
    fade_images: Positive | None = None
    inherit_moments: bool = False  # Adam's moments, with their weights; measured: no clear difference
    inherit_average: bool = True  # continue the parent's EMA
    route: tuple[str, ...] | None = None  # from --route: actions to follow instead of searching
    max_parameters: Positive | None = None  # of both networks together; None: no limit
    max_macs: Positive | None = None  # of both networks together, for one image

    @model_validator(mode="after")
    def _odd_kernels(self) -> Self:
        if any(size % 2 == 0 for size in self.sizes):
            raise ValueError(f"growth.sizes must be odd, to keep the resolution: got {[*self.sizes]}")
        if self.finalists == 1:
            raise ValueError("growth.finalists must be 0, or 2 or more to choose from: got 1")
        for name in ("sizes", "filters"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"growth.{name} contains a duplicate: got {[*values]}")
        return self


class GrowingLossConfig(Section):
    """The adversarial loss of a grown GAN, and the regularization of its discriminator."""

    adversarial: Annotated[str, one_of(lambda: adversarial_names(penalty=True))] = "wgan"
    gradient: Weight = 10.0  # λ of the gradient penalty (Gulrajani et al. 2017)
    drift: Weight = 0.001  # λ of the squared scores of real images (Karras et al. 2018)
    zero_centered: Weight = 0.0  # γ of R1 and R2, the squared gradients at real and at fake images

    @model_validator(mode="before")
    @classmethod
    def _penalties_of_the_loss(cls, values: Any) -> Any:
        """The relativistic loss comes with the penalties of R3GAN instead of those of WGAN, unless they are given."""
        if isinstance(values, dict) and values.get("adversarial") == "relativistic":
            return {"gradient": 0.0, "drift": 0.0, "zero_centered": 1.0} | values
        return values


class CandidateConfig(LearningConfig):
    """How each candidate is trained, and how much longer the winner is."""

    images: Positive = 1_600_000  # training images of a candidate
    # RESOLUTION:BATCH, smaller batches from a resolution on, for the memory of a GPU (Karras et al. 2018)
    batches: tuple[Annotated[str, Field(pattern=r"^[1-9]\d*:[1-9]\d*$")], ...] = ()
    final_images: Count = 6_400_000  # additional training images of the winner
    final_evaluations: Positive = 8  # scores on the way; the weights with the best one are kept
    patience: Count = 0  # the additional training ends after so many scores that are no better; 0: never
    critic_steps: Positive = 1  # of the discriminator for each step of the generator
    generator_batch: Positive | None = None  # images of a generator's step; None: batch
    # wall-clock seconds that a candidate may take; None: no limit
    timeout: Annotated[Rate | None, FREE] = None


class ScoreConfig(ScoringConfig):
    """The score of a candidate: the distance of its images from real ones at its resolution; lower is better."""

    # auto: fid with a feature network, else swd
    select: Annotated[str, one_of(lambda: ["auto", *selecting_metrics(paired=False)])] = "auto"
    images: Annotated[int, Field(ge=2)] = 10_000  # generated for the score


class GrowConfig(Config):
    """The complete config of ``ganas grow``."""

    kind: Literal["grow"] = "grow"
    data: ImagesConfig
    base: BaseConfig = BaseConfig()
    growth: GrowthConfig = GrowthConfig()
    loss: GrowingLossConfig = GrowingLossConfig()
    training: CandidateConfig = CandidateConfig()
    metrics: ScoreConfig = ScoreConfig()

    @classmethod
    def completed(cls, document: dict[str, Any]) -> dict[str, Any]:
        """``growth.strategy`` was ``growth.survival`` once, and topk its best; doublings kept the width."""
        growth, data = document.get("growth"), document.get("data")
        if not isinstance(growth, dict) or not isinstance(data, dict):
            return document
        kept = {key: value for key, value in growth.items() if key != "survival"}
        if "survival" in growth:
            kept = {"strategy": growth["survival"].replace("best", "topk"), **kept}
        if isinstance(side := data.get("resolution"), int) and side > FULL_WIDTH:  # below, widths are what they were
            kept = {"fmap_base": None, **kept}
        return {**document, "growth": kept}

    @property
    def total_images(self) -> int:
        """Length of a candidate's training, in images."""
        return self.training.images

    @property
    def rank_by(self) -> RankBy:
        """What candidates are ranked by."""
        growth = self.growth
        if growth.rank_by != "auto":
            return growth.rank_by
        return "per_resolution" if growth.doublings != "late" or growth.strategy == "racing" else "normalized"

    @property
    def fade_images(self) -> int:
        """Images over which a growth is faded in."""
        soon = self.growth.fade == "every" or self.growth.strategy == "racing"
        return self.growth.fade_images or self.whole_batches // (5 if soon else 2)

    def batch_at(self, resolution: int) -> int:
        """Images of a batch at a resolution."""
        reached = {side: batch for side, batch in self._batches.items() if side <= resolution}
        return reached[max(reached)] if reached else self.training.batch

    @property
    def _batches(self) -> dict[int, int]:
        return {int(side): int(batch) for side, _, batch in (text.partition(":") for text in self.training.batches)}

    @property
    def selected_metric(self) -> str:
        """The metric of candidates."""
        metrics = self.metrics
        return ("fid" if metrics.features else "swd") if metrics.select == "auto" else metrics.select

    @property
    def whole_batches(self) -> int:
        """Images of a candidate's training, in whole batches."""
        return ceil(self.training.images / self.training.batch) * self.training.batch

    @model_validator(mode="after")
    def _fits(self) -> Self:
        training, growth, fade = self.training, self.growth, self.fade_images
        for side, batch in self._batches.items():
            if training.batch % batch:
                raise ValueError(
                    f"training.batches: {batch} at {side} pixels must divide training.batch={training.batch}, so that "
                    f"candidates of all resolutions are trained on as many images"
                )
        if growth.strategy == "racing" and growth.rank_by == "normalized":
            raise ValueError(
                "growth.strategy=racing compares candidates in training, where the ProgGAN route has no scores: give "
                "growth.rank_by=pooled, per_resolution or raw"
            )
        if growth.rank_by == "pooled" and growth.doublings == "late":
            raise ValueError(
                "growth.rank_by=pooled compares candidates of one resolution: give growth.doublings=even or early with "
                "it"
            )
        if self.base.resolution < SMALLEST_SWD and self.selected_metric == "swd":
            raise ValueError(
                f"base.resolution={self.base.resolution}: metrics.select=swd needs images of {SMALLEST_SWD} pixels or "
                f"more: give --features, or base.resolution={SMALLEST_SWD}"
            )
        if self.loss.adversarial == "relativistic" and training.generator_batch not in (None, training.batch):
            raise ValueError(
                f"training.generator_batch={training.generator_batch}: the relativistic loss compares each generated "
                f"image with a real one of the batch of {training.batch}: leave it out"
            )
        if self.base.autogan and len(self.base.channels) > 1:
            raise ValueError(f"base.autogan takes one value of base.channels, got {[*self.base.channels]}")
        first = int(self.whole_batches * RACE[0].share)
        if growth.strategy == "racing" and fade > first - training.batch:
            raise ValueError(
                f"growth.fade_images={fade} does not end before candidates are first compared, after {first} images: "
                f"lower it, or raise training.images={training.images}"
            )
        if fade > self.whole_batches - training.batch:
            raise ValueError(
                f"growth.fade_images={fade} does not end within a candidate's training: lower it, or raise "
                f"training.images={training.images}, which must leave a batch of {training.batch} after the fade-in"
            )
        return self


def resolve(config: GrowConfig, machine: Machine, data: DataFacts) -> GrowConfig:
    """Fill in what depends on the machine and on the data. A candidate has one thread, whatever runs beside it."""
    training = config.training
    update = {
        "training.images": config.whole_batches,
        "training.final_images": ceil(training.final_images / training.batch) * training.batch,
        "growth.rank_by": config.rank_by,
        "metrics.select": config.selected_metric,
    }
    return resolve_sections(config, replace(machine, threads=1), data, update)
