"""Train one candidate of a growing GAN: inherited weights, a fade-in, scores before and after (DGGAN).

A candidate reads its own folder, the run's config and its parent's folder, and resumes from its last checkpoint. Its
children inherit ``final.safetensors``: the networks, their EMA and, with `growth.inherit_moments`, Adam's moments.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import ceil, isfinite, nan
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from ganas.data.loaders import Batches, split, to_images, to_network
from ganas.growing.actions import TRAIN_ON, FadeIn, Grow, fading_sides, parse_action
from ganas.growing.architecture import SIDES
from ganas.growing.candidates import Spec
from ganas.growing.config import GrowConfig
from ganas.growing.finals import tensors_of
from ganas.growing.images import Squares, some_squares
from ganas.growing.model import GrownGAN, blended, discriminator_loss, generator_loss
from ganas.growing.networks import Generator, inherit, learning_groups
from ganas.growing.sample import grid, make_images
from ganas.jobs.result import Result
from ganas.learning.ema import EMA, averaged_or_current
from ganas.learning.loop import Loop
from ganas.learning.phases import ImageBatch, Phase, PhaseTerms
from ganas.learning.schedules import blend
from ganas.learning.trainer import Trainer
from ganas.machine import keep_freed_memory, switch_off_tf32
from ganas.metrics.cache import Cache
from ganas.metrics.features import FeatureNetwork, load_features
from ganas.metrics.measurement import METRICS, metric_of
from ganas.metrics.reference import Reference
from ganas.progress import Reporter
from ganas.signals import StopSignal
from ganas.store import Run, default_cache, write_atomically

SAMPLE_COUNT = 64  # images in a sample grid
READ_BATCH = 256  # real images that are resized at once
MAX_REAL_IMAGES = 10_000  # that generated images are compared with


def open_features(config: GrowConfig) -> FeatureNetwork | None:
    """The feature network of the scores; None if they need none."""
    metrics = config.metrics
    if METRICS[metrics.select].needs == "nothing" or not metrics.features:
        return None
    return load_features(metrics.features, device=config.device)


def real_images(squares: Squares, config: GrowConfig, resolution: int) -> Tensor:
    """The real images that generated ones are compared with, uint8 [n, 3, r, r]: all, or a random choice."""
    count = len(squares)
    chosen = range(count) if count <= MAX_REAL_IMAGES else split(count, count - MAX_REAL_IMAGES, config.seed)[0]
    chunks = (chosen[start : start + READ_BATCH] for start in range(0, len(chosen), READ_BATCH))
    parts = (to_network(some_squares(squares, chunk)) for chunk in chunks)
    return torch.cat([to_images(at_resolution(part, resolution)) for part in parts])


def at_resolution(images: Tensor, resolution: int) -> Tensor:
    """Average-pool [n, 3, R, R] to [n, 3, r, r]; r divides R."""
    return functional.avg_pool2d(images, images.shape[-1] // resolution)


def growing_phases(gan: GrownGAN, config: GrowConfig, spec: Spec) -> list[Phase]:
    """A discriminator step, then a generator step with new noise (Karras et al. 2018), or only after several."""
    loss, training = config.loss, config.training
    latent, resolution = spec.architecture.latent, spec.architecture.resolution

    def reals(images: Tensor) -> Tensor:
        return blended(at_resolution(images, resolution), gan.doubled)

    def discriminator(batch: ImageBatch, generator: torch.Generator) -> dict[str, Tensor]:
        (images,) = batch
        z = torch.randn(len(images), latent, generator=generator).to(images)
        between = torch.rand(len(images), 1, 1, 1, generator=generator).to(images)
        return discriminator_loss(gan, reals(images), z, between, loss)

    def generator(batch: ImageBatch, generator: torch.Generator) -> dict[str, Tensor]:
        (images,) = batch
        z = torch.randn(training.generator_batch or len(images), latent, generator=generator).to(images)
        return generator_loss(gan, z, lambda: reals(images), loss)

    def phase(name: str, terms: PhaseTerms) -> Phase:
        groups = learning_groups(gan.network(name), config.training.lr)
        optimizer = torch.optim.Adam(groups, betas=config.training.betas, fused=True)
        interval = training.critic_steps if name == "generator" else 1
        return Phase(name, optimizer, networks=(name,), uses=(), terms=terms, interval=interval)

    return [phase("discriminator", discriminator), phase("generator", generator)]


class CandidateTrainer:
    """The networks of one candidate, and their training and evaluation. Without `squares` it only takes steps."""

    def __init__(
        self,
        folder: Run,
        spec: Spec,
        config: GrowConfig,  # of the run
        parent: Mapping[str, Tensor] | None,  # what its parent's `final` was
        squares: Squares | None,  # real images at the final resolution
    ) -> None:
        keep_freed_memory()
        switch_off_tf32(config.training.precision)
        batch = config.batch_at(spec.architecture.resolution)
        training = config.training.model_copy(update={"images": spec.images, "batch": batch})
        self.config = config.model_copy(update={"seed": spec.seed, "training": training})
        self.folder, self.spec, self._run_config, self._squares = folder, spec, config, squares
        torch.set_num_threads(training.threads or 1)
        torch.manual_seed(spec.seed)
        self.gan = GrownGAN(spec.architecture, fading=fading_sides(spec.action, config.growth.fade)).to(training.device)
        phases = growing_phases(self.gan, self.config, spec)
        half_life = training.ema_half_life
        seen = spec.generation * config.training.images if config.growth.inherit_average else 0
        self.ema = EMA(self.gan, half_life=half_life, batch=training.batch, seen=seen) if half_life else None
        if parent:
            self._inherit(parent, phases)
        self.loop = Loop(self.gan, phases, self.ema, self.config, prepare=self._blend)
        self._blend(0)

    def _blend(self, nimg: int) -> None:
        self.gan.blend(blend(nimg, images=self.config.fade_images))
        self.generator.blend = self.gan.generator.blend

    @property
    def generator(self) -> Generator:
        """The generator that is sampled and evaluated: averaged if the run keeps an EMA."""
        return averaged_or_current(self.gan, self.ema)["generator"]  # type: ignore[no-any-return]

    # ── inheritance ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _inherit(self, final: Mapping[str, Tensor], phases: list[Phase]) -> None:
        for phase in phases:
            network = self.gan.network(phase.name)
            copied = inherit(network, tensors_of(final, phase.name))
            if self.config.growth.inherit_moments:
                _inherit_moments(phase.optimizer, network, tensors_of(final, f"adam/{phase.name}"), copied)
        if self.ema:  # weights that are not inherited start from the network
            self.ema.generators["generator"].load_state_dict(self.gan.generator.state_dict())
            if self.config.growth.inherit_average:
                inherit(self.ema.generators["generator"], tensors_of(final, "average"))

    def final(self) -> dict[str, Tensor]:
        """What children inherit: copies of tensors by group/name."""
        groups: dict[str, Mapping[str, Tensor]] = {side: self.gan.network(side).state_dict() for side in SIDES}
        groups["average"] = self.generator.state_dict()
        for phase in self.loop.phases if self.config.growth.inherit_moments else ():
            for name, parameter in self.gan.network(phase.name).named_parameters():
                groups[f"adam/{phase.name}/{name}"] = phase.optimizer.state.get(parameter, {})
        return {
            f"{group}/{name}": tensor.detach().clone().cpu().contiguous()
            for group, content in groups.items()
            for name, tensor in content.items()
        }

    # ── training ────────────────────────────────────────────────────────────────────────────────────────────────────

    def train(
        self,
        reporter: Reporter,
        stop: StopSignal,
        until: int | None = None,
        start: Mapping[str, float] | None = None,  # its score before training, where known (`starts_as_its_parent`)
    ) -> Result:
        """Train from the last checkpoint to the end, or until `until` images were seen, score, and save the weights.

        Of several evaluations, those of the best one are saved. Saves and raises `Stopped` after a stop signal. A later
        call with more images continues bit for bit.
        """
        assert self._squares is not None
        data, training, history = self.config.data, self.config.training, _TrainingHistory()
        batches = Batches(
            (self._squares,),
            resolution=data.resolution,
            load_size=data.resolution,
            flip=data.flip,
            batch=training.batch,
            seed=self.config.seed,
        )
        trainer = Trainer(
            self.folder,
            self.loop,
            batches,
            reporter,
            stop,
            sample=lambda: grid(make_images(self.generator, range(SAMPLE_COUNT))),
            state={"history": history},
        )
        resumed = trainer.resume()
        reals = real_images(self._squares, self._run_config, self.spec.architecture.resolution)
        network, cache = open_features(self.config), Cache(default_cache())
        reference = Reference(reals, [self.config.metrics.select], network, cache=cache, split="training")

        def measure(known: Mapping[str, float] | None = None) -> Mapping[str, float]:
            scores = known or self.measure(reference)
            trainer.record({"nimg": self.loop.nimg, "time": round(time.time(), 3), "scores": dict(scores)})
            return scores

        if not resumed:
            scores = measure(start)
            (history.start,) = scores.values()
            if self.spec.evaluations > 1:  # it ends no worse than it begins
                history.add(0, scores)
                history.kept = self.final()
        for target in self._targets():
            if history.evaluated >= target:
                continue  # before the checkpoint
            with history.training():
                trainer.train(self.spec.id, until=target)
            if history.add(self.loop.nimg, measure()):
                history.kept = self.final()
            if 0 < training.patience <= history.since_best:
                break
        if self.spec.evaluations == 1:
            with history.training():
                trainer.train(self.spec.id, until=until)
            scores, kept, facts = measure(), self.final(), {"start": history.start}
        else:
            scores, kept, facts = history.best, history.kept, {"start": history.start, "best_at": history.best_at}
        write_atomically(self.folder.final, save(kept))
        images, seconds = self.loop.nimg, round(history.seconds, 3)
        return Result("done", images, seconds, scores=scores, facts=facts, ended=images < (until or self.spec.images))

    def _targets(self) -> list[int]:
        """The images after which it is scored, if the best of several evaluations is kept."""
        count, total, batch = self.spec.evaluations, self.spec.images, self.config.training.batch
        if count == 1:
            return []
        return sorted({ceil(total * number / count / batch) * batch for number in range(1, count + 1)})

    def measure(self, reference: Reference) -> dict[str, float]:
        """Return the current generator's score by metric key, on images of always the same seeds."""
        measured = reference.measure(make_images(self.generator, range(self.config.metrics.images)))
        return {key: score for key, score in measured.scores.items() if metric_of(key) == self.config.metrics.select}


def starts_as_its_parent(spec: Spec, config: GrowConfig) -> bool:
    """Whether a candidate's first images are its parent's last ones, bit for bit."""
    grown = parse_action(spec.action) if spec.action else TRAIN_ON
    same = not isinstance(grown, FadeIn) and (
        not isinstance(grown, Grow) or grown.side == "discriminator" or config.growth.fade == "every"
    )
    return bool(spec.parent) and same and (config.growth.inherit_average or not config.training.ema_half_life)


class _TrainingHistory:
    """The initial score, the training time and the best evaluation so far, which survive a resume."""

    def __init__(self) -> None:
        self.start = nan  # score
        self.seconds = 0.0  # of training, in this and earlier processes
        self.evaluated = self.best_at = 0  # images
        self.best: dict[str, float] = {}  # scores
        self.kept: dict[str, Tensor] = {}  # the weights that they are of
        self.since_best = 0  # evaluations
        self._clock: Callable[[], float] = float  # seconds of the training under way

    @contextmanager
    def training(self) -> Iterator[None]:
        """Count the time of a block; scoring is not counted."""
        began = time.monotonic()
        self._clock = lambda: time.monotonic() - began
        try:
            yield
        finally:
            self.seconds += self._clock()
            self._clock = float

    def add(self, images: int, scores: Mapping[str, float]) -> bool:
        """Add an evaluation; return whether it is the best so far."""
        (score,), (best,) = scores.values(), self.best.values() or (nan,)
        better = not isfinite(best) or score < best
        self.evaluated, self.since_best = images, 0 if better else self.since_best + 1
        if better:
            self.best, self.best_at = dict(scores), images
        return better

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps; it may be written during the training."""
        kept = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return kept | {"seconds": self.seconds + self._clock()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


def _inherit_moments(
    optimizer: torch.optim.Optimizer, network: nn.Module, moments: Mapping[str, Tensor], copied: set[str]
) -> None:
    """Continue from the parent's Adam state, for the weights that were copied in full."""
    for name, parameter in network.named_parameters():
        found = tensors_of(moments, name.removeprefix("old_"))
        if name in copied and found:
            optimizer.state[parameter] = {
                key: torch.empty_like(parameter).copy_(value) if value.ndim else value.to(parameter.device, copy=True)
                for key, value in found.items()
            }
