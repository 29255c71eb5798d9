"""`ganas watch`: the page of a run, served on this machine while the run goes on. Reads only. No torch.

The page asks for newer versions of itself. One is made only when somebody asks and something in the run has changed,
and no sooner than after a hundred times the CPU time of the last one: at most 1 % of one core is taken from the run.
"""

import hashlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from ganas.errors import ConfigError, UserError
from ganas.paths import StrPath, as_path
from ganas.report.page import make_page

HOST = "127.0.0.1"
SHARE = 0.01  # of one core
NICE = 10  # lower priority than the run's
WATCHED = ("metrics.jsonl", "result.json", "log.txt", "config.yaml", "samples", "candidates", "jobs", "repeats", "runs")


class LivePage:
    """The newest page of a run. Thread-safe."""

    def __init__(
        self,
        run: StrPath,
        clock: Callable[[], float] = time.monotonic,
        make: Callable[[StrPath, str], str] | None = None,  # (run, version) -> the page
        spent: Callable[[], float] = time.thread_time,  # CPU seconds: on a busy machine, a page waits for its core
    ) -> None:
        self._run, self._clock, self._spent, self._make = as_path(run), clock, spent, make or _page
        self._lock = threading.Lock()
        self._stamp, self._next = "", 0.0
        self.version, self.text = "", ""

    def newest(self) -> tuple[str, str]:
        """Return version and text, made again if the run has changed and enough time has passed.

        A run that cannot be read at the moment leaves the last page; raises its `UserError` if there is none.
        """
        with self._lock:
            if self._clock() >= self._next:
                began = self._spent()
                stamp = fingerprint(self._run)
                if stamp != self._stamp:
                    self._renew(stamp)
                took = self._spent() - began
                self._next = self._clock() + took * (1 / SHARE - 1)
            return self.version, self.text

    def _renew(self, stamp: str) -> None:
        version = hashlib.sha256(stamp.encode()).hexdigest()[:16]
        try:
            text = self._make(self._run, version)
        except (UserError, OSError):
            if not self.text:
                raise
            return  # a file is being written: the next time
        self._stamp, self.version, self.text = stamp, version, text


def _page(run: StrPath, version: str) -> str:
    return make_page(run, watched=version)


def fingerprint(run: Path) -> str:
    """What changes when the run does: sizes and times of its files, and whether it is locked."""
    from ganas.store import Run

    parts = [str(Run(run).is_locked)]
    inner = ("repeats", "jobs", "runs", "candidates")
    folders = [run, *(path for name in inner for path in sorted(run.glob(f"{name}/*")))]
    files = [folder / name for folder in folders for name in WATCHED]
    for path in (*files, *sorted(run.glob("*.json"))):  # also the reports of a recipe
        with suppress(OSError):
            found = path.stat()
            parts.append(f"{path.parent.name}/{path.name} {found.st_size} {found.st_mtime_ns}")
    return "\n".join(parts)


class _Handler(BaseHTTPRequestHandler):
    """Answers GET with the page, and everything else with a refusal."""

    server: "_Server"
    server_version, sys_version = "ganas", ""

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        token = parse_qs(address.query).get("token", [""])[0]
        if self.headers.get("Host") != self.server.host or not compare_digest(
            token.encode(), self.server.token.encode()
        ):
            return self._answer(403, "this page needs the address that ganas watch printed")
        if address.path != "/":
            return self._answer(404, "there is only one page")
        try:
            version, text = self.server.page.newest()
        except (UserError, OSError) as error:
            return self._answer(500, str(error))
        if self.headers.get("If-None-Match") == version:
            return self._answer(304, "", version)
        self._answer(200, text, version, "text/html; charset=utf-8")

    def _answer(self, status: int, text: str, version: str = "", kind: str = "text/plain; charset=utf-8") -> None:
        body = text.encode("utf-8", errors="backslashreplace")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        if version:
            self.send_header("ETag", version)
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the address, and with it the token, would be in the log."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, page: LivePage, port: int, token: str) -> None:
        super().__init__((HOST, port), _Handler)
        self.page, self.token = page, token
        self.host = f"{HOST}:{self.server_port}"


@contextmanager
def serving(run: StrPath, *, port: int = 0) -> Iterator[str]:
    """Serve the page of a run in the background; yields its address, with a random token.

    port   of 127.0.0.1; 0: a free one

    Raises `RunError` if there is no run, `ConfigError` if the port is taken.
    """
    page = LivePage(run)
    page.newest()
    try:
        server = _Server(page, port, secrets.token_urlsafe(16))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"port {port} cannot be used ({reason}): give another --port, or 0 for a free one") from None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True)
    thread.start()
    try:
        yield f"http://{server.host}/?token={server.token}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def watch(run: StrPath, *, port: int = 0, say: Callable[[str], None] = print) -> None:
    """Serve the page of a run until Ctrl-C, at low priority."""
    with suppress(OSError, AttributeError):
        os.nice(NICE)
    with serving(run, port=port) as address:
        say(address)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
