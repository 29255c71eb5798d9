"""The cache returns exactly what was written, or nothing."""

from pathlib import Path

import numpy as np
import pytest
from test_reference import Pixels

from ganas.data.sources import open_source
from ganas.metrics import image_set
from ganas.metrics.cache import Cache
from ganas.metrics.reference import Reference
from ganas.store import default_cache
from kill_and_resume import write_images
from noise_images import noise


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def classifier() -> Pixels:
    network = Pixels(classes=5)
    network.classifier_digest = "def"
    return network


METRICS = ["fid", "kid", "pr", "is"]


def test_cached_scores_are_exact_and_need_no_network(cache: Cache, tmp_path: Path) -> None:
    real = open_source(write_images(tmp_path / "real", 60, seed=0))
    fake = noise(30, 16, 16, 1)
    expected = Reference(real, METRICS, classifier()).measure(fake)
    for seen in (60, 0):  # written, then read
        network = classifier()
        reference = Reference(real, METRICS, network, cache=cache)
        assert network.seen == seen
        found = reference.measure(fake)
        assert found.scores == expected.scores and found.protocol["real_pixels"] == expected.protocol["real_pixels"]
    assert len(list(cache.folder.iterdir())) == 1
    kept, side = cache.read(real.digest(), network), reference._real
    assert kept and kept.activations and side.statistics.activations
    assert kept.activations.features.equal(side.statistics.activations.features)
    assert kept.gaussian and all(map(np.array_equal, kept.gaussian, side.gaussian)), "60 images in 48 dimensions"


def test_of_many_images_fid_keeps_the_moments_alone(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, fake = open_source(write_images(tmp_path / "real", 60, seed=0)), noise(30, 16, 16, 1)
    (expected,) = Reference(real, ["fid"], Pixels()).measure(fake).scores.values()
    resampled = Reference(real, ["fid"], Pixels()).measure(fake, bootstrap=3).resampled
    monkeypatch.setattr(image_set, "KEPT_FEATURES", 0)
    for seen in (60, 0):  # summed up, then read
        network = Pixels()
        reference = Reference(real, ["fid"], network, cache=cache)
        assert network.seen == seen
        (found,) = reference.measure(fake).scores.values()
        assert found == pytest.approx(expected, rel=1e-7), "30 images in 48 dimensions"
        assert "statistics" not in reference._real.__dict__, "no features are held"
    by_features = Reference(real, ["kid"], Pixels()).measure(fake).protocol
    assert reference.measure(fake).protocol["real_pixels"] == by_features["real_pixels"]
    (kept,) = cache.folder.iterdir()
    assert kept.stat().st_size < 8 * 48 * 50 + 500
    network = Pixels()
    assert Reference(real, ["fid"], network, cache=cache).measure(fake, bootstrap=3).resampled == resampled
    both = Reference(real, ["fid", "kid"], Pixels(), cache=cache).measure(fake).scores
    assert both["fid@pixels-clean-4"] == expected, "features that are needed anyway are used"


def test_other_images_other_weights_and_other_preprocessing_are_other_entries(cache: Cache) -> None:
    network = Pixels()
    paths = {cache.name("abc", network), cache.name("abd", network)}
    changes = {"digest": "x", "device": "cuda", "preprocessing": "legacy", "size": 8, "classifier_digest": "y"}
    for name, value in changes.items():
        other = Pixels()
        setattr(other, name, value)
        paths.add(cache.name("abc", other))
    assert len(paths) == 7


@pytest.mark.parametrize("damage", [lambda content: content[:-9], lambda content: b"", lambda content: b"\x80pickle"])
def test_a_damaged_entry_is_replaced(cache: Cache, tmp_path: Path, damage: object) -> None:
    real = open_source(write_images(tmp_path / "real", 6, seed=0))
    fake = noise(5, 16, 16, 1)
    expected = Reference(real, ["kid"], Pixels(), cache=cache).measure(fake).scores
    (entry,) = cache.folder.iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))  # type: ignore[operator]
    assert Reference(real, ["kid"], Pixels(), cache=cache).measure(fake).scores == expected
    assert entry.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_not_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    real = open_source(write_images(tmp_path / "real", 6, seed=0))
    assert Reference(real, ["kid"], Pixels(), cache=Cache(tmp_path / "file")).measure(noise(5, 16, 16, 1)).scores


def test_tensors_are_distinguished_by_their_pixels(cache: Cache) -> None:
    network = Pixels()
    images = noise(6, 16, 16, 0)
    for tensor in (images, images.clone(), images.flip(0), images[..., :8]):
        Reference(tensor, ["kid"], network, cache=cache)
    assert network.seen == 18, "the copy has the same pixels"


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GANAS_CACHE", str(tmp_path / "mine"))
    assert default_cache() == tmp_path / "mine"
    monkeypatch.delenv("GANAS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "ganas"
