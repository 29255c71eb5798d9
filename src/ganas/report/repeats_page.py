"""The page of the repeats of a training or a search: seeds side by side, and what their spread says. No torch."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ganas.cyclegan.layout import DIRECTIONS
from ganas.metrics.measurement import Summary
from ganas.records import RunRecord, Score
from ganas.report.blocks import Block, Chart, Fact, Page, Picker, Section, Table, Timeline
from ganas.report.charts import line_spec, scores
from ganas.report.health import STATES, health_fact
from ganas.report.page_parts import config_section, key_table, spreads
from ganas.report.train_page import is_better, quality_fact
from ganas.report.translators import config_of, quoted, sample_blocks

ENOUGH_SEEDS = 3  # from which a method can be judged (`ganas.comparison`)


def repeats_page(record: RunRecord) -> Page:
    """Build the page of a training or a search with several seeds."""
    config, seeds = config_of(record), record.repeats
    done = [one for one in seeds if one.state == "finished"]
    total = config.total_images
    share = sum(min(1.0, one.images / total) for one in seeds) / len(seeds)
    keys = [score.key for one in seeds for score in one.scores]
    samples: list[Block] = []
    for one in seeds:
        for block in sample_blocks(one.samples, config.data.resolution)[:1]:
            if isinstance(block, Timeline):
                samples.append(replace(block, id=f"samples-{one.name}", title=f"Seed {one.name}", wide=False))
    charts = [*_curves(record), _losses(record)]
    sections = [
        Section("seeds", "Seed by seed", [_table(record), *_summary(record)]),
        Section("training", "Training", [chart for chart in charts if chart]),
        Section("samples", "Samples of each seed", samples),
        Section("scores", "The scores", [key_table(keys)] if keys else []),
        config_section(seeds[0]),
    ]
    troubles = [fact for one in seeds if (fact := health_fact(one)).tone in ("fair", "bad")]
    return Page(
        title=record.name,
        subtitle=f"{'Search' if config.kind == 'search' else 'Training'} of a CycleGAN with {len(seeds)} seeds",
        state=STATES[record.state][0],
        tone=STATES[record.state][1],
        share=share,
        facts=(
            Fact(
                "How far is it?",
                f"{share:.0%}, {STATES[record.state][0]}",
                STATES[record.state][1],
                (f"{len(done)} of {len(seeds)} seeds ended", f"{record.images:,} pairs seen in all"),
            ),
            troubles[0] if troubles else Fact("Is it healthy?", "yes", "good", ("no seed shows trouble",)),
            *(_of_search(record) if config.kind == "search" else _of_training(record, done, bool(keys))),
        ),
        sections=[section for section in sections if section.blocks],
    )


def _of_training(record: RunRecord, done: Sequence[RunRecord], scored: bool) -> list[Fact]:
    return [
        Fact("What came out?", f"{len(done)} pairs of generators", "good" if done else "plain", _kept(record)),
        quality_fact([score for one in done for score in one.scores]),
        _trust(len(done), scored),
        Fact(
            "What next?",
            "compare it",
            "plain",
            ("with the repeats of another architecture",),
            quoted("compare", record.path, "--against", Path("OTHER-RUN")),
        ),
    ]


def _of_search(record: RunRecord) -> list[Fact]:
    """The architecture that agrees most with the others, and how far seeds agree."""
    verdict, config = record.result.get("verdict"), config_of(record)
    if not verdict or not record.architecture:
        return [Fact("What came out?", "nothing yet", "plain", ("the architecture is derived at the end",))]
    share, chance = record.result["share"], record.result["chance"]
    agrees = share >= (1 + chance) / 2  # nearer to agreement than to chance
    command = quoted("train", record.path, "--a", config.data.a, "--b", config.data.b, "--out", f"{record.path}-train")
    details = (str(verdict), "agreement says that a search is repeatable, not that its result is good")
    return [
        Fact("What came out?", f"architecture {record.architecture.id}", "good", (f"of seed {record.result['seed']}",)),
        Fact("Can I trust it?", "seeds agree" if agrees else "seeds disagree", "good" if agrees else "fair", details),
        Fact("What next?", "train it from scratch", "plain", ("three seeds and more tell method from luck",), command),
    ]


def _trust(ended: int, scored: bool) -> Fact:
    question = "Can I trust it?"
    if not scored:
        return Fact(question, "nothing was measured", "fair", ("without scores, only the pictures tell",))
    if ended < ENOUGH_SEEDS:
        return Fact(
            question, "as models", "fair", (f"{ended} seeds ended: a statement on the method takes {ENOUGH_SEEDS}",)
        )
    shared = "repeats share the held-out images, so their spread is that of training alone"
    return Fact(question, "as a method", "good", (f"{ended} seeds ended: enough for a statement on the method", shared))


def _kept(record: RunRecord) -> tuple[str, ...]:
    kept = record.result.get("kept", {})
    return tuple(
        f"{DIRECTIONS[direction]}: of seed {info['seed']}" for direction, info in kept.items() if "seed" in info
    )


def _table(record: RunRecord) -> Table:
    rows = []
    for one in record.repeats:
        for score in one.scores or (None,):
            values = _score_cells(score)
            rows.append((one.name, STATES[one.state][0], one.images, *values))
    columns = ("seed", "state", "pairs seen", "direction", "score", "value", "untranslated", "better")
    scored = any(one.scores for one in record.repeats)
    return Table("Seeds", columns if scored else columns[:3], rows if scored else [row[:3] for row in rows])


def _score_cells(score: Score | None) -> tuple[str | float | None, ...]:
    if score is None:
        return (None,) * 5
    words = {True: "yes", False: "no", None: ""}[is_better(score)]
    direction = DIRECTIONS.get(score.direction, "")  # type: ignore[call-overload]
    return direction, score.key, score.value, score.untranslated, words


def _summary(record: RunRecord) -> list[Block]:
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one in record.repeats:
        for score in one.scores:
            if score.value is not None:
                values[score.direction or "", score.key].append(score.value)
    rows = []
    for (direction, key), found in values.items():
        summary, name = Summary.of(found), DIRECTIONS.get(direction, "")  # type: ignore[call-overload]
        rows.append((name, key, summary.repeats, summary.mean, summary.standard_error, summary.low, summary.high))
    columns = ("direction", "score", "seeds", "mean", "standard error", "least", "most")
    return [Table("Over seeds", columns, rows)] if rows else []


def _curves(record: RunRecord) -> list[Chart]:
    """Scores over time, a line a seed."""
    rows = []
    for one in record.repeats:
        if chart := scores(one.points, one.scores, spreads()):
            rows += [(f"{direction} {key}", f"seed {one.name}", *numbers) for key, direction, *numbers in chart.rows]
    if not rows:
        return []
    parts = [*dict.fromkeys(str(row[0]) for row in rows)]
    columns = ("part", "series", "images", "value", "low", "high", "baseline")
    caption = "A line is a seed: where lines lie apart by more than they rise or fall, one training tells little."
    picker = Picker("part", "Score", tuple((part, part) for part in parts))
    return [
        Chart(
            "scores",
            "Scores over time",
            caption,
            line_spec("score", rule=True, images="pairs"),
            columns,
            rows,
            (picker,),
        )
    ]


def _losses(record: RunRecord) -> Chart | None:
    rows = [
        (name.removeprefix("loss/"), f"seed {one.name}", point.images, value)
        for one in record.repeats
        for point in one.points
        for name, value in point.values.items()
        if name.startswith("loss/")
    ]
    if not rows:
        return None
    names = [*dict.fromkeys(str(row[0]) for row in rows)]
    picker = Picker("loss", "Loss", tuple((name, name) for name in names))
    columns = ("loss", "series", "images", "value")
    spec = line_spec("loss", images="pairs")
    return Chart(
        "losses", "Losses", "One loss, a line a seed.", spec, columns, rows, (picker,), ("value", "images", "series")
    )
