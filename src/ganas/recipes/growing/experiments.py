"""Tables 1 to 3 and figures 2 and 3 of DGGAN as lists of growing runs. No torch here.

DGGAN is algorithm 1 by the letter: preset ``paper``, smaller at the scales tiny and small. ProgGAN is the route that
normalizes its scores, trained first, so that the search takes them from there; its last network has the same final
training. AutoGAN is its found network, trained as its authors do.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ganas.errors import ConfigError
from ganas.recipes.growing.jobs import GrowingJob, TrainingImages
from ganas.recipes.growing.published import AUTOGAN, DGGAN, PROGGAN
from ganas.settings import Values, split_setting

CIFAR, LSUN = "CIFAR-10", "LSUN bedrooms"
SAMPLES, ANALYSIS = "dggan-fig2", "dggan-fig3"  # figures
# Keys that --set may not change: the recipe sets them, or they have a command-line option.
RESERVED_KEYS = (
    "data.images",
    "data.digest",
    "metrics.features",
    "metrics.digest",
    "base.autogan",
    "growth.route",
    "seed",
)
# Of training only these are AutoGAN's, too: all other keys, also future ones, are part of how its authors train it.
MACHINE_KEYS = ("training.precision", "training.device", "training.threads", "training.timeout")


class ExperimentSpec(NamedTuple):
    """What a table or a figure needs."""

    data: str  # of the paper
    models: tuple[str, ...]  # in the order of their runs


EXPERIMENTS: Mapping[str, ExperimentSpec] = {
    "table1": ExperimentSpec(CIFAR, (PROGGAN, DGGAN, AUTOGAN)),
    "table2": ExperimentSpec(LSUN, (PROGGAN, DGGAN)),
    "table3": ExperimentSpec(LSUN, (PROGGAN, DGGAN)),
    SAMPLES: ExperimentSpec(CIFAR, (PROGGAN, DGGAN, AUTOGAN)),
    # without ProgGAN's run the search would train the route a second time, or the first for nothing
    ANALYSIS: ExperimentSpec(CIFAR, (PROGGAN, DGGAN)),
}


@dataclass(frozen=True)
class Scale:
    """The values of runs, over preset ``paper`` and a preset of AutoGAN."""

    grown: Values  # of DGGAN and ProgGAN
    autogan: str  # preset
    fixed: Values = field(default_factory=dict)  # of AutoGAN
    by_data: Mapping[str, Values] = field(default_factory=dict)  # of DGGAN and ProgGAN, by the data of the paper


_ANY_METRIC: Values = {"metrics.select": "auto", "training.precision": "auto"}
BATCH = 16  # of ProgGAN's implementation
SCALES: Mapping[str, Scale] = {
    "tiny": Scale(
        _ANY_METRIC
        | {
            "data.resolution": 16,
            "base.latent": 8,
            "base.channels": [8],
            "growth.filters": [8, 16],
            "growth.depth": 3,
            "growth.keep": 2,
            "growth.probability": 0.3,
            "training.images": 160,
            "training.final_images": 320,
            "training.final_evaluations": 2,
            "training.ema_half_life": 40,
            "metrics.images": 200,
        },
        "autogan-small",
        {
            "data.resolution": 16,
            "base.latent": 8,
            "base.channels": [8],
            "training.batch": 16,
            "training.generator_batch": 32,
            "training.images": 800,
            "training.ema_half_life": 40,
            "metrics.images": 200,
        },
    ),
    "small": Scale(
        _ANY_METRIC
        | {
            "base.latent": 32,
            "base.channels": [32],
            "growth.filters": [32, 64],
            "growth.depth": 5,
            "growth.keep": 4,
            "growth.probability": 0.3,
            "training.images": 6000,
            "training.final_images": 48_000,
            "training.final_evaluations": 4,
            "training.ema_half_life": 800,
            "training.log_every": 3200,
            "training.sample_every": 48_000,
            "training.checkpoint_every": 8000,
            "metrics.images": 1000,
        },
        "autogan-small",
        {  # as many images as the ProgGAN of this scale, in as small batches
            "training.batch": 16,
            "training.generator_batch": 32,
            "training.images": 120_000,
            "training.log_every": 8000,
            "training.sample_every": 40_000,
            "training.checkpoint_every": 8000,
        },
    ),
    # the final training is ProgGAN's at the last resolution: 120,000 iterations on CIFAR-10, 96,000 at 256×256
    "paper": Scale(
        {},
        "autogan",
        by_data={
            CIFAR: {"training.final_images": 120_000 * BATCH},
            LSUN: {
                "data.resolution": 256,
                "base.latent": 512,
                "growth.depth": 11,  # six actions beside the doublings, as on CIFAR-10: about 1,050 candidates
                "training.final_images": 96_000 * BATCH,
            },
        },
    ),
}


@dataclass(frozen=True)
class Experiment:
    """The growing runs of a table or a figure."""

    figure: str
    scale: str
    jobs: tuple[GrowingJob, ...]

    @property
    def dataset(self) -> TrainingImages:
        """The images of all runs."""
        return self.jobs[0].dataset

    @property
    def digest(self) -> str:
        """SHA-256 hex digest of everything that the numbers depend on."""
        return hashlib.sha256(" ".join(sorted(job.id for job in self.jobs)).encode()).hexdigest()


def experiment(
    figure: str,
    scale: str,
    dataset: TrainingImages,
    *,
    features: str | None = None,  # specification of the feature network of the scores
    weights: str | None = None,  # digest of its weights
    seed: int = 0,
    settings: Sequence[str] = (),  # of --set
) -> Experiment:
    """Return the growing runs of a table or a figure on some images.

    Raises `ConfigError` for an unknown scale, a --set of a key that the recipe controls, and an invalid config.
    """
    if scale not in SCALES:
        raise ConfigError(f"unknown scale {scale!r}: choose one of {', '.join(SCALES)}")
    for setting in settings:
        key = split_setting(setting)[0]
        if key in RESERVED_KEYS:
            raise ConfigError(f"--set {key}: {figure} controls this key, leave it out")
    chosen, spec = SCALES[scale], EXPERIMENTS[figure]

    def job(model: str) -> GrowingJob:
        if model == AUTOGAN:
            preset, values = chosen.autogan, chosen.fixed
        else:
            preset, values = "paper", chosen.grown | chosen.by_data.get(spec.data, {})
        applying = tuple(setting for setting in settings if model != AUTOGAN or _is_of_autogan(setting))
        pairs = tuple((key, _frozen(value)) for key, value in values.items())
        return GrowingJob(model, dataset, preset, seed, pairs, applying, features, weights)

    made = Experiment(figure, scale, tuple(map(job, spec.models)))
    for one in made.jobs:
        one.config()
    return made


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _is_of_autogan(setting: str) -> bool:
    """Whether a --set is meant for AutoGAN, too: a key of images, scores or the machine."""
    key = split_setting(setting)[0]
    return key.split(".")[0] in ("data", "metrics") or key in MACHINE_KEYS
