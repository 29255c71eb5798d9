"""Progress of a run on stderr: a bar with throughput and time left on a terminal, plain lines when piped.

stdout is reserved for results. Lines also go to the run's ``log.txt``.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ganas.errors import shown

PLAIN_SECONDS = 30.0  # between progress lines when piped


@cache
def warn_once(line: str) -> None:
    """Print a note on stderr, once per process."""
    Reporter().note([line])


class Reporter:
    """Prints lines to stderr and the log, and shows the progress of a run."""

    def __init__(self, log: Path | None = None, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=quiet)  # quiet: log only
        self._log = log

    def say(self, line: str) -> None:
        """Print a line and append it to the log."""
        line = shown(line)
        self._console.print(line, markup=False)
        if self._log:
            with self._log.open("a", encoding="utf-8") as file:
                file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {line}\n")

    def note(self, lines: Iterable[str]) -> None:
        """Print each line as a note."""
        for line in lines:
            self.say(f"note: {line}")

    @contextmanager
    def bar(self, title: str, start: int, total: int, unit: str = "images") -> Iterator["Bar"]:
        """Show progress over images, or other units, from `start` to `total`."""
        if not self._console.is_terminal:
            yield Bar(self, None, title, start, total, unit)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as progress:
            yield Bar(self, progress, title, start, total, unit)


class Bar:
    """The progress of one task."""

    def __init__(
        self, reporter: Reporter, progress: Progress | None, title: str, start: int, total: int, unit: str
    ) -> None:
        self._reporter, self._progress, self._title, self._unit = reporter, progress, title, unit
        self._start, self._total = start, total
        self._start_time = self._last_line_time = time.monotonic()
        self._task = progress.add_task(title, total=total, completed=start, rate="") if progress else None

    def update(self, done: int) -> None:
        """Record how many images are done."""
        now = time.monotonic()
        rate = (done - self._start) / max(now - self._start_time, 1e-9)
        pace = f"{rate:.1f} {self._unit}/s"
        if self._progress and self._task is not None:
            self._progress.update(self._task, completed=done, rate=f"{done}/{self._total} · {pace}")
        elif now - self._last_line_time > PLAIN_SECONDS:
            self._last_line_time = now
            left = readable_seconds((self._total - done) / max(rate, 1e-9))
            self._reporter.say(f"{self._title}: {done} of {self._total} {self._unit}, {pace}, {left} left")


def readable_seconds(seconds: float) -> str:
    """Format a duration: 45 s, 12 min, 3.4 h, 2.1 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
