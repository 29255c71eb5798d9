"""Parts that every page has: config, log, protocol. No torch."""

from collections.abc import Iterator, Mapping
from typing import Any

from ganas.metrics.measurement import METRICS, SPREADS, higher_is_better, metric_of
from ganas.records import RunRecord
from ganas.report.blocks import Block, Section, Table, Text

LOG_LINES = 60  # at most


def config_section(record: RunRecord) -> Section:
    """The resolved config and the end of the log."""
    blocks: list[Block] = []
    if record.config:
        document = record.config.model_dump(mode="json", by_alias=True)
        blocks.append(Table("Config", ("key", "value"), [*_flat(document)], folded=True))
    if record.trace.log:
        blocks.append(Text("The last lines of the log", record.trace.log[-LOG_LINES:]))
    return Section("details", "Details", blocks)


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in document.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", "" if value is None else str(value)


def spreads() -> dict[str, str]:
    """Metrics whose standard error is a score of its own, by name."""
    return {name.partition("_")[0]: name for name in SPREADS if name.endswith("_stderr")}


def key_table(keys: list[str]) -> Table:
    """What every score means."""
    rows = []
    for key in dict.fromkeys(keys):
        _metric, _, network = key.partition("@")
        name, *preprocessing = network.split("-")
        better = "higher" if higher_is_better(key) else "lower"
        known = METRICS.get(metric_of(key))
        kind = "each translation against the right answer" if known and known.paired else "one set against the other"
        rows.append((key, better, kind, name or "none", " ".join(preprocessing)))
    columns = ("score", "better is", "compares", "network", "preprocessing and pixels")
    return Table("What the scores mean", columns, rows, folded=True)


def protocol_table(protocol: Mapping[str, Mapping[str, Any]]) -> list[Block]:
    """How the scores were measured, fact by fact."""
    rows = [(part, fact, str(value)) for part, facts in protocol.items() for fact, value in facts.items()]
    return [Table("How they were measured", ("part", "fact", "value"), rows, folded=True)] if rows else []
