"""Score the models of a growing run on latents that no search has seen, and remember the scores."""

import hashlib
import json
from functools import cache as once
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ganas.config import load_config, network_of
from ganas.data.loaders import CenterCrops
from ganas.document import stored_object, write_record
from ganas.errors import UserError
from ganas.growing.baseline_cache import LIBRARIES
from ganas.growing.config import GrowConfig
from ganas.growing.history import read_history
from ganas.growing.images import open_images
from ganas.growing.networks import Generator
from ganas.growing.sample import find_grown_generator, load_candidate_generator, load_grown_generator, make_images
from ganas.growing.trainer import real_images
from ganas.metrics.cache import Cache
from ganas.metrics.features import FeatureNetwork, load_features
from ganas.metrics.reference import Reference, possible_metrics
from ganas.progress import Reporter
from ganas.recipes.growing.jobs import GrowingFolder, GrowingJob
from ganas.recipes.growing.models import Model, models_of
from ganas.recipes.growing.report import Findings
from ganas.store import Run, default_cache, write_atomically
from ganas.version import __version__

FIRST_LATENT = 10**9  # seeds of latents count up from here; those of a search from 0
MEASURED = {"scores", "levels", "warnings"}  # what is stored of a model
SCORED = ("fid", "is", "swd")  # the metrics of the paper


def open_generator(folder: GrowingFolder, model: Model) -> Generator:
    """Load a model's generator, onto the device of its run."""
    run = folder.run(model.run)
    if model.final:
        generator, _ = load_grown_generator(find_grown_generator(run.path))
    else:
        generator = load_candidate_generator(run.path, model.candidate)
    return generator.to(device_of(_config_of(run)))


def device_of(config: GrowConfig) -> str:
    """The device of a run; the CPU if that is a GPU, and this machine has none."""
    return "cpu" if config.device.startswith("cuda") and not torch.cuda.is_available() else config.device


def _config_of(run: Run) -> GrowConfig:
    return load_config(GrowConfig, run.config.read_bytes(), str(run.config))


class Scorer:
    """Scores the models of a recipe's runs; those that have real images and network in common share them."""

    def __init__(self, folder: GrowingFolder) -> None:
        self._folder, self._judges = folder, dict[tuple[object, ...], _Judge]()

    def score(self, job: GrowingJob) -> Findings:
        """Return the models of a finished run with their scores, which are measured where none are stored.

        A model that has lost its weights is left out, and so is one that cannot be scored.
        """
        run, file = self._folder.run(job.id), self._folder.scores(job.id)
        config, stored = _config_of(run), _read(file)
        judge = self._judge(config.with_values({"metrics.features": job.features}))
        models, missing, failed = list[Model](), list[str](), list[str]()
        for model in models_of(job, read_history(run.path), run.read_result()["winner"]):
            name = f"{job.id}: {model.candidate} at {model.resolution}×{model.resolution}"
            if not model.final and not run.candidate(model.candidate).final.is_file():
                missing.append(f"{name} is left out, its weights are missing")
                continue
            try:
                key = _key(_weights(run, model), config)
                if key not in stored:
                    generator = open_generator(self._folder, model)
                    stored[key] = judge.measure(generator, model.resolution, config.metrics.images)
                    write_atomically(file, write_record({"scores": stored}).encode())
            except UserError as error:
                failed.append(f"{name} has no scores: {error}")
                continue
            models.append(model.scored(stored[key]))
        return Findings(models, missing=missing, failed=failed)

    def _judge(self, config: GrowConfig) -> "_Judge":
        key = config.data.model_dump_json(), config.seed, config.metrics.features, device_of(config)
        return self._judges.setdefault(key, _Judge(config))


class _Judge:
    """Measures generators at any resolution; images and network are opened when they are needed."""

    def __init__(self, config: GrowConfig) -> None:
        self._config, self._references = config, dict[int, Reference]()
        self._network, self._squares = once(self._open_network), once(self._open_squares)

    def measure(self, generator: Generator, resolution: int, count: int) -> dict[str, Any]:
        """The scores of `count` images, the levels of the sliced Wasserstein distance, and warnings, as JSON values."""
        Reporter().say(f"scoring {count:,} new images of {resolution}×{resolution}")
        if resolution not in self._references:
            possible = [name for name in possible_metrics(self._network()) if name in SCORED]
            reals = real_images(self._squares(), self._config, resolution)
            self._references[resolution] = Reference(
                reals,
                possible,
                self._network(),
                cache=Cache(default_cache()),
                split="training",
                requested=False,  # SWD needs 8 pixels: networks of 4 have the other scores
            )
        images = make_images(generator, range(FIRST_LATENT, FIRST_LATENT + count))
        measured = self._references[resolution].measure(images)
        levels = measured.protocol.get("swd_levels", {})
        return {"scores": measured.scores, "levels": levels, "warnings": list(measured.warnings)}

    def _open_network(self) -> FeatureNetwork | None:
        features = self._config.metrics.features
        return load_features(features, device=device_of(self._config)) if features else None

    def _open_squares(self) -> CenterCrops:
        """All squares, of which only those that generated images are compared with are decoded."""
        return CenterCrops(open_images(self._config), self._config.data.resolution)


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
    found = stored_object(path).get("scores")
    whole = found.items() if isinstance(found, dict) else ()
    return {key: one for key, one in whole if isinstance(one, dict) and one.keys() == MEASURED}
