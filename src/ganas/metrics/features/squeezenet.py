"""SqueezeNet of torchvision, Iandola et al. 2016 (https://arxiv.org/abs/1602.07360): its 512 pooled features."""

from pathlib import Path

from torch import nn

from ganas.metrics.features.base import Parts, build_checked, global_average
from ganas.metrics.features.weights import read_published

SIZE = 128  # pixels: close to typical training resolutions, and cheap enough during training


def load(path: Path | None) -> Parts:
    """Load SqueezeNet 1.1, at 128 px."""
    return load_version("squeezenet1_1", "squeezenet", path)._replace(size=SIZE)


def load_version(model: str, name: str, path: Path | None) -> Parts:
    """Load a version by torchvision's name; a file with ``.features`` alone gives no logits.

    The classifier is a 1×1 convolution of the feature map, followed by the average.
    """
    from torchvision.models import get_model  # slow to import

    published = read_published(model, name, path)
    whole = any(key.startswith("classifier.") for key in published.weights)

    def build() -> nn.Module:
        network: nn.Module = get_model(model, weights=None)
        (network if whole else network.get_submodule("features")).load_state_dict(published.weights)
        return network

    network = build_checked(build, published.path, f"{model} from torchvision")
    classifier = nn.Sequential(network.get_submodule("classifier"), nn.Flatten(1)) if whole else None
    pool = nn.Sequential(*global_average())
    trunk = network.get_submodule("features")
    return Parts(trunk, pool, classifier, published.mean, published.deviation, published.size)
