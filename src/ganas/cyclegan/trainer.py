"""The trainer of a CycleGAN, its final networks or its supernets, put together out of a run's config.

`search` and `train` have the same one with different networks; `ganas.cyclegan.search` and `ganas.cyclegan.train` say
in what they differ.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from ganas.cyclegan.build import Network
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.domains import Domains
from ganas.cyclegan.layout import find_layout
from ganas.cyclegan.mixed import use_mean_weights
from ganas.cyclegan.model import CycleGAN, ImagePool
from ganas.cyclegan.strategies import Penalty, Strategy, no_penalty, open_loop
from ganas.cyclegan.translate import Translator
from ganas.data.loaders import Batches, center_crops
from ganas.data.sources import ImageSource, notes_of
from ganas.learning.ema import EMA, averaged_or_current
from ganas.learning.trainer import Trainer
from ganas.pictures import tile
from ganas.progress import Reporter
from ganas.signals import StopSignal
from ganas.store import Run

SAMPLES = 6  # images a domain in a sample grid


def open_trainer(
    run: Run,
    config: RunConfig,
    gan: CycleGAN,
    domains: Domains,
    strategy: Strategy,
    reporter: Reporter,
    stop: StopSignal,
    penalty: Penalty = no_penalty,
    log_extras: Callable[[], Mapping[str, Any]] = dict,  # more values of a log line
    log_text: Callable[[], str] = str,  # the same, human-readable
) -> Trainer:
    """The data, the loop and the records of a run; reads a few images to look at."""
    data, training = config.data, config.training
    pools = {domain: ImagePool(config.loss.pool) for domain in "ab"}
    ema = EMA(gan, half_life=training.ema_half_life, batch=training.batch) if training.ema_half_life else None
    batches = Batches(
        strategy.sources(domains.a, domains.b, config.split_seed),
        resolution=data.resolution,
        load_size=round(data.resolution * data.load_scale),
        flip=data.flip,
        batch=training.batch,
        seed=config.seed,
        workers=data.workers,
        cache_bytes=data.cache_mib << 20,
        say=reporter.say,
    )
    with stop.interruptible():
        images_a, images_b = (
            _first_images(held if len(held) >= SAMPLES else learned, data.resolution)
            for held, learned in ((domains.held_a, domains.a), (domains.held_b, domains.b))
        )

    def sample() -> Tensor:
        translators = open_translators(averaged_or_current(gan, ema), config)
        return sample_grid(images_a, images_b, translators["ab"], translators["ba"])

    return Trainer(
        run,
        open_loop(gan, strategy.phases(gan, pools, config, penalty), ema, config),
        batches,
        reporter,
        stop,
        sample=sample,
        state=pools,
        arrange=lambda batches, nimg: strategy.roles(batches, nimg, config),
        log_extras=log_extras,
        summary=lambda losses: summarize_losses(losses) + log_text(),
    )


def _first_images(source: ImageSource, resolution: int) -> Tensor:
    return center_crops(source.subset(range(min(SAMPLES, len(source)))), resolution)


def introduce(trainer: Trainer, config: RunConfig, domains: Domains) -> None:
    """Say what is about to happen: images, epochs, machine."""
    training, reporter, nimg = config.training, trainer.reporter, trainer.loop.nimg
    reporter.note(notes_of(domains.a, domains.b))
    epoch = max(len(domains.a), len(domains.b))
    reporter.say(
        f"A has {len(domains.a)} images and B {len(domains.b)}, with {len(domains.held_a)} and "
        f"{len(domains.held_b)} more held out; an epoch is {epoch} pairs, the run "
        f"{config.total_images} pairs or {config.total_images / epoch:.1f} epochs"
    )
    reporter.say(
        f"{training.device}, {training.precision}, {training.threads} threads, batch {training.batch}, "
        f"{config.data.resolution}×{config.data.resolution} pixels"
        + (f"; going on after {nimg} images" if nimg else "")
    )


def open_translators(generators: Mapping[str, Network], config: RunConfig) -> dict[str, Translator]:
    """The generators by direction, ready for uint8 images; a supernet's mixtures without noise."""
    multiple, training = find_layout(config.nets.layout).generator_multiple, config.training
    for generator in generators.values():
        use_mean_weights(generator)
    return {
        name.removeprefix("generator_"): Translator(
            generator, multiple, device=training.device, bf16=training.precision == "bf16"
        )
        for name, generator in generators.items()
    }


def summarize_losses(losses: Mapping[str, float]) -> str:
    """Terms whose names begin alike, added up; the alphas' are left out."""
    return ", ".join(
        f"{name} {sum(value for term, value in losses.items() if term.startswith(name)):.3f}"
        for name in ("adversarial", "cycle", "identity", "discriminator")
    )


def sample_grid(images_a: Tensor, images_b: Tensor, ab: Translator, ba: Translator) -> Tensor:
    """uint8 [3, H, W]: columns are images, rows A, A→B, A→B→A, then B, B→A, B→A→B; inputs uint8 [n, 3, r, r]."""
    fake_b, fake_a = ab(images_a), ba(images_b)
    rows = (images_a, fake_b, ba(fake_b), images_b, fake_a, ab(fake_a))
    return tile(rows)
