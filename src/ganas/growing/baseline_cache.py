"""Results of the ProgGAN route, cached for later searches with the same data and config. No torch here.

A search writes those of the route that normalizes its scores, a run of ``--route`` those of its own.

The key of an entry is a digest of all that a candidate's training depends on, except the kind of machine, though
machines round differently. Weights are not cached: if they are needed, the candidate is trained again. A cache that
cannot be written is ignored.
"""

import hashlib
import json
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from ganas.config import network_of
from ganas.growing.candidates import Spec
from ganas.growing.config import GrowConfig
from ganas.jobs.result import SCHEMA, Result, read_result
from ganas.store import Run
from ganas.version import ARITHMETIC, __version__

LIBRARIES = ("torch", "torchvision", "torch-fidelity", "numpy", "pillow")

# Config keys that affect a search, but none of its candidates.
SEARCH_ONLY = {
    "data": {"images", "limit", "verify", "cache_mib"},  # the digest of the images stays in
    "growth": {
        *("sizes", "filters", "depth", "keep", "probability", "rank_by", "strategy", "route"),
        *("doublings", "train_on", "fmap_base", "max_parameters", "max_macs"),
    },
    "training": {
        *("final_images", "final_evaluations", "patience", "timeout"),
        *("log_every", "sample_every", "checkpoint_every"),
    },
    "metrics": {"features"},  # the network and the digest of its weights stay in
}


class BaselineCache:
    """Results of candidates trained under one config, by spec."""

    def __init__(self, cache: Path | None, config: GrowConfig) -> None:
        document = config.model_dump(mode="json", exclude=SEARCH_ONLY)
        document["network"] = network_of(config.metrics.features)
        document["fade_images"] = config.fade_images  # its default depends on the strategy, which is left out
        ours = {"ganas": __version__, "arithmetic": str(ARITHMETIC), "result": str(SCHEMA)}
        versions = {name: version(name) for name in LIBRARIES} | ours
        name = _digest(json.dumps([document, versions], sort_keys=True))
        self._folder = cache and cache / "candidates" / name

    def read(self, spec: Spec) -> Result | None:
        """Return the result of an earlier training; None if there is none."""
        entry = self._entry(spec)
        return read_result(entry) if entry else None

    def write(self, spec: Spec, result: Result) -> None:
        """Store the result of a candidate that did not fail."""
        entry = self._entry(spec)
        if entry and result.state == "done":
            with suppress(OSError):
                entry.write_text(entry.result, result.to_json())

    def _entry(self, spec: Spec) -> Run | None:
        return Run(self._folder / _digest(spec.to_json())) if self._folder else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
