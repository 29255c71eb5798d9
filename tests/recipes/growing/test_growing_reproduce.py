"""Recipes of DGGAN at scale tiny, from the command line: one folder for all tables and figures."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

from ganas.recipes.growing.experiments import EXPERIMENTS
from ganas.records import read_run
from tiny import Capture, ganas

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Reproduce a table or a figure once, all of them into one folder; return it."""
    folder = tmp_path_factory.mktemp("recipes") / "out"

    @cache
    def reproduce(figure: str) -> Path:
        assert ganas("reproduce", figure, "--scale", "tiny", "--out", folder) == 0
        return folder

    return reproduce


@pytest.mark.parametrize("figure", EXPERIMENTS)
def test_a_table_or_figure_from_start_to_end(figure: str, reproduced: Callable[[str], Path]) -> None:
    folder = reproduced(figure)
    (table,) = folder.glob(f"{figure}-tiny-demo-*.json")
    document = json.loads(table.read_text())
    assert all(sheet["rows"] for sheet in document["sheets"]) and table.with_suffix(".md").stat().st_size > 500
    with Image.open(table.with_suffix(".png")) as drawing:
        assert drawing.size[0] > 1000
    assert [*document["runs"]] == [*EXPERIMENTS[figure].models]
    final = {one["model"]: one for one in document["models"] if one["final"]}
    if figure == "dggan-fig3":
        assert document["analysis"]["normalized"] and len(document["analysis"]["points"]) > 5
    else:
        assert final.keys() == document["runs"].keys()
        assert all(one["resolution"] == 16 and one["scores"]["swd@laplacian-clean-16"] > 0 for one in final.values())
        lower = [one["model"] for one in document["models"] if one["resolution"] == 8]
        assert lower == ["ProgGAN", "DGGAN"], "the weights of the best candidate at a lower resolution are kept"


def test_nothing_runs_or_is_scored_twice(reproduced: Callable[[str], Path], capsys: Capture) -> None:
    """The tables share their runs, and the search takes the scores of the route."""
    folder = reproduced("table1")
    results = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/candidates/*/result.json")}
    route = {path.parent.name for path in results if "-proggan-" in str(path)}
    search = {path.parent.name: path for path in results if "-dggan-" in str(path)}
    assert len([name for name in search if name in route and not (search[name].parent / "log.txt").exists()]) >= 4
    capsys.readouterr()
    assert ganas("reproduce", "table1", "--scale", "tiny", "--out", folder) == 0
    said = capsys.readouterr()
    assert "scoring" not in said.err and "| DGGAN |" in said.out
    assert {path: path.stat().st_mtime_ns for path in results} == results
    assert ganas("reproduce", "table1", "--scale", "tiny", "--out", folder, "--dry-run") == 0
    assert capsys.readouterr().out.count(": done (demo-") == 3


def test_the_folder_is_a_run_with_a_page(reproduced: Callable[[str], Path]) -> None:
    folder = reproduced("table1")
    record = read_run(folder)
    assert record.state == "finished" and all(job.state == "done" and job.scores for job in record.jobs)
    assert ganas("report", folder) == 0 and "Models at 16×16" in (folder / "report.html").read_text()


def test_any_growing_search_is_drawn(reproduced: Callable[[str], Path], tmp_path: Path, capsys: Capture) -> None:
    (search,) = reproduced("dggan-fig3").glob("runs/*-dggan-*/")
    assert ganas("runs", search, "--analyse", "--plot", tmp_path / "analysis.png") == 0
    assert "written: " in capsys.readouterr().out
    with Image.open(tmp_path / "analysis.png") as drawing:
        assert drawing.size[0] > 1000
    for flags, words in (
        (("--analyse", "--plot", tmp_path / "analysis.pdf"), "give a name that ends in .png"),
        (("--plot", tmp_path / "analysis.png"), "give --analyse with it"),
    ):
        assert ganas("runs", search, *flags) == 2
        assert words in capsys.readouterr().err
