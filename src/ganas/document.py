"""How every kind of architecture is written down: JSON with a schema number, a kind and an id. No torch."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ganas.errors import ArchitectureError

SCHEMA = 1


def content_id(kind: str, content: Mapping[str, Any]) -> str:
    """Ten hex digits that depend on the content alone: equal architectures have equal ids, on every machine."""
    text = json.dumps({"kind": kind, **content}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def write_document(kind: str, content: Mapping[str, Any]) -> str:
    """The text of an ``architecture.json``, a line a key."""
    document = {"schema": SCHEMA, "kind": kind, "id": content_id(kind, content), **content}
    lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in document.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def read_document(text: str, origin: str) -> Any:
    """The JSON of a file; raises `ArchitectureError` that names `origin`."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise ArchitectureError(f"{origin} is not complete JSON ({error}): take an intact copy of it") from None
