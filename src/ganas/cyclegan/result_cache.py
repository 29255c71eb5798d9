"""Values that took long to compute, kept in a file: a process that was killed computes none of them again. No torch."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ganas.store import write_atomically


class ResultCache:
    """JSON values by name, one line each, behind a line that says what they are of."""

    def __init__(self, file: Path, of: Mapping[str, Any], *, writes: bool = True) -> None:
        """Read the file; one that is of something else begins anew, and a line that a kill cut off is dropped.

        writes   False: the file stays as it is, and new values are kept in memory
        """
        self._file, self._writes = file, writes
        self._values: dict[str, Any] = {}
        lines = []
        with suppress(ValueError, FileNotFoundError):  # a line that is cut off is the last one
            for text in file.read_text(encoding="utf-8").splitlines():
                lines.append(json.loads(text))
        if lines[:1] == [dict(of)]:
            self._values = {name: value for line in lines[1:] for name, value in line.items()}
        content = [dict(of), *({name: value} for name, value in self._values.items())]
        if writes:
            write_atomically(file, "".join(json.dumps(line) + "\n" for line in content).encode())

    def value(self, name: str, compute: Callable[[], Any]) -> Any:
        """Return the value of this name, computed if it is the first time."""
        if name not in self._values:
            self._values[name] = value = compute()
            if self._writes:
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({name: value}) + "\n")
        return self._values[name]

    def count(self, prefix: str) -> int:
        """The number of values whose names start like this."""
        return sum(name.startswith(prefix) for name in self._values)
