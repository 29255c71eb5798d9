"""Every kind of wrong path or file, given to every command: exit code 2, one line that names it, nothing written."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ganas.growing.architecture import GrowthArchitecture
from ganas.growing.networks import GrownGenerator
from ganas.growing.sample import GrownGeneratorInfo, save_grown_generator
from ganas.presets import make_config
from ganas.store import Run
from kill_and_resume import contents
from tiny import FLAGS, Capture, ganas, write_domains

GROWN = GrowthArchitecture(latent=4, channels=8)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two domains, a run of each kind, and files of others."""
    home = tmp_path_factory.mktemp("home")
    domains = write_domains(home)
    assert ganas("search", *domains, *FLAGS, "--out", home / "search") == 0
    assert ganas("train", home / "search", *domains, *FLAGS, "--out", home / "train") == 0
    grow = Run(home / "grow")
    grow.write_text(grow.config, make_config("grow", preset="tiny", flags={"data.images": "x"}).to_yaml())
    grow.write_text(grow.architecture, GROWN.to_json())
    save_grown_generator(grow.model / "generator.safetensors", GrownGenerator(GROWN), GrownGeneratorInfo(GROWN, "c"))
    (home / "empty").mkdir()
    (home / "text.txt").write_text("no image\n")
    (home / "cut.json").write_text('{"schema": 1,')
    (home / "noise.pt").write_bytes(torch.rand(999).numpy().tobytes())
    (home / "dangling").symlink_to(home / "nothing")
    with zipfile.ZipFile(home / "text.zip", "w") as archive:
        archive.writestr("text.txt", "no image")
    save_file({"weight": torch.zeros(2)}, home / "foreign.safetensors")
    return home


WRONG = {
    "nothing": "nowhere",
    "an empty folder": "empty",
    "text": "text.txt",
    "an image": "a/000.png",
    "images": "a",
    "a zip": "text.zip",
    "half a JSON file": "cut.json",
    "noise": "noise.pt",
    "foreign weights": "foreign.safetensors",
    "a dangling link": "dangling",
    "a path through a file": "text.txt/x",
    "too long a name": "x" * 300,
    "a search": "search",
    "a training": "train",
    "a growing search": "grow",
    "a config": "train/config.yaml",
    "an architecture": "search/architecture.json",
    "a grown architecture": "grow/architecture.json",
    "a translator": "train/model/generator_ab.safetensors",
    "a grown generator": "grow/model/generator.safetensors",
}

NEW = ("nothing", "an empty folder")
COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {  # what takes a path: the command line, and which are right
    "search --a": ("search --a {} --b {b} {flags} --out {out}", ("images",)),
    "search --out": ("search --a {a} --b {b} {flags} --out {}", (*NEW, "a search")),
    "search --features": ("search --a {a} --b {b} {flags} --out {out} --features squeezenet:{}", ()),
    "train ARCH": ("train {} --a {a} --b {b} {flags} --out {out}", ("a search", "a training", "an architecture")),
    "train --set inherit": (
        "train {search} --a {a} --b {b} {flags} --set training.inherit={} --out {out}",
        ("a search",),
    ),
    "train --set test": (
        "train {search} --a {a} --b {b} {flags} --set metrics.split=test --set data.test_a={} --set data.test_b={} "
        "--out {out}",
        (),
    ),
    "translate RUN": ("translate {} {a} {out} --direction ab", ("a training", "a translator")),
    "translate INPUT": ("translate {train} {} {out} --direction ab", ("images", "an image")),
    "translate OUTPUT": ("translate {train} {a} {} --direction ab", NEW),
    "grow --data": (
        "grow --data {} --preset tiny --set training.batch=2 --resolution 16 --out {out} --dry-run",
        ("images",),
    ),
    "grow --route": ("grow --data {a} --route {} --preset tiny --set training.batch=2 --out {out} --dry-run", ()),
    "grow --out": ("grow --data {a} --preset tiny --set training.batch=2 --out {}", (*NEW, "a growing search")),
    "sample RUN": ("sample {} {out} -n 1", ("a growing search", "a grown generator")),
    "sample OUTPUT": ("sample {grow} {} -n 1", NEW),
    "runs RUN": ("runs {}", ("a search", "a training", "a growing search")),
    "evaluate RUN": ("evaluate {}", ("a growing search",)),
    "evaluate RUN --a --b": ("evaluate {} --a {a} --b {b}", ("a training",)),
    "evaluate --real": ("evaluate --real {} --fake {b}", ("images",)),
    "evaluate --features": ("evaluate --real {a} --fake {b} --features squeezenet:{}", ()),
    "data check": ("data check {}", ("images", "an image")),
    "reproduce --data": ("reproduce fig6 --data {} --out {out}", ()),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_refused_in_one_line(
    command: str, kind: str, home: Path, tmp_path: Path, capsys: Capture
) -> None:
    words, right = COMMANDS[command]
    if kind in right:
        pytest.skip("that is right")
    place: Callable[[str], Path] = home.joinpath
    names = {name: place(name) for name in ("a", "b", "search", "train", "grow")}
    wrong = place(WRONG[kind])
    arguments = []
    for word in words.split():
        if word == "{flags}":
            arguments += FLAGS
        else:
            arguments.append(word.replace("{}", str(wrong)).format(out=tmp_path / "out", **names))
    before = contents(home)
    capsys.readouterr()
    code = ganas(*arguments)
    out, err = capsys.readouterr()
    assert (code, out) == (2, ""), err
    line = err.splitlines()[-1]
    assert line.startswith("ganas: ") and "Traceback" not in err and len(line) < 500 + len(str(wrong)) * 2
    assert WRONG[kind] in line or kind in ("images", "an image"), "it names the path"
    assert contents(home) == before and not contents(tmp_path)
