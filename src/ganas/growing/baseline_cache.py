"""Results of the ProgGAN route, kept for the next search of the same data and config. No torch here.

An entry is named by a digest of what the training of a candidate depends on, but for the kind of machine: others round
differently. Only the result is kept: where weights are needed after all, they are made anew. A cache that cannot be
written is as good as none.
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
from ganas.version import __version__

LIBRARIES = ("torch", "torchvision", "torch-fidelity", "numpy", "pillow")

# What a search is told, but none of its candidates.
SEARCH_ALONE = {
    "data": {"images"},  # their digest remains
    "growth": {
        *("sizes", "filters", "depth", "keep", "probability", "rank_by", "survival", "route"),
        *("max_parameters", "max_macs"),
    },
    "training": {"final_images", "timeout", "log_every", "sample_every", "checkpoint_every"},
    "metrics": {"features"},  # how it is used, and the digest of its weights, remain
}


class KeptResults:
    """Of candidates trained under one config, by what they were told."""

    def __init__(self, cache: Path | None, config: GrowConfig) -> None:
        document = config.model_dump(mode="json", exclude=SEARCH_ALONE)
        document["network"] = network_of(config.metrics.features)
        versions = {name: version(name) for name in LIBRARIES} | {"ganas": __version__, "result": str(SCHEMA)}
        name = _digest(json.dumps([document, versions], sort_keys=True))
        self._folder = cache and cache / "candidates" / name

    def read(self, spec: Spec) -> Result | None:
        """How its training ended before; None where it never did, or failed."""
        kept = self._of(spec)
        return read_result(kept) if kept else None

    def write(self, spec: Spec, result: Result) -> None:
        """Keep the result of a candidate that did not fail."""
        kept = self._of(spec)
        if kept and result.state == "done":
            with suppress(OSError):
                kept.write_text(kept.result, result.to_json())

    def _of(self, spec: Spec) -> Run | None:
        return Run(self._folder / _digest(spec.to_json())) if self._folder else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
