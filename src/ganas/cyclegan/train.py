"""Training the translator of one architecture: the loop, a checkpoint chosen for each direction, repeats."""

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
from ganas.cyclegan.domains import Domains, open_domains
from ganas.cyclegan.find import describe_sizes, generator_sizes
from ganas.cyclegan.layout import DIRECTIONS, Direction, Layout, find_layout
from ganas.cyclegan.longer import describe_stretch
from ganas.cyclegan.model import inherit
from ganas.cyclegan.networks import open_gan
from ganas.cyclegan.trainer import introduce, open_trainer
from ganas.cyclegan.translate import GeneratorInfo, read_generator_info, save_generator
from ganas.cyclegan.validation import Validation, open_validation
from ganas.errors import RunError
from ganas.learning.loop import Event
from ganas.learning.trainer import Trainer
from ganas.metrics.cache import Cache
from ganas.metrics.measurement import Summary, metric_of
from ganas.paths import StrPath
from ganas.progress import Reporter
from ganas.resuming import claim, keep_choices
from ganas.signals import StopSignal
from ganas.store import Run, default_cache, write_atomically

IMAGES = {"validation": "held-out images", "test": "test images"}


@dataclass(frozen=True)
class TrainResult:
    """How one training, or several repeats of it, ended."""

    architecture: str  # id
    images: int  # pairs seen, by each repeat
    kept: Mapping[Direction, Mapping[str, Any]]  # `Selection.kept`; empty: the last ones, of unknown score
    repeats: tuple[Mapping[Direction, Mapping[str, Any]], ...] = ()  # `kept` of every repeat

    def lines(self) -> list[str]:
        """For people."""
        if not self.kept:
            return [f"kept the generators after {self.images} images, the last: none was chosen by a score"]
        lines = [f"{DIRECTIONS[direction]}: {_told(kept)}" for direction, kept in self.kept.items()]
        for direction in self.kept if len(self.repeats) > 1 else ():
            summary = Summary.of([_score(kept[direction]) for kept in self.repeats if direction in kept])
            lines.append(f"{DIRECTIONS[direction]}: {summary.repeats} repeats, {summary}")
        return lines


def _told(kept: Mapping[str, Any]) -> str:
    """One line on the generator that was kept."""
    what = "the generator" if kept["chosen"] else "the last generator"
    seed = f" of seed {kept['seed']}" if "seed" in kept else ""
    why = ", by which it was chosen" if kept["chosen"] and kept["split"] == "test" else ""
    before = f"{kept['untranslated'][kept['metric']]:.4g} before translation"
    score = f"{kept['metric']} {_score(kept):.4g} on {IMAGES[kept['split']]}"
    return f"kept {what}{seed} after {kept['nimg']} images, {score}{why}; {before}"


def _score(kept: Mapping[str, Any]) -> float:
    """What is not a number is the worst there is."""
    return inf if kept["score"] is None else kept["score"]


def train(config: RunConfig, architecture: Architecture, out: StrPath, *, repeats: int = 1) -> TrainResult:
    """Train one architecture; the same call again resumes, or returns the result of a finished run.

    repeats   train so often, with seeds that count up, each in ``out/repeats/SEED``; the best generators end in `out`,
              or those of the first seed with ``metrics.select=last``, where nothing is chosen

    Raises `UserError` for anything the user can mend, `Stopped` when asked to stop, `NonFiniteError`.
    """
    if repeats > 1:
        return _train_repeats(config, architecture, out, repeats)
    layout = find_layout(architecture.layout)
    run = Run(out)
    config, domains, validation, supernet = open_training(config, architecture, run)
    with run.lock(), StopSignal().listening() as stop:
        reporter = Reporter(run.log)
        for line in claim(run, config, describe_stretch):
            reporter.say(line)
        run.write_text(run.architecture, architecture.to_json())
        with stop.interruptible():
            gan = open_gan(config, layout, architecture)
        trainer = open_trainer(run, config, gan, domains, reporter, stop)
        for line in describe_sizes(generator_sizes(architecture, config.nets, config.data.resolution)):
            reporter.say(line)
        resumed = trainer.resume()
        if not resumed:
            run.delete_model()
        if not resumed and supernet:
            copied, total = inherit(gan, architecture, supernet)
            reporter.say(f"inherited {copied} of {total} tensors from {config.training.inherit}")
        keeper = Keeper(trainer, config, architecture, domains)
        selection = Selection(keeper, validation) if validation.ready(reporter) else None
        introduce(trainer, config, domains)
        trainer.train("train", [selection.event() if selection else keeper.event()])
        kept = selection.kept() if selection else {}
        run.write_result({"architecture": architecture.id, "images": trainer.loop.nimg, "kept": kept})
        return TrainResult(architecture.id, trainer.loop.nimg, kept)


def open_training(
    config: RunConfig, architecture: Architecture, run: Run
) -> tuple[RunConfig, Domains, Validation, dict[str, Tensor] | None]:
    """Resolve the config, open the data and read what is inherited; whatever can be wrong is found before the run's
    folder is made.
    """
    layout = find_layout(architecture.layout)
    nets = config.nets.model_copy(update={"layout": layout.name})
    config = config.model_copy(update={"architecture": architecture.id, "nets": nets})
    config = keep_choices(run, config)
    domains = open_domains(config, layout)
    config, validation = open_validation(config, domains, Cache(default_cache()))
    fresh = config.training.inherit is not None and not run.checkpoint_paths()
    supernet = _supernet(config.training.inherit, layout) if config.training.inherit and fresh else None
    return config, domains, validation, supernet


def _train_repeats(config: RunConfig, architecture: Architecture, out: StrPath, repeats: int) -> TrainResult:
    whole = Run(out)
    if whole.config.exists():
        raise RunError(f"{str(whole.path)!r} is a run of one training: choose another --out for {repeats} repeats")
    # the same images are held out in all repeats, or their scores could not be compared
    data = config.data.model_copy(update={"split_seed": config.split_seed})
    config = config.model_copy(update={"data": data})
    runs = {seed: whole.repeat(seed) for seed in range(config.seed, config.seed + repeats)}
    others = {path.name for path in whole.path.glob("repeats/*")} - set(map(str, runs))
    if others:
        raise RunError(
            f"{str(whole.path)!r} holds other repeats ({', '.join(sorted(others))}): give the same --seed and as many "
            f"--repeats or more, or another --out"
        )
    with whole.lock(repeats=True):
        results = {
            seed: train(config.model_copy(update={"seed": seed}), architecture, run.path) for seed, run in runs.items()
        }
        return _best_of(whole, runs, results, architecture)


def _best_of(
    whole: Run, runs: Mapping[int, Run], results: Mapping[int, TrainResult], architecture: Architecture
) -> TrainResult:
    """Copy the best generator of each direction, or the first seed's, into the whole run, and sum the repeats up."""
    kept: dict[Direction, Mapping[str, Any]] = {}
    first = min(runs)
    for direction in DIRECTIONS:
        scored = {seed: result.kept[direction] for seed, result in results.items() if direction in result.kept}
        chosen = {seed: _score(one) for seed, one in scored.items() if one["chosen"]}
        winner = min(chosen, key=chosen.__getitem__) if chosen else first
        if winner in scored:  # not in runs of a ganas that did not write scores yet
            kept[direction] = {**scored[winner], "seed": winner}
        generator = runs[winner].generator(direction)
        write_atomically(whole.generator(direction), generator.read_bytes())
    whole.write_text(whole.architecture, architecture.to_json())
    images = results[first].images
    whole.write_result({"architecture": architecture.id, "images": images, "kept": kept, "repeats": len(runs)})
    return TrainResult(architecture.id, images, kept, tuple(result.kept for result in results.values()))


def _supernet(place: Path, layout: Layout) -> dict[str, Tensor]:
    """The supernets of a finished search of the same layout; raises `RunError`."""
    run = Run(place)
    if not run.supernet.is_file():
        raise RunError(
            f"{str(place)!r} holds no {run.supernet.name} to inherit from: give the run of a finished search"
        )
    found = load_architecture(run.architecture).layout
    if found != layout.name:
        raise RunError(f"{str(place)!r} searched layout {found!r}, and weights of {layout.name!r} are wanted")
    try:
        return load(run.supernet.read_bytes())  # load_file wants a name in UTF-8
    except SafetensorError as error:
        raise RunError(f"{str(run.supernet)!r} is damaged ({error}): search again, or train without it") from None


# ── which generators are kept ────────────────────────────────────────────────────────────────────────────────────────


class Keeper:
    """Fills a run's model folder: with the last generators, or with those that a `Selection` says."""

    def __init__(self, trainer: Trainer, config: RunConfig, architecture: Architecture, domains: Domains) -> None:
        self.trainer, self.config = trainer, config
        self._architecture, self._domains = architecture, domains

    def event(self) -> Event:
        """Keep both generators as they are at each checkpoint."""

        def keep_both(nimg: int) -> None:
            for direction in DIRECTIONS:
                self.keep(direction, nimg)

        return Event("keep", self.config.training.checkpoint_every, keep_both)

    def keep(
        self,
        direction: str,
        nimg: int,
        metric: str | None = None,
        score: float | None = None,
        split: str | None = None,
    ) -> None:
        """Write one direction's generator into the run's model folder."""
        name, architecture, data = f"generator_{direction}", self._architecture, self.config.data
        info = GeneratorInfo(
            network=name,
            layout=architecture.layout,
            ops=architecture.ops(name),
            width=self.config.nets.width_of(name),
            resolution=data.resolution,
            images=nimg,
            architecture=architecture.id,
            metric=metric,
            score=score,
            split=split,
            white=data.white or self._domains.of(name[-2]).reading.level,
            icc=data.icc,
        )
        save_generator(self.trainer.run.generator(direction), self.trainer.generators()[name], info)


class Selection:
    """Keeps, for each direction, the generator whose translations of held-out images are the closest.

    With ``metrics.select=last`` it measures the same, and keeps the last one whatever its scores are.

    Which one is the best so far is read from the generator files themselves, so that they and what is said of them
    cannot differ, wherever a run was killed.
    """

    def __init__(self, keeper: Keeper, validation: Validation) -> None:
        self._keeper, self._run = keeper, keeper.trainer.run
        self._validation = validation
        metrics = keeper.config.metrics
        # the last one has the score it would have been chosen by
        self._metric = default_metric(metrics.features) if metrics.select == "last" else metrics.select
        self._split = None if metrics.select == "last" else metrics.split

    def event(self) -> Event:
        """`measure`, as often as the config says."""
        return Event("evaluate", self._keeper.config.training.evaluate_every, self.measure)

    def measure(self, nimg: int) -> None:
        """Translate, measure, and keep a generator that is the best so far."""
        for direction, measured in self._validation.record(self._keeper.trainer, nimg).items():
            key = next(key for key in measured.scores if metric_of(key) == self._metric)
            score = None if isnan(measured.scores[key]) else measured.scores[key]
            kept = self._kept(direction) if self._split else None
            if kept is None or kept.score is None or (score is not None and score < kept.score):
                self._keeper.keep(direction, nimg, metric=key, score=score, split=self._split)

    def kept(self) -> dict[Direction, Any]:
        """Of each direction metric, score and nimg of the generator kept, on which images, and whether by them.

        Beside it all scores of these images as they are, ``untranslated``: what a translator has to be better than.
        """
        found = {direction: self._kept(direction) for direction in DIRECTIONS}
        return {
            direction: {
                "metric": info.metric,
                "score": info.score,  # None: not a number
                "split": self._keeper.config.metrics.split,
                "chosen": info.split is not None,
                "nimg": info.images,
                "untranslated": self._untranslated(direction, info.metric),
            }
            for direction, info in found.items()
            if info
        }

    def _untranslated(self, direction: str, metric: str | None) -> Mapping[str, float]:
        """As the run's result has them, if it has ended before: a finished run measures nothing again."""
        before = self._run.read_result().get("kept", {}).get(direction, {}).get("untranslated", {})
        return before if metric in before else dict(self._validation.untranslated(direction).scores)

    def _kept(self, direction: str) -> GeneratorInfo | None:
        """What is kept; nothing of a ganas that did not write scores yet."""
        path = self._run.generator(direction)
        info = read_generator_info(path) if path.exists() else None
        return info if info and info.metric else None
