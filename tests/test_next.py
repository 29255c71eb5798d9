"""What ``next:`` lines say: every printed command runs, as it stands, and tells the next one what matters."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from PIL import Image

from ganas.cli.printing import fresh, print_next
from kill_and_resume import write_images
from tiny import FLAGS, Capture, ganas, write_domains

# beside the printed words, to make it short
SHORT = ("--set", "training.images=4", "--set", "training.batch=2", "--set", "nets.discriminator_width=2")
NAMES = {
    "quotes, dashes, not ascii, a line break": ('the painter\'s "x" $HOME', "--b", "résultats/ü run\n"),
    "a dash, not ascii, line breaks, a number": ("-a", "日\n本\tb", "1e5"),
    "a bool, a date, quotes": ("no", "2026-11-28", "my runs/-it's a #1"),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def next_words(capsys: Capture) -> list[str]:
    """The words of the one command that was printed, as a shell takes them."""
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if line.startswith("next: ")]
    command = line.removeprefix("next: ")
    split = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True).stdout
    words = [os.fsdecode(word) for word in split.split(b"\0")[:-1]]
    assert words[0] == "ganas" and ("$'" in command or words == shlex.split(command))
    return words[1:]


@pytest.mark.parametrize("kind", NAMES)
def test_from_a_search_to_a_translation(kind: str, here: Path, capsys: Capture) -> None:
    """At 16 pixels, which the hand-made discriminators do not take, with a broken image and places that are taken."""
    a, b, run = map(Path, NAMES[kind])
    for seed, place in enumerate((a, b)):
        write_images(here / place, 4, seed=seed)
    (here / a / "broken.png").write_text("no image")
    for taken in ("translated", "samples.png", f"{run}-train", f"{run}-train-2-translated"):
        (here / taken).mkdir(parents=True)
    flags = ["--set", "data.skip_bad=true", "--set", "data.flip=no", "--set", "loss.cycle=7", "--seed", "3"]
    assert ganas("search", "--a", a, "--b", b, *FLAGS, *flags, "--out", run) == 0
    words = next_words(capsys)
    assert ganas(*words, *SHORT) == 0
    trained = here / f"{run}-train-2"
    config = yaml.safe_load((trained / "config.yaml").read_bytes())
    data = config["data"]
    assert (data["a"], data["b"]) == (f"{here}/{a}", f"{here}/{b}")
    assert (data["skip_bad"], data["flip"], data["resolution"], config["seed"]) == (True, False, 16, 3)
    assert config["loss"]["cycle"] == 7 and config["nets"]["discriminator"] == "searched"
    assert config["nets"]["width"] == 16, "a training is wider than its search"
    assert ganas(*next_words(capsys)) == 0
    translated = [*(here / f"{run}-train-2-translated-2").rglob("*.png")]
    assert len(translated) == 4
    with Image.open(translated[0]) as image:
        assert image.size == (20, 24)


def test_patchgan_is_kept_where_it_fits(here: Path, capsys: Capture) -> None:
    write_domains(here)
    command = ("search", "--a", "a", "--b", "b", *FLAGS, "--set", "data.resolution=32", "--out", "run")
    assert ganas(*command) == 0
    words = next_words(capsys)
    assert "data.resolution=32" in words and not [word for word in words if word.startswith("nets.")]
    assert ganas(*words, *SHORT) == 0
    assert yaml.safe_load((here / "run-train" / "config.yaml").read_bytes())["nets"]["discriminator"] == "patchgan"
    capsys.readouterr()
    assert ganas(*command, "--set", "data.workers=1") == 0, "shown again, there is another place"
    assert "run-train-2" in next_words(capsys)


@pytest.mark.parametrize("widths", [("--budget-params", "60K"), ("--budget-params", "60K,50K", "--budget-width", "3")])
def test_a_budget_is_kept(widths: tuple[str, ...], here: Path, capsys: Capture) -> None:
    write_domains(here)
    assert ganas("search", "--a", "a", "--b", "b", *FLAGS, *widths, "--out", "run") == 0
    words = next_words(capsys)
    assert ganas(*words, *SHORT) == 0
    nets = yaml.safe_load((here / "run-train" / "config.yaml").read_bytes())["nets"]
    assert nets["width"] == (3 if "--budget-width" in widths else 2)


@pytest.mark.parametrize("more", [("--repeats", "2"), ("--width", "3")], ids=" ".join)
def test_from_a_hand_made_network_to_a_translation(more: tuple[str, str], here: Path, capsys: Capture) -> None:
    write_images(here / "-a", 3, seed=0)
    write_images(here / "b", 3, seed=1)
    (here / "-a" / "broken.png").write_text("no image")
    flags = ["--preset", "tiny", "--resolution", "32", *SHORT, "--set", "nets.width_ab=2", "--set", "data.skip_bad=on"]
    assert ganas("train", "resnet6", "--a", "-a", "--b", "b", *flags, *more, "--out", ".") == 2, "not empty"
    assert ganas("train", "resnet6", "--a", "-a", "--b", "b", *flags, *more, "--out", "-run") == 0
    words = next_words(capsys)
    assert words[:4] == ["translate", "./-run", "./-a", "./-run-translated"] and ganas(*words) == 0
    assert len([*(here / "-run-translated").iterdir()]) >= 3


def test_from_a_grown_network_to_samples(here: Path, capsys: Capture) -> None:
    write_images(here / "-images", 40, seed=0)
    (here / "-run-samples.png").write_text("mine")
    tiny = ("batch=4", "images=16", "final_images=16", "log_every=16", "sample_every=16", "checkpoint_every=16")
    flags = [word for setting in tiny for word in ("--set", f"training.{setting}")]
    flags += ["--set", "metrics.images=4", "--set", "growth.rank_by=raw", "--set", "growth.filters=8"]
    flags += ["--set", "base.channels=8", "--set", "growth.keep=1", "--set", "base.latent=4"]
    assert ganas("grow", "--data", "-images", "--preset", "tiny", *flags, "--route", "proggan", "--out", "-run") == 0
    words = next_words(capsys)
    assert words[:3] == ["sample", "./-run", "./-run-samples-2.png"] and ganas(*words) == 0
    assert (here / "-run-samples.png").read_text() == "mine"
    with Image.open(here / "-run-samples-2.png") as grid:
        assert min(grid.size) >= 8 * 16


def test_any_name_is_the_same_word_in_a_shell(capsys: Capture) -> None:
    names = ["caf\udce9", "a\nb\udcff'\\x41", "\x1b[31m", "-\udce9", "a\u2028b", "~", "*"]
    print_next("translate", *map(Path, names))
    expected = ["translate", *names]
    expected[4] = "./-\udce9"
    assert next_words(capsys) == expected


def test_a_run_in_the_current_folder_has_what_follows_beside_it(here: Path) -> None:
    assert fresh(Path("."), "-train") == here.with_name(f"{here.name}-train")
    assert fresh(Path("runs/x/"), "-samples.png") == Path("runs/x-samples.png")
