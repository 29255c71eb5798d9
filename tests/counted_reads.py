"""Which images are read: for tests that what is known already is not read again."""

from collections.abc import Callable

import pytest

from ganas.data import memory
from ganas.data.containers.base import Container


def count_reads(monkeypatch: pytest.MonkeyPatch, *kinds: type[Container]) -> list[str]:
    """The names of all images that are read from now on; what is known of files is kept, however new they are."""
    found: list[str] = []
    for kind in kinds:

        def counted(
            container: object,
            name: str,
            /,
            read: Callable[[object, str], bytes] = kind.read,  # type: ignore[assignment]
        ) -> bytes:
            found.append(name)
            return read(container, name)

        monkeypatch.setattr(kind, "read", counted)
    monkeypatch.setattr(memory, "SETTLED", -1e6)
    return found
