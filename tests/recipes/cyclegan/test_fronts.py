"""Fronts against each other: by hand, and as a recipe on a task whose answers are known."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganas.data.tasks import write_task
from ganas.errors import ConfigError
from ganas.progress import Reporter
from ganas.recipes.cyclegan.configs import job_config, portable_config, training_config
from ganas.recipes.cyclegan.datasets import find_dataset
from ganas.recipes.cyclegan.figures import (
    ALONE,
    BARE_DISTILLED,
    DISTILLED,
    DRAWN,
    SCALES,
    SEARCHED,
    SHALLOW_DISTILLED,
    Recipe,
    recipe,
)
from ganas.recipes.cyclegan.fronts import compare_fronts, fronts_as_markdown, loss_at, mean_gain, time_at
from ganas.recipes.cyclegan.jobs import Dataset, RecipeFolder, RecipeJob
from ganas.recipes.cyclegan.plan import run_recipe
from ganas.recipes.cyclegan.rows import Row
from ganas.recipes.cyclegan.timing import time_together
from ganas.signals import StopSignal
from ganas.stats import mean_interval
from in_process import InProcess

ONE = Dataset("one", "/data/one", 4, 5, "0")
FRONT = [(10.0, 3.0), (20.0, 2.0), (30.0, 2.5), (40.0, 1.0)]  # the third is worse than the second


def test_times_and_losses_between_points_by_hand() -> None:
    assert time_at(FRONT, 3.1) is None and time_at(FRONT, 3.0) == pytest.approx(10), "worse than all"
    assert time_at(FRONT, 2.0) == pytest.approx(20) and time_at(FRONT, 2.5) == pytest.approx(math.sqrt(200))
    assert time_at(FRONT, 1.5) == pytest.approx(math.sqrt(800)) and time_at(FRONT, 0.9) is None
    assert loss_at(FRONT, 9.5) is None and loss_at(FRONT, 9.6) == loss_at(FRONT, 10) == 3, "five percent are no time"
    assert loss_at(FRONT, math.sqrt(200)) == pytest.approx(2.5) and loss_at(FRONT, 41.9) == 1
    assert loss_at(FRONT, 42.1) is None, "slower than all"
    assert loss_at(FRONT[:3], 31) == 2, "as long as the third, which is worse than the second"
    assert loss_at(FRONT, math.sqrt(800)) == pytest.approx(1.5), "it skips the point that is slower and worse"
    assert time_at([], 1.0) is None and loss_at([], 1.0) is None and time_at(FRONT[:1], 3.0) == 10


def test_the_mean_gain_at_equal_times_by_hand() -> None:
    """Over log milliseconds, where both have points: what only one of them has counts for neither."""
    better = [(time, loss - 0.25) for time, loss in FRONT]
    assert mean_gain(FRONT, FRONT) == 0 and mean_gain(better, FRONT) == pytest.approx(0.25)
    assert mean_gain([(1.0, 9.0), *better], FRONT) == pytest.approx(0.25), "the faster point is left out"
    # from 3 to 1 along a line in log ms, against a level 2: by 1 worse at first, by 1 better at the end
    falling, level = [(10.0, 3.0), (40.0, 1.0)], [(5.0, 2.0), (80.0, 2.0)]
    assert mean_gain(falling, level) == pytest.approx(0) == mean_gain(level, falling)
    assert mean_gain(falling, [(20.0, 2.0), (80.0, 2.0)]) == pytest.approx(0.5), "from 20 to 40 ms"
    assert mean_gain(falling, [(40.0, 2.0), (80.0, 2.0)]) is None


def row(variant: str, group: str, times: tuple[float, ...], scores: tuple[float, ...], width: float) -> Row:
    sizes = {"parameters": round(100 * width), "bytes": 1, "macs": 1, "size": 1.0, "asymmetry": 1.0}
    facts = {"dataset": "one", "direction": "ba", "architecture": "0", "runs": ("",) * 2, "seeds": (0, 1)}
    more = {"metric": "psnr@rgb-native-32", "untranslated": 10.0, "share": None, "others": {}}
    return Row(variant=variant, group=group, width=width, milliseconds=times, scores=scores, **facts, **sizes, **more)


def made() -> Recipe:
    return recipe("front", "tiny", [ONE])


ROWS = [
    row("C2", ALONE, (10.0, 12.0), (20.0, 21.0), 2),
    row("C4", ALONE, (40.0, 40.0), (22.0, 22.0), 4),
    row("C8", ALONE, (80.0, 80.0), (24.0, 25.0), 8),
    row("D2", DISTILLED, (11.0, 11.0), (22.0, 23.0), 2),
    row("D4", DISTILLED, (40.0, 40.0), (21.0, 22.0), 4),
    row("S0", SEARCHED, (5.0, 5.0), (22.0, 23.0), 8),
    row("S1", SEARCHED, (20.0, 20.0), (26.0, 26.0), 8),
    row("R0", DRAWN, (5.1, 5.0), (21.0, 21.0), 8),
    row("R1", DRAWN, (18.0, 19.5), (21.0, 26.5), 8),
]


def test_a_comparison_by_hand() -> None:
    """Two seeds. Equal generators take equally long, and the front of the distilled ones ends with their teacher."""
    (found,) = compare_fronts(made(), ROWS)
    assert found.reference == (80, -10)
    assert found.fronts[ALONE] == {0: [(10.5, -20), (40, -22), (80, -24)], 1: [(11.5, -21), (40, -22), (80, -25)]}
    assert found.fronts[DISTILLED] == {0: [(10.5, -22), (40, -21), (80, -24)], 1: [(11.5, -23), (40, -22), (80, -25)]}
    # seed 0: from 5 to 20 ms 12 dB more than untranslated, from there to 80 16; seed 1: 13 and 16
    volumes = [(15 * 12 + 60 * 16) / 80, (15 * 13 + 60 * 16) / 80]
    assert found.volumes[SEARCHED].estimate == pytest.approx(sum(volumes) / 2)
    assert found.volumes[SEARCHED].low < found.volumes[SEARCHED].estimate < found.volumes[SEARCHED].high
    # of the hand-made ones, the widest counts at its own time only: the corner
    alone = [(29.5 * 10 + 40 * 12) / 80, (28.5 * 11 + 40 * 12) / 80]
    expected = mean_interval([volumes[0] - alone[0], volumes[1] - alone[1]])
    assert found.against[ALONE].ahead.low == pytest.approx(expected.low), "pairs of a seed"
    # seed 0: S0 scores as C4; seed 1: as a third of the way from there to C8; nobody scores as S1
    first, second = found.against[ALONE].points
    ratio = math.log(5 / 40), math.log(5 / (40 * 2 ** (1 / 3)))
    assert first.time and first.time.estimate == pytest.approx(math.exp(sum(ratio) / 2))
    assert first.left_out == {"faster": 2} and second.left_out == {"better": 2} and not second.time
    # S1 at 20 ms: between D2 and the teacher, as D4 is worse than D2
    parts = [2 * math.log(20 / fastest) / math.log(80 / fastest) for fastest in (10.5, 11.5)]
    gain = found.against[DISTILLED].points[1].gain
    assert gain and gain.estimate == pytest.approx((26 - 22 - parts[0] + 26 - 23 - parts[1]) / 2)
    # random ones: seed 0 is worse throughout, and 11 % faster; seed 1: both have the score of a place between
    first, second = found.against[DRAWN].points
    assert first.left_out == {"better": 1} and second.left_out == {"better": 1, "slower": 1}
    for point, time, loss in ((first, 5, 23), (second, 20, 26)):
        same = 5 * math.exp((loss - 21) / 5.5 * math.log(19.5 / 5))
        assert point.time and point.time.estimate == pytest.approx(time / same)
    assert first.gain and second.gain
    assert (first.gain.estimate, second.gain.estimate) == pytest.approx(((22 - 21 + 23 - 21) / 2, 26 - 26.5))
    text = "\n".join(fronts_as_markdown(made(), ROWS))
    assert "untranslated 10, C8 80.0 ms" in text and "| searched | 5.0: 22.5, 20.0: 26 |" in text
    assert found.against[ALONE].gain and f"| {found.against[ALONE].gain} |" in text
    assert "| S1, 20.0: 26 | hand-made | 2 better than all | " in text and "1 slower than all" in text


def test_seeds_with_missing_points_are_left_out() -> None:
    """A job failed: the front of its seed would be a worse one, and another seed's points would take its place."""
    rows = [
        replace(one, seeds=(1,), milliseconds=(20.0,), scores=(26.0,)) if one.variant == "S1" else one for one in ROWS
    ]
    (found,) = compare_fronts(made(), rows)
    assert {*found.fronts[SEARCHED]} == {1} and {*found.fronts[ALONE]} == {0, 1}
    alone = (28.5 * 11 + 40 * 12) / 80
    assert found.against[ALONE].ahead.estimate == pytest.approx((15 * 13 + 60 * 16) / 80 - alone)
    (found,) = compare_fronts(made(), [one for one in ROWS if one.variant != "D4"])
    assert DISTILLED not in found.fronts and DISTILLED not in found.against


def test_seeds_of_several_machines() -> None:
    """A machine of half the speed changes no volume and no ratio, only the milliseconds that are shown."""
    slow = [replace(one, milliseconds=(one.milliseconds[0], 2 * one.milliseconds[1])) for one in ROWS]
    (one,), (other,) = compare_fronts(made(), ROWS), compare_fronts(made(), slow)
    assert {key: str(value) for key, value in one.volumes.items()} == {k: str(v) for k, v in other.volumes.items()}
    assert other.reference == (120, -10)
    for group, against in one.against.items():
        for point, same in zip(against.points, other.against[group].points, strict=True):
            assert (str(point.time), str(point.gain), point.left_out) == (str(same.time), str(same.gain), same.left_out)


def test_lower_is_better_for_distances() -> None:
    rows = [replace(one, metric="swd@x", untranslated=1.0, scores=(0.5, 0.5)) for one in ROWS]
    (found,) = compare_fronts(made(), rows)
    assert found.reference == (80, 1) and found.volumes[SEARCHED].estimate == pytest.approx(75 * 0.5 / 80)


def test_a_recipe_that_has_begun_has_no_comparison_yet() -> None:
    assert compare_fronts(made(), []) == compare_fronts(made(), ROWS[:1]) == [] == fronts_as_markdown(made(), [])
    (found,) = compare_fronts(made(), ROWS[:3])
    assert {*found.fronts} == {ALONE} and not found.against


@pytest.mark.parametrize("scale", SCALES)
def test_every_seed_has_its_own_teacher_search_and_trainings(scale: str) -> None:
    chosen = SCALES[scale]
    found = recipe("front", scale, [ONE], seed=3, settings=["distillation.image=5"])
    seeds = list(range(3, 3 + chosen.repeats))
    by_name = {variant.name: variant for variant in found.variants}
    assert all([job.seed for job in variant.jobs] == seeds for variant in found.variants)
    teachers = by_name[found.reference].jobs
    assert [job.teacher for job in found.searches] == [f"job:{teacher.id}" for teacher in teachers]
    for variant in found.variants:
        for job, teacher, search in zip(variant.jobs, teachers, found.searches, strict=True):
            config = job_config(job)
            images = config.total_images
            assert job_config(job).training.evaluate_every == images, "they are compared at the end"
            if variant.group in (SEARCHED, DRAWN):
                assert job.architecture == f"job:{search.id}" and job.point == int(variant.name[1:])
                assert set(job.parents) == {search.id, teacher.id}
                images += job_config(search).total_images
            assert images == chosen.front.search_images + chosen.front.train_images, "what all of them have seen"
            assert job.teacher == (None if variant.group == ALONE else f"job:{teacher.id}")
            assert job.drawn == (job.seed if variant.group == DRAWN else None)
            assert config.distillation.image == (10 if variant.group == ALONE else 5)
            assert job.timed == job_config(search).search.latency_resolution  # type: ignore[union-attr]
    assert RecipeJob.from_json(found.jobs[0].to_json(), "here") == found.jobs[0]
    taught = by_name["S0"].jobs[0]
    assert (
        len(
            {
                replace(taught, **change).id
                for change in ({}, {"teacher": "job:x"}, {"point": 1}, {"drawn": 1}, {"paired": True}, {"timed": 9})
            }
        )
        == 6
    )


@pytest.mark.parametrize("setting", ["distillation.teacher=x", "training.images=9", "search.latency_resolution=64"])
def test_what_the_recipe_controls_cannot_be_set(setting: str) -> None:
    with pytest.raises(ConfigError, match="front controls this key"):
        recipe("front", "tiny", [ONE], settings=[setting])


def test_only_the_layouts_of_a_front_limit_its_resolution() -> None:
    """40 is no multiple of 16, which other figures need."""
    found = recipe("front", "tiny", [ONE], settings=["data.resolution=40"])
    assert {job_config(job).data.resolution for job in found.jobs} == {40}


def test_a_job_that_is_older_than_teachers_keeps_its_id() -> None:
    """Ids of finished jobs must not change with what later recipes need."""
    job = RecipeJob("train", "N", ONE, "small", 0, (("nets.width", 8),), architecture="resnet9")
    assert job.id == "one-train-0-9b734e17b8"


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    home = tmp_path_factory.mktemp("task")
    generator = np.random.default_rng(0)
    (home / "photos").mkdir()
    for number in range(16):
        small = Image.fromarray(generator.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        small.resize((40, 40), Image.Resampling.BICUBIC).save(home / "photos" / f"{number}.png")
    write_task("exposure", home / "photos", home / "exposure", size=32, pairs=3)
    return find_dataset(str(home / "exposure"))


QUICK = ("data.resolution=32", "training.batch=1", "nets.discriminator_width=2", "search.population=3")
QUICK += ("search.generations=1",)


def test_a_task_is_scored_by_its_pairs(task: Dataset) -> None:
    job = recipe("front", "tiny", [task]).jobs[0]
    assert job.paired and job_config(job).data.pairs == Path(task.folder) and job_config(job).data.load_scale == 1
    assert str(task.folder) not in portable_config(job).to_yaml(), "images may move"


@pytest.mark.long
def test_fronts_from_start_to_end(task: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue of 32 jobs; the table, the figure, and that random choices take about as long as the points."""
    monkeypatch.setattr("ganas.jobs.queue.POLL_SECONDS", 0.001)
    tiny = SCALES["tiny"]
    quick = replace(tiny.front, search_images=2, train_images=2, timed=32)
    monkeypatch.setitem(SCALES, "tiny", replace(tiny, front=quick))  # type: ignore[misc]
    wanted = recipe("front", "tiny", [task], settings=QUICK)
    found = run_recipe(wanted, tmp_path, InProcess())
    assert not found.failed and [path.suffix for path in found.files] == [".md", ".json", ".png"]
    rows = [Row(**one) for one in json.loads(found.files[1].read_text())]
    assert {one.group for one in rows} == {ALONE, DISTILLED, SHALLOW_DISTILLED, BARE_DISTILLED, SEARCHED, DRAWN}
    assert all(len(one.milliseconds) == 2 and min(one.milliseconds) > 0 for one in rows)
    assert {one.metric.partition("@")[0] for one in rows} == {"psnr"}
    assert "| hand-made, distilled |" in found.table and "`psnr@rgb-native-32`" in found.table
    with Image.open(found.files[2]) as drawing:
        assert drawing.size[1] > 800
    folder = RecipeFolder(tmp_path)
    drawn = next(variant for variant in wanted.variants if variant.name == "R0").jobs[0]
    architecture = json.loads(folder.run(drawn.id).architecture.read_text())
    config, again = training_config(drawn, lambda name: str(folder.run(name).path))
    assert config.distillation.teacher == folder.run(wanted.searches[0].parents[0]).path
    assert architecture["layout"] == again.layout == "elastic"
    times = folder.read_times()
    assert times.keys() == {job.id for job in wanted.jobs if job.kind == "train"}, "timed together at the end"
    by_name = {(one.variant, one.direction): one.milliseconds for one in rows}
    variant = wanted.variants[0]
    assert by_name[variant.name, "ba"] == [times[job.id]["ba"] for job in variant.jobs]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("jobs/*/result.json")}
    assert run_recipe(wanted, tmp_path, InProcess()).table == found.table
    assert {path: path.stat().st_mtime_ns for path in before} == before, "no job ran twice"
    # a training of random choices goes on with what it drew: times, and so the closest choice, differ from call to call
    scores = json.loads(folder.scores(drawn.id).read_text())
    folder.scores(drawn.id).unlink()
    folder.job(drawn.id).result.unlink()
    monkeypatch.setattr("ganas.cyclegan.front_search.draw_point", lambda *_: pytest.fail("drawn again"))
    assert not run_recipe(wanted, tmp_path, InProcess()).failed
    again_scores = json.loads(folder.scores(drawn.id).read_text())
    assert again_scores["translated"]["ab"]["scores"] == scores["translated"]["ab"]["scores"]


def test_generators_are_timed_together_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Medians of rounds in which all take turns; again, and all of them, when there are more."""
    turns: list[str] = []
    wanted = made()
    trainings = [job for job in wanted.jobs if job.kind == "train"]
    folder, done = RecipeFolder(tmp_path), {job.id for job in trainings[1:]}
    monkeypatch.setattr(RecipeFolder, "result", lambda _, job: job.id if job.id in done else None)
    for job in trainings:
        folder.job(job.id).path.mkdir(parents=True)
        folder.scores(job.id).write_text(job.id)
    monkeypatch.setattr("ganas.recipes.cyclegan.timing.load_generator", lambda file: (str(file), None))

    def milliseconds(file: str, side: int) -> float:
        assert side == 64
        turns.append(file)
        return [5.0, 1.0, 2.0, 9.0, 3.0][turns.count(file) - 1 - 5 * (turns.count(file) > 5)]

    monkeypatch.setattr("ganas.recipes.cyclegan.timing.whole_milliseconds", milliseconds)
    for _ in range(2):
        time_together(wanted, folder, StopSignal(), Reporter(quiet=True))
    assert len(turns) == 5 * 2 * len(done) and len(set(turns[: 2 * len(done)])) == 2 * len(done), "in turns, once"
    assert folder.read_times() == {name: {"ab": 3.0, "ba": 3.0} for name in done}
    done.add(trainings[0].id)
    time_together(wanted, folder, StopSignal(), Reporter(quiet=True))
    assert folder.read_times().keys() == done and turns.count(turns[0]) == 10
    folder.scores(trainings[1].id).write_text("trained again")
    assert folder.read_times().keys() == done - {trainings[1].id}, "the milliseconds of another network"
    folder.times.write_bytes(b"\xff[]")
    assert folder.read_times() == {}
