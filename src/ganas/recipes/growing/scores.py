"""Score the models of a growing run on latents that no search has seen, and remember the scores."""

import hashlib
import json
from functools import cache as once
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ganas.config import load_config, network_of
from ganas.data.loaders import CenterCrops, center_crops
from ganas.document import write_record
from ganas.growing.baseline_cache import LIBRARIES
from ganas.growing.config import GrowConfig
from ganas.growing.history import read_history
from ganas.growing.images import Squares, open_images
from ganas.growing.networks import Generator
from ganas.growing.sample import find_grown_generator, load_candidate_generator, load_grown_generator, make_images
from ganas.growing.trainer import real_images
from ganas.metrics.cache import Cache
from ganas.metrics.features import FeatureNetwork, load_features
from ganas.metrics.reference import Reference, possible_metrics
from ganas.progress import Reporter
from ganas.recipes.growing.jobs import GrowingFolder, GrowingJob
from ganas.recipes.growing.models import Model, models_of
from ganas.store import Run, default_cache, write_atomically
from ganas.version import __version__

FIRST_LATENT = 10**9  # seeds of latents count up from here; those of a search from 0
SCORED = ("fid", "is", "swd")  # the metrics of the paper


def open_generator(folder: GrowingFolder, model: Model) -> Generator:
    """Load a model's generator, on the GPU if there is one."""
    run = folder.run(model.run)
    if model.final:
        generator, _ = load_grown_generator(find_grown_generator(run.path))
    else:
        generator = load_candidate_generator(run.path, model.candidate)
    return generator.to(_device())


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def score_run(folder: GrowingFolder, job: GrowingJob) -> list[Model]:
    """Return the models of a finished run with their scores, which are measured where none are stored."""
    run = folder.run(job.id)
    config = load_config(GrowConfig, run.config.read_bytes(), str(run.config))
    models = [*models_of(job, read_history(run.path), run.read_result()["winner"])]
    stored = _read(folder.scores(job.id))
    judge = _Judge(config.with_values({"metrics.features": job.features}))
    found = {}
    for model in models:
        key = _key(_weights(run, model), config)
        found[key] = stored.get(key) or judge.measure(open_generator(folder, model), model.resolution)
        if key not in stored:
            write_atomically(folder.scores(job.id), write_record({"scores": stored | found}).encode())
    return [model.scored(scores) for model, scores in zip(models, found.values(), strict=True)]


class _Judge:
    """Measures generators at any resolution; images and network are opened when they are needed."""

    def __init__(self, config: GrowConfig) -> None:
        self._config, self._references = config, dict[int, Reference]()
        self._network, self._squares = once(self._open_network), once(self._open_squares)

    def measure(self, generator: Generator, resolution: int) -> dict[str, Any]:
        """The scores, the levels of the sliced Wasserstein distance, and warnings, as JSON values."""
        count = self._config.metrics.images
        Reporter().say(f"scoring {count:,} new images of {resolution}×{resolution}")
        if resolution not in self._references:
            possible = [name for name in possible_metrics(self._network()) if name in SCORED]
            reals = real_images(self._squares(), self._config, resolution)
            self._references[resolution] = Reference(
                reals, possible, self._network(), cache=Cache(default_cache()), split="training"
            )
        images = make_images(generator, range(FIRST_LATENT, FIRST_LATENT + count))
        measured = self._references[resolution].measure(images)
        levels = measured.protocol.get("swd_levels", {})
        return {"scores": measured.scores, "levels": levels, "warnings": list(measured.warnings)}

    def _open_network(self) -> FeatureNetwork | None:
        features = self._config.metrics.features
        return load_features(features, device=_device()) if features else None

    def _open_squares(self) -> Squares:
        source, data = open_images(self._config), self._config.data
        if 3 * data.resolution**2 * len(source) > data.cache_mib << 20:
            return CenterCrops(source, data.resolution)
        return center_crops(source, data.resolution).numpy()


def _weights(run: Run, model: Model) -> Path:
    return find_grown_generator(run.path) if model.final else run.candidate(model.candidate).final


def _key(weights: Path, config: GrowConfig) -> str:
    """Name the scores of a generator by all that they depend on."""
    metrics, data = config.metrics, config.data
    facts = {
        "weights": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "latents": [FIRST_LATENT, metrics.images],
        "network": [network_of(metrics.features), metrics.digest],
        "images": [data.digest, data.resolution, config.seed],
        "versions": {"ganas": __version__} | {name: version(name) for name in LIBRARIES},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _read(path: Path) -> dict[str, Any]:
    """The stored scores by key; none if there is no such file, or if it is damaged: they are measured again."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["scores"])
    except (OSError, ValueError, KeyError):
        return {}
