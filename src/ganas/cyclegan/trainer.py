"""Build the trainer of a CycleGAN, its final networks or its supernets, from a run's config."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from ganas.cyclegan.build import Network
from ganas.cyclegan.config import RunConfig
from ganas.cyclegan.distillation import Distillation
from ganas.cyclegan.domains import Domains
from ganas.cyclegan.layout import find_layout
from ganas.cyclegan.mixed import use_mean_weights
from ganas.cyclegan.model import CycleGAN
from ganas.cyclegan.steps import Penalty, assign_roles, no_penalty, open_loop, open_pools, step_sources
from ganas.cyclegan.strategies import alphas_begin, find_sampler, find_strategy, swap_at
from ganas.cyclegan.translate import Translator
from ganas.data.loaders import Batches, center_crops
from ganas.data.sources import ImageSource, notes_of
from ganas.learning.ema import EMA, averaged_or_current
from ganas.learning.schedules import learning_rate_factor, temperature
from ganas.learning.trainer import Trainer
from ganas.pictures import tile
from ganas.progress import Reporter
from ganas.signals import StopSignal
from ganas.store import Run

SAMPLES = 6  # images per domain in a sample grid


def open_trainer(
    run: Run,
    config: RunConfig,
    gan: CycleGAN,
    domains: Domains,
    reporter: Reporter,
    stop: StopSignal,
    penalty: Penalty = no_penalty,
    log_extras: Callable[[], Mapping[str, Any]] = dict,  # more fields of a log line
    log_text: Callable[[], str] = str,  # the same, human-readable
    distillation: Distillation | None = None,
) -> Trainer:
    """Build the data, the loop and the trainer of a run; reads a few images for samples."""
    data, training = config.data, config.training
    pools = open_pools(config)
    ema = EMA(gan, half_life=training.ema_half_life, batch=training.batch) if training.ema_half_life else None
    batches = Batches(
        step_sources(domains.a, domains.b, config),
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
            _first_images(held_out if len(held_out) >= SAMPLES else learned, data.resolution)
            for held_out, learned in ((domains.held_out_a, domains.a), (domains.held_out_b, domains.b))
        )

    def sample() -> Tensor:
        """Tile images to [3, H, W]: a column per image; rows A, A→B, A→B→A, B, B→A, B→A→B."""
        translators = open_translators(averaged_or_current(gan, ema), config)
        ab, ba = translators["ab"], translators["ba"]
        fake_b, fake_a = ab(images_a), ba(images_b)
        return tile((images_a, fake_b, ba(fake_b), images_b, fake_a, ab(fake_a)))

    return Trainer(
        run,
        open_loop(gan, pools, config, penalty=penalty, ema=ema, distillation=distillation),
        batches,
        reporter,
        stop,
        sample=sample,
        state={**pools, "adapters": distillation} if distillation else pools,
        arrange=lambda batches, nimg: assign_roles(batches, nimg, config),
        log_extras=log_extras,
        summary=lambda losses: summarize_losses(losses) + log_text(),
        trackers=training.trackers,
    )


def _first_images(source: ImageSource, resolution: int) -> Tensor:
    return center_crops(source.subset(range(min(SAMPLES, len(source)))), resolution)


def log_run_facts(trainer: Trainer, config: RunConfig, domains: Domains) -> None:
    """Report the images, epochs, machine and precision of a run before it starts."""
    training, reporter, nimg = config.training, trainer.reporter, trainer.loop.nimg
    reporter.note(notes_of(domains.a, domains.b))
    epoch = max(len(domains.a), len(domains.b))
    reporter.say(
        f"A has {len(domains.a)} images and B {len(domains.b)}, with {len(domains.held_out_a)} and "
        f"{len(domains.held_out_b)} more held out; an epoch is {epoch} pairs, the run "
        f"{config.total_images} pairs or {config.total_images / epoch:.1f} epochs"
    )
    reporter.say(
        f"{training.device}, {training.precision}, {training.threads} threads, batch {training.batch}, "
        f"{config.data.resolution}×{config.data.resolution} pixels"
        + (f"; resuming after {nimg} images" if nimg else "")
    )


def open_translators(generators: Mapping[str, Network], config: RunConfig) -> dict[str, Translator]:
    """Return a translator per direction; a supernet's mixtures are without noise."""
    multiple, training = find_layout(config.nets.layout).generator_multiple, config.training
    for generator in generators.values():
        use_mean_weights(generator)
    bf16 = training.precision == "bf16"
    return {
        name.removeprefix("generator_"): Translator(generator, multiple, device=training.device, bf16=bf16)
        for name, generator in generators.items()
    }


def summarize_losses(losses: Mapping[str, float]) -> str:
    """Sum the losses by the first word of their names, without those of the alphas."""
    names = ("adversarial", "cycle", "identity", "distillation", "discriminator")
    sums = {name: [value for term, value in losses.items() if term.startswith(name)] for name in names}
    return ", ".join(f"{name} {sum(found):.3f}" for name, found in sums.items() if found or name != "distillation")


def describe_stretched_schedules(before: RunConfig, after: RunConfig, nimg: int) -> str:
    """Describe how the schedules change for a run that has seen `nimg` images, in one human-readable line."""
    search = after.search

    def learning_rate(run: RunConfig) -> float:
        return run.training.lr * learning_rate_factor(nimg, total=run.total_images, decay=run.training.decay)

    schedules: dict[str, Callable[[RunConfig], float]] = {"the learning rate": learning_rate}
    if search and find_sampler(search).uses_temperature:
        start, end = search.temperature_start, search.temperature_end
        schedules["the temperature"] = lambda run: temperature(nimg, total=run.total_images, start=start, end=end)
    if search and search.warmup and not find_strategy(after).sandwich:
        schedules["the image from which alphas learn"] = alphas_begin
    if find_strategy(after).images == "swapped":
        schedules["the image at which the halves swap roles"] = swap_at
    values = ((name, f"{at(before):.4g}", f"{at(after):.4g}") for name, at in schedules.items())
    texts = (f"{name} goes from {old} to {new}" if old != new else f"{name} stays {new}" for name, old, new in values)
    return f"schedules stretch, after {nimg} images {', '.join(texts)}"
