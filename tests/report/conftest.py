"""A browser, and runs of all kinds, made once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, opened
from made import HOSTILE, HOSTILE_NAME, LARGE, write_all, write_growth

from ganas.report.page import write_report


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with opened(tmp_path_factory.mktemp("downloads")) as browser:
        yield browser


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of each kind."""
    return write_all(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def pages(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of each run."""
    folder = tmp_path_factory.mktemp("pages")
    return {kind: write_report(run, folder / f"{kind}.html") for kind, run in runs.items()}


@pytest.fixture(scope="session")
def hostile_pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages of runs in which every text of others wants to be markup."""
    folder = tmp_path_factory.mktemp("hostile")
    runs = write_all(folder, HOSTILE, HOSTILE_NAME)
    return {kind: write_report(run, folder / f"{kind}.html") for kind, run in runs.items()}


@pytest.fixture(scope="session")
def large_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A growing search of 2,000 candidates."""
    return write_growth(tmp_path_factory.mktemp("large") / "run", **LARGE).path
