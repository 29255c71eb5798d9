"""Architectures as data: one op per searched slot of four networks, in JSON with a schema number and a stable id.

    {"schema": 1, "kind": "cyclegan", "id": "3f9c1a0b2d", "layout": "framed",
     "generator_ab": ["conv4", "conv7", ...], "generator_ba": [...], "discriminator_a": [...], "discriminator_b": [...]}

An architecture has no width: the search uses narrow networks, the training wide ones (hidden-dimension reduction,
section 3.2). No torch here.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, ClassVar, Self

from ganas.cyclegan.layout import DISCRIMINATORS, GENERATORS, LAYOUTS, NETWORKS, Layout, Slot, find_layout
from ganas.document import ArchitectureDocument
from ganas.errors import ArchitectureError, RunError
from ganas.paths import StrPath, as_path
from ganas.store import Run

Ops = tuple[str, ...]


@dataclass(frozen=True)
class Architecture(ArchitectureDocument):
    """The ops of a CycleGAN's four networks, slot by slot. Validated against its layout on creation."""

    kind: ClassVar[str] = "cyclegan"

    layout: str
    generator_ab: Ops = ()
    generator_ba: Ops = ()
    discriminator_a: Ops = ()
    discriminator_b: Ops = ()

    def __post_init__(self) -> None:
        layout = find_layout(self.layout)
        for name in NETWORKS:
            slots, ops = layout.network(name).searched, self.ops(name)
            if len(ops) != len(slots):
                raise ArchitectureError(
                    f"{name} has {len(ops)} ops where layout {self.layout!r} has {len(slots)} slots"
                )
            for slot, op in zip(slots, ops, strict=True):
                if op not in slot.ops:
                    raise ArchitectureError(
                        f"{name} holds {op!r} in slot {slot.name}, where layout {self.layout!r} has "
                        f"{', '.join(slot.ops)}"
                    )

    def ops(self, network: str) -> Ops:
        """The ops of one of the four `NETWORKS`, one per searched slot."""
        return getattr(self, network)  # type: ignore[no-any-return]

    def _content(self) -> dict[str, Any]:
        return {"layout": self.layout, **{name: list(self.ops(name)) for name in NETWORKS}}

    @classmethod
    def _from_content(cls, content: Mapping[str, Any]) -> Self:
        return cls(str(content["layout"]), **{name: tuple(map(str, content[name])) for name in NETWORKS})

    def __str__(self) -> str:
        """One human-readable line; a repeated op is counted, as in ``5×conv3``."""
        networks = " | ".join(
            f"{name.removeprefix('generator_').replace('discriminator_', 'd_')} {_condense(self.ops(name))}"
            for name in NETWORKS
            if self.ops(name)
        )
        return f"{self.layout}:{self.id} {networks}".rstrip()

    def table(self) -> list[tuple[str, ...]]:
        """Rows (slot, op of A→B, op of B→A) of the generators, then of the discriminators, to print."""
        layout = find_layout(self.layout)
        return [
            (f"{kind} {slot.name}", *ops)
            for kind, names in (("G", GENERATORS), ("D", DISCRIMINATORS))
            for slot, *ops in zip(layout.network(names[0]).searched, *map(self.ops, names), strict=True)
        ]


def _condense(ops: Ops) -> str:
    counts = ((op, len(list(group))) for op, group in groupby(ops))
    return " ".join(op if count == 1 else f"{count}×{op}" for op, count in counts)


def random_architecture(layout: Layout, seed: int) -> Architecture:
    """Sample an architecture of the layout uniformly; equal seeds give equal results on every machine."""

    def draw(network: str, slot: Slot) -> str:
        digest = hashlib.sha256(f"{layout.name} {seed} {network} {slot.name}".encode()).digest()
        return slot.ops[int.from_bytes(digest[:8], "big") % len(slot.ops)]

    return Architecture(
        layout.name, **{name: tuple(draw(name, slot) for slot in layout.network(name).searched) for name in NETWORKS}
    )


def handmade() -> tuple[str, ...]:
    """Return the names of the layouts without searched slots, each an architecture by itself."""
    return tuple(name for name, layout in LAYOUTS.items() if layout.size == 1)


def load_architecture(file: StrPath) -> Architecture:
    """Read an ``architecture.json``; raises `ArchitectureError` in one line."""
    path = as_path(file)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ArchitectureError(f"cannot read the architecture {str(path)!r}: {reason}") from None
    return Architecture.from_json(text, origin=str(path))


def find_architecture(text: str) -> Architecture:
    """Find an architecture by a hand-made network's name, an ``architecture.json`` or a run folder.

    ``random:SEED`` and ``random:LAYOUT:SEED`` are sampled from a layout's search space, framed by default.
    """
    if text in handmade():
        return Architecture(text)
    if text.startswith("random:"):  # the baseline that every search must beat (Li and Talwalkar 2019)
        _, *layout, seed = text.split(":")
        if len(layout) > 1 or not seed.isdecimal():
            raise ArchitectureError(f"{text!r} is not a random architecture: give random:SEED or random:LAYOUT:SEED")
        return random_architecture(find_layout(layout[0] if layout else "framed"), int(seed))
    path = as_path(text)
    if path.is_dir():
        run = Run(path)
        if run.architecture.is_file():
            return load_architecture(run.architecture)
        unfinished = "its search is not finished: run the same ganas search again"
        raise RunError(
            f"{text!r} holds no architecture.json; {unfinished if run.config.is_file() else 'it is not a run'}"
        )
    if not path.exists():
        raise ArchitectureError(
            f"there is no architecture {text!r}: give an architecture.json, a search run, random:SEED, "
            f"or {' or '.join(handmade())}"
        )
    return load_architecture(path)
