"""Records of runs whose folders are written by hand: each kind, while it runs and after."""

import json
from pathlib import Path

import pytest
from filelock import FileLock

from ganas.errors import RunError
from ganas.jobs.result import Result
from ganas.presets import make_config
from ganas.recipes.cyclegan.figures import recipe
from ganas.recipes.cyclegan.jobs import JOB, Dataset, RecipeFolder
from ganas.records import read_run
from ganas.store import Run, results_folder
from tiny import Capture, ganas

KEPT = {d: {"metric": "swd@x", "score": score, "untranslated": {"swd@x": 3.0}} for d, score in (("ab", 1.5), ("ba", 2))}


def write_training(folder: Path, seed: int = 0) -> Run:
    """A training that saw 6 images and was killed."""
    run = Run(folder)
    flags = {"data.a": "a", "data.b": "b", "seed": seed}
    run.write_text(
        run.config, make_config("train", preset="tiny", flags=flags, settings=["training.images=8"]).to_yaml()
    )
    run.append_metrics({"nimg": 4, "time": 1.0, "loss": {"cycle_a": 0.5}})
    run.append_metrics({"nimg": 6, "loss": {"cycle_a": 0.25, "cycle_b": None}, "scores": {"ab/swd@x": 1.5}})
    return run


def test_a_training_is_unfinished_running_or_finished(tmp_path: Path) -> None:
    run = write_training(tmp_path / "run")
    assert read_run(run.path).state == "unfinished"
    with run.lock():
        record = read_run(run.path)
    assert (record.kind, record.state, record.images, record.scores) == ("train", "running", 6, ())
    assert [(point.images, dict(point.values)) for point in record.points] == [
        (4, {"time": 1.0, "loss/cycle_a": 0.5}),
        (6, {"loss/cycle_a": 0.25, "scores/ab/swd@x": 1.5}),
    ]
    run.write_result({"images": 8, "kept": KEPT})
    record = read_run(run.path)
    assert (record.state, record.images) == ("finished", 8)
    longer = run.config.read_text().replace("images: 8", "images: 16")
    run.write_text(run.config, longer)
    assert read_run(run.path).state == "unfinished", "it was made longer, and stopped"
    assert [*map(str, record.scores)] == [
        f"{d} swd@x {score}, 3 before translation" for d, score in (("ab", 1.5), ("ba", 2))
    ]


def test_repeats_are_one_record_of_several(tmp_path: Path, capsys: Capture) -> None:
    runs = {seed: write_training(tmp_path / "repeats" / str(seed), seed) for seed in (10, 2)}
    runs[2].write_result({"images": 8, "kept": {}})
    with Run(tmp_path).lock(repeats=True), runs[10].lock():
        record = read_run(tmp_path)
    assert (record.kind, record.state, record.images) == ("repeats", "running", 14)
    assert [(one.path.name, one.state) for one in record.repeats] == [("2", "finished"), ("10", "running")]
    assert record.config and record.config.seed == 2
    Run(tmp_path).write_result({"images": 8, "kept": KEPT, "repeats": 2})
    assert read_run(tmp_path).state == "finished" and len(read_run(tmp_path).scores) == 2
    assert ganas("runs", tmp_path) == 0
    out = capsys.readouterr().out
    assert "repeats: finished, 14 images seen" in out and "ab swd@x 1.5, 3 before translation" in out


def test_a_recipe_is_its_jobs(tmp_path: Path, capsys: Capture) -> None:
    folder = RecipeFolder(tmp_path)
    jobs = recipe("fig6", "tiny", [Dataset("noise", "data/noise", 4, 4, "0")]).jobs
    search = next(job for job in jobs if job.kind == "search")
    done, *_, failed = (job for job in jobs if job.kind == "train")
    for job in (search, done, failed):
        folder.job(job.id).write_text(folder.job(job.id).path / JOB, job.to_json())
    write_training(folder.run(done.id).path)
    judged = {d: {"scores": {"swd@x": 2.0}} for d in ("ab", "ba")}
    folder.scores(done.id).write_text(json.dumps({"translated": judged, "untranslated": judged}))
    for job, result in ((done, Result("done", 6)), (failed, Result("failed", error="out of memory"))):
        folder.job(job.id).write_text(folder.job(job.id).result, result.to_json())
    with results_folder(tmp_path, new=False), FileLock(folder.job(search.id).lock_file):
        record = read_run(tmp_path)
    assert (record.kind, record.state, record.images, record.config) == ("recipe", "running", 6, None)
    states = {one.job.id: (one.state, one.error, len(one.scores)) for one in record.jobs}
    assert states == {
        search.id: ("running", None, 0),
        done.id: ("done", None, 2),
        failed.id: ("failed", "out of memory", 0),
    }
    record = read_run(tmp_path)
    assert record.state == "unfinished" and {one.state for one in record.jobs} == {"pending", "done", "failed"}
    assert ganas("runs", tmp_path) == 0 and "failed: out of memory" in capsys.readouterr().out
    assert ganas("runs", tmp_path, "--json") == 0
    assert {one["state"] for one in json.loads(capsys.readouterr().out)["jobs"]} == {"pending", "done", "failed"}


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run: give the --out of a ganas search, train, grow or reproduce"):
        read_run(tmp_path)
