"""``ganas grow`` on data as people have it: one result from any kind, and nothing is read that need not be."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import lmdb
import pytest

from counted_reads import count_reads
from ganas.config import load_config
from ganas.data.containers.folder import Folder
from ganas.data.containers.lmdb import Lmdb
from ganas.errors import RunError
from ganas.evaluation import evaluate_grown
from ganas.growing.config import GrowConfig
from ganas.growing.run import grow
from ganas.presets import make_config
from in_process import InProcess
from kill_and_resume import write_images
from tiny import GANAS

SETTINGS = {
    "base.latent": 4,
    "base.channels": [4],
    "growth.filters": [4],
    "growth.depth": 1,
    "growth.keep": 1,
    "growth.rank_by": "raw",
    "training.batch": 4,
    "training.images": 16,
    "training.final_images": 8,
    "training.checkpoint_every": 8,
    "metrics.images": 8,
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("data") / "images", 24, seed=0)


@pytest.fixture(scope="module")
def database(images: Path) -> Path:
    path = images.with_name("lmdb")
    path.mkdir()
    with lmdb.open(str(path), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for file in images.iterdir():
            transaction.put(file.name.encode(), file.read_bytes())
    return path


@pytest.fixture
def reads(cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all images that are read; what is known of files is kept, however new they are."""
    return count_reads(monkeypatch, Folder, Lmdb)


def config(data: Path, **changed: object) -> GrowConfig:
    return make_config("grow", preset="tiny", flags={"data.images": str(data), **SETTINGS, **changed})


def outcome(run: Path) -> list[bytes]:
    return [(run / name).read_bytes() for name in ("result.json", "model/generator.safetensors")]


def test_the_same_images_grow_the_same_gan(images: Path, database: Path, tmp_path: Path, reads: list[str]) -> None:
    grow(config(images), tmp_path / "folder", executor=InProcess())
    assert len(reads) == 3 * 24, "checked, hashed, and decoded into images.npy"
    grow(config(database), tmp_path / "lmdb", executor=InProcess())
    reads.clear()
    grow(config(database, **{"data.cache_mib": 0}), tmp_path / "on the fly", executor=InProcess())
    assert len(reads) > 24 and "images are decoded whenever they are needed, not kept: data.cache_mib=0" in (
        tmp_path / "on the fly" / "log.txt"
    ).read_text(encoding="utf-8")
    assert outcome(tmp_path / "folder") == outcome(tmp_path / "lmdb") == outcome(tmp_path / "on the fly")
    kept, again = (evaluate_grown(tmp_path / run) for run in ("lmdb", "on the fly"))
    assert kept.scores == again.scores


def test_a_finished_run_answers_without_reading(images: Path, tmp_path: Path, reads: list[str]) -> None:
    first = grow(config(images), tmp_path / "run", executor=InProcess())
    reads.clear()
    assert grow(config(images), tmp_path / "run", executor=InProcess()) == first and not reads
    grow(config(images), tmp_path / "another", executor=InProcess())
    assert len(reads) == 24, "another run decodes images.npy, and no more"
    time.sleep(0.02)  # a tick of the file system's clock
    (images / "000.png").rename(images / "renamed.png")
    try:
        with pytest.raises(RunError, match=r"the images of data\.images .* have changed"):
            grow(config(images), tmp_path / "run", executor=InProcess())
    finally:
        (images / "renamed.png").rename(images / "000.png")


def test_a_large_set_is_sampled_and_the_run_says_so(
    images: Path, tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganas.data.sources.SAMPLE", 5)
    grow(config(images, **{"data.verify": 10}), tmp_path / "run", executor=InProcess())
    assert "5 of 24 images, chosen at random, were checked" in (tmp_path / "run" / "log.txt").read_text(
        encoding="utf-8"
    )
    text = (tmp_path / "run" / "config.yaml").read_text(encoding="utf-8")
    assert "digest: listing-" in text
    reads.clear()
    grow(config(images, **{"data.verify": 10}), tmp_path / "run", executor=InProcess())
    assert not reads
    with pytest.raises(RunError, match="have changed since"):  # the digest is of another kind
        grow(config(images), tmp_path / "run", executor=InProcess())


def test_a_limit_is_part_of_the_run(images: Path, tmp_path: Path, reads: list[str]) -> None:
    grow(config(images, **{"data.limit": 9}), tmp_path / "run", executor=InProcess())
    assert len(set(reads)) == 9 and "9 of 24 images, chosen at random" in (tmp_path / "run" / "log.txt").read_text()
    with pytest.raises(RunError, match=r"data\.limit: 9 → 12"):
        grow(config(images, **{"data.limit": 12}), tmp_path / "run", executor=InProcess())


def test_a_config_from_before_these_keys_is_read(images: Path) -> None:
    stored = config(images).to_yaml().splitlines()
    old = "\n".join(line for line in stored if line.split(":")[0].strip() not in ("limit", "verify", "cache_mib"))
    assert load_config(GrowConfig, old, "old") == config(images)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("seconds", [1.5, 4.0, 6.0])
def test_ctrl_c_at_any_moment_then_the_same_command(database: Path, tmp_path: Path, seconds: float) -> None:
    changed = SETTINGS | {"data.cache_mib": 0}
    settings = (f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in changed.items())
    words = [word for setting in settings for word in ("--set", setting)]
    command = [GANAS, "grow", "--data", database, "--out", tmp_path / "run", "--preset", "tiny", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode in (0, 130, -signal.SIGINT) and "Traceback" not in err, err
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
