"""What the README shows is there: commands, flags, files."""

import re
from pathlib import Path

import pytest

from test_cli import COMMANDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\w*\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
SHOWN = [line.partition("#")[0].split()[1:] for block in BLOCKS for line in block.splitlines() if line[:6] == "ganas "]


def test_it_shows_the_whole_way() -> None:
    assert "scripts/demo" in README
    assert {words[0] for words in SHOWN} >= {*"data search train translate evaluate grow runs sample".split()}


@pytest.mark.parametrize("words", SHOWN, ids=" ".join)
def test_its_commands_are_understood(words: list[str]) -> None:
    name = next(name for name in COMMANDS if words[: len(name.split())] == name.split())
    with COMMANDS[name].make_context(name, words[len(name.split()) :]) as context:
        assert context.params, "parsed, as the command line does, and not run"


def test_its_files_are_there() -> None:
    linked = re.findall(r"\]\(([^):]+)\)", README)
    tree = next(block for block in BLOCKS if block.startswith("src/ganas/"))
    listed = [name.strip(",") for line in tree.splitlines()[1:] for name in re.findall(r"^  (\S+/|\S+\.py)", line)]
    named = re.findall(r"`([\w/.]+\.(?:md|sh)|scripts/\w+)`", README)
    assert listed
    missing = [name for name in (*linked, *named) if not (ROOT / name).exists()]
    assert not missing
    assert not [name for name in listed if not (ROOT / "src" / "ganas" / name).exists()]


def test_its_setup_is_what_ci_runs() -> None:
    setup = "pip install -e '.[dev]'"
    assert setup in README and "-e '.[dev]'" in (ROOT / "scripts" / "environment").read_text(encoding="utf-8")
    for script in ("demo", "test"):
        assert f"scripts/{script}" in README
        assert ". scripts/environment" in (ROOT / "scripts" / script).read_text(encoding="utf-8")
    assert "scripts/test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
