"""Feature networks: from images to the vectors that FID, KID, precision and recall compare, and the logits of IS.

A score depends on the network, the preprocessing and the input size. A specification names all three, like a metric's
key: ``NETWORK[-PREPROCESSING[-SIZE]][:PATH]``, as in ``inception``, ``inception-legacy``,
``squeezenet:weights.safetensors`` or ``resnet50-clean-224:resnet50.pth``.

*clean* preprocessing resizes images as Parmar et al. 2022 recommend ("On Aliased Resizing and Surprising Subtleties in
GAN Evaluation", https://arxiv.org/abs/2104.11222): each channel as float32 through an antialiased bicubic filter, up
and down alike, never rounded back to integers. *legacy* is TensorFlow 1's bilinear resize without antialiasing, which
the first FID code used: it reproduces older papers' numbers.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from ganas.errors import FeatureError
from ganas.metrics.features import classifiers, inception, squeezenet
from ganas.metrics.features.base import Activations, FeatureNetwork, Parts, assemble, extract
from ganas.metrics.features.preprocessing import PREPROCESSING, PreprocessingName
from ganas.paths import expanded

__all__ = ["Activations", "FeatureNetwork", "extract", "load_features"]


class Network(NamedTuple):
    load: Callable[[Path | None], Parts]  # from a weight file; None: download it once
    only_size: int | None = None  # pixels; None: any size


NETWORKS: Mapping[str, Network] = {
    "inception": Network(inception.load, only_size=inception.SIZE),
    "squeezenet": Network(squeezenet.load),
}


def parse_spec(spec: str) -> tuple[str, PreprocessingName, int | None, Path | None]:
    """Return the parts of a specification, None for omitted ones; raises FeatureError."""
    words, colon, path = spec.partition(":")
    name, *rest = words.split("-")
    preprocessing = rest[0] if rest else "clean"
    size = rest[1] if len(rest) > 1 else ""
    if not name or len(rest) > 2 or preprocessing not in PREPROCESSING or (size and not size.isdecimal()):
        raise FeatureError(
            f"cannot read the feature network {spec!r}: give NETWORK[-clean|-legacy[-SIZE]][:PATH], "
            f"as in inception or squeezenet:PATH"
        )
    if colon and not path:
        raise FeatureError(f"the path in {spec!r} is empty: give {name}:PATH, or {name} alone to download it")
    return name, preprocessing, int(size) if size else None, expanded(path) if path else None  # type: ignore[return-value]


def load_features(spec: str, *, device: str = "cpu") -> FeatureNetwork:
    """Load the feature network that ``spec`` names (module docstring) on a device of torch.

    ``inception``      the Inception-v3 of FID (Szegedy et al. 2015, https://arxiv.org/abs/1512.00567, with TensorFlow's
                       weights as torch-fidelity publishes them), 2048 features at 299 px
    ``squeezenet``     SqueezeNet 1.1 (Iandola et al. 2016, https://arxiv.org/abs/1602.07360), 512 features at 128 px;
                       PATH may hold its ``.features`` alone, without logits
    ``resnet50``, ...  any classifier of torchvision by its name there; its features are the input of its last layer,
                       its size that of its published transform

    PATH holds the weights (.safetensors, or a .pth state dict); without it they are downloaded once. Files are only
    read as tensors: anything else in a pickle is refused and not executed.
    Raises FeatureError if the name is unknown, or the weights are missing, damaged or another network's.
    """
    name, preprocessing, size, path = parse_spec(spec)
    if network := NETWORKS.get(name):
        if network.only_size and size not in (None, network.only_size):
            raise FeatureError(f"{name} takes images of {network.only_size} px, got {size}: leave the size out")
        parts = network.load(path)
    elif classifiers.is_known(name):
        parts = classifiers.load(name, path)
    else:
        raise FeatureError(
            f"unknown feature network {name!r}: give {', '.join(NETWORKS)}, or a classifier of torchvision as resnet50"
        )
    return assemble(name, preprocessing, size, parts, device)
