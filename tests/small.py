"""Runs so small that a step takes a blink: their config, networks and batches of noise."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.config import DataConfig, LossConfig, NetsConfig, RunConfig, SearchConfig, TrainingConfig
from ganas.cyclegan.layout import LAYOUTS, ElasticLayout
from ganas.cyclegan.model import CycleGAN
from ganas.cyclegan.networks import open_gan
from ganas.cyclegan.steps import Pools, open_loop, open_pools
from ganas.learning.ema import EMA
from ganas.learning.loop import Loop
from ganas.learning.phases import Phase

BATCH = 2
# layouts whose supernets mix ops, and hand-made ones
MIXTURES = {name: one for name, one in LAYOUTS.items() if not isinstance(one.generator, ElasticLayout)}


def small_config(
    layout: str, search: SearchConfig | None = None, mixing: Literal["merged", "naive"] = "merged", **training: Any
) -> RunConfig:
    """A search when `search` is given, else the training of a hand-made network; 12 images in 6 steps."""
    settings = {"images": 6 * BATCH, "batch": BATCH, "device": "cpu", "precision": "float32", "threads": 1}
    return RunConfig(
        kind="search" if search else "train",
        seed=3,
        data=DataConfig(a=Path("a"), b=Path("b"), resolution=LAYOUTS[layout].minimum),
        nets=NetsConfig(layout=layout, width=2, discriminator_width=2, mixing=mixing),
        loss=LossConfig(pool=2),
        search=search,
        training=TrainingConfig(**(settings | training)),
    )


def small_gan(config: RunConfig, seed: int = 0) -> CycleGAN:
    """The networks that the config asks for."""
    layout = LAYOUTS[config.nets.layout]
    architecture = None if config.search else Architecture(layout.name)
    return open_gan(config.model_copy(update={"seed": seed}), layout, architecture)


def small_loop(
    config: RunConfig,
    seed: int = 0,  # of the networks' initial weights
    phases: Callable[[CycleGAN, Pools, RunConfig], list[Phase]] | None = None,  # instead of the strategy's
) -> tuple[Loop, Pools]:
    """Networks with all that trains them."""
    gan, pools = small_gan(config, seed), open_pools(config)
    half_life = config.training.ema_half_life
    ema = EMA(gan, half_life=half_life, batch=BATCH) if half_life else None
    loop = open_loop(gan, pools, config, ema=ema)
    if phases:
        loop.phases = phases(gan, pools, config)
    return loop, pools


def noise(config: RunConfig, nimg: int = 0) -> tuple[Tensor, Tensor]:
    """The batch that starts at `nimg` images: a and b, [n, 3, r, r] each in [-1, 1]."""
    generator = torch.Generator().manual_seed(nimg)
    side = config.data.resolution
    a, b = torch.rand(2, config.training.batch, 3, side, side, generator=generator) * 2 - 1
    return a, b
