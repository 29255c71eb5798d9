"""Training the translator of one architecture: the loop, a checkpoint chosen for each direction, repeats."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from ganas.config import RunConfig
from ganas.data.loaders import centre_images
from ganas.data.sources import ImageSource
from ganas.errors import ArchitectureError, RunError
from ganas.gan.cyclegan import inherit
from ganas.inference import GeneratorInfo, save_generator
from ganas.metrics.evaluate import Reference
from ganas.metrics.features import load_features
from ganas.nets.architecture import Architecture, handmade, load_architecture
from ganas.nets.layout import find_layout
from ganas.progress import Reporter, StopSignal
from ganas.store import Run
from ganas.training.loop import Event
from ganas.training.opening import claim, kept_choices, open_domains
from ganas.training.phases import joint_phases
from ganas.training.session import Session

DIRECTIONS = {"ab": "A→B", "ba": "B→A"}
REFERENCE_IMAGES = 500  # of the target domain, at most, that held-out translations are compared with
MINIMUM_HELD = 10  # images held out of a domain below which no score is worth choosing by


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
            return [f"kept the generators after {self.images} images: nothing was measured"]
        lines = [
            f"{DIRECTIONS[direction]}: kept the generator after {kept['nimg']} images, "
            f"{kept['metric']} {kept['score']:.4g} on held-out images"
            for direction, kept in self.best.items()
        ]
        for direction in self.best if len(self.repeats) > 1 else ():
            scores = [best[direction]["score"] for best in self.repeats]
            lines.append(
                f"{DIRECTIONS[direction]}: {len(scores)} repeats, mean {mean(scores):.4g}, "
                f"range {min(scores):.4g} to {max(scores):.4g}"
            )
        return lines


def find_architecture(text: str) -> Architecture:
    """The architecture of a hand-made network's name, an ``architecture.json``, or a run's folder."""
    if text in handmade():
        return Architecture(text)
    path = Path(text)
    if path.is_dir():
        run = Run(path)
        if run.architecture.is_file():
            return load_architecture(run.architecture)
        state = (
            "its search has not ended yet: run the same ganas search again" if run.config.is_file() else "it is no run"
        )
        raise RunError(f"{text!r} holds no architecture.json; {state}")
    if not path.exists():
        raise ArchitectureError(
            f"there is no architecture {text!r}: give an architecture.json, a search's run, "
            f"or {' or '.join(handmade())}"
        )
    return load_architecture(path)


def train(config: RunConfig, architecture: Architecture, out: Path) -> TrainResult:
    """Train one architecture; the same call again resumes, or returns the result of a finished run.

    Raises `UserError` for anything the user can mend, `Stopped` when asked to stop, `NonFiniteError`.
    """
    layout = find_layout(architecture.layout)
    nets = config.nets.model_copy(update={"layout": layout.name})
    config = config.model_copy(update={"architecture": architecture.id, "nets": nets})
    run = Run(out)
    with run.lock(), StopSignal().listening() as stop:
        reporter = Reporter(run.log)
        config, domains = open_domains(kept_choices(run, config), layout)
        claim(run, config)
        run.write_text(run.architecture, architecture.to_json())
        session = Session(run, config, layout, architecture, domains, joint_phases, reporter)
        if not session.resume() and config.training.inherit:
            copied, total = inherit(session.gan, architecture, _supernet(config.training.inherit))
            reporter.say(f"inherited {copied} of {total} tensors from {config.training.inherit}")
        session.go("train", [_keeping(session, architecture, reporter)], stop)
        best = session.extra_state.get("best", {})
        result = TrainResult(architecture.id, session.loop.nimg, best)
        run.write_text(
            run.result, json.dumps({"architecture": result.architecture, "images": result.images, "best": best})
        )
        return result


def train_repeats(config: RunConfig, architecture: Architecture, out: Path, repeats: int) -> TrainResult:
    """Train `repeats` times with seeds that count up, each in ``out/repeats/SEED``; the best generators end in `out`.

    One repeat is a plain `train` into `out`.
    """
    if repeats == 1:
        return train(config, architecture, out)
    seeds = range(config.seed, config.seed + repeats)
    runs = {seed: out / "repeats" / str(seed) for seed in seeds}
    results = {seed: train(config.model_copy(update={"seed": seed}), architecture, path) for seed, path in runs.items()}
    best: dict[str, Mapping[str, Any]] = {}
    for direction in DIRECTIONS:
        scored = [seed for seed in seeds if direction in results[seed].best]
        winner = min(scored, key=lambda seed: results[seed].best[direction]["score"]) if scored else config.seed
        if scored:
            best[direction] = {**results[winner].best[direction], "seed": winner}
        name = f"generator_{direction}.safetensors"
        (out / "model").mkdir(exist_ok=True)
        shutil.copyfile(Run(runs[winner]).model / name, Run(out).model / name)
    return TrainResult(architecture.id, results[config.seed].images, best, tuple(r.best for r in results.values()))


def _supernet(place: Path) -> dict[str, Tensor]:
    path = Run(place).supernet
    if not path.is_file():
        raise RunError(f"{str(place)!r} holds no {path.name} to inherit from: give the run of a finished search")
    return load_file(path)


# ── which generators are kept ────────────────────────────────────────────────────────────────────────────────────────


def _keeping(session: Session, architecture: Architecture, reporter: Reporter) -> Event:
    """The event that fills the model folder: the best by a metric, or the last where none can be had."""
    training, domains = session.config.training, session.domains
    held = min(len(domains.held_a), len(domains.held_b))
    if session.config.metrics.select != "last" and held >= MINIMUM_HELD:
        selection = Selection(session, architecture)
        return Event("evaluate", training.evaluate_every, selection.measure)
    if session.config.metrics.select != "last":
        reporter.say(f"only {held} images are held out: too few to choose a checkpoint by, so the last one is kept")

    def keep_both(nimg: int) -> None:
        for direction in DIRECTIONS:
            keep(session, architecture, direction, nimg)

    return Event("keep", training.checkpoint_every, keep_both)


class Selection:
    """Translates held-out images and keeps, for each direction, the generator whose translations are the closest."""

    def __init__(self, session: Session, architecture: Architecture) -> None:
        config, domains = session.config, session.domains
        self._session = session
        self._architecture = architecture
        self._metric = config.metrics.select
        self._held = {"ab": self._look(domains.held_a), "ba": self._look(domains.held_b)}
        features = (
            load_features(config.metrics.features, device=config.training.device) if config.metrics.features else None
        )
        metrics = ["fid", "kid"] if features and self._metric != "swd" else [self._metric]
        self._references = {
            direction: Reference(self._look(target, REFERENCE_IMAGES), metrics, features)
            for direction, target in (("ab", domains.b), ("ba", domains.a))
        }

    def _look(self, source: ImageSource, most: int | None = None) -> Tensor:
        chosen = source.subset(range(min(len(source), most or len(source))))
        return centre_images(chosen, self._session.config.data.resolution)

    def measure(self, nimg: int) -> None:
        """Translate, measure, and keep a generator that is the best so far."""
        best: dict[str, Any] = self._session.extra_state.setdefault("best", {})
        scores: dict[str, float] = {}
        for direction, translator in self._session.translators().items():
            measured = self._references[direction].measure(translator(self._held[direction])).scores
            scores |= {f"{direction}/{key}": value for key, value in measured.items()}
            key = next(key for key in measured if key.startswith(f"{self._metric}@"))
            if direction not in best or measured[key] < best[direction]["score"]:
                keep(self._session, self._architecture, direction, nimg)
                best[direction] = {"metric": key, "score": measured[key], "nimg": nimg}
        self._session.record({"nimg": nimg, "scores": scores})


def keep(session: Session, architecture: Architecture, direction: str, nimg: int) -> None:
    """Write one direction's generator into the run's model folder."""
    name = f"generator_{direction}"
    info = GeneratorInfo(
        network=name,
        layout=architecture.layout,
        ops=architecture.ops(name),
        width=session.config.nets.width,
        resolution=session.config.data.resolution,
        images=nimg,
        architecture=architecture.id,
    )
    save_generator(session.run.model / f"{name}.safetensors", session.generators()[name], info)
