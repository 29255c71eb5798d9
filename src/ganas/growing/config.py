"""What a run of ``ganas grow`` is told."""

from math import ceil
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ganas.config import (
    FREE,
    Config,
    Count,
    Filters,
    KernelSize,
    LearningConfig,
    Located,
    Place,
    Positive,
    Rate,
    Section,
    Weight,
    absolute_features,
    machine_choices,
    refuse_distance_without_network,
)
from ganas.growing.topk import RankBy, Survival


class ImagesConfig(Section):
    """Which images a GAN learns to make."""

    images: Annotated[Place, Located("data.digest")]  # folder or zip
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
    rank_by: RankBy = "normalized"
    survival: Survival = "best"  # random: parents are drawn; the baseline every search needs
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
    # specification of a feature network, as squeezenet:weights.safetensors
    features: Annotated[str | None, Located("metrics.digest")] = None
    digest: str | None = None  # of its weights, filled in: scores of others would not be comparable
    images: Annotated[int, Field(ge=2)] = 10_000  # made to be measured

    @model_validator(mode="after")
    def _measurable(self) -> Self:
        refuse_distance_without_network(self.select, self.features)
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


def resolve_growth(
    config: GrowConfig, *, digest: str, features_digest: str | None, cuda: bool, fast_bf16: bool
) -> GrowConfig:
    """Fill in what depends on the data and on the machine. A candidate has one thread, whatever runs beside it."""
    training, metrics = config.training, config.metrics
    chosen = machine_choices(training, cores=1, cuda=cuda, fast_bf16=fast_bf16)
    lengths = {
        name: ceil(count / training.batch) * training.batch
        for name, count in (("images", training.images), ("final_images", training.final_images))
    }
    select = ("fid" if metrics.features else "swd") if metrics.select == "auto" else metrics.select
    scores = {"select": select, "features": absolute_features(metrics.features), "digest": features_digest}
    return config.model_copy(
        update={
            "data": config.data.model_copy(update={"images": config.data.images.absolute(), "digest": digest}),
            "training": training.model_copy(update=chosen | lengths),
            "metrics": metrics.model_copy(update=scores),
        }
    )
