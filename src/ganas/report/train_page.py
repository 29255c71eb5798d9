"""The page of a training: its losses and scores, which checkpoint was kept, and what the translations are like."""

from collections.abc import Sequence

from ganas.cyclegan.architecture import Architecture
from ganas.cyclegan.layout import DIRECTIONS
from ganas.errors import counted
from ganas.metrics.measurement import higher_is_better, is_paired, metric_of
from ganas.records import RunRecord, Score
from ganas.report.blocks import Block, Fact, Page, Section, Table, Tone
from ganas.report.charts import losses, progress, scores
from ganas.report.health import STATES, health_fact, pace, progress_fact
from ganas.report.page_parts import config_section, key_table, protocol_table, spreads
from ganas.report.translators import config_of, diagram, examples, quoted, sample_blocks, sizes_table

FEW = 50  # images to score on, below which a score is mostly noise


def train_page(record: RunRecord) -> Page:
    """Build the page of a training, during or after it."""
    config, architecture = config_of(record), record.architecture
    total = config.total_images
    charts = [losses(record.points), scores(record.points, record.scores, spreads()), progress(record.points)]
    keys = [name.split("/", 2)[2] for point in record.points for name in point.values if name.startswith("scores/")]
    protocol = next((point.protocol for point in reversed(record.points) if point.protocol), {})
    measured: list[Block] = [*_kept(record), *([key_table(keys)] if keys else []), *protocol_table(protocol)]
    networks: list[Block] = []
    if isinstance(architecture, Architecture):
        networks = [diagram(architecture, config), sizes_table(architecture, config, [None, None])]
    sections = [
        Section("samples", "What the translations look like", sample_blocks(record.samples, config.data.resolution)),
        Section("examples", "The best and the worst", examples(record)),
        Section("scores", "How good they are", measured),
        Section("training", "Training", [chart for chart in charts if chart]),
        Section("networks", "The networks", networks),
        config_section(record),
    ]
    name = f"architecture {architecture.id}" if isinstance(architecture, Architecture) else "no architecture yet"
    return Page(
        title=record.name,
        subtitle=f"Training of a CycleGAN · {name} · {config.data.resolution}×{config.data.resolution} pixels",
        state=STATES[record.state][0],
        tone=STATES[record.state][1],
        share=pace(record.points, record.images, total).share,
        facts=(
            progress_fact(record, total, "pairs"),
            health_fact(record),
            _outcome(record),
            quality_fact(record.scores or latest(record)),
            _trust(record),
            _next(record),
        ),
        sections=[section for section in sections if section.blocks],
    )


def latest(record: RunRecord) -> tuple[Score, ...]:
    """The last scores of a training that has not ended."""
    for point in reversed(record.points):
        found = [name.removeprefix("scores/").partition("/") for name in point.values if name.startswith("scores/")]
        if found:
            return tuple(
                Score(key, point.values[f"scores/{direction}/{key}"], direction)
                for direction, _, key in found
                if metric_of(key) not in spreads().values()
            )
    return ()


def _kept(record: RunRecord) -> list[Block]:
    """Which checkpoint was kept, and why."""
    kept = record.result.get("kept", {})
    rows = [
        (
            DIRECTIONS[direction],
            info["metric"],
            info["score"],
            info.get("untranslated", {}).get(info["metric"]),
            info.get("nimg"),
            f"the best on {info.get('split')} images" if info.get("chosen") else "the last, none was selected",
        )
        for direction, info in kept.items()
    ]
    columns = ("direction", "score", "kept generator", "untranslated", "pairs seen", "why it was kept")
    return [Table("The kept generators", columns, rows)] if rows else []


def is_better(score: Score) -> bool | None:
    """Whether a translation is better than no translation; None: unknown."""
    if score.value is None or score.untranslated is None:
        return None
    return (score.value > score.untranslated) == higher_is_better(score.key)


def quality_fact(found: Sequence[Score]) -> Fact:
    """How good is it?"""
    question = "How good is it?"
    if not found:
        return Fact(question, "not measured", "plain", ("too few held-out images, or none measured yet",))
    known = [better for score in found if (better := is_better(score)) is not None]
    details = [
        f"{DIRECTIONS.get(score.direction, '')} {score.key} "  # type: ignore[call-overload]
        + ("not a number" if score.value is None else f"{score.value:.4g}")
        + (f", untranslated {score.untranslated:.4g}" if score.untranslated is not None else "")
        + (", higher is better" if higher_is_better(score.key) else ", lower is better")
        for score in found
    ]
    if not known:
        return Fact(question, f"{counted(len(found), 'score')} so far", "plain", tuple(details))
    tone: Tone = "good" if all(known) else "fair" if any(known) else "bad"
    answers = {"good": "better than untranslated", "fair": "better in one direction", "bad": "worse than untranslated"}
    return Fact(question, answers[tone], tone, tuple(details))


def _outcome(record: RunRecord) -> Fact:
    kept = record.result.get("kept", {})
    if not record.result:
        saved = any(name.startswith("scores/") for point in record.points for name in point.values)
        details = ("the best generators so far are in its model folder",) if saved else ()
        return Fact("What came out?", "nothing yet", "plain", details)
    if not kept:
        return Fact("What came out?", "two generators", "fair", ("the last ones: none was selected by a score",))
    chosen = [
        f"{DIRECTIONS[direction]}: of {info.get('nimg', record.images):,} pairs" for direction, info in kept.items()
    ]
    return Fact("What came out?", "two generators", "good", tuple(chosen))


def _trust(record: RunRecord) -> Fact:
    """What the scores can bear."""
    question, config = "Can I trust it?", config_of(record)
    if not record.result:
        return Fact(question, "too early to tell", "plain", ("the training has not ended",))
    doubts, kept = [], record.result.get("kept", {})
    protocol = next((point.protocol for point in reversed(record.points) if point.protocol), {})
    counts = [int(n) for facts in protocol.values() for name in ("fake_images", "pairs") if (n := facts.get(name))]
    if not kept:
        doubts.append("no score selected the generators")
    elif counts and min(counts) < FEW:
        doubts.append(f"scores are of {min(counts)} images only: small differences are noise")
    if any(info.get("chosen") and info.get("split") == "test" for info in kept.values()):
        doubts.append("selected on test images, so its scores are too good: measure on others")
    if any(info.get("nimg") == record.images for info in kept.values()) and kept:
        doubts.append("the best generator is the last one: longer training may still help")
    if kept and not any(is_paired(metric_of(info["metric"])) for info in kept.values()):
        doubts.append("the scores compare sets of images: whether the content is kept, the pictures must show")
    careful = bool(doubts)
    doubts.append(f"one seed ({config.seed}): enough for this model, not for a claim about its architecture")
    return Fact(question, "with care" if careful else "as a model", "fair" if careful else "good", tuple(doubts))


def _next(record: RunRecord) -> Fact:
    config, question = config_of(record), "What next?"
    if not record.result:
        text = "wait" if record.state == "running" else "run the same command again"
        resumes = ("it resumes where it stopped",) if text != "wait" and record.images else ()
        return Fact(question, text, "plain", resumes)
    command = quoted("translate", record.path, config.data.a, f"{record.path}-translated", "--direction", "ab")
    return Fact(
        question, "translate images with it", "plain", ("ganas compare tells whether another run is better",), command
    )
