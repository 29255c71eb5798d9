"""The same images, the same weights, other people's packages from end to end: the same numbers.

The published Inception weights are a download, so the network has random ones here, so scaled that a signal survives
all of its layers; each package gets them in the form it takes.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ganas.data.demo import write_demo_data
from ganas.data.sources import ImageSource, open_source
from ganas.metrics.features import extract, load_features
from ganas.metrics.features.inception import LAYERS as INCEPTION_LAYERS
from ganas.metrics.features.preprocessing import TensorImages, clean_resize
from ganas.metrics.measurement import Measurement
from ganas.metrics.reference import Reference

COUNT = 24  # images a side: equal, so that KID's one subset is the whole
pytestmark = pytest.mark.filterwarnings("ignore")  # of packages that are not ours


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Real photographs of two kinds, as PNG files of one size."""
    home = tmp_path_factory.mktemp("photographs")
    data = write_demo_data(home / "demo")
    a, b = open_source(data.a), open_source(data.b)
    half = COUNT // 2
    chosen = {"real": [a.read(number) for number in range(COUNT)]}
    chosen["fake"] = [source.read(COUNT + number) for number in range(half) for source in (a, b)]  # half of them alike
    for name, photographs in chosen.items():
        (home / name).mkdir()
        for number, photograph in enumerate(photographs):
            photograph.resize((100, 100)).save(home / name / f"{number:03}.png")
    return home / "real", home / "fake"


@pytest.fixture(scope="module")
def inception(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of Inception weights as torch-fidelity takes it."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Untrained(FeatureExtractorInceptionV3):  # type: ignore[misc]
        def load_state_dict(self, *arguments: object) -> None:
            """Its constructor insists on a file; this one's weights stay random."""

    folder = tmp_path_factory.mktemp("inception")
    torch.save({}, folder / "empty.pth")
    network = Untrained("untrained", ["2048"], feature_extractor_weights_path=str(folder / "empty.pth"))
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
    nn.init.normal_(network.fc.weight, std=0.1, generator=generator)
    nn.init.zeros_(network.fc.bias)
    path = folder / "inception.pth"
    torch.save(network.state_dict(), path)
    return path


def sources(folders: tuple[Path, Path]) -> tuple[ImageSource, ImageSource]:
    return open_source(folders[0]), open_source(folders[1])


def ours(folders: tuple[Path, Path], spec: str, metrics: list[str]) -> Measurement:
    real, fake = sources(folders)
    return Reference(real, metrics, load_features(spec)).measure(fake)


def theirs(folders: tuple[Path, Path], **options: object) -> dict[str, float]:
    """Torch-fidelity's scores; what it calls the first input is the fakes."""
    from torch_fidelity import calculate_metrics

    real, fake = folders
    return calculate_metrics(  # type: ignore[no-any-return]
        input1=str(fake),
        input2=str(real),
        samples_find_ext="png",
        cuda=False,
        cache=False,
        verbose=False,
        batch_size=8,
        fid=True,
        kid=True,
        kid_subsets=1,
        kid_subset_size=COUNT,
        prc=True,
        isc=True,
        isc_splits=1,
        **options,
    )


def assert_like_torch_fidelity(mine: Measurement, found: dict[str, float], suffix: str) -> None:
    expected = {
        f"fid@{suffix}": found["frechet_inception_distance"],
        f"kid@{suffix}": found["kernel_inception_distance_mean"],
        f"precision@{suffix}": found["precision"],
        f"recall@{suffix}": found["recall"],
        f"is@{suffix}": found["inception_score_mean"],
    }
    # its KID is a difference of float32 kernels of about 1
    assert {key: mine.scores[key] for key in expected} == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert expected[f"fid@{suffix}"] > 0.01 and expected[f"is@{suffix}"] > 1.005, "networks that see something"
    assert 0 < expected[f"precision@{suffix}"] < 1 or 0 < expected[f"recall@{suffix}"] < 1


@pytest.fixture
def one_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole set as one part, as the order in which images are dealt to parts is each package's own."""
    monkeypatch.setattr("ganas.metrics.unpaired.SPLITS", 1)


@pytest.mark.slow
def test_legacy_inception_is_torch_fidelity(folders: tuple[Path, Path], inception: Path, one_split: None) -> None:
    mine = ours(folders, f"inception-legacy:{inception}", ["fid", "kid", "pr", "is"])
    options = {"feature_extractor": "inception-v3-compat", "feature_layer_prc": "2048"}  # it would take VGG for these
    found = theirs(folders, feature_extractor_weights_path=str(inception), **options)
    assert_like_torch_fidelity(mine, found, "inception-legacy-299")


@pytest.mark.slow
def test_legacy_features_and_logits_are_torch_fidelitys(folders: tuple[Path, Path], inception: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    real, _ = sources(folders)
    pixels = torch.stack([torch.from_numpy(np.array(real.read(i))).permute(2, 0, 1) for i in range(8)])
    layers = ["2048", "logits_unbiased"]
    peer = FeatureExtractorInceptionV3("peer", layers, feature_extractor_weights_path=str(inception))
    for mine, expected in zip(
        extract(load_features(f"inception-legacy:{inception}"), pixels), peer(pixels), strict=True
    ):
        assert mine is not None
        assert (mine - expected).abs().max() <= 1e-6 * expected.abs().max()
    assert 0.5 < expected.std() < 10, "logits that say something"


@pytest.mark.slow
def test_clean_inception_is_clean_fid(folders: tuple[Path, Path], inception: Path, tmp_path: Path) -> None:
    fid = pytest.importorskip("cleanfid.fid", reason="clean-fid is a peer that only developers install")
    from cleanfid.inception_torchscript import InceptionV3W

    network = load_features(f"inception:{inception}")
    write_torchscript(inception, tmp_path / "inception-2015-12-05.pt")
    model = InceptionV3W(str(tmp_path), download=False)
    options = {"mode": "clean", "num_workers": 0, "batch_size": 8, "device": torch.device("cpu"), "verbose": False}
    with torch.inference_mode():
        features = [fid.get_folder_features(str(folder), model, **options) for folder in folders]
        score = fid.compare_folders(*map(str, folders), model, **options)
    for source, expected in zip(sources(folders), features, strict=True):
        mine = extract(network, source).features.numpy()
        assert np.abs(mine - expected).max() <= 1e-6 * np.abs(expected).max()
    scores = ours(folders, f"inception:{inception}", ["fid", "kid"]).scores
    assert scores["kid@inception-clean-299"] == pytest.approx(
        fid.kernel_distance(*(side.astype(np.float64) for side in features)), rel=1e-6
    )
    # its covariances of 24 images in 2048 dimensions are singular: it adds 1e-6 to them, which moves the result
    assert scores["fid@inception-clean-299"] == pytest.approx(score, rel=1e-3)


def write_torchscript(weights: Path, path: Path) -> None:
    """What clean-fid downloads: a script with the convolutional part as `layers`."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    extractor = FeatureExtractorInceptionV3("peer", ["2048"], feature_extractor_weights_path=str(weights))
    parts = [extractor.get_submodule(name) for name in INCEPTION_LAYERS]
    layers = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1)).eval()

    class Base(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.jit.trace(layers, torch.zeros(1, 3, 299, 299))

        def forward(self, x: Tensor) -> Tensor:
            return self.layers(x)  # type: ignore[no-any-return]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(Base()), str(path))


@pytest.fixture(scope="module")
def squeezenet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A whole SqueezeNet, registered with torch-fidelity as a network of its own."""
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase
    from torch_fidelity.registry import register_feature_extractor
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    network = squeezenet1_1().eval().requires_grad_(False)
    nn.init.normal_(network.classifier[1].weight, std=0.2)
    path = tmp_path_factory.mktemp("squeezenet") / "squeezenet.safetensors"
    save_file(network.state_dict(), path)

    class Peer(FeatureExtractorBase):  # type: ignore[misc]
        def __init__(self, name: str, features_list: list[str], **_: object) -> None:
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return "512", "logits"

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "logits" if metric == "isc" else "512"

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            images = TensorImages(x)
            resized = torch.from_numpy(np.stack([clean_resize(images.read(i), 128) for i in range(len(x))]))
            mean, deviation = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
            scaled = (resized / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(deviation)[:, None, None]
            maps = network.features(scaled)
            found = {"512": maps.mean((2, 3)), "logits": network.classifier(maps).flatten(1)}
            return tuple(found[name] for name in self.features_list)

    register_feature_extractor("squeezenet-of-the-test", Peer)
    yield path


def test_squeezenet_is_torch_fidelity_with_it(folders: tuple[Path, Path], squeezenet: Path, one_split: None) -> None:
    mine = ours(folders, f"squeezenet:{squeezenet}", ["fid", "kid", "pr", "is"])
    layers = {f"feature_layer_{metric}": "512" for metric in ("fid", "kid", "prc")} | {"feature_layer_isc": "logits"}
    found = theirs(folders, feature_extractor="squeezenet-of-the-test", **layers)
    assert_like_torch_fidelity(mine, found, "squeezenet-clean-128")
