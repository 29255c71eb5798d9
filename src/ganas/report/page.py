"""A record as one HTML file: nothing is loaded from elsewhere, nothing in it but our own scripts is run. No torch.

Text is escaped by jinja2 wherever it stands, data lies in a JSON block that no markup can end, and the page's content
security policy names its scripts by digest: even an error in the escaping would not run a foreign script.
"""

import base64
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ganas.document import finite, parsing
from ganas.errors import DataError, shown
from ganas.paths import StrPath, as_path
from ganas.records import Kind, RunRecord, read_run
from ganas.report.blocks import Link, Page
from ganas.report.grow_page import grow_page
from ganas.report.measurement_page import measurement_page
from ganas.report.recipe_page import recipe_page
from ganas.report.repeats_page import repeats_page
from ganas.report.search_page import search_page
from ganas.report.train_page import train_page
from ganas.report.translators import short_op
from ganas.store import PAGE, write_atomically
from ganas.version import __version__

PAGES: Mapping[Kind, Callable[[RunRecord], Page]] = {
    "search": search_page,
    "train": train_page,
    "repeats": repeats_page,
    "grow": grow_page,
    "recipe": recipe_page,
    "measurement": measurement_page,
}
SCRIPTS = ("vendor/vega.min.js", "vendor/vega-lite.min.js", "vendor/vega-interpreter.min.js")
OWN_SCRIPTS = ("tree.js", "page.js")


def write_report(run: StrPath, out: StrPath | None = None) -> Path:
    """Write the page of a run and return its path: `out`, or ``report.html`` in the run's folder.

    Raises `RunError` if there is no run, `DataError` if `out` cannot be the page.
    """
    path = as_path(run)
    file = as_path(out) if out is not None else path / PAGE if path.is_dir() else path.with_suffix(".html")
    if file.is_dir():
        raise DataError(f"{str(file)!r} is a folder: give a file name, such as {str(file / PAGE)!r}")
    if file.suffix.lower() not in (".html", ".htm"):
        raise DataError(f"--out {str(file)!r}: give a name that ends in .html")
    write_atomically(file, make_page(path, home=file.parent).encode("utf-8", errors="backslashreplace"))
    return file


def make_page(run: StrPath, *, watched: str | None = None, home: Path | None = None) -> str:
    """Read a run and `render` it; raises `RunError` if there is none, or if its files are not what ganas writes."""
    with parsing(str(run)):
        return render(read_run(run), watched=watched, home=home)


def render(record: RunRecord, *, watched: str | None = None, home: Path | None = None) -> str:
    """Return the page of a record as HTML.

    watched    its version; it asks its server for newer ones
    home       the folder that the page will be in; None: unknown, so it has no links to other pages
    """
    page = PAGES[record.kind](record)
    scripts = [_asset(name) for name in (*SCRIPTS, *OWN_SCRIPTS)]
    style = _asset("page.css")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(map(_digest, scripts))}",
            f"style-src {_digest(style)}",
            "img-src data:",
            *(["connect-src 'self'"] if watched is not None else []),
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    html: str = _template().render(
        page=page,
        data=json_block(page.data()),
        scripts=scripts,
        style=style,
        policy=policy,
        watched=watched,
        home=home,
        version=__version__,
        kind=record.kind,
        path=shown(record.path),
    )
    return html


def json_block(value: Any) -> str:
    """JSON that may stand in a script element: no character of it can end the element or begin a comment."""
    text = json.dumps(finite(value), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _digest(text: str) -> str:
    """A source of a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _asset(name: str) -> str:
    text = (resources.files("ganas.report") / "assets" / name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")  # as the browser hashes it


@cache
def _template() -> Any:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        autoescape=True,
        loader=FunctionLoader(_asset),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = short_op
    environment.filters["cell"] = _cell
    environment.filters["relative"] = _relative
    environment.filters["printable"] = lambda text: shown(str(text))
    return environment.get_template("page.html.jinja")


def _relative(link: Any, home: Path | None) -> str | None:
    """The address of a link from a page in `home`; None: the cell is no link, or cannot be one there."""
    if home is None or not isinstance(link, Link):
        return None
    try:
        path = os.path.relpath(link.page.resolve(), home.resolve())
    except ValueError:  # another drive of Windows
        return None
    return f"./{quote(Path(path).as_posix())}"


def _cell(value: Any) -> str:
    """The text of a table's cell."""
    if isinstance(value, Link):
        return shown(value.text)
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e5 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else shown(str(value))
