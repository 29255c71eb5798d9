"""The page of a growing search: how far it is, the winner and its lineage, and what it cost. No torch."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import isfinite

from ganas.growing.architecture import SIDES
from ganas.growing.candidates import Spec, paid_for
from ganas.growing.config import GrowConfig
from ganas.growing.history import History, Record, cost_by_resolution
from ganas.growing.plan import remaining_stages
from ganas.growing.runner import seconds_left
from ganas.progress import readable_seconds
from ganas.records import RunRecord
from ganas.report.analysis import analysis, score_at_end
from ganas.report.blocks import Block, Fact, Frame, Gallery, Page, Section, Table, Timeline, Tone
from ganas.report.candidates_tree import SIDE, tree_blocks
from ganas.report.health import STATES
from ganas.report.page_parts import config_section, key_table
from ganas.report.thumbnails import data_uri, frames, readable, thinned
from ganas.report.translators import quoted

Remaining = Sequence[tuple[str, Sequence[Spec]]]  # candidates that are left, by stage
LONGER = "winner, longer"  # the stage of the longer training
ROLES = {"repeat": "finalists again", "longer": LONGER, "route": "ProgGAN route"}  # in tables


def grow_page(record: RunRecord) -> Page:
    """Build the page of a growing search, during or after it."""
    config, history = record.config, record.history
    assert isinstance(config, GrowConfig) and history
    done = [one for one in history.records if one.result and one.result.state == "done"]
    remaining = _remaining(config, history) if record.state != "finished" else []
    left = sum(len(specs) for _, specs in remaining)
    sections = [
        Section("winner", "The best, step by step", _lineage(record, history)),
        Section("tree", "All candidates", tree_blocks(record, history)),
        Section("analysis", "What scores depend on", analysis(history), "The analysis of the paper, on this run."),
        Section("cost", "What it cost", [_cost(history), *_by_resolution(history), *_stages(remaining)]),
        Section("scores", "The scores", [key_table(_keys(done))] if done else []),
        config_section(record),
    ]
    strategy = "a fixed route" if config.growth.route is not None else f"strategy {config.growth.strategy}"
    total, size = len(done) + left, config.data.resolution
    return Page(
        title=record.name,
        subtitle=f"Growing search of a GAN (DGGAN) · {strategy} · to {size}×{size} pixels",
        state=STATES[record.state][0],
        tone=STATES[record.state][1],
        share=1.0 if record.state == "finished" else len(done) / total if total else 0.0,
        facts=(
            _progress(record, history, remaining),
            _health(history),
            _outcome(record, config, history, remaining),
            _quality(record, history),
            _trust(record, config, history),
            _next(record),
        ),
        sections=[section for section in sections if section.blocks],
    )


def _keys(done: Sequence[Record]) -> list[str]:
    return [*dict.fromkeys(key for one in done if one.result for key in one.result.scores)]


def _remaining(config: GrowConfig, history: History) -> Remaining:
    results = {one.spec.id: one.result for one in history.records if one.result}
    return [(name, specs) for name, specs in remaining_stages(config, results) if specs]


# ── at a glance ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _progress(record: RunRecord, history: History, remaining: Remaining) -> Fact:
    state, _ = STATES[record.state]
    counts: dict[str, int] = defaultdict(int)
    for one in history.records:
        counts[one.state] += 1
    details = [", ".join(f"{count:,} {name}" for name, count in counts.items())]
    details.append(f"{record.images:,} images seen by all candidates together")
    hours = sum(result.took for result in paid_for(one.result for one in history.records))
    details.append(f"{readable_seconds(hours)} of work{' so far' * (record.state != 'finished')}")
    if record.state != "finished":
        done = [(one.spec, one.result) for one in history.records if one.result]
        ahead = [spec for _, specs in remaining for spec in specs]
        seconds = seconds_left(ahead, done, max(1, counts["running"]))
        if seconds is not None:
            details.append(f"about {readable_seconds(seconds)} left, for {len(ahead):,} candidates")
        if record.state != "running":
            details.append("the same command resumes" if done else "the same command begins it")
    return Fact("How far is it?", state, STATES[record.state][1], tuple(details))


def _health(history: History) -> Fact:
    failed = [one for one in history.records if one.state == "failed"]
    ended = [one for one in history.records if one.result]
    if not ended:
        return Fact("Is it healthy?", "too early to tell", "plain", ("no candidate has ended yet",))
    troubles = [f"{one.spec.id}: {one.result.error}" for one in failed[:3] if one.result]
    share = len(failed) / len(ended)
    tone: Tone = "good" if not failed else "fair" if share < 0.2 else "bad"
    gains = [gain for one in ended if (gain := _gain_of_training(one)) is not None]
    notes = [f"{len(failed):,} of {len(ended):,} candidates failed"]
    if gains:
        improved = sum(gain > 0 for gain in gains)
        notes.append(f"training improved the score of {improved:,} of {len(gains):,}")
        if improved * 2 < len(gains):
            tone = "fair" if tone == "good" else tone
            troubles.append("most candidates end worse than they start: they may train too briefly")
    few_failures = tone == "fair" and len(troubles) == len(failed[:3])
    answer = "yes" if tone == "good" else "mostly" if few_failures else "look at this"
    return Fact("Is it healthy?", answer, tone, (*notes, *troubles))


def _gain_of_training(one: Record) -> float | None:
    start, end = one.result.facts.get("start") if one.result else None, score_at_end(one)
    return start - end if isinstance(start, int | float) and isfinite(start) and end is not None else None


def _outcome(record: RunRecord, config: GrowConfig, history: History, remaining: Remaining) -> Fact:
    if history.best is None:
        return Fact("What came out?", "nothing yet", "plain", ("no candidate has reached the final resolution",))
    best = history.record(history.best)
    layers = best.spec.architecture
    details = [
        f"{side}: {' '.join(map(str, layers.layers(side))) or 'base'}, {layers.parameters(side):,} parameters"
        for side in SIDES
    ]
    answer = f"generator {best.spec.id}, {layers.resolution}×{layers.resolution}"
    if not record.result:
        answer = f"so far {answer}"
        details.append(_ahead(config, layers.resolution, remaining))
    return Fact("What came out?", answer, "good" if record.result else "plain", tuple(details))


def _ahead(config: GrowConfig, reached: int, remaining: Remaining) -> str:
    """Say what the best so far is, and what follows."""
    routed, size = config.growth.route is not None, config.data.resolution
    if not remaining:
        return "all training is done"
    if all(name == LONGER for name, _ in remaining):
        return f"{'the end of the route' if routed else 'the winner of the search'}; only its longer training is left"
    goal = f" to {size}×{size}" if reached < size else ""
    so_far = "the last of the route so far; it goes on" if routed else "the best at its resolution; the search goes on"
    return f"{so_far}{goal}"


def _quality(record: RunRecord, history: History) -> Fact:
    question = "How good is it?"
    if history.best is None:
        return Fact(question, "not known yet", "plain")
    best = history.record(history.best)
    details = []
    for score in record.scores:
        details.append(
            f"{score.key} {'not a number' if score.value is None else f'{score.value:.4g}'} after the longer training"
        )
    if (end := score_at_end(best)) is not None:
        when = "when the search chose it" if record.result else "so far"
        details.append(f"{end:.4g} {when}, lower is better")
    if best.normalized is not None:
        better = best.normalized < 1
        details.append(f"{best.normalized:.3f} of the ProgGAN route's score after as many images")
        answer = "better than ProgGAN growth" if better else "no better than ProgGAN growth"
        if not record.result:
            return Fact(question, f"so far {answer}", "plain", tuple(details))
        return Fact(question, answer, "good" if better else "fair", tuple(details))
    return Fact(question, f"{end:.4g}" if end is not None else "not known", "plain", tuple(details))


def _trust(record: RunRecord, config: GrowConfig, history: History) -> Fact:
    question = "Can I trust it?"
    if not record.result:
        return Fact(question, "too early to tell", "plain", ("the search has not ended",))
    searched = sum(one.role == "search" for one in history.records)
    doubts = [f"one seed ({config.seed}); the best of {searched:,} scores is partly luck"]
    if not any(one.role == "repeat" for one in history.records):
        doubts.append("its finalists were not trained again: --set growth.finalists=3 tells luck from architecture")
    if config.metrics.images < 2000:
        doubts.append(f"scores are of {config.metrics.images:,} images")
    doubts.append("compare with --set growth.strategy=random and --route proggan of as many images")
    return Fact(question, "as a model, not as a ranking", "fair", tuple(doubts))


def _next(record: RunRecord) -> Fact:
    if not record.result:
        running = record.state == "running"
        return Fact("What next?", "wait" if running else "run the same command again", "plain")
    command = quoted("sample", record.path, f"{record.path}-samples.png", "-n", 64, "--grid")
    return Fact("What next?", "generate images", "plain", (), command)


# ── what it found, and what it cost ──────────────────────────────────────────────────────────────────────────────────


def _lineage(record: RunRecord, history: History) -> list[Block]:
    """The ancestors of the best with their samples, and the best over time."""
    pictures, rows = [], []
    for name in history.lineage:
        one = history.record(name)
        grown = one.spec.action or ("trained on" if one.spec.parent else "base")
        score = score_at_end(one)
        number = "" if score is None else f", {score:.4g}"
        if last := next(readable(record.candidate(name).samples[::-1]), None):
            size = one.spec.architecture.resolution
            pictures.append(Frame(f"{grown}, {size}×{size}{number}", data_uri(last[1], SIDE)))
        rows.append((name, grown, str(one.spec.architecture), score, one.normalized))
    blocks: list[Block] = []
    winner = record.result.get("winner")
    trace = record.candidate(winner) if winner else record.trace
    chosen = thinned(trace.samples)
    if last := next(readable(chosen[::-1]), None):
        scale = max(1, round(512 / last[1].width))
        blocks.append(
            Timeline(
                id="samples",
                title="Samples of the winner" if winner else "Samples of the best so far",
                caption="The same latents each time, so that a picture changes only by training.",
                frames=frames(chosen, 640, "images"),
                width=last[1].width * scale,
                height=last[1].height * scale,
            )
        )
    if pictures:
        caption = (
            "From the base networks to the best: the action that grew each candidate, and its score at its resolution."
        )
        blocks.append(Gallery("Lineage of the best", caption, pictures))
    if rows:
        blocks.append(Table("Lineage", ("id", "action", "architecture", "score", "÷ ProgGAN"), rows, folded=True))
    return blocks


def _cost(history: History) -> Table:
    by_generation: Mapping[tuple[str, int], list[Record]] = defaultdict(list)
    for one in history.records:  # a route has a candidate a generation, which need no row each
        by_generation[one.role, one.spec.generation if one.role == "search" else -1].append(one)
    rows = []
    for (role, generation), found in sorted(by_generation.items(), key=lambda item: (item[0][0] != "search", item[0])):
        results = paid_for(one.result for one in found)
        failed = sum(one.state == "failed" for one in found)
        images, seconds = sum(result.images for result in results), sum(result.took for result in results)
        name = str(generation) if role == "search" else ROLES[role]
        rows.append((name, len(found), failed, images, readable_seconds(seconds)))
    return Table("Candidates, images and time", ("generation", "candidates", "failed", "images", "time"), rows)


def _by_resolution(history: History) -> list[Block]:
    rows = [
        (f"{one.resolution}×{one.resolution}", one.candidates, 1000 * one.seconds, one.memory / 10**6 or None)
        for one in cost_by_resolution(history)
    ]
    columns = ("resolution", "candidates", "ms per image", "peak memory, MB")
    return [Table("Time and memory by resolution", columns, rows)] if rows else []


def _stages(remaining: Remaining) -> list[Block]:
    rows = [(name, len(specs), sum(spec.images for spec in specs)) for name, specs in remaining]
    return [Table("What is left", ("stage", "candidates", "images"), rows)] if rows else []
