"""Presets of ``ganas grow``, which set the scale of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the help of commands lists the presets: it must not wait for pydantic
    from ganas.settings import Values

# What GrowBench says of short trainings (docs/growbench.md): all growth happens at the final resolution, and more
# training is an action, too. The loss won its pilot.
_EARLY: Values = {
    "growth.keep": 2,
    "growth.probability": 0.3,
    "growth.doublings": "early",
    "growth.train_on": True,
    "loss.adversarial": "relativistic",
}
# Gong et al. 2019
AUTOGAN: Values = {
    "data.resolution": 32,
    "data.flip": False,
    "base.autogan": "a",
    "base.latent": 128,
    "base.channels": [256],
    "loss.adversarial": "hinge",
    "loss.gradient": 0.0,
    "loss.drift": 0.0,
    "training.batch": 64,
    "training.generator_batch": 128,
    "training.critic_steps": 5,
    "training.lr": 2e-4,
    "training.betas": [0.0, 0.9],
    "training.decay": 1.0,
    "training.images": 50_000 * 5 * 64,
    "training.final_images": 0,
    "training.ema_half_life": 221_800,  # 0.999 for each step of the generator
    "training.precision": "float32",
    "training.log_every": 32_000,
    "training.sample_every": 320_000,
    "training.checkpoint_every": 320_000,
}
PRESETS: Mapping[str, Values] = {
    # A few minutes on two cores, for any images: a smoke test, not good images.
    "tiny": {
        "data.resolution": 16,
        "base.latent": 32,
        "base.channels": [32],
        "growth.sizes": [3],
        "growth.filters": [16, 32],
        "growth.depth": 3,
        "growth.keep": 2,
        "growth.probability": 0.5,
        "training.batch": 16,
        "training.images": 3200,
        "training.final_images": 6400,
        "training.final_evaluations": 2,
        "training.ema_half_life": 160,
        "training.log_every": 800,
        "training.sample_every": 3200,
        "training.checkpoint_every": 1600,
        "metrics.images": 500,
    },
    # About two hours on two cores, 8×8 to 32×32.
    "small": {
        **_EARLY,
        "data.resolution": 32,
        "base.latent": 64,
        "base.channels": [64],
        "growth.filters": [32, 64, 128],
        "growth.depth": 5,
        "training.batch": 16,
        "training.images": 16_000,
        "training.final_images": 96_000,
        "training.final_evaluations": 6,
        "training.ema_half_life": 800,
        "training.log_every": 4000,
        "training.sample_every": 16_000,
        "training.checkpoint_every": 8000,
        "metrics.images": 1000,
    },
    # Intended for a day on one GPU.
    "gpu": {
        **_EARLY,
        "data.resolution": 64,
        "base.latent": 256,
        "base.channels": [256],
        "growth.filters": [64, 128, 256, 512],
        "growth.depth": 7,
        "training.batch": 16,
        "training.images": 160_000,
        "training.final_images": 3_200_000,
        "training.ema_half_life": 8000,
        "training.log_every": 16_000,
        "training.sample_every": 80_000,
        "training.checkpoint_every": 40_000,
        "metrics.images": 5000,
    },
    # DGGAN, experimental results, CIFAR-10: K = 20, p = 0.4 and 100,000 iterations each are the defaults of the config.
    # The paper tried twice as many candidates. Its feedback is FID, so --features must be given.
    "paper": {
        "data.flip": False,
        "base.latent": 128,
        "metrics.select": "fid",
        "training.precision": "float32",
        "training.batch": 16,
        "training.ema_half_life": 10_000,
        "training.log_every": 32_000,
        "training.sample_every": 160_000,
        "training.checkpoint_every": 160_000,
    },
    # AutoGAN's found generator A for CIFAR-10, trained as its authors do: 50,000 generator steps. Nothing is grown.
    "autogan": AUTOGAN,
    # The same at a quarter of the width, 1,000 generator steps: minutes on one core.
    "autogan-small": AUTOGAN
    | {
        "base.channels": [64],
        "training.images": 320_000,
        "training.ema_half_life": 8000,
        "training.precision": "auto",
        "training.log_every": 4000,
        "training.sample_every": 16_000,
        "training.checkpoint_every": 8000,
        "metrics.images": 1000,
    },
}
IGNORED_KEYS = ("growth.route", "training.decay")  # keys that a growing search ignores
WASSERSTEIN: Values = {"training.lr": 1e-3, "training.betas": [0.0, 0.99], "training.decay": 0}  # Karras et al. 2018
