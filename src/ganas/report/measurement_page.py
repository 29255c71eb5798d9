"""The page of a measurement: scores, their intervals and their protocol. No torch."""

from ganas.cyclegan.layout import DIRECTIONS
from ganas.errors import counted
from ganas.metrics.measurement import differences, higher_is_better
from ganas.records import RunRecord
from ganas.report.blocks import Block, Fact, Page, Section, Table
from ganas.report.page_parts import key_table, protocol_table


def measurement_page(record: RunRecord) -> Page:
    """Build the page of what ``ganas evaluate --json`` printed."""
    found = {_title(name): one for name, one in record.measurements.items()}
    rows = []
    for name, one in found.items():
        for key, value in one.scores.items():
            low, high = one.intervals.get(key, (None, None))
            rows.append((name, key, value, low, high, "higher" if higher_is_better(key) else "lower"))
    warnings = [f"{name}: {line}".removeprefix(": ") for name, one in found.items() for line in one.warnings]
    unlike = _unlike(record)
    table = Table("Scores", ("images", "score", "value", "95 % from", "to", "better is"), rows)
    blocks: list[Block] = [table, key_table([key for one in found.values() for key in one.scores])]
    blocks += protocol_table({name or "images": one.protocol for name, one in found.items()})
    doubts = (*warnings, *unlike) or ("no warning, and one protocol",)
    intervals = any(one.intervals for one in found.values())
    return Page(
        title=record.name,
        subtitle="Scores that ganas evaluate measured",
        state="finished",
        tone="good",
        share=None,
        facts=(
            Fact(
                "What came out?",
                counted(len(rows), "score"),
                "good",
                tuple(f"{r[0]} {r[1]} {r[2]:.4g}".strip() for r in rows[:6]),
            ),
            Fact(
                "Can I trust it?",
                "with care" if warnings or unlike else "yes",
                "fair" if warnings or unlike else "good",
                doubts,
            ),
            Fact(
                "What next?",
                "compare runs" if intervals else "measure the error too",
                "plain",
                ("ganas compare answers better, worse or cannot tell",)
                if intervals
                else ("ganas evaluate --bootstrap 200 gives 95 % intervals",),
            ),
        ),
        sections=(Section("scores", "Scores", blocks),),
    )


def _title(name: str) -> str:
    """``ab translated`` -> ``A→B, translated``; other names stay."""
    direction, _, kind = name.partition(" ")
    return f"{DIRECTIONS[direction]}, {kind}" if direction in DIRECTIONS and kind else name  # type: ignore[index]


def _unlike(record: RunRecord) -> tuple[str, ...]:
    """The facts in which the measurements of one file differ, so that they may not be compared."""
    first, *others = record.measurements.values()
    facts = (
        fact
        for other in others
        for fact in differences(first, other)
        if not fact.startswith(("source", "real", "fake"))
    )
    return tuple(dict.fromkeys(facts))[:3]
