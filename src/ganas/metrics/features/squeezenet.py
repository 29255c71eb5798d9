"""SqueezeNet of torchvision, Iandola et al. 2016 (https://arxiv.org/abs/1602.07360): its 512 pooled features."""

from pathlib import Path

from torch import nn

from ganas.metrics.features.base import Parts, built, global_average
from ganas.metrics.features.weights import read_published

SIZE = 128  # pixels: near the size of the images that are compared, and cheap enough between training steps


def load(path: Path | None) -> Parts:
    """SqueezeNet 1.1, at 128 px."""
    return load_version("squeezenet1_1", "squeezenet", path)._replace(size=SIZE)


def load_version(model: str, name: str, path: Path | None) -> Parts:
    """A version by torchvision's name. The file may hold its ``.features`` alone; there are no logits then.

    The classifier is a 1×1 convolution of the map, followed by the average.
    """
    from torchvision.models import get_model  # slow to import

    published = read_published(model, name, path)
    whole = any(key.startswith("classifier.") for key in published.weights)

    def build() -> nn.Module:
        network: nn.Module = get_model(model, weights=None)
        (network if whole else network.get_submodule("features")).load_state_dict(published.weights)
        return network

    network = built(build, published.path, f"{model} from torchvision")
    classifier = nn.Sequential(network.get_submodule("classifier"), nn.Flatten(1)) if whole else None
    pool = nn.Sequential(*global_average())
    trunk = network.get_submodule("features")
    return Parts(trunk, pool, classifier, published.mean, published.deviation, published.size)
