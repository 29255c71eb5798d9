"""Any classifier of torchvision, cut before its last layer."""

import re
from pathlib import Path

from torch import nn

from ganas.metrics.features import squeezenet
from ganas.metrics.features.base import Parts, build_checked
from ganas.metrics.features.weights import StateDict, read_published


def is_known(name: str) -> bool:
    """Whether torchvision has a classifier of this name."""
    import torchvision.models as models  # slow to import, and not needed for SWD alone

    return name in models.list_models(module=models)


def load(name: str, path: Path | None) -> Parts:
    """Load a classifier by torchvision's name, at the size of its published transform."""
    from torchvision.models import get_model  # slow to import

    if name.startswith("squeezenet"):
        return squeezenet.load_version(name, name, path)
    published = read_published(name, name, path)
    weights = published.weights
    if name.startswith("densenet"):
        weights = {re.sub(r"\.(norm|relu|conv)\.([12])\.", r".\1\2.", key): value for key, value in weights.items()}
    # their published weights come from TensorFlow: torchvision rescales their input
    options = {"transform_input": True, "init_weights": False} if name in ("inception_v3", "googlenet") else {}

    def build() -> nn.Module:
        network: nn.Module = get_model(name, weights=None, **options)
        network.load_state_dict(_versioned(weights, network))
        return network

    network = build_checked(build, published.path, f"{name} from torchvision")
    name, linear = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
    network.set_submodule(name, nn.Identity())
    return Parts(network, nn.Identity(), linear, published.mean, published.deviation, published.size)


def _versioned(weights: StateDict, network: nn.Module) -> StateDict:
    """Add the network's version metadata, which files of bare tensors lack."""
    versioned = network.state_dict()
    metadata = versioned._metadata  # type: ignore[attr-defined]
    marked = type(versioned)(weights)
    marked._metadata = getattr(weights, "_metadata", metadata)  # type: ignore[attr-defined]
    return marked
