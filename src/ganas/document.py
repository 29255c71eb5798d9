"""The JSON envelope of the files that ganas writes: schema, kind and id. No torch here."""

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from ganas.errors import ArchitectureError, RunError, UserError

SCHEMA = 1
INTACT_COPY = "use an intact copy"


class ArchitectureDocument(ABC):
    """An architecture that is stored as JSON, in an ``architecture.json`` or as part of another document."""

    kind: ClassVar[str]

    @abstractmethod
    def _content(self) -> dict[str, Any]:
        """Return all that makes up the architecture, as JSON values."""

    @classmethod
    @abstractmethod
    def _from_content(cls, content: Mapping[str, Any]) -> Self:
        """Build an architecture from its content; raises `KeyError`, `ValueError`, `TypeError` or `UserError`."""

    @property
    def id(self) -> str:
        """Ten hex digits that depend only on the content, so that equal architectures have equal ids everywhere."""
        text = json.dumps({"kind": self.kind, **self._content()}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    def to_document(self) -> dict[str, Any]:
        """Return the architecture as a JSON object: schema, kind and id before the content."""
        return {"schema": SCHEMA, "kind": self.kind, "id": self.id, **self._content()}

    def to_json(self) -> str:
        """Return the text of an ``architecture.json``, one line per key."""
        lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in self.to_document().items())
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def from_document(cls, document: Any, origin: str) -> Self:
        """Read the result of `to_document`; raises `ArchitectureError` that names `origin` and what is wrong in it."""
        content = open_envelope(document, origin, "architecture", kind=cls.kind, error=ArchitectureError)
        with parsing(origin, ArchitectureError):
            architecture = cls._from_content(content)
        if content.get("id") not in (None, architecture.id):
            raise ArchitectureError(
                f"{origin} was edited: its id {content['id']!r} is not that of its content, {architecture.id!r}: "
                f"change the id, or remove it"
            )
        return architecture

    @classmethod
    def from_json(cls, text: str, origin: str = "architecture") -> Self:
        """Read the result of `to_json`; errors as in `from_document`."""
        return cls.from_document(parse_object(text, origin, "architecture", ArchitectureError), origin)


def write_record(content: Mapping[str, Any]) -> str:
    """The text of a record without a kind, such as ``spec.json`` or ``job.json``."""
    return json.dumps({"schema": SCHEMA, **content}, indent=1) + "\n"


def read_record(text: str, origin: str, what: str, way_out: str) -> dict[str, Any]:
    """Read the result of `write_record`, without its schema; raises `RunError` that names `origin` and the reason."""
    return open_envelope(parse_object(text, origin, what, way_out=way_out), origin, what)


def stored_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file that can be written again; empty if there is none, or if it is damaged or foreign."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # UnicodeDecodeError is a ValueError, too
        return {}
    return document if isinstance(document, dict) else {}


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
    """Return a document without its schema and kind; raises `error` if they, or its type, are not the expected ones."""
    content = dict(_object(document, origin, what, error))
    schema = content.pop("schema", None)
    if isinstance(schema, int) and schema > SCHEMA:
        raise error(f"{origin} has schema {schema}, newer than this ganas knows ({SCHEMA}): update ganas")
    if schema != SCHEMA:
        raise error(f"{origin} has schema {schema!r}: this ganas reads schema {SCHEMA}")
    if kind is not None and (found := content.pop("kind", None)) != kind:
        raise error(f"{origin} is of kind {found!r}, not {kind!r}: give another {what}")
    return content


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


def finite(value: Any) -> Any:
    """Replace numbers that JSON lacks by None, in nested values."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value
