"""A disk cache of the features of real images.

An entry is named by a digest of everything it depends on, so it never goes stale. Entries are safetensors: nothing in a
cache is executed. Damaged ones are ignored.
"""

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ganas.metrics.distances import Gaussian
from ganas.metrics.features import Activations, FeatureNetwork
from ganas.progress import warn_once
from ganas.store import write_atomically
from ganas.version import __version__

SCHEMA = 1


@dataclass(frozen=True)
class Statistics:
    """The activations of one network for one set of images, and facts about both."""

    activations: Activations | None  # None: only their Gaussian was kept
    lengths: tuple[int, int]  # shortest and longest edge of all images, in pixels
    gaussian: Gaussian | None = None  # of the features; None with fewer images than dimensions


class Cache:
    """Statistics by (digest of the images, network). Without a writable folder, it stores nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def name(self, images: str, network: FeatureNetwork, *, features: bool = True) -> str:
        """Return the file name for the statistics of the images with this digest; `features`: with their features."""
        identity = [SCHEMA, images, network.name, network.preprocessing, network.size]
        identity += [network.digest, network.classifier_digest, network.device, __version__]
        identity += [version(name) for name in ("pillow", "torch", "torchvision", "torch-fidelity")]
        identity += [] if features else ["moments"]
        return f"{hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]}.safetensors"

    def read(self, images: str, network: FeatureNetwork, *, features: bool = True) -> Statistics | None:
        """Return the stored statistics, or None."""
        if self.folder is None:
            return None
        try:
            tensors = load((self.folder / self.name(images, network, features=features)).read_bytes())
            shortest, longest = tensors["lengths"].tolist()
            activations = Activations(tensors["features"], tensors.get("logits")) if features else None
        except (OSError, SafetensorError, KeyError, ValueError):
            return None
        gaussian = None
        if "mean" in tensors and "covariance" in tensors:
            gaussian = Gaussian(tensors["mean"].numpy(), tensors["covariance"].numpy())
        return Statistics(activations, (shortest, longest), gaussian)

    def write(self, images: str, network: FeatureNetwork, statistics: Statistics) -> None:
        """Store statistics; warn once if the cache cannot be written."""
        if self.folder is None:
            return
        tensors: dict[str, Tensor] = {"lengths": torch.tensor(statistics.lengths)}
        if statistics.activations:
            tensors["features"] = statistics.activations.features
            if statistics.activations.logits is not None:
                tensors["logits"] = statistics.activations.logits
        if statistics.gaussian:
            mean, covariance = (torch.from_numpy(part) for part in statistics.gaussian)
            tensors |= {"mean": mean, "covariance": covariance}
        try:
            name = self.name(images, network, features=statistics.activations is not None)
            write_atomically(self.folder / name, save(tensors))
        except OSError as error:
            warn_once(f"{str(self.folder)!r} cannot be written ({error.strerror}), so nothing is cached for later runs")
