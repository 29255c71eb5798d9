"""The Inception-v3 of FID and IS, with TensorFlow's weights as torch-fidelity publishes them."""

import tempfile
from pathlib import Path

import torch
from torch import nn

from ganas.metrics.features.base import Parts, build_checked, global_average
from ganas.metrics.features.weights import download, read_weights

SIZE = 299  # pixels

# In the network's order, up to the last feature map.
LAYERS = (
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "MaxPool_1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "MaxPool_2"),
    *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    *("Mixed_7a", "Mixed_7b", "Mixed_7c"),
)


def load(path: Path | None) -> Parts:
    """Load torch-fidelity's Inception-v3 without its resize, which *legacy* preprocessing does instead.

    Its logits are those of IS: without the bias.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

    path = path or download(URL_INCEPTION_V3, "inception")
    weights = read_weights(path)

    def build() -> nn.Module:
        # torch-fidelity unpickles its file, so it gets a new one with the tensors that were read safely above.
        with tempfile.TemporaryDirectory() as folder:
            safe = Path(folder) / "inception.pth"
            torch.save(weights, safe)
            extractor = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(safe))
        extractor.fc.bias.zero_()
        assert isinstance(extractor, nn.Module)
        return extractor

    network = build_checked(build, path, "torch-fidelity's Inception-v3")
    trunk = nn.Sequential(*(network.get_submodule(name) for name in LAYERS), *global_average())
    classifier = network.get_submodule("fc")
    gray = torch.full((3,), 128.0)
    return Parts(trunk, nn.Identity(), classifier, gray, gray, SIZE)
