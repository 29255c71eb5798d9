"""Training the translator of one architecture: the loop, a checkpoint chosen for each direction, repeats."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isnan
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ganas.config import RunConfig
from ganas.errors import RunError
from ganas.gan.cyclegan import inherit
from ganas.inference import GeneratorInfo, read_generator_info, save_generator
from ganas.metrics.measurement import Summary, metric_of
from ganas.metrics.statistics import Cache
from ganas.nets.architecture import Architecture, load_architecture
from ganas.nets.layout import Layout, find_layout
from ganas.progress import Reporter, StopSignal
from ganas.store import Run, default_cache, write_atomically
from ganas.training.architectures import describe_sizes, generator_sizes
from ganas.training.loop import Event
from ganas.training.opening import claim, kept_choices, open_domains
from ganas.training.phases import Strategy, joint_phases
from ganas.training.session import Session
from ganas.training.validation import DIRECTIONS, Validation, open_validation

IMAGES = {"validation": "held-out images", "test": "test images, by which it was chosen"}


@dataclass(frozen=True)
class TrainResult:
    """How one training, or several repeats of it, ended."""

    architecture: str  # id
    images: int  # pairs seen, by each repeat
    best: Mapping[
        str, Mapping[str, Any]
    ]  # direction -> metric, score, nimg of the generator kept; empty: the last ones
    repeats: tuple[Mapping[str, Mapping[str, Any]], ...] = ()  # `best` of every repeat

    def lines(self) -> list[str]:
        """For people."""
        if not self.best:
            return [f"kept the generators after {self.images} images, the last: none was chosen by a score"]
        lines = [
            f"{DIRECTIONS[direction]}: kept the generator after {kept['nimg']} images, "
            f"{kept['metric']} {_score(kept):.4g} on {IMAGES[kept['split']]}"
            for direction, kept in self.best.items()
        ]
        for direction in self.best if len(self.repeats) > 1 else ():
            summary = Summary.of([_score(best[direction]) for best in self.repeats])
            lines.append(f"{DIRECTIONS[direction]}: {summary.repeats} repeats, {summary}")
        return lines


def _score(kept: Mapping[str, Any]) -> float:
    """What is not a number is the worst there is."""
    return inf if kept["score"] is None else kept["score"]


def train(config: RunConfig, architecture: Architecture, out: Path) -> TrainResult:
    """Train one architecture; the same call again resumes, or returns the result of a finished run.

    Raises `UserError` for anything the user can mend, `Stopped` when asked to stop, `NonFiniteError`.
    """
    layout = find_layout(architecture.layout)
    nets = config.nets.model_copy(update={"layout": layout.name})
    config = config.model_copy(update={"architecture": architecture.id, "nets": nets})
    run = Run(out)
    config, domains = open_domains(kept_choices(run, config), layout)
    # whatever can be wrong is found before the run's folder is made
    config, validation = open_validation(config, domains, Cache(default_cache()))
    fresh = config.training.inherit is not None and not run.checkpoint_paths()
    supernet = _supernet(config.training.inherit, layout) if config.training.inherit and fresh else None
    with run.lock(), StopSignal().listening() as stop:
        reporter = Reporter(run.log)
        claim(run, config)
        run.write_text(run.architecture, architecture.to_json())
        session = Session(run, config, layout, architecture, domains, Strategy(joint_phases), reporter)
        for line in describe_sizes(generator_sizes(architecture, config.nets, config.data.resolution)):
            reporter.say(line)
        resumed = session.resume()
        if not resumed:
            run.forget_model()
        if not resumed and supernet:
            copied, total = inherit(session.gan, architecture, supernet)
            reporter.say(f"inherited {copied} of {total} tensors from {config.training.inherit}")
        selection = Selection(session, architecture, validation) if validation.ready(reporter) else None
        session.go("train", [_keeping(session, architecture, selection)], stop)
        best = selection.best() if selection else {}
        run.write_result({"architecture": architecture.id, "images": session.loop.nimg, "best": best})
        return TrainResult(architecture.id, session.loop.nimg, best)


def train_repeats(config: RunConfig, architecture: Architecture, out: Path, repeats: int) -> TrainResult:
    """Train `repeats` times with seeds that count up, each in ``out/repeats/SEED``; the best generators end in `out`.

    One repeat is a plain `train` into `out`.
    """
    if repeats == 1:
        return train(config, architecture, out)
    whole = Run(out)
    if whole.config.exists():
        raise RunError(f"{str(out)!r} is a run of one training: choose another --out for {repeats} repeats")
    # the same images are held out in all repeats, or their scores could not be compared
    data = config.data.model_copy(update={"split_seed": config.split_seed})
    config = config.model_copy(update={"data": data})
    runs = {seed: whole.repeat(seed) for seed in range(config.seed, config.seed + repeats)}
    others = {path.name for path in whole.path.glob("repeats/*")} - set(map(str, runs))
    if others:
        raise RunError(
            f"{str(out)!r} holds other repeats ({', '.join(sorted(others))}): give the same --seed and as many "
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
    """Copy the best generator of each direction into the whole run, and sum the repeats up."""
    best: dict[str, Mapping[str, Any]] = {}
    first = min(runs)
    for direction in DIRECTIONS:
        scored = {seed: result.best[direction] for seed, result in results.items() if direction in result.best}
        winner = min(scored, key=lambda seed: _score(scored[seed])) if scored else first
        if scored:
            best[direction] = {**scored[winner], "seed": winner}
        kept = runs[winner].generator(direction)
        write_atomically(whole.generator(direction), kept.read_bytes())
    whole.write_text(whole.architecture, architecture.to_json())
    images = results[first].images
    whole.write_result({"architecture": architecture.id, "images": images, "best": best, "repeats": len(runs)})
    return TrainResult(architecture.id, images, best, tuple(result.best for result in results.values()))


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
        return load_file(run.supernet)
    except SafetensorError as error:
        raise RunError(f"{str(run.supernet)!r} is damaged ({error}): search again, or train without it") from None


# ── which generators are kept ────────────────────────────────────────────────────────────────────────────────────────


def _keeping(session: Session, architecture: Architecture, selection: "Selection | None") -> Event:
    """The event that fills the model folder: the best by a metric, or the last where none can be had."""
    if selection:
        return Event("evaluate", session.config.training.evaluate_every, selection.measure)

    def keep_both(nimg: int) -> None:
        for direction in DIRECTIONS:
            keep(session, architecture, direction, nimg)

    return Event("keep", session.config.training.checkpoint_every, keep_both)


class Selection:
    """Keeps, for each direction, the generator whose translations of held-out images are the closest.

    With ``metrics.select=last`` it measures the same, and keeps the last one whatever its scores are.

    Which one is the best so far is read from the generator files themselves, so that they and what is said of them
    cannot differ, wherever a run was killed.
    """

    def __init__(self, session: Session, architecture: Architecture, validation: Validation) -> None:
        self._session = session
        self._architecture = architecture
        self._validation = validation
        self._metric = session.config.metrics.select

    def measure(self, nimg: int) -> None:
        """Translate, measure, and keep a generator that is the best so far."""
        for direction, measured in self._validation.record(self._session, nimg).items():
            if self._metric == "last":
                keep(self._session, self._architecture, direction, nimg)
                continue
            key = next(key for key in measured.scores if metric_of(key) == self._metric)
            score = None if isnan(measured.scores[key]) else measured.scores[key]
            kept = self._kept(direction)
            if kept is None or kept.score is None or (score is not None and score < kept.score):
                keep(self._session, self._architecture, direction, nimg, metric=key, score=score)

    def best(self) -> dict[str, Any]:
        """Direction -> metric, score and nimg of the generator kept."""
        kept = {direction: self._kept(direction) for direction in DIRECTIONS}
        return {
            direction: {
                "metric": info.metric,
                "score": info.score,  # None: not a number
                "split": info.split,
                "nimg": info.images,
            }
            for direction, info in kept.items()
            if info
        }

    def _kept(self, direction: str) -> GeneratorInfo | None:
        """What is kept; nothing of a ganas that did not write scores yet."""
        path = self._session.run.generator(direction)
        info = read_generator_info(path) if path.exists() else None
        return info if info and info.metric else None


def keep(
    session: Session,
    architecture: Architecture,
    direction: str,
    nimg: int,
    metric: str | None = None,
    score: float | None = None,
) -> None:
    """Write one direction's generator into the run's model folder."""
    name = f"generator_{direction}"
    info = GeneratorInfo(
        network=name,
        layout=architecture.layout,
        ops=architecture.ops(name),
        width=session.config.nets.width_of(name),
        resolution=session.config.data.resolution,
        images=nimg,
        architecture=architecture.id,
        metric=metric,
        score=score,
        split=session.config.metrics.split if metric else None,
    )
    save_generator(session.run.generator(direction), session.generators()[name], info)
