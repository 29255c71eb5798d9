"""Average loss terms between two log lines."""

from typing import Any

import torch
from torch import Tensor

from ganas.learning.phases import Terms


class AverageMeters:
    """Means of loss terms since they were last read; sums stay on the device until then."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, terms: Terms) -> None:
        """Add the terms of one phase."""
        for name, term in terms.items():
            self._sums[name] = self._sums.get(name, torch.zeros((), device=term.device)) + term.detach()
            self._counts[name] = self._counts.get(name, 0) + 1

    def read(self) -> dict[str, float]:
        """Return the means, and reset."""
        means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means

    def state_dict(self) -> dict[str, Any]:
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._sums, self._counts = dict(state["sums"]), dict(state["counts"])
