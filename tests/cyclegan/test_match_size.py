"""Which architecture, how wide: names, files, lots, and sizes to match."""

import re
from pathlib import Path

import pytest

from ganas.cyclegan.architecture import Architecture, find_architecture, random_architecture
from ganas.cyclegan.config import NetsConfig
from ganas.cyclegan.layout import GENERATORS, find_layout
from ganas.cyclegan.match_size import match_widths
from ganas.cyclegan.size import describe_sizes, generator_sizes, parameters
from ganas.errors import ArchitectureError, ConfigError
from ganas.presets import make_config
from tiny import FLAGS, ganas, write_domains

DRAWN = random_architecture(find_layout("framed"), 3)


def sizes(architecture: Architecture, values: dict[str, float]) -> list[int]:
    nets = NetsConfig(**{key.removeprefix("nets."): value for key, value in values.items()})  # type: ignore[arg-type]
    return [size.parameters for size in generator_sizes(architecture, nets, 64)]


def test_names_files_and_lots(tmp_path: Path) -> None:
    file = tmp_path / "architecture.json"
    file.write_text(DRAWN.to_json())
    assert (
        find_architecture(str(file)) == find_architecture("random:3") == find_architecture("random:framed:3") == DRAWN
    )
    assert find_architecture("random:paper:3").layout == "paper"
    assert find_architecture("resnet9") == Architecture("resnet9")


@pytest.mark.parametrize("text", ["random:", "random:x", "random:framed:paper:3", "random:-1"])
def test_no_such_lot(text: str) -> None:
    with pytest.raises(ArchitectureError, match="give random:SEED or random:LAYOUT:SEED"):
        find_architecture(text)


@pytest.mark.parametrize("wanted", ["resnet9:64", "resnet9", "91.025432MB", "91025432", "91.025432 mb"])
def test_in_total(wanted: str) -> None:
    values = match_widths(DRAWN, wanted, each=False)
    assert [*values] == ["nets.width"]
    assert sum(sizes(DRAWN, values)) == pytest.approx(2 * 11_378_179, rel=0.01)


def test_each(tmp_path: Path) -> None:
    """C': hand-made generators as large as those of a searched architecture, one by one."""
    file = tmp_path / "architecture.json"
    file.write_text(DRAWN.to_json())
    values = match_widths(Architecture("resnet9"), f"{file}:20", each=True)
    assert [*values] == ["nets.width_ab", "nets.width_ba"]
    layout = find_layout("framed").generator
    wanted = [parameters(layout, DRAWN.ops(name), 20) for name in GENERATORS]
    assert wanted[0] != wanted[1]
    assert sizes(Architecture("resnet9"), values) == pytest.approx(wanted, rel=0.02)


def test_each_of_so_many_bytes() -> None:
    values = match_widths(DRAWN, "5MB, 9000 KB", each=True)
    assert sizes(DRAWN, values) == pytest.approx([1_250_000, 2_250_000], rel=0.01)
    assert sum(sizes(DRAWN, match_widths(DRAWN, "5MB,9MB", each=False))) == pytest.approx(3_500_000, rel=0.01)


@pytest.mark.parametrize(
    "wanted, words",
    [
        ("5MB,6MB,7MB", "--match-size 5MB,6MB,7MB: there is no architecture"),
        ("45,5MB", "give both sizes with a unit"),  # no decimal comma
        ("45,500", "give both sizes with a unit"),
        ("5MB,", "or give bytes, such as 45.5MB"),
        ("12parsecs", "--match-size 12parsecs: there is no architecture"),
        ("nowhere:32", "or give bytes, such as 45.5MB"),
        ("resnet9:0", "a width is a number from 1 to 1024"),
        ("resnet9:2000", "a width is a number from 1 to 1024"),
    ],
)
def test_what_cannot_be_read_is_refused(wanted: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        match_widths(DRAWN, wanted, each=False)


@pytest.mark.parametrize("text, width", [("random:3", 64), ("random:framed:3", 64), ("random:3:20", 20)])
def test_a_lot_has_a_size_too(text: str, width: float) -> None:
    layout = find_layout("framed").generator
    wanted = sum(parameters(layout, DRAWN.ops(name), width) for name in GENERATORS)
    assert sum(sizes(DRAWN, match_widths(DRAWN, text, each=False))) == wanted


@pytest.mark.parametrize("place", ["config.yaml", "repeats/0/config.yaml"])
def test_a_run_has_its_own_width(place: str, tmp_path: Path) -> None:
    flags = {"data.a": "a", "data.b": "b", "nets.width": 20}
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text(make_config("train", preset="tiny", flags=flags).to_yaml())
    (tmp_path / "architecture.json").write_text(DRAWN.to_json())
    assert sizes(DRAWN, match_widths(DRAWN, str(tmp_path), each=True)) == sizes(DRAWN, {"nets.width": 20})


@pytest.mark.parametrize("wanted", ["1KB", "5KB", "900GB"])
def test_a_size_that_no_width_has_is_refused(wanted: str) -> None:
    with pytest.raises(ArchitectureError, match=r"no width from 1 to 1024 fits .* the nearest network has"):
        match_widths(DRAWN, wanted, each=False)


@pytest.mark.parametrize("each", [[], ["--match-each"]])
def test_a_training_as_large_as_another(each: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both directions of --match-size on the command line: what was found is what the run has."""
    domains = write_domains(tmp_path)
    values = [flag for flag in FLAGS if "=" in flag and flag != "nets.width=2"]
    flags = ["--preset", "tiny", "--resolution", "32", *(word for value in values for word in ("--set", value))]
    out = tmp_path / "run"
    assert ganas("train", "resnet6", *domains, *flags, "--out", out, "--match-size", "random:3:3", *each) == 0
    said = (out / "log.txt").read_text()
    wanted, found = sizes(DRAWN, {"nets.width": 3}), [int(n.replace(",", "")) for n in re.findall(r"(\S+) para", said)]
    assert sum(found[:2]) == found[2] and len(re.findall(r"GMACs per image", said)) == 2
    assert found[2] == pytest.approx(sum(wanted), rel=0.1), "as near as so narrow networks come"
    assert (found[0] == found[1]) == (not each)
    if each:
        assert found[:2] == pytest.approx(wanted, rel=0.1)


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--match-size", "resnet9:3", "--width", "3"], "--width cannot be used here, --match-size sets it"),
        (["--match-size", "resnet9:3"], "--set nets.width cannot be used here, --match-size sets it"),
        (["--match-each"], "--match-each needs --match-size"),
        (["--set", "nets.layout=paper"], "nets.layout has no meaning for ganas train"),
    ],
)
def test_bad_sizes_are_one_line(
    flags: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    domains = write_domains(tmp_path)
    assert ganas("train", "random:3", *domains, *FLAGS, "--out", tmp_path / "run", *flags) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and words in err and not (tmp_path / "run").exists()


def test_what_is_told_of_sizes() -> None:
    first, second, total = describe_sizes(
        generator_sizes(Architecture("resnet9"), NetsConfig(width_ab=64, width=32), 64)
    )
    assert "width 64, 11,378,179 parameters, 45.51 MB" in first and "width 32, 2,850,563 parameters" in second
    assert "14,228,742 parameters" in total and "ab is 3.99 times as large as ba" in total
