"""`ganas watch`: alive, local, cheap, and read-only."""

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browser import Browser
from made import write_growth, write_picture, write_search, write_training

from ganas.errors import ConfigError, RunError
from ganas.report.watch import SHARE, LivePage, serving
from ganas.store import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A search at half of its time."""
    return write_search(tmp_path / "run", lines=5, finished=False)


def get(
    address: str, *, host: str | None = None, token: str | None = None, version: str = "", method: str = "GET"
) -> http.client.HTTPResponse:
    """Ask for the page, perhaps with another host or token."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    path = f"/?{parts.query}" if token is None else f"/?token={token}"
    connection.request(method, path, headers={"Host": host or parts.netloc, "If-None-Match": version})
    return connection.getresponse()


def test_only_who_knows_the_address_sees_the_page(run: Run) -> None:
    with serving(run.path) as address:
        assert urlsplit(address).hostname == "127.0.0.1"
        answer = get(address)
        assert answer.status == 200 and b"<h1>run</h1>" in answer.read()
        assert get(address, token="").status == get(address, token="guessed").status == 403
        assert get(address, host="example.org").status == 403, "another site's name for this machine"
        assert get(address, method="POST").status == 501
        version = answer.getheader("ETag") or ""
        again = get(address, version=version)
        assert again.status == 304 and not again.read()


def test_the_page_follows_the_run(run: Run) -> None:
    now = Clock()
    page = LivePage(run.path, now, spent=now)
    version, text = page.newest()
    assert "200 of 400 pairs seen" in text and 'data-watched="' in text and "connect-src" in text
    run.append_metrics({"nimg": 280, "loss": {"cycle_a": 1.0}})
    now.time += 1000
    assert page.newest()[0] != version and "280 of 400 pairs seen" in page.newest()[1]
    run.config.rename(run.path / "aside")
    now.time += 1000
    assert "280 of 400" in page.newest()[1], "the last page, while a file is missing"


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def test_at_most_a_hundredth_of_the_time_goes_into_pages(run: Run) -> None:
    now, spent = Clock(), 0.0

    def make(_: object, version: str) -> str:
        nonlocal spent
        now.time += 0.5
        spent += 0.5
        return version

    page = LivePage(run.path, now, make, now)
    for nimg in range(3000):  # it changes all the time, and is asked for all the time
        run.append_metrics({"nimg": nimg})
        page.newest()
        now.time += 0.1
    assert 0 < spent <= SHARE * now.time + 0.5


def test_nothing_is_written(run: Run) -> None:
    def state() -> dict[Path, tuple[int, int]]:
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in run.path.rglob("*")}

    with run.lock():
        before = state()
        with serving(run.path) as address:
            assert b"running" in get(address).read()
        assert state() == before


def test_a_run_starts_while_it_is_watched(run: Run) -> None:
    """Looking whether a run is locked never refuses it to the run itself."""
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            _ = run.is_locked

    with run.lock():
        pass
    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for _ in range(50):
            with run.lock():
                pass
    finally:
        ended.set()
        watcher.join()


def test_no_run_and_no_port(tmp_path: Path, run: Run) -> None:
    with pytest.raises(RunError, match="is not a run"), serving(tmp_path / "nothing"):
        pass
    with serving(run.path) as address, pytest.raises(ConfigError, match="give another --port"):
        with serving(run.path, port=urlsplit(address).port or 0):
            pass


@pytest.mark.long
def test_a_page_stays_alive_and_keeps_what_its_reader_chose(browser: Browser, tmp_path: Path) -> None:
    run = write_training(tmp_path / "run", lines=5, finished=False)
    browser.errors(), browser.requests()
    with serving(run.path) as address:
        browser.open(address)
        browser.set("#losses-group", "cycle")
        browser.run("document.querySelector('#details-1').open = true; scrollTo(0, 300)")
        run.append_metrics({"nimg": 280, "loss": {"cycle_a": 1.0, "adversarial_ab": 1.0}})
        write_picture(run.samples / "000000280.png", 6, 6)
        browser.wait("document.body.textContent.includes('280 of 400 pairs seen')", seconds=20)
        browser.wait("document.querySelector('.timeline output').textContent === 'after 280 pairs'")
        assert browser.run("return document.querySelector('#losses-group').value") == "cycle"
        assert browser.run("return document.querySelector('#details-1').open && scrollY") == 300
        browser.draw()
        assert browser.errors() == [] and {urlsplit(url).netloc for url in browser.requests()} == {
            urlsplit(address).netloc
        }
    browser.wait("document.querySelector('#live').textContent === 'no answer from ganas watch'", seconds=20)


@pytest.mark.long
def test_the_tree_grows(browser: Browser, tmp_path: Path) -> None:
    run = write_growth(tmp_path / "run", candidates=8)
    with serving(run.path) as address:
        browser.open(address)
        browser.wait("document.querySelector('.tree')?.dataset.painted")
        before = int(browser.run("return document.querySelector('.tree').dataset.painted"))
        write_growth(run.path)
        browser.wait("Number(document.querySelector('.tree')?.dataset.painted) > arguments[0]", before, seconds=30)


@pytest.fixture(autouse=True)
def _no_threads_stay() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() <= before
