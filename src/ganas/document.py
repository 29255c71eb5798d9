"""The JSON envelope of the files that ganas writes: schema, kind and id. No torch here."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ganas.errors import RunError, UserError

SCHEMA = 1
INTACT_COPY = "use an intact copy"


def content_id(kind: str, content: Mapping[str, Any]) -> str:
    """Ten hex digits that depend only on the content, so that equal architectures have equal ids everywhere."""
    text = json.dumps({"kind": kind, **content}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def envelope(kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Add schema, kind and id to the content."""
    return {"schema": SCHEMA, "kind": kind, "id": content_id(kind, content), **content}


def write_document(kind: str, content: Mapping[str, Any]) -> str:
    """The text of an ``architecture.json``, one line per key."""
    lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in envelope(kind, content).items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def write_record(content: Mapping[str, Any]) -> str:
    """The text of a record without a kind, such as ``spec.json`` or ``job.json``."""
    return json.dumps({"schema": SCHEMA, **content}, indent=1) + "\n"


def read_document(
    text: str,
    origin: str,  # file name for errors
    what: str,  # "architecture"
    *,
    kind: str | None = None,  # expected; None: a record without a kind
    error: type[UserError] = RunError,
    way_out: str = INTACT_COPY,
) -> dict[str, Any]:
    """Read a JSON document, without its schema and kind; raises `error` that names the file and the reason."""
    return open_envelope(parse_object(text, origin, what, error, way_out), origin, what, kind=kind, error=error)


def parse_object(
    text: str, origin: str, what: str, error: type[UserError] = RunError, way_out: str = INTACT_COPY
) -> dict[str, Any]:
    """Read a JSON object without an envelope; raises `error`."""
    try:
        document = json.loads(text)
    except ValueError as reason:
        raise error(f"{origin} is not complete JSON ({reason}): {way_out}") from None
    return _object(document, origin, what, error)


def open_envelope(
    document: Any, origin: str, what: str, *, kind: str | None = None, error: type[UserError] = RunError
) -> dict[str, Any]:
    """Like `read_document`, for JSON that is already parsed."""
    content = dict(_object(document, origin, what, error))
    schema = content.pop("schema", None)
    if isinstance(schema, int) and schema > SCHEMA:
        raise error(f"{origin} has schema {schema}, newer than this ganas knows ({SCHEMA}): update ganas")
    if schema != SCHEMA:
        raise error(f"{origin} has schema {schema!r}: this ganas reads schema {SCHEMA}")
    if kind is not None and (found := content.pop("kind", None)) != kind:
        raise error(f"{origin} is of kind {found!r}, not {kind!r}: give another {what}")
    return content


def check_id(document: Mapping[str, Any], expected: str, origin: str, error: type[UserError]) -> None:
    """Raise `error` if a document has an id other than that of its content."""
    if document.get("id") not in (None, expected):
        raise error(
            f"{origin} was edited: its id {document['id']!r} is not that of its content, {expected!r}: "
            f"change the id, or remove it"
        )


@contextmanager
def parsing(origin: str, error: type[UserError] = RunError, way_out: str = INTACT_COPY) -> Iterator[None]:
    """Convert the exception for a missing key or a wrong value to `error`, which names the file."""
    try:
        yield
    except KeyError as reason:
        raise error(f"{origin} lacks {reason}: {way_out}") from None
    except (ValueError, TypeError, AttributeError, error) as reason:
        raise error(f"{origin}: {reason}" + ("" if way_out == INTACT_COPY else f": {way_out}")) from None


def _object(document: Any, origin: str, what: str, error: type[UserError]) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise error(f"{origin} is no {what}: it holds a {type(document).__name__}, not an object")
    return document
