"""Search, train, translate, evaluate: the commands one after the other, as a user gives them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganas import demo
from ganas.cyclegan import translate as inference
from ganas.cyclegan.config import RunConfig
from ganas.progress import Reporter
from ganas.records import read_run
from ganas.store import Run
from kill_and_resume import contents
from tiny import FLAGS, Capture, ganas, write_domains

SHARED = Path(__file__).parents[2] / "shared"  # real images and weights, where somebody has put them
DATA = SHARED / "data"
SQUEEZENET = SHARED / "weights" / "squeezenet1_1_features.safetensors"


def scores(capsys: Capture, real: Path, fake: Path, *more: str) -> dict[str, float]:
    """What `ganas evaluate` says."""
    capsys.readouterr()
    assert ganas("evaluate", "--real", real, "--fake", fake, "--json", *more) == 0
    found: dict[str, float] = json.loads(capsys.readouterr().out)["scores"]
    return found


def test_from_two_folders_to_a_score(tmp_path: Path, capsys: Capture) -> None:
    domains, search, train = write_domains(tmp_path, 5, 7), tmp_path / "search", tmp_path / "train"
    assert ganas("search", *domains, *FLAGS, "--out", search) == 0
    found = json.loads((search / "result.json").read_text())
    assert found["slots"] == 52 and len(found["choices"]) == 52, "22 in each generator, 4 in each discriminator"
    assert json.loads((search / "architecture.json").read_text())["id"] == found["architecture"]
    record = read_run(search)
    assert (record.kind, record.state, record.images, record.points[-1].images) == ("search", "finished", 4, 4)
    assert record.config and record.architecture and record.architecture.id == found["architecture"]
    assert ganas("runs", search) == 0 and "search: finished, 4 images seen" in capsys.readouterr().out
    assert ganas("train", search, *domains, *FLAGS, "--out", train) == 0
    assert json.loads((train / "result.json").read_text())["architecture"] == found["architecture"]
    assert (train / "architecture.json").read_bytes() == (search / "architecture.json").read_bytes()
    with Image.open(train / "samples" / "000000004.png") as grid:
        assert grid.mode == "RGB" and min(grid.size) > 16

    assert ganas("translate", train, tmp_path / "a", tmp_path / "translated", "--direction", "ab") == 0
    assert "5 images in" in capsys.readouterr().out
    assert sorted(contents(tmp_path / "translated")) == [f"{number:03}.png" for number in range(5)]
    (key,) = scores(capsys, tmp_path / "b", tmp_path / "translated")
    assert key.startswith("swd@laplacian-clean-")


def test_a_translation_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """The output may be the working folder, or a mount: nothing beside it is touched."""
    domains, written = write_domains(tmp_path), 0
    assert ganas("train", "resnet6", *domains, *FLAGS, "--resolution", "24", "--out", tmp_path / "run") == 0
    out, write = tmp_path / "deep" / "out", inference.write_atomically
    out.mkdir(parents=True)
    monkeypatch.chdir(out)

    def write_two(path: Path, content: bytes) -> None:
        nonlocal written
        written += 1
        if written == 3:
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(inference, "write_atomically", write_two)
    assert ganas("translate", tmp_path / "run", tmp_path / "b", ".", "--direction", "ba") == 130
    assert not list(out.glob("*.png")) and list(out.parent.iterdir()) == [out]
    assert ganas("translate", tmp_path / "run", tmp_path / "b", ".", "--direction", "ba") == 0
    assert sorted(contents(out)) == ["000.png", "001.png", "002.png", "003.png"]


def test_the_demo_tells_the_whole_story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    config = demo._config

    def short(kind: str, data: object, length: float) -> RunConfig:
        values = {"training.images": 4, "training.batch": 2, "training.threads": 1, "data.resolution": 32}
        values |= {"nets.width": 2, "nets.discriminator_width": 2}
        return config(kind, data, length).with_values(values)  # type: ignore[arg-type]

    monkeypatch.setattr(demo, "_config", short)
    for _ in range(2):  # again, it finds what is there
        assert ganas("demo", "--out", tmp_path) == 0
        out, err = capsys.readouterr()
        assert out.startswith(f"{tmp_path}/demo.png") and out.count("\n") == 1
        assert all(f"{step}/4" in err for step in range(1, 5))
        before, after = (line for line in err.splitlines() if " dB " in line)
        assert "before" in before and "after" in after
    for name in ("search", "train"):
        assert f"<h1>{name}</h1>" in (tmp_path / f"{name}.html").read_text(encoding="utf-8")
    with Image.open(tmp_path / "demo.png") as picture:
        pixels = np.asarray(picture)
    third = pixels.shape[0] // 3
    dark, translated, light = (pixels[start : start + third] for start in (0, third, 2 * third))
    assert np.ptp(translated) > 10 and dark.mean() < 0.6 * light.mean(), "dark above, in good light below"


@pytest.mark.parametrize(
    ("full", "search", "train"), [(100, 1.0, 1.0), (345, 0.64, 0.64), (440, 0.5, 0.5), (4400, 0.3, 0.3)]
)
def test_the_demo_fits_four_minutes_and_keeps_its_lengths(
    full: float, search: float, train: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Half a full demo of 440 s, and 20 s beside it, are 240 s."""
    data = demo.DemoData(*map(Path, ("a", "b", "c", "d")), "")
    monkeypatch.setattr(demo, "_estimate_seconds", lambda config: full * (0.25 if config.search else 0.75))
    now = [0.0]
    monkeypatch.setattr(demo.time, "monotonic", lambda: now[0])
    plan = demo._Plan(tmp_path, data, 0.0, Reporter())
    found = {"search": plan.config("search", "train")}
    now[0] += search * full * 0.25  # as long as it was estimated
    found["train"] = plan.config("train")
    said = capsys.readouterr().err
    for kind, length in (("search", search), ("train", train)):
        wanted = demo._config(kind, data, 1.0).total_images * length  # type: ignore[arg-type]
        assert found[kind].total_images == pytest.approx(wanted, rel=0.02)
        assert (f"{length:.0%}" in said) == (length < 1)
        stored = Run(tmp_path / kind)
        stored.write_text(stored.config, found[kind].to_yaml())
    monkeypatch.setattr(demo, "_estimate_seconds", lambda _: pytest.fail("a demo that goes on is not measured again"))
    again = demo._Plan(tmp_path, data, 0.0, Reporter())
    assert [again.config("search", "train"), again.config("train")] == [*found.values()], "a resumed demo is as long"


@pytest.mark.long
@pytest.mark.skipif(not DATA.is_dir(), reason="needs real images in ../shared/data")
@pytest.mark.parametrize("name", ["monet2photo", "cat2dog"])
def test_on_real_images(name: str, tmp_path: Path, capsys: Capture) -> None:
    """Not that it is good after so few images; that every part of it works on real, uneven data."""
    data = DATA / name
    domains = ("--a", data / "trainA", "--b", data / "trainB", "--preset", "tiny", "--resolution", "32")
    features = ("--features", f"squeezenet:{SQUEEZENET}") if SQUEEZENET.is_file() else ()
    small = ("--set", "nets.width=4", "--set", "nets.discriminator_width=8")
    small += ("--set", "training.images=48", "--set", "training.threads=1")
    assert ganas("search", *domains, *small, "--out", tmp_path / "search") == 0
    assert ganas("train", tmp_path / "search", *domains, *small, *features, "--out", tmp_path / "train") == 0
    out = capsys.readouterr().out
    assert ("kid@squeezenet-clean-128" if features else "swd@") in out
    for direction, source, target in (("ab", "testA", "testB"), ("ba", "testB", "testA")):
        translated = tmp_path / direction
        assert ganas("translate", tmp_path / "train", data / source, translated, "--direction", direction) == 0
        assert sum(path.suffix == ".png" for path in translated.rglob("*")) == len(list((data / source).iterdir()))
        measured = scores(capsys, data / target, translated, *features)
        assert all(np.isfinite(value) for value in measured.values())
        assert len(measured) == (7 if features else 1)  # mind among them
