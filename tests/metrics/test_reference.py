"""Measurements have keys, a protocol and warnings, and notice what a person would."""

import json
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from statistics import stdev

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from ganas.cyclegan.config import MetricsConfig
from ganas.data.demo import write_demo_data
from ganas.data.sources import open_source
from ganas.errors import ConfigError, DataError
from ganas.growing.config import ScoreConfig
from ganas.metrics.distances import frechet, kernel
from ganas.metrics.features import Activations, load_features
from ganas.metrics.features.preprocessing import PreprocessingName
from ganas.metrics.image_set import ImageSet
from ganas.metrics.measurement import METRICS, Measurement, Metric, Summary, joined, metric_of, summarize
from ganas.metrics.reference import Reference, possible_metrics
from ganas.metrics.sliced import sliced_wasserstein
from ganas.metrics.unpaired import fid
from noise_images import ListSource, noise

SHARED = Path(__file__).parents[3] / "shared"


class Pixels:
    """A feature network that counts the images it sees: an image's features are its pixels."""

    name: str = "pixels"
    preprocessing: PreprocessingName = "clean"
    size, dimension, digest = 4, 48, "abc"
    classifier_digest: str | None = None
    device = "cpu"

    def __init__(self, classes: int | None = None) -> None:
        self.seen, self.classes = 0, classes

    def __call__(self, images: Tensor) -> Activations:
        self.seen += len(images)
        features = images.flatten(1) / 255
        return Activations(features, 8 * features[:, : self.classes] if self.classes else None)


ALL = ["fid", "kid", "mind", "pr", "swd"]


def by_content(images: Tensor) -> Tensor:
    """Sort images by the digest of their bytes."""
    return images[sorted(range(len(images)), key=lambda index: sha256(images[index].numpy()).digest())]


def as_source(images: Tensor) -> ListSource:
    return ListSource([Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images])


def brightness(real: ImageSet, fake: ImageSet, seed: int) -> Measurement:
    """The difference of mean gray levels."""
    means = (side.resized(4, seed).float().mean().item() for side in (real, fake))
    return Measurement({"brightness@pixels": abs(next(means) - next(means))})


def test_a_new_metric_is_one_function_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS, "brightness", Metric(f"{__name__}:brightness", "nothing", selects=True))
    assert {MetricsConfig(select="brightness").select, ScoreConfig(select="brightness").select} == {"brightness"}
    dark, bright = torch.full((3, 3, 4, 4), 10, dtype=torch.uint8), torch.full((2, 3, 4, 4), 30, dtype=torch.uint8)
    assert Reference(dark, ["brightness"], None).measure(bright).scores == {"brightness@pixels": 20}
    measured = Reference(dark, ["brightness"], None).measure(bright, bootstrap=2)
    assert measured.intervals == {"brightness@pixels": (20, 20)}
    assert "brightness" in possible_metrics(None)


def test_scores_are_those_of_the_distances_under_keys_that_say_the_protocol() -> None:
    real, fake = noise(60, 4, 4, 0), noise(50, 4, 4, 1)
    measurement = Reference(real, ["fid", "kid"], Pixels(), seed=3).measure(fake)
    x, y = (images.flatten(1).double().numpy() / 255 for images in (real, fake))
    x, y = (side[np.lexsort(side.T[::-1])] for side in (x, y))  # the order that draws start from
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
    real, fake = noise(8, 32, 32, 0), noise(8, 32, 32, 1)
    measurement = Reference(real, ["swd"], None).measure(fake)
    levels = sliced_wasserstein(by_content(real), by_content(fake))
    assert measurement.scores == {"swd@laplacian-clean-32": levels.pop("mean")}
    assert measurement.protocol["swd_levels"] == levels
    assert measurement.protocol["swd_images"] == 8


@pytest.mark.parametrize("real, fake, size", [(40, 70, 32), (64, 16, 16), (9, 64, 8), (600, 520, 256)])
def test_swd_downsamples_both_sides_to_the_largest_possible_power_of_two(real: int, fake: int, size: int) -> None:
    measurement = Reference(noise(2, real, real, 0), ["swd"], None).measure(noise(2, fake, fake, 1))
    assert list(measurement.scores) == [f"swd@laplacian-clean-{size}"]


def test_swd_samples_sets_that_are_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganas.metrics.image_set.SWD_MAX_IMAGES", 6)
    images = noise(10, 8, 8, 0)
    measurement = Reference(images, ["swd"], None).measure(images)
    assert measurement.protocol["swd_images"] == 6
    assert measurement.scores == {"swd@laplacian-clean-8": 0.0}


def test_sources_and_tensors_score_alike() -> None:
    real, fake = noise(20, 16, 16, 0), noise(12, 16, 16, 1)
    tensors = Reference(real, ALL, Pixels()).measure(fake)
    sources = Reference(as_source(real), ALL, Pixels()).measure(as_source(fake))
    assert sources.scores == tensors.scores
    assert sources.warnings == tensors.warnings


def test_every_image_goes_through_the_network_once() -> None:
    network = Pixels()
    real, fake = noise(20, 16, 16, 0), noise(12, 16, 16, 1)
    reference = Reference(real, ALL, network)
    assert network.seen == 20
    first, second = reference.measure(fake), reference.measure(fake)
    assert network.seen == 20 + 2 * 12
    assert first.scores == second.scores == Reference(real, ALL, Pixels()).measure(fake).scores


def test_one_reference_measures_fakes_of_different_sizes() -> None:
    reference = Reference(noise(6, 64, 64, 0), ["swd"], None)
    scores = [reference.measure(noise(6, side, side, 1)).scores for side in (16, 64, 16)]
    assert [list(score) for score in scores] == [[f"swd@laplacian-clean-{side}"] for side in (16, 64, 16)]
    assert scores[0] == scores[2]


def test_the_protocol_holds_what_the_keys_do_not() -> None:
    real = ListSource([Image.new("RGB", size) for size in ((40, 30), (20, 50), (33, 33))])
    protocol = Reference(real, ["kid", "swd"], Pixels(), seed=5).measure(noise(60, 16, 16, 0)).protocol
    assert {key: protocol[key] for key in ("real_images", "fake_images", "real_pixels", "fake_pixels", "seed")} == {
        "real_images": 3,
        "fake_images": 60,
        "real_pixels": [20, 50],
        "fake_pixels": [16, 16],
        "seed": 5,
    }
    assert protocol["network_digest"] == "abc"
    assert protocol["kid_subset_size"] == 3
    assert set(protocol["versions"]) == {"ganas", "torch", "torch-fidelity", "pillow"}
    assert protocol["seconds"] >= 0
    assert json.loads(json.dumps(protocol)) == protocol


def test_an_unused_network_is_neither_run_nor_named() -> None:
    network = Pixels()
    images = noise(4, 8, 8, 0)
    assert Reference(images, ["swd"], network).measure(images).protocol["network_digest"] is None
    assert network.seen == 0


def test_fid_of_fewer_images_than_dimensions_is_flagged() -> None:
    few, many = noise(48, 4, 4, 0), noise(49, 4, 4, 1)
    warning = "fid: 48 images in a 48-dimensional feature space: biased upward, read kid beside it"
    assert Reference(many, ["fid"], Pixels()).measure(few).warnings == (warning,)
    assert Reference(few, ["fid"], Pixels()).measure(many).warnings == (warning,)
    assert Reference(many, ["fid"], Pixels()).measure(many).warnings == ()
    assert Reference(few, ["kid"], Pixels()).measure(few).warnings == ()


def test_upsampling_one_side_only_is_flagged_with_the_way_out() -> None:
    network = Pixels()
    network.size, network.dimension = 32, 3 * 32 * 32
    large, small = noise(4, 40, 40, 0), noise(4, 16, 16, 1)
    (warning,) = Reference(large, ["kid"], network).measure(small).warnings
    assert warning.startswith("fake images of 16 px are upsampled to 32 px")
    assert warning.endswith("downsample the real ones to 16 px first")
    assert Reference(large, ["kid"], network).measure(noise(4, 64, 64, 1)).warnings == ()
    assert Reference(small, ["kid"], network).measure(small).warnings == ()


@pytest.mark.parametrize(
    "metrics, message",
    [
        (
            ["swd", "inception"],
            "unknown metric 'inception': choose from fid, kid, mind, pr, is, swd, psnr, ssim, perceptual",
        ),
        (["swd", "kid"], "kid needs a feature network: give --features squeezenet:PATH or inception"),
        ([], "no metric given: choose from fid, kid, mind, pr, is, swd, psnr, ssim, perceptual"),
    ],
)
def test_unavailable_metrics_are_refused(metrics: list[str], message: str) -> None:
    images = noise(2, 8, 8, 0)
    with pytest.raises(ConfigError, match=f"^{message}$"):
        Reference(images, metrics, None).measure(images)


def test_a_repeated_metric_is_measured_once() -> None:
    images = noise(4, 4, 4, 0)
    once, twice = (Reference(images, ["fid"] * times, Pixels()).measure(images) for times in (1, 2))
    assert (twice.scores, twice.warnings) == (once.scores, once.warnings)
    assert len(once.warnings) == 1


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images(count: int) -> None:
    enough, few = noise(4, 8, 8, 0), noise(count, 8, 8, 0)
    with pytest.raises(DataError, match=f"^{count} real image.*two"):
        Reference(few, ["swd"], None).measure(enough)
    with pytest.raises(DataError, match=f"^{count} fake image.*two"):
        Reference(enough, ["swd"], None).measure(few)


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


# What a score must not depend on


@pytest.mark.parametrize("metric", [*ALL, "is"])
def test_scores_do_not_depend_on_order_batches_or_threads(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Pixels(classes=5)
    real, fake = noise(40, 16, 16, 0), noise(30, 16, 16, 1)
    expected = Reference(real, [metric], network).measure(fake).scores
    shuffled = Reference(real.flip(0), [metric], network).measure(fake.roll(7, 0)).scores
    monkeypatch.setattr("ganas.metrics.image_set.BATCH", 7)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        batched = Reference(real, [metric], network).measure(fake).scores
    finally:
        torch.set_num_threads(threads)
    assert shuffled == pytest.approx(expected, rel=1e-12) and batched == pytest.approx(expected, rel=1e-6)


# Subsets, intervals, repeats


def test_a_subset_of_the_fakes_is_named_by_the_key() -> None:
    fake = noise(30, 8, 8, 1)
    measured = Reference(noise(30, 8, 8, 0), ["kid"], Pixels()).measure(fake, count=12)
    assert set(measured.scores) == {"kid12@pixels-clean-4", "kid_stderr12@pixels-clean-4"}
    assert measured.protocol["fake_images"] == 12
    assert measured.scores == Reference(noise(30, 8, 8, 0), ["kid"], Pixels()).measure(fake, count=12).scores
    with pytest.raises(DataError, match="cannot sample 31 of 30 images: give a number from 2 to 30"):
        Reference(fake, ["kid"], Pixels()).measure(fake, count=31)


def test_the_metric_of_a_key() -> None:
    keys = {"fid@inception-clean-299": "fid", "fid10k@x-clean-299": "fid", "kid_stderr12@x-clean-1": "kid_stderr"}
    assert {key: metric_of(key) for key in keys} == keys


def test_thousands_are_abbreviated_in_keys() -> None:
    images = torch.zeros(2000, 3, 1, 1, dtype=torch.uint8)
    (key,) = (key for key in Reference(images, ["fid"], Pixels()).measure(images, count=2000).scores)
    assert key == "fid2k@pixels-clean-4"


def test_bootstrap_intervals_cover_other_samples() -> None:
    """Of fakes that differ from the real ones; the truth is the mean over many draws, as KID has no bias."""
    intervals, scores = [], []
    for trial in range(60):
        real, fake = noise(60, 4, 4, 2 * trial), noise(60, 4, 4, 2 * trial + 1) // 2
        measured = Reference(real, ["kid"], Pixels()).measure(fake, bootstrap=30)
        intervals += measured.intervals.values()
        scores.append(measured.scores["kid@pixels-clean-4"])
    assert measured.protocol["bootstrap"] == 30
    assert sum(low <= np.mean(scores) <= high for low, high in intervals) >= 51
    widths = [high - low for low, high in intervals]
    assert 0.7 < np.mean(widths) / (2 * 1.96 * np.std(scores, ddof=1)) < 1.4


def test_a_resample_is_measured_by_its_own_gaussian() -> None:
    real, fake = (ImageSet(noise(60, 4, 4, seed), "real", Pixels()) for seed in (0, 1))
    assert real.gaussian, "fitted before, and must not serve the resample"
    drawn = real.resample(np.random.default_rng(0))
    expected = frechet(drawn.features, fake.features)
    assert fid(drawn, fake, 0).scores["fid@pixels-clean-4"] == expected
    assert expected != pytest.approx(frechet(real.features, fake.features), rel=1e-3)


def test_resamples_are_common_to_all_fakes_of_a_reference() -> None:
    """So that the noise of the images cancels in the difference of two models."""
    real, fake = noise(40, 16, 16, 0), noise(30, 16, 16, 1)
    almost = fake.clone()
    almost[:, :, 0, 0] = 0
    reference = Reference(real, ALL, Pixels())
    one, other = (reference.measure(images, bootstrap=20).resampled for images in (fake, almost))
    for key, values in one.items():
        if share := {"fid": 0.6, "mind": 0.6, "swd": 0.9}.get(metric_of(key)):  # independent ones: 1.4
            assert stdev(a - b for a, b in zip(values, other[key], strict=True)) < share * stdev(values), key


def test_joined_measurements_keep_every_digest() -> None:
    one = Measurement({"swd@x": 1}, {"network_digest": None, "seed": 0, "seconds": 1})
    other = Measurement({"perceptual@x": 2}, {"network_digest": "abc", "seed": 0, "seconds": 2})
    assert joined(one, other).protocol == {"network_digest": "abc", "seed": 0, "seconds": 3}


def test_every_metric_has_an_interval_without_another_forward_pass() -> None:
    network = Pixels(classes=5)
    real, fake = noise(20, 16, 16, 0), noise(12, 16, 16, 1)
    measured = Reference(real, [*ALL, "is"], network).measure(fake, bootstrap=5)
    assert network.seen == 32
    metrics = {metric_of(key) for key in measured.intervals}
    assert metrics == {"fid", "kid", "mind", "precision", "recall", "is", "swd"}


def test_repeats_have_a_mean_a_range_and_a_standard_error() -> None:
    reference = Reference(noise(20, 8, 8, 0), ["kid"], Pixels())
    measured = [reference.measure(noise(15, 8, 8, seed)) for seed in (1, 2, 3)]
    values = [one.scores["kid@pixels-clean-4"] for one in measured]
    (summary,) = summarize(measured).values()
    assert (summary.mean, summary.low, summary.high) == (pytest.approx(np.mean(values)), min(values), max(values))
    assert summary.standard_error == pytest.approx(np.std(values, ddof=1) / np.sqrt(3))
    assert np.isnan(Summary.of([1.0]).standard_error)


def test_scores_of_different_protocols_are_not_compared() -> None:
    real, fake, network = noise(20, 8, 8, 0), noise(15, 8, 8, 1), Pixels()
    measured = Reference(real, ["kid"], network).measure(fake)
    other_network = Pixels()
    other_network.digest = "other"
    others = {
        "fake_images 15 and 14": Reference(real, ["kid"], network).measure(fake[:14]),
        "real_digest": Reference(real.flip(0), ["kid"], network).measure(fake),
        "network_digest abc and other": Reference(real, ["kid"], other_network).measure(fake),
        "split given and test": Reference(real, ["kid"], network, split="test").measure(fake),
        "keys kid": Reference(real, ["fid"], network).measure(fake),
    }
    assert summarize([measured, measured])
    for reason, other in others.items():
        with pytest.raises(ConfigError, match=f"different protocols cannot be compared: {reason}"):
            summarize([measured, measured, other])


# Refused metrics and warnings


def test_is_needs_a_classifier() -> None:
    images = noise(4, 8, 8, 0)
    with pytest.raises(ConfigError, match="is needs a classifier, and the weights of pixels have none"):
        Reference(images, ["is"], Pixels()).measure(images)
    assert possible_metrics(None) == ["swd"]
    assert possible_metrics(Pixels()) == ["fid", "kid", "mind", "pr", "swd"]


@pytest.mark.parametrize(
    "metric, real, fake, message",
    [
        ("pr", noise(9, 8, 8), noise(3, 8, 8), "pr needs at least 4 fake images, got 3: leave pr out"),
        ("swd", noise(4, 7, 7), noise(4, 7, 7), "swd needs images of 8 px and more, got one of 7 px"),
    ],
)
def test_images_too_few_or_too_small_for_a_metric(metric: str, real: Tensor, fake: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Reference(real, [metric], Pixels()).measure(fake)


def test_is_of_few_images_is_flagged() -> None:
    network = Pixels(classes=5)
    images = noise(49, 4, 4, 0)
    measured = Reference(images, ["is"], network).measure(images)
    assert measured.warnings == ("is: 4 images a split for 5 classes: biased downward",)
    assert Reference(images, ["is"], network).measure(noise(50, 4, 4, 0)).warnings == ()


def test_swd_of_photographs_grows_with_noise_blur_and_compression(tmp_path: Path) -> None:
    photographs = open_source(write_demo_data(tmp_path).a)
    images = [photographs.read(index).resize((64, 64)) for index in range(60)]
    reference = Reference(ListSource(images[::2]), ["swd"], None)

    def noisy(image: Image.Image, level: int) -> Image.Image:
        pixels = np.asarray(image) + 15 * level * np.random.default_rng(0).standard_normal((64, 64, 3))
        return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))

    def compressed(image: Image.Image, level: int) -> Image.Image:
        buffer = BytesIO()
        image.save(buffer, "JPEG", quality=90 - 40 * level)
        return Image.open(buffer).convert("RGB")

    damages = {"noise": noisy, "blur": lambda image, level: image.filter(ImageFilter.GaussianBlur(level))}
    for name, damage in (damages | {"jpeg": compressed}).items():
        scores = [
            reference.measure(ListSource([damage(image, level) for image in images[1::2]])).scores
            for level in (0, 1, 2)
        ]
        values = [score["swd@laplacian-clean-64"] for score in scores]
        assert values[0] < values[1] < values[2], name
