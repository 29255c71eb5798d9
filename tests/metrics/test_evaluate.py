"""Measurements: keys, protocol and warnings; and that they notice what a person would."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from ganas.errors import ConfigError, DataError
from ganas.metrics.distances import frechet, kernel
from ganas.metrics.evaluate import METRICS, Reference, evaluate
from ganas.metrics.features import load_features
from ganas.metrics.sliced import sliced_wasserstein

SHARED = Path(__file__).parents[3] / "shared"


class Pixels:
    """A feature network that counts the images it sees: an image's features are its pixels."""

    name, preprocessing, size, dimension, digest = "pixels", "clean", 4, 48, "abc"

    def __init__(self) -> None:
        self.seen = 0

    def features(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        return images.flatten(1) / 255


class ListSource:
    """Images of a list, as an image source."""

    def __init__(self, images: list[Image.Image]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: int) -> Image.Image:
        return self.images[index]


def random_images(count: int, side: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


def as_source(images: Tensor) -> ListSource:
    return ListSource([Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images])


def test_scores_are_those_of_the_distances_under_keys_that_say_the_protocol() -> None:
    real, fake = random_images(60, 4, 0), random_images(50, 4, 1)
    measurement = evaluate(real, fake, metrics=["fid", "kid"], features=Pixels(), seed=3)
    x, y = (images.flatten(1).double().numpy() / 255 for images in (real, fake))
    mean, standard_error = kernel(x, y, seed=3)
    assert measurement.scores == pytest.approx(
        {
            "fid@pixels-clean-4": frechet(x, y),
            "kid@pixels-clean-4": mean,
            "kid_stderr@pixels-clean-4": standard_error,
        },
        rel=1e-4,
    )


def test_swd_needs_no_network() -> None:
    real, fake = random_images(8, 32, 0), random_images(8, 32, 1)
    measurement = evaluate(real, fake, metrics=["swd"], features=None)
    levels = sliced_wasserstein(real, fake)
    assert measurement.scores == {"swd@laplacian-clean-32": levels.pop("mean")}
    assert measurement.protocol["swd_levels"] == levels
    assert measurement.protocol["swd_images"] == 8


@pytest.mark.parametrize("real, fake, size", [(40, 70, 32), (64, 16, 16), (9, 64, 8), (600, 520, 256)])
def test_swd_shrinks_both_sides_to_the_largest_power_of_two_that_enlarges_none(real: int, fake: int, size: int) -> None:
    measurement = evaluate(random_images(2, real, 0), random_images(2, fake, 1), metrics=["swd"], features=None)
    assert list(measurement.scores) == [f"swd@laplacian-clean-{size}"]


def test_swd_draws_from_sets_that_are_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganas.metrics.evaluate.SWD_MOST_IMAGES", 6)
    images = random_images(10, 8, 0)
    measurement = evaluate(images, images, metrics=["swd"], features=None)
    assert measurement.protocol["swd_images"] == 6
    assert measurement.scores == {"swd@laplacian-clean-8": 0.0}


def test_sources_and_tensors_score_alike() -> None:
    real, fake = random_images(20, 16, 0), random_images(12, 16, 1)
    tensors = evaluate(real, fake, metrics=list(METRICS), features=Pixels())
    sources = evaluate(as_source(real), as_source(fake), metrics=list(METRICS), features=Pixels())
    assert sources.scores == tensors.scores
    assert sources.warnings == tensors.warnings


def test_every_image_goes_through_the_network_once_for_all_metrics_and_the_real_ones_once_for_all_measurements() -> (
    None
):
    network = Pixels()
    real, fake = random_images(20, 16, 0), random_images(12, 16, 1)
    reference = Reference(real, ["fid", "kid", "swd"], network)
    assert network.seen == 20
    first, second = reference.measure(fake), reference.measure(fake)
    assert network.seen == 20 + 2 * 12
    assert first.scores == second.scores == evaluate(real, fake, metrics=list(METRICS), features=Pixels()).scores


def test_one_reference_measures_fakes_of_different_sizes() -> None:
    reference = Reference(random_images(6, 64, 0), ["swd"], None)
    scores = [reference.measure(random_images(6, side, 1)).scores for side in (16, 64, 16)]
    assert [list(score) for score in scores] == [[f"swd@laplacian-clean-{side}"] for side in (16, 64, 16)]
    assert scores[0] == scores[2]


def test_the_protocol_says_what_the_keys_cannot() -> None:
    real = ListSource([Image.new("RGB", size) for size in ((40, 30), (20, 50), (33, 33))])
    protocol = evaluate(real, random_images(60, 16, 0), metrics=["kid", "swd"], features=Pixels(), seed=5).protocol
    assert {key: protocol[key] for key in ("real_images", "fake_images", "real_pixels", "fake_pixels", "seed")} == {
        "real_images": 3,
        "fake_images": 60,
        "real_pixels": [20, 50],
        "fake_pixels": [16, 16],
        "seed": 5,
    }
    assert protocol["network_digest"] == "abc"
    assert protocol["kid_subset_size"] == 3
    assert set(protocol["versions"]) == {"ganas", "torch", "torch-fidelity"}
    assert protocol["seconds"] >= 0
    assert json.loads(json.dumps(protocol)) == protocol


def test_a_network_that_no_metric_uses_is_neither_run_nor_named() -> None:
    network = Pixels()
    images = random_images(4, 8, 0)
    assert evaluate(images, images, metrics=["swd"], features=network).protocol["network_digest"] is None
    assert network.seen == 0


def test_fid_of_fewer_images_than_dimensions_is_flagged() -> None:
    few, many = random_images(48, 4, 0), random_images(49, 4, 1)
    warning = "fid: 48 images in a 48-dimensional feature space: biased upward, read kid beside it"
    assert evaluate(many, few, metrics=["fid"], features=Pixels()).warnings == (warning,)
    assert evaluate(few, many, metrics=["fid"], features=Pixels()).warnings == (warning,)
    assert evaluate(many, many, metrics=["fid"], features=Pixels()).warnings == ()
    assert evaluate(few, few, metrics=["kid"], features=Pixels()).warnings == ()


def test_enlarging_one_side_only_is_flagged_with_the_way_out() -> None:
    network = Pixels()
    network.size, network.dimension = 32, 3 * 32 * 32
    large, small = random_images(4, 40, 0), random_images(4, 16, 1)
    (warning,) = evaluate(large, small, metrics=["kid"], features=network).warnings
    assert warning.startswith("fake images of 16 px are enlarged to 32 px")
    assert warning.endswith("shrink the real ones to 16 px first")
    assert evaluate(large, random_images(4, 64, 1), metrics=["kid"], features=network).warnings == ()
    assert evaluate(small, small, metrics=["kid"], features=network).warnings == ()


@pytest.mark.parametrize(
    "metrics, message",
    [
        (["swd", "is"], "unknown metric 'is': choose from fid, kid, swd"),
        (["swd", "kid"], "kid needs a feature network: give --features squeezenet:PATH or inception"),
        ([], "no metric asked for: choose from fid, kid, swd"),
    ],
)
def test_metrics_that_cannot_be_had(metrics: list[str], message: str) -> None:
    images = random_images(2, 8, 0)
    with pytest.raises(ConfigError, match=f"^{message}$"):
        evaluate(images, images, metrics=metrics, features=None)


def test_a_metric_asked_for_twice_is_measured_once() -> None:
    images = random_images(4, 4, 0)
    once, twice = (evaluate(images, images, metrics=["fid"] * times, features=Pixels()) for times in (1, 2))
    assert (twice.scores, twice.warnings) == (once.scores, once.warnings)
    assert len(once.warnings) == 1


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images(count: int) -> None:
    enough, few = random_images(4, 8, 0), random_images(count, 8, 0)
    with pytest.raises(DataError, match=f"^{count} real image.*two"):
        evaluate(few, enough, metrics=["swd"], features=None)
    with pytest.raises(DataError, match=f"^{count} fake image.*two"):
        evaluate(enough, few, metrics=["swd"], features=None)


def test_images_too_small_for_swd() -> None:
    images = random_images(4, 7, 0)
    with pytest.raises(DataError, match="swd needs images of 8 px and more, got one of 7 px"):
        evaluate(images, images, metrics=["swd"], features=None)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the weights and photographs of ../shared")
def test_blurred_photographs_are_further_from_photographs_by_every_metric() -> None:
    network = load_features(f"squeezenet:{SHARED / 'weights' / 'squeezenet1_1_features.safetensors'}")
    paths = sorted((SHARED / "data" / "photo256").glob("*.jpg"))[:80]
    photographs = []
    for path in paths:
        with Image.open(path) as image:
            photographs.append(image.convert("RGB").resize((64, 64), Image.Resampling.BICUBIC))
    reference = Reference(ListSource(photographs[::2]), ["fid", "kid", "swd"], network)
    fakes = [
        ListSource([photo.filter(ImageFilter.GaussianBlur(radius)) for photo in photographs[1::2]])
        for radius in (0, 1, 2)
    ]
    untouched, soft, blurred = (reference.measure(fake).scores for fake in fakes)
    kid, standard_error = (f"{metric}@squeezenet-clean-128" for metric in ("kid", "kid_stderr"))
    assert abs(untouched[kid]) < 3 * untouched[standard_error]  # two halves of the same photographs
    for key in (kid, "swd@laplacian-clean-64"):
        assert untouched[key] < soft[key] < blurred[key]
    # Of 40 images in 512 dimensions FID is mostly bias, which a little blur even lowers: it takes more to be seen.
    assert untouched["fid@squeezenet-clean-128"] < blurred["fid@squeezenet-clean-128"]
