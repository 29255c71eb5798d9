"""What a network makes of real images, kept on disk: the next measurement against them starts where it matters.

An entry is named by a digest of everything it depends on: the images' bytes, the network, its weights and kind of
device, how images are resized, and the versions of what does it. So entries never go stale, and a damaged one is as
good as none. They are safetensors: nothing in a cache is executed.
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
    """Of one set of images under one network."""

    activations: Activations
    lengths: tuple[int, int]  # shortest and longest edge of all images, in pixels
    gaussian: Gaussian | None = None  # of the features, where there are more images than dimensions


class Cache:
    """Statistics by (digest of the images, network). Without a folder, or where that fails, it keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def name(self, images: str, network: FeatureNetwork) -> str:
        """Of the file that has the statistics of the images with this digest, or would have."""
        identity = [SCHEMA, images, network.name, network.preprocessing, network.size]
        identity += [network.digest, network.classifier_digest, network.device, __version__]
        identity += [version(name) for name in ("pillow", "torch", "torchvision", "torch-fidelity")]
        return f"{hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]}.safetensors"

    def read(self, images: str, network: FeatureNetwork) -> Statistics | None:
        """What was kept, or None."""
        if self.folder is None:
            return None
        try:
            tensors = load((self.folder / self.name(images, network)).read_bytes())
            shortest, longest = tensors["lengths"].tolist()
            activations = Activations(tensors["features"], tensors.get("logits"))
        except (OSError, SafetensorError, KeyError, ValueError):
            return None
        gaussian = None
        if "mean" in tensors and "covariance" in tensors:
            gaussian = Gaussian(tensors["mean"].numpy(), tensors["covariance"].numpy())
        return Statistics(activations, (shortest, longest), gaussian)

    def write(self, images: str, network: FeatureNetwork, statistics: Statistics) -> None:
        """Keep statistics; a cache that cannot be written to is no error, and said once."""
        if self.folder is None:
            return
        features, logits = statistics.activations
        tensors: dict[str, Tensor] = {"features": features, "lengths": torch.tensor(statistics.lengths)}
        if logits is not None:
            tensors["logits"] = logits
        if statistics.gaussian:
            mean, covariance = (torch.from_numpy(part) for part in statistics.gaussian)
            tensors |= {"mean": mean, "covariance": covariance}
        try:
            write_atomically(self.folder / self.name(images, network), save(tensors))
        except OSError as error:
            warn_once(f"{str(self.folder)!r} cannot be written ({error.strerror}), so nothing is kept for later runs")
