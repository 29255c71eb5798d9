"""Feature networks return the right numbers, and errors name what is wrong with a file."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from ganas.errors import FeatureError
from ganas.metrics.features import Activations, extract, load_features
from ganas.metrics.features.preprocessing import PreprocessingName, clean_resize
from noise_images import ListSource, noise


class ChannelMeans:
    """A feature network whose features are the mean colors of an image."""

    name: str = "means"
    preprocessing: PreprocessingName = "clean"
    size, dimension, digest = 16, 3, "0"
    classes: int | None = None
    classifier_digest: str | None = None
    device = "cpu"

    def __call__(self, images: Tensor) -> Activations:
        return Activations(images.mean(dim=(2, 3)), None)


@pytest.fixture(scope="module")
def squeezenet_weights() -> dict[str, Tensor]:
    """A whole torchvision network, randomly initialized."""
    from torchvision.models import squeezenet1_1

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return dict(squeezenet1_1().state_dict())


@pytest.fixture(scope="module")
def squeezenet_file(squeezenet_weights: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "squeezenet.safetensors"
    prefix = "features."
    save_file({key.removeprefix(prefix): v for key, v in squeezenet_weights.items() if key.startswith(prefix)}, path)
    return path


def refusal(spec: str) -> str:
    """The one-line message of the error that loading a network ends in."""
    with pytest.raises(FeatureError) as caught:
        load_features(spec)
    assert str(caught.value).isprintable()
    return str(caught.value)


# Resizing


def test_clean_resize_averages_what_it_shrinks_and_does_not_round() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    shrunk = clean_resize(Image.fromarray(stripes), 8)  # a filter of fixed width would alias to black or white
    np.testing.assert_allclose(shrunk, 127.5, atol=6)
    assert (shrunk != shrunk.round()).any()


def test_clean_resize_clips_the_overshoot_of_bicubic_filters() -> None:
    edge = np.zeros((8, 8, 3), np.uint8)
    edge[:, 4:] = 255
    enlarged = clean_resize(Image.fromarray(edge), 64)
    assert (enlarged.min(), enlarged.max()) == (0, 255)


@pytest.mark.parametrize("size", [37, 150])
def test_clean_resize_agrees_with_clean_fid(size: int) -> None:
    resize = pytest.importorskip("cleanfid.resize", reason="clean-fid is a peer that only developers install")
    array = noise(1, 60, 80)[0].permute(1, 2, 0).numpy()
    theirs = resize.make_resizer("PIL", False, "bicubic", (size, size))(array)
    np.testing.assert_allclose(clean_resize(Image.fromarray(array), size), theirs.transpose(2, 0, 1), atol=1e-4)


# Extracting


def test_extract_keeps_the_order_and_the_mean_color() -> None:
    levels = np.arange(70)
    images = torch.from_numpy(levels.astype(np.uint8))[:, None, None, None].expand(-1, 3, 20, 30)
    features = extract(ChannelMeans(), images, batch=16).features
    assert features.dtype == torch.float32
    np.testing.assert_allclose(features, np.repeat(levels[:, None], 3, axis=1), atol=1e-3)


def test_extract_reads_sources_of_mixed_sizes() -> None:
    colors = [(10, 20, 30), (40, 50, 60), (70, 80, 90)]
    source = ListSource([Image.new("RGB", (30 + 9 * i, 20), color) for i, color in enumerate(colors)])
    np.testing.assert_allclose(extract(ChannelMeans(), source, batch=2).features, colors, atol=1e-3)


@pytest.mark.parametrize(
    "images", [torch.zeros(2, 3, 8, 8), torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.zeros(3, 8, 8).byte()]
)
def test_extract_refuses_tensors_that_are_not_images(images: Tensor) -> None:
    with pytest.raises(ValueError, match=r"uint8 \[n, 3, h, w\], got"):
        extract(ChannelMeans(), images)


def test_an_error_while_reading_reaches_the_caller() -> None:
    class Broken(ListSource):
        def read(self, index: int) -> Image.Image:
            raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        extract(ChannelMeans(), Broken([Image.new("RGB", (8, 8))] * 5), batch=2)


# SqueezeNet


def test_squeezenet_is_torchvisions_on_normalized_images(
    squeezenet_file: Path, squeezenet_weights: dict[str, Tensor]
) -> None:
    from torchvision.models import squeezenet1_1
    from torchvision.transforms.functional import normalize

    network = load_features(f"squeezenet:{squeezenet_file}")
    assert (network.name, network.preprocessing, network.size, network.dimension) == ("squeezenet", "clean", 128, 512)
    images = noise(3, 128, 128).float()
    reference = squeezenet1_1().eval()
    reference.load_state_dict(squeezenet_weights)
    with torch.no_grad():
        normalized = normalize(images / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        expected = reference.features(normalized).mean(dim=(2, 3))
    torch.testing.assert_close(network(images).features, expected, rtol=1e-3, atol=1e-4)
    assert expected.std() > 0.01


def test_features_do_not_depend_on_the_batch(squeezenet_file: Path) -> None:
    network, images = load_features(f"squeezenet:{squeezenet_file}"), noise(7, 40, 40)
    singly, together = (extract(network, images, batch=batch).features for batch in (1, 5))
    np.testing.assert_allclose(singly, together, rtol=1e-4, atol=1e-5)


def test_squeezenet_from_the_whole_networks_pth_is_the_same_network(
    squeezenet_file: Path, squeezenet_weights: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(squeezenet_weights, tmp_path / "whole.pth")
    whole, part = load_features(f"squeezenet:{tmp_path / 'whole.pth'}"), load_features(f"squeezenet:{squeezenet_file}")
    images = noise(2, 128, 128).float()
    assert torch.equal(whole(images).features, part(images).features)
    assert whole.digest == part.digest


def test_other_weights_have_another_digest(squeezenet_file: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    weights = load_file(squeezenet_file)
    weights["0.bias"][0] += 1e-3
    save_file(weights, tmp_path / "other.safetensors")
    files = (squeezenet_file, tmp_path / "other.safetensors")
    assert len({load_features(f"squeezenet:{file}").digest for file in files}) == 2


def test_loading_does_not_change_the_random_state(squeezenet_file: Path) -> None:
    state = torch.random.get_rng_state()
    load_features(f"squeezenet:{squeezenet_file}")
    assert torch.equal(torch.random.get_rng_state(), state)


def test_features_ignore_the_autocast_of_training(squeezenet_file: Path) -> None:
    network = load_features(f"squeezenet:{squeezenet_file}")
    images = noise(2, 128, 128).float()
    expected = network(images).features
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(network(images).features, expected)


# Any classifier of torchvision


@pytest.mark.parametrize("name", ["resnet18", "mnasnet0_5", "densenet121"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_classifier_gives_the_input_and_the_output_of_its_last_layer(name: str, suffix: str, tmp_path: Path) -> None:
    from torchvision.models import get_model

    with torch.random.fork_rng():
        torch.manual_seed(0)
        reference = get_model(name, weights=None).eval()
    path = tmp_path / f"weights{suffix}"
    weights = dict(reference.state_dict())
    if name == "densenet121":  # as the published file calls them
        weights = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): v for key, v in weights.items()}
    (save_file if suffix == ".safetensors" else torch.save)(weights, path)
    network = load_features(f"{name}-clean-64:{path}")
    images = noise(2, 64, 64).float()
    given: list[Tensor] = []
    last = [module for module in reference.modules() if isinstance(module, torch.nn.Linear)][-1]
    last.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    with torch.no_grad():
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        logits = reference((images / 255 - mean[:, None, None]) / deviation[:, None, None])
    found = network(images)
    torch.testing.assert_close(found.features, given[0], rtol=1e-3, atol=1e-4)
    assert found.logits is not None
    torch.testing.assert_close(found.logits, logits, rtol=1e-3, atol=1e-4)
    assert (network.name, network.size, network.dimension, network.classes) == (name, 64, last.in_features, 1000)


def test_squeezenet_has_logits_where_its_file_has_the_classifier(
    squeezenet_weights: dict[str, Tensor], tmp_path: Path
) -> None:
    save_file(squeezenet_weights, tmp_path / "whole.safetensors")
    assert load_features(f"squeezenet:{tmp_path / 'whole.safetensors'}").classes == 1000
    assert load_features(f"squeezenet1_1:{tmp_path / 'whole.safetensors'}").size == 224


# Errors in a specification or a file


@pytest.mark.parametrize(
    "spec, message",
    [
        ("vgg", "unknown feature network 'vgg': give inception, squeezenet, or a classifier of torchvision"),
        ("", "cannot read the feature network ''"),
        ("inception-clean-299-1", "cannot read the feature network"),
        ("inception-dirty", "give NETWORK[-clean|-legacy[-SIZE]][:PATH]"),
        ("inception-clean-128", "inception takes images of 299 px, got 128: leave the size out"),
        ("squeezenet:/no/such/file.safetensors", "no feature network at /no/such/file.safetensors: give the file"),
        ("inception:/no/such/file.pth", "no feature network at /no/such/file.pth: give the file"),
    ],
)
def test_unknown_specifications(spec: str, message: str) -> None:
    assert message in refusal(spec)


@pytest.mark.parametrize("network", ["squeezenet", "inception"])
def test_files_without_the_weights_of_the_network(network: str, tmp_path: Path) -> None:
    for suffix in (".safetensors", ".pth"):
        (tmp_path / f"damaged{suffix}").write_bytes(b"not weights at all")
        assert f"damaged{suffix} cannot be read as weights: give a" in refusal(f"{network}:{tmp_path}/damaged{suffix}")
    save_file({"layer.weight": torch.zeros(3, 3)}, tmp_path / "other.safetensors")
    assert "other.safetensors does not hold the weights of" in refusal(f"{network}:{tmp_path}/other.safetensors")
    torch.save([1, 2, 3], tmp_path / "list.pth")
    assert "list.pth does not contain weights" in refusal(f"{network}:{tmp_path}/list.pth")


class Malicious:
    """Runs code when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.victim,)  # type: ignore[return-value]


@pytest.mark.parametrize("network", ["squeezenet", "inception"])
def test_code_in_a_weights_file_is_refused_and_not_run(network: str, tmp_path: Path) -> None:
    path, victim = tmp_path / "weights.pth", tmp_path / "victim"
    torch.save({"0.weight": Malicious(victim)}, path)
    assert "cannot be read as weights" in refusal(f"{network}:{path}")
    assert not victim.exists()
    torch.load(path, weights_only=False)
    assert victim.exists(), "the file would not have run anything: it proves nothing"


# Inception


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty torch hub cache."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


def test_inception_offline_says_where_to_get_it(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*arguments: object, **options: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    assert re.search(r"fetch https://.*inception.*and give inception:PATH, or", refusal("inception"))


def test_inception_in_the_cache_is_not_downloaded(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: object, **options: object) -> None:
        pytest.fail("downloaded what is there")

    monkeypatch.setattr(torch.hub, "download_url_to_file", forbidden)
    hub.mkdir(parents=True)
    (hub / "weights-inception-2015-12-05-6726825d.pth").write_bytes(b"damaged")
    assert "2015-12-05-6726825d.pth cannot be read" in refusal("inception")


def test_importing_this_module_imports_neither_torchvision_nor_torch_fidelity() -> None:
    program = (
        "import sys, ganas.metrics.reference as r; sys.exit(bool({'torchvision', 'torch_fidelity'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
