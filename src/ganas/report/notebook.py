"""A record in a notebook: what is answered at a glance, and the last samples. No scripts, no torch."""

from html import escape

from ganas.errors import shown
from ganas.records import RunRecord
from ganas.report.page import PAGES
from ganas.report.thumbnails import data_uri, readable

SIDE = 640  # pixels of the samples


def as_html(record: RunRecord) -> str:
    """Return a fragment of HTML with inline styles, as notebooks keep no style sheets of cells."""
    page = PAGES[record.kind](record)
    parts = [f"<h3>{_text(page.title)}</h3><p>{_text(page.subtitle)}</p><table>"]
    for fact in page.facts:
        details = "<br>".join(map(_text, fact.details))
        parts.append(
            f"<tr><th style='text-align:left;vertical-align:top'>{_text(fact.question)}</th>"
            f"<td style='text-align:left'><b>{_text(fact.answer)}</b><br>{details}</td></tr>"
        )
    parts.append("</table>")
    if last := next(readable(record.samples[::-1]), None):
        sample, picture = last
        parts.append(f"<img src='{data_uri(picture, SIDE)}' alt='Samples after {sample.images:,} images'>")
    return "".join(parts)


def _text(value: str) -> str:
    return escape(shown(value))
