"""The constants of both papers, as runs get them: a value that drifts fails here, whatever else still works."""

import re
from math import prod
from pathlib import Path
from typing import Any, Literal

import pytest

from ganas import layers
from ganas.config import fields
from ganas.cyclegan import build, mixed
from ganas.cyclegan.config import DataConfig, LossConfig, NetsConfig, RunConfig, TrainingConfig
from ganas.cyclegan.layout import find_layout
from ganas.cyclegan.model import PATCHGAN
from ganas.cyclegan.presets import PRESETS
from ganas.growing import architecture, networks
from ganas.growing.actions import FADE, growing_actions, proggan_route
from ganas.growing.config import SMALLEST_SWD, BaseConfig, GrowConfig
from ganas.metrics import sliced
from ganas.presets import make_config

# CycleGANAS, section 4 unless another is named; CycleGAN is Zhu et al. 2017, whose training it takes over.
CYCLEGANAS: dict[str, Any] = {
    "data.resolution": 256,
    "data.load_scale": 286 / 256,  # CycleGAN: 286 pixels, cut to 256
    "data.flip": True,
    "data.validation": 0,  # all images train
    "nets.layout": "paper",
    "nets.discriminator_width": 64.0,  # section 3.2: 3 -> 64 -> 128 -> 256 -> 1
    "nets.discriminator": "searched",
    "loss.adversarial": "bce",  # equation 1
    "loss.adversarial_ab": 1.0,  # lambda (1, 1, 10, 5, 5), equation 4
    "loss.adversarial_ba": 1.0,
    "loss.cycle": 10.0,
    "loss.identity_ab": 5.0,
    "loss.identity_ba": 5.0,
    "loss.pool": 50,
    "training.batch": 1,
    "training.lr": 2e-4,
    "training.betas": (0.5, 0.999),
    "training.ema_half_life": None,  # no average
    "training.precision": "float32",
    "metrics.reference": "scored",  # the authors' protocol: test images of the other domain
}
SEARCH = {
    "nets.width": 16.0,  # 64 encoder channels
    "training.epochs": 400,
    "training.decay": 0.0,
    "search.strategy": "of",  # algorithm 1
    "search.sampling": "softmax",
    "search.warmup": 0.0,  # alphas learn from the first step
    "search.alpha_lr": None,  # in one Adam with the weights
    "search.temperature_start": 5.0,  # the released code's, of Gumbel sampling
    "search.temperature_end": 0.1,
}
TRAIN = {
    "nets.width": 64.0,  # C64 and N64: 256 encoder channels
    "training.epochs": 200,  # 100 + 100
    "training.decay": 0.5,
}
REFERENCE = {"nets.layout": "reference", "loss.adversarial": "lsgan"}  # what the released code does

# DGGAN, experimental results on CIFAR-10; WGAN-GP and ProgGAN are Gulrajani et al. 2017 and Karras et al. 2018.
DGGAN: dict[str, Any] = {
    "data.resolution": 32,
    "data.flip": False,  # the implementation that the paper builds on mirrors nothing
    "base.latent": 128,
    "base.resolution": 8,  # d_0
    "base.channels": (512,),
    "growth.sizes": (3, 7),
    "growth.filters": (32, 64, 128, 256, 512, 1024),
    "growth.depth": 8,
    "growth.keep": 20,  # K
    "growth.probability": 0.4,  # p
    "growth.strategy": "topk",
    "growth.doublings": "late",
    "growth.fade": "doublings",
    "growth.train_on": False,
    "growth.fmap_base": 8192,  # ProgGAN, appendix A.1
    "growth.finalists": 0,
    "growth.rank_by": "auto",
    "loss.adversarial": "wgan",
    "loss.gradient": 10.0,  # WGAN-GP: lambda
    "loss.drift": 0.001,  # ProgGAN, appendix A.1
    "training.batch": 16,
    "training.lr": 1e-3,  # ProgGAN, appendix A.1
    "training.betas": (0.0, 0.99),
    "training.decay": 0.0,
    "training.images": 16 * 100_000,
    "training.final_images": 16 * 400_000,
    "training.precision": "float32",
    "metrics.images": 10_000,
    "metrics.select": "fid",
}


IMAGES = {"data.images": "x", "metrics.features": "inception"}


@pytest.mark.parametrize("preset", ["paper", "reference"])
@pytest.mark.parametrize("kind", ["search", "train"])
def test_a_run_of_the_papers_scale_gets_the_papers_constants(kind: Literal["search", "train"], preset: str) -> None:
    config = make_config(kind, preset=preset, flags={"data.a": "a", "data.b": "b"})
    expected = CYCLEGANAS | (SEARCH if kind == "search" else TRAIN)
    if preset == "reference":
        expected |= REFERENCE | ({"search.sampling": "gumbel"} if kind == "search" else {})
    assert {key: config.value(key) for key in expected} == expected


def test_a_growing_search_of_the_papers_scale_gets_the_papers_constants() -> None:
    config = make_config("grow", preset="paper", flags=IMAGES)
    assert config.rank_by == "normalized"
    assert {key: config.value(key) for key in DGGAN} == DGGAN
    assert config.fade_images == config.training.images // 2, "a fade-in ends inside its candidate's training"


def test_the_page_of_deviations_names_options_that_exist() -> None:
    text = (Path(__file__).parents[1] / "docs" / "deviations.md").read_text()
    keys = {name for model in (RunConfig, GrowConfig) for name, _ in fields(model)}
    sections = {key.split(".")[0] for key in keys}
    named = {name for name in re.findall(r"`(\w+\.\w+)(?==|`)", text) if name.split(".")[0] in sections}
    assert len(named) >= 40 and named <= keys


@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize("kind", ["search", "train"])
def test_every_preset_keeps_the_losses_weights(kind: Literal["search", "train"], preset: str) -> None:
    config = make_config(kind, preset=preset, flags={"data.a": "a", "data.b": "b"})
    kept = ("adversarial_ab", "adversarial_ba", "cycle", "identity_ab", "identity_ba", "pool")
    assert [getattr(config.loss, key) for key in kept] == [1, 1, 10, 5, 5, 50]
    assert config.loss.adversarial == ("bce" if preset == "paper" else "lsgan")
    assert config.training.betas == (0.5, 0.999)


def test_what_runs_get_that_no_preset_decides() -> None:
    assert LossConfig().adversarial == "lsgan"  # CycleGAN
    assert NetsConfig().layout == "framed" and NetsConfig().width == 16 and NetsConfig().discriminator_width == 64
    training = TrainingConfig(images=1)
    assert (training.batch, training.lr, training.decay) == (1, 2e-4, 0.5)
    assert DataConfig(a="a", b="b").load_scale == 1.12 and DataConfig(a="a", b="b").flip
    assert BaseConfig().latent == 512 and BaseConfig().channels == (512,)  # DGGAN: all but CIFAR-10


def test_the_search_spaces_are_the_papers() -> None:
    generator, discriminator = 8**2 * 5**18 * 3**2, 8**4
    for name in ("paper", "framed"):
        layout = find_layout(name)
        assert layout.size == generator**2 * discriminator**2 == 81 * 10**36  # section 3.2: 8.1e37
        assert (len(layout.generator.searched), len(layout.discriminator.searched)) == (22, 4)
    reference = find_layout("reference")  # 24 and 5 slots, 7 ops in the encoder
    assert prod(len(slot.ops) for slot in reference.generator.searched) == 7**2 * 5**20 * 3**2
    assert prod(len(slot.ops) for slot in reference.discriminator.searched) == 7**3 * 5**2
    config = make_config("grow", preset="paper", flags=IMAGES)
    actions = growing_actions(config.growth.sizes, config.growth.filters)
    assert len({*actions, FADE}) == 25  # DGGAN, algorithm 1


def test_what_networks_are_made_of() -> None:
    assert (build.LEAKY_SLOPE, build.WEIGHT_STD) == (0.2, 0.02)  # CycleGAN, section 7.1
    assert layers.INSTANCE_NORM_EPS == 1e-5  # instance norm, as torch's
    assert mixed.ALPHA_STD == 1e-3  # the released code's
    # ProgGAN, appendix A.1
    assert (networks.LEAKY_SLOPE, networks.EPSILON, networks.STDDEV_GROUP_SIZE) == (0.2, 1e-8, 4)
    assert networks.GAIN == 2**0.5 and architecture.BASE == 8
    seen = 1  # pixels a side that one score of PatchGAN depends on
    for slot in reversed([slot for cell in PATCHGAN.cells for slot in cell.slots]):
        assert slot.ops == ("conv4",)
        seen = (seen - 1) * (2 if slot.scale == "down" else 1) + 4
    assert seen == 70  # Isola et al. 2017
    assert proggan_route(32) == ["fade", "fade"]
    assert (sliced.PATCH, sliced.NUM_DIRECTIONS, sliced.COARSEST_LEVEL) == (7, 512, 16)  # ProgGAN, section 5
    assert sliced.SMALLEST_SIDE == SMALLEST_SWD
