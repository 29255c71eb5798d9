"""Any classifier of torchvision, cut before its last layer."""

import re
from pathlib import Path

from torch import nn

from ganas.metrics.features import squeezenet
from ganas.metrics.features.base import Parts, built
from ganas.metrics.features.weights import StateDict, read_published


def is_known(name: str) -> bool:
    """Whether torchvision has a classifier of this name."""
    import torchvision.models as models  # slow to import, and not needed for SWD alone

    return name in models.list_models(module=models)


def load(name: str, path: Path | None) -> Parts:
    """A classifier by torchvision's name, at the size of its published transform."""
    from torchvision.models import get_model  # slow to import

    if name.startswith("squeezenet"):
        return squeezenet.load_version(name, name, path)
    published = read_published(name, name, path)
    weights = published.weights
    if name.startswith("densenet"):
        weights = {re.sub(r"\.(norm|relu|conv)\.([12])\.", r".\1\2.", key): value for key, value in weights.items()}
    # the two whose published weights come from TensorFlow: torchvision rescales their input
    options = {"transform_input": True, "init_weights": False} if name in ("inception_v3", "googlenet") else {}

    def build() -> nn.Module:
        network: nn.Module = get_model(name, weights=None, **options)
        network.load_state_dict(_versioned(weights, network))
        return network

    network = built(build, published.path, f"{name} from torchvision")
    where, linear = [(where, module) for where, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
    network.set_submodule(where, nn.Identity())
    return Parts(network, nn.Identity(), linear, published.mean, published.deviation, published.size)


def _versioned(weights: StateDict, network: nn.Module) -> StateDict:
    """The weights with the version marks of the network itself: files of bare tensors have lost theirs."""
    versioned = network.state_dict()
    metadata = versioned._metadata  # type: ignore[attr-defined]
    marked = type(versioned)(weights)
    marked._metadata = getattr(weights, "_metadata", metadata)  # type: ignore[attr-defined]
    return marked
