"""Train the CycleGAN of one architecture, select a generator per direction, and repeat with other seeds."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isnan
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from ganas.cyclegan.architecture import Architecture, load_architecture
from ganas.cyclegan.config import RunConfig, default_metric
from ganas.cyclegan.distillation import open_distillation, with_teacher
from ganas.cyclegan.domains import Domains, open_domains
from ganas.cyclegan.examples import write_examples
from ganas.cyclegan.layout import DIRECTIONS, Direction, Layout, find_layout
from ganas.cyclegan.model import inherit_weights
from ganas.cyclegan.networks import open_gan
from ganas.cyclegan.repeats import repeated
from ganas.cyclegan.size import describe_sizes, generator_sizes
from ganas.cyclegan.trainer import describe_stretched_schedules, log_run_facts, open_trainer
from ganas.cyclegan.translate import GeneratorInfo, read_generator_info, save_generator
from ganas.cyclegan.validation import Validation, open_validation
from ganas.errors import ConfigError, RunError
from ganas.learning.loop import Event
from ganas.learning.trackers import check_trackers
from ganas.learning.trainer import Trainer
from ganas.metrics.cache import Cache
from ganas.metrics.measurement import Summary, is_paired, loss_of, metric_of
from ganas.paths import StrPath
from ganas.progress import Reporter
from ganas.resuming import claim, keep_choices
from ganas.signals import StopSignal
from ganas.store import Run, default_cache, write_atomically

SPLIT_NAMES = {"validation": "held-out images", "test": "test images", "all": "held-out images"}


@dataclass(frozen=True)
class TrainResult:
    """The result of one training, or of several repeats of it."""

    architecture: str  # id
    images: int  # pairs seen, in each repeat
    generators: Mapping[Direction, Mapping[str, Any]]  # from `Selection.result`; empty: the last ones, not scored
    repeats: tuple[Mapping[Direction, Mapping[str, Any]], ...] = ()  # `generators` of every repeat

    def lines(self) -> list[str]:
        if not self.generators:
            return [f"kept the last generators, after {self.images} images: none was selected by a score"]
        lines = [f"{DIRECTIONS[direction]}: {_describe(info)}" for direction, info in self.generators.items()]
        for direction in self.generators if len(self.repeats) > 1 else ():
            summary = Summary.of([_score(infos[direction]) for infos in self.repeats if direction in infos])
            lines.append(f"{DIRECTIONS[direction]}: {summary.repeats} repeats, {summary}")
        return lines


def _describe(info: Mapping[str, Any]) -> str:
    generator = "the generator" if info["chosen"] else "the last generator"
    seed = f" of seed {info['seed']}" if "seed" in info else ""
    selected = ", which selected it" if info["chosen"] and info["split"] == "test" else ""
    before = f"{info['untranslated'][info['metric']]:.4g} before translation"
    number = "not finite" if info["score"] is None else f"{info['score']:.4g}"
    images = "pairs" if is_paired(metric_of(info["metric"])) else SPLIT_NAMES[info["split"]]
    score = f"{info['metric']} {number} on {images}"
    return f"kept {generator}{seed} after {info['nimg']} images, {score}{selected}; {before}"


def _score(info: Mapping[str, Any]) -> float:
    """Return the score of a generator; NaN, stored as null, counts as the worst."""
    return inf if info["score"] is None else info["score"]


def train(config: RunConfig, architecture: Architecture, out: StrPath, *, repeats: int = 1) -> TrainResult:
    """Train one architecture. Calling it again resumes the run, or returns the result of a finished one.

    repeats   number of trainings, with seeds that count up, each in ``out/repeats/SEED``; the best generators are
              copied to `out`, or those of the first seed with ``metrics.select=last``, which selects none

    Raises `UserError` for anything the user can fix, `Stopped` when interrupted, `NonFiniteError`.
    """
    if config.kind != "train":
        raise ConfigError(f"a config of kind {config.kind!r} cannot be trained with: use make_config('train', ...)")
    if repeats > 1:
        return _train_repeats(config, architecture, out, repeats)
    layout = find_layout(architecture.layout)
    run = Run(out)
    config, domains, validation, supernet = open_training(config, architecture, run)
    with run.lock(), StopSignal().listening() as stop:
        reporter = Reporter(run.log)
        for line in claim(run, config, describe_stretched_schedules):
            reporter.say(line)
        run.write_text(run.architecture, architecture.to_json())
        with stop.interruptible():
            gan = open_gan(config, layout, architecture)
            distillation = open_distillation(gan, architecture, config)
        trainer = open_trainer(run, config, gan, domains, reporter, stop, distillation=distillation)
        for line in describe_sizes(generator_sizes(architecture, config.nets, config.data.resolution)):
            reporter.say(line)
        resumed = trainer.resume()
        if not resumed:
            run.delete_model()
        if not resumed and supernet:
            copied, total = inherit_weights(gan, architecture, supernet)
            reporter.say(f"inherited {copied} of {total} tensors from {config.training.inherit}")
        scorer = validation if validation.ready(reporter) and validation.measures(_metric(config)) else None
        selection = Selection(trainer, config, architecture, domains, scorer)
        log_run_facts(trainer, config, domains)
        trainer.train("train", [selection.event()])
        generators = selection.result()
        with stop.interruptible():
            write_examples(run, config, validation)
        run.write_result({"architecture": architecture.id, "images": trainer.loop.nimg, "kept": generators})
        return TrainResult(architecture.id, trainer.loop.nimg, generators)


def open_training(
    config: RunConfig, architecture: Architecture, run: Run
) -> tuple[RunConfig, Domains, Validation, dict[str, Tensor] | None]:
    """Resolve the config, open the data and read the supernets to inherit from.

    Every user error is raised here, before the run's folder is created.
    """
    check_trackers(config.training.trackers)
    layout = find_layout(architecture.layout)
    nets = config.nets.model_copy(update={"layout": layout.name})
    config = config.model_copy(update={"architecture": architecture.id, "nets": nets})
    config = with_teacher(keep_choices(run, config))
    domains = open_domains(config, layout)
    config, validation = open_validation(config, domains, Cache(default_cache()))
    inherit = config.training.inherit
    supernet = _load_supernet(inherit, layout) if inherit and not run.checkpoint_paths() else None
    return config, domains, validation, supernet


def _train_repeats(config: RunConfig, architecture: Architecture, out: StrPath, repeats: int) -> TrainResult:
    with repeated(config, out, repeats, lambda config, out: train(config, architecture, out)) as (
        parent,
        runs,
        results,
    ):
        return _collect_repeats(parent, runs, results, architecture)


def _collect_repeats(
    parent: Run, runs: Mapping[int, Run], results: Mapping[int, TrainResult], architecture: Architecture
) -> TrainResult:
    """Copy each direction's best generator, or the first seed's, into the parent run, and write its result."""
    generators: dict[Direction, Mapping[str, Any]] = {}
    first = min(runs)
    for direction in DIRECTIONS:
        # runs of early versions of ganas have no scores
        infos = {
            seed: result.generators[direction] for seed, result in results.items() if direction in result.generators
        }
        selected = {seed: loss_of(info["metric"], info["score"]) for seed, info in infos.items() if info["chosen"]}
        best = min(selected, key=selected.__getitem__) if selected else first
        if best in infos:
            generators[direction] = {**infos[best], "seed": best}
        write_atomically(parent.generator(direction), runs[best].generator(direction).read_bytes())
    parent.write_text(parent.architecture, architecture.to_json())
    images = results[first].images
    parent.write_result({"architecture": architecture.id, "images": images, "kept": generators, "repeats": len(runs)})
    return TrainResult(architecture.id, images, generators, tuple(result.generators for result in results.values()))


def _load_supernet(folder: Path, layout: Layout) -> dict[str, Tensor]:
    """Load the supernets of a finished search of the same layout; raises `RunError`."""
    run = Run(folder)
    if not run.supernet.is_file():
        raise RunError(
            f"{str(folder)!r} holds no {run.supernet.name} to inherit from: give the run of a finished search"
        )
    found = load_architecture(run.architecture).layout
    if found != layout.name:
        raise RunError(
            f"{str(folder)!r} searched layout {found!r}, but the architecture has layout {layout.name!r}: "
            f"give a search of {layout.name!r}"
        )
    try:
        return load(run.supernet.read_bytes())  # load_file needs a name in UTF-8
    except SafetensorError as error:
        raise RunError(f"{str(run.supernet)!r} is damaged ({error}): search again, or train without it") from None


class Selection:
    """Writes each direction's generator to the run's model folder: the best by its score so far, or the last.

    It is the last with ``metrics.select=last``, or without enough images to score. The best score is read from the
    generator file itself, so that file and score agree wherever a run was killed.
    """

    def __init__(
        self,
        trainer: Trainer,
        config: RunConfig,
        architecture: Architecture,
        domains: Domains,
        validation: Validation | None,  # None: too few images for scores
    ) -> None:
        self._trainer, self._run, self._config = trainer, trainer.run, config
        self._architecture, self._domains, self._validation = architecture, domains, validation
        self._metric = _metric(config)
        split = validation.split_of(self._metric) if validation else None
        self._split = None if config.metrics.select == "last" else split

    def event(self) -> Event:
        """Return the event that scores and writes the generators, as often as the config says."""
        training = self._config.training
        if self._validation:
            return Event("evaluate", training.evaluate_every, self._save_best)
        return Event("keep", training.checkpoint_every, self._save_last)

    def _save_last(self, nimg: int) -> None:
        for direction in DIRECTIONS:
            self._save(direction, nimg)

    def _save_best(self, nimg: int) -> None:
        assert self._validation
        for direction, measured in self._validation.record(self._trainer, nimg).items():
            key = next(key for key in measured.scores if metric_of(key) == self._metric)
            score = None if isnan(measured.scores[key]) else measured.scores[key]
            best = self._saved(direction) if self._split else None
            if best is None or best.score is None or loss_of(key, score) < loss_of(key, best.score):
                self._save(direction, nimg, metric=key, score=score, split=self._split)

    def _save(
        self, direction: str, nimg: int, metric: str | None = None, score: float | None = None, split: str | None = None
    ) -> None:
        name, architecture, data = f"generator_{direction}", self._architecture, self._config.data
        source = self._domains.a if direction == "ab" else self._domains.b
        info = GeneratorInfo(
            network=name,
            layout=architecture.layout,
            ops=architecture.ops(name),
            width=self._config.nets.width_of(name),
            resolution=data.resolution,
            images=nimg,
            architecture=architecture.id,
            metric=metric,
            score=score,
            split=split,
            white=data.white or source.reading.level,
            icc=data.icc,
        )
        save_generator(self._run.generator(direction), self._trainer.generators()[name], info)

    def result(self) -> dict[Direction, Any]:
        """Return metric, score and images seen of each direction's generator, and whether the score selected it."""
        saved = {direction: self._saved(direction) for direction in DIRECTIONS} if self._validation else {}
        return {
            direction: {
                "metric": info.metric,
                "score": info.score,  # None: NaN
                "split": self._validation.split_of(self._metric) if self._validation else None,
                "chosen": info.split is not None,
                "nimg": info.images,
                "untranslated": self._untranslated(direction, info.metric),
            }
            for direction, info in saved.items()
            if info
        }

    def _untranslated(self, direction: str, metric: str | None) -> Mapping[str, float]:
        """Return the scores in the run's result, if it is finished, else measure them."""
        assert self._validation
        before = self._run.read_result().get("kept", {}).get(direction, {}).get("untranslated", {})
        return before if metric in before else dict(self._validation.untranslated(direction).scores)

    def _saved(self, direction: str) -> GeneratorInfo | None:
        """Return the generator in the model folder, if there is one with a score."""
        path = self._run.generator(direction)
        info = read_generator_info(path) if path.exists() else None
        return info if info and info.metric else None


def _metric(config: RunConfig) -> str:
    """Return the metric that selects a generator, or that would have selected it with ``metrics.select=last``."""
    metrics = config.metrics
    return default_metric(metrics.features) if metrics.select == "last" else metrics.select
