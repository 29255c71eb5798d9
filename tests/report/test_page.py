"""Pages of runs in every state, from the command line; the browser's part is in test_browser.py."""

import json
import re
import shutil
from math import log
from pathlib import Path
from typing import Any, get_args

import pytest
from made import (
    HOSTILE,
    write_all,
    write_front,
    write_growth,
    write_measurement,
    write_picture,
    write_recipe,
    write_repeats,
    write_search,
    write_training,
)

from ganas.errors import NonFiniteError
from ganas.learning.loop import Loop
from ganas.records import Kind, read_run
from ganas.report.page import PAGES, json_block, render, write_report
from ganas.store import Run
from tiny import FLAGS, Capture, ganas, write_domains


def test_every_kind_of_run_has_a_page() -> None:
    assert PAGES.keys() == {*get_args(Kind)}


def test_the_command_writes_one_file(tmp_path: Path, capsys: Capture) -> None:
    run = write_search(tmp_path / "run")
    assert ganas("report", run.path) == 0
    assert f"written: {run.path / 'report.html'}" in capsys.readouterr().out
    assert ganas("report", run.path, "--out", tmp_path / "page.html") == 0
    assert (tmp_path / "page.html").read_bytes() == (run.path / "report.html").read_bytes(), "the same bytes each time"


def test_runs_that_have_not_ended_have_pages(tmp_path: Path) -> None:
    run = write_search(tmp_path / "half", lines=5, finished=False)
    assert "50%, stopped before its end: interrupted or killed" in render(read_run(run.path))
    with run.lock():
        text = render(read_run(run.path))
        assert "50%, running" in text and "about 50 s left" in text and "4 pairs a second" in text
    text = render(read_run(write_training(tmp_path / "begun", lines=0, finished=False).path))
    assert "0%, stopped" in text and "no losses were logged yet" in text
    growth = write_growth(tmp_path / "growth", candidates=9)
    text = render(read_run(growth.path))
    assert "What is left" in text and "left, for" in text
    nothing = write_growth(tmp_path / "nothing", candidates=0)
    shutil.rmtree(nothing.candidates)
    assert "no candidate has ended yet" in render(read_run(nothing.path))
    one = write_repeats(tmp_path / "repeats", seeds=(4,))
    (one / "result.json").unlink()
    assert "1 seeds" in render(read_run(one))


@pytest.mark.parametrize(
    "settings, candidates, expected",
    [
        ({}, 5, "the best at its resolution; the search goes on to 16×16"),
        (
            {"growth.finalists": 2, "growth.rank_by": "per_resolution"},
            12,
            "the best at its resolution; the search goes on",
        ),
        ({}, 10**6, "the winner of the search; only its longer training is left"),
        ({"training.final_images": 0}, 10**6, "all training is done"),
        ({"growth.route": ("fade",)}, 10**6, "the last of the route so far; it goes on to 16×16"),
        ({"growth.route": ()}, 10**6, "the end of the route; only its longer training is left"),
    ],
)
def test_a_growing_run_says_what_follows(
    settings: dict[str, Any], candidates: int, expected: str, tmp_path: Path
) -> None:
    run = write_growth(tmp_path / "run", candidates=candidates, pictures=False, **settings)
    run.result.unlink(missing_ok=True)
    (fact,) = (one for one in PAGES["grow"](read_run(run.path)).facts if one.question == "What came out?")
    assert fact.details[-1] == expected


def test_a_failed_run_says_why(tmp_path: Path) -> None:
    run = write_training(tmp_path / "run", lines=5, finished=False)
    run.append_metrics({"nimg": 210, "error": f"cycle_a is nan {HOSTILE}"})
    record = read_run(run.path)
    assert record.state == "failed" and record.trace.error
    text = render(record)
    assert "cycle_a is nan" in text and HOSTILE not in text and "52%, failed" in text


def test_training_records_why_it_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a resume drops it."""
    words = ("train", "resnet3", *write_domains(tmp_path), "--out", tmp_path / "run", *FLAGS, "--set")
    step = Loop.run

    def fail(self: Loop, *arguments: object) -> None:
        step(self, *arguments[:4], 2)  # type: ignore[arg-type]
        raise NonFiniteError("the loss cycle_a is nan")

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "run", fail)
        assert ganas(*words, "training.log_every=1", "--resolution", "24") == 1
    record = read_run(tmp_path / "run")
    assert record.state == "failed" and "cycle_a is nan" in str(record.trace.error)
    assert ganas("report", tmp_path / "run") == 0
    assert ganas(*words, "training.log_every=1", "--resolution", "24") == 0
    assert read_run(tmp_path / "run").state == "finished" and read_run(tmp_path / "run").trace.error is None


@pytest.mark.parametrize("command", ["report", "watch"])
def test_what_is_no_run_is_one_line(tmp_path: Path, capsys: Capture, command: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.json").write_text("[]")
    (tmp_path / "scores.json").write_text('{"ab": 1}')
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff\xfe")
    old = write_search(tmp_path / "newer")
    old.write_text(old.config, old.config.read_text().replace("schema: 1", "schema: 99"))
    for name in ("empty", "nothing", "note.json", "scores.json", "picture.png", "newer"):
        assert ganas(command, tmp_path / name) == 2, name
        out, err = capsys.readouterr()
        assert not out and err.count("\n") == 1 and name in err, err


def test_what_cannot_be_the_page_is_one_line(tmp_path: Path, capsys: Capture) -> None:
    run = write_search(tmp_path / "run")
    for out, said in ((tmp_path, "give a file name"), (tmp_path / "page.txt", "ends in .html")):
        assert ganas("report", run.path, "--out", out) == 2
        assert said in capsys.readouterr().err


def test_damaged_files_are_one_line(tmp_path: Path, capsys: Capture) -> None:
    for number, (name, content) in enumerate(
        (
            ("result.json", '{"kept": ["ab"]}'),
            ("result.json", "{"),
            ("metrics.jsonl", '{"loss": 3}'),
            ("config.yaml", "["),
        )
    ):
        run = write_training(tmp_path / str(number))
        (run.path / name).write_text(content)
        assert ganas("report", run.path) == 2
        out, err = capsys.readouterr()
        assert not out and err.count("\n") == 1 and str(run.path) in err


def test_a_result_of_an_early_version_has_a_page(tmp_path: Path) -> None:
    run = write_training(tmp_path / "run")
    kept = {"ab": {"metric": "swd@x", "score": 1.5}}
    run.write_result({"images": 400, "kept": kept})
    assert "swd@x 1.5" in render(read_run(run.path))


def test_damaged_pictures_are_left_out(tmp_path: Path) -> None:
    run = write_search(tmp_path / "run")
    for path in run.samples.iterdir():
        path.write_bytes(path.read_bytes()[:60])
    assert "Samples over time" not in render(read_run(run.path))
    write_picture(run.samples / "000000800.png", 6, 6)
    assert "Samples over time" in render(read_run(run.path))


def test_numbers_that_are_none_do_not_break_the_data() -> None:
    values = [float("nan"), float("inf"), "</script><!--", {"a": (1, None)}]
    text = json_block(values)
    assert "<" not in text and ">" not in text and json.loads(text) == [None, None, "</script><!--", {"a": [1, None]}]


def test_foreign_text_is_escaped_in_the_source(tmp_path: Path) -> None:
    for run in write_all(tmp_path, HOSTILE).values():
        text = render(read_run(run))
        assert HOSTILE not in text and "<img src=x" not in text and text.count("<script") == 6


def test_pages_allow_their_own_scripts_only(tmp_path: Path) -> None:
    text = render(read_run(write_search(tmp_path / "run").path))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src &#39;none&#39;; script-src &#39;sha256-") and "unsafe" not in policy
    assert "connect-src" not in policy and not re.search(r'(src|href)="https?:', text)


def test_notebooks_show_records(tmp_path: Path) -> None:
    for kind, run in write_all(tmp_path, HOSTILE).items():
        text = read_run(run)._repr_html_()
        assert "Can I trust it?" in text and "<script" not in text and "<img src=x" not in text
        assert ("data:image/webp" in text) == (kind in ("search", "front", "train", "grow", "recipe"))


def test_measurements_are_records(tmp_path: Path) -> None:
    record = read_run(write_measurement(tmp_path / "scores.json"))
    assert record.kind == "measurement" and record.measurements.keys() == {
        f"{part} {name}" for part in ("ab", "ba") for name in ("untranslated", "translated")
    }
    one = record.measurements["ab translated"]
    key = "fid@squeezenet-clean-64"
    assert one.scores == {key: 12.5} and one.intervals == {key: (11.0, 14.0)}
    assert [*map(str, record.scores)] == [f"{part} {key} 12.5, 12.5 before translation" for part in ("ab", "ba")]
    single = tmp_path / "single.json"
    single.write_text(json.dumps({**one.as_json(), "repeats": [one.as_json(), one.as_json()]}))
    assert read_run(single).measurements.keys() == {"1", "2"}


def test_a_run_within_a_page_of_an_older_version_has_no_weights(tmp_path: Path) -> None:
    """Early versions logged the weight of the leading op only."""
    run = write_search(tmp_path / "run")
    lines = run.read_metrics()
    for line in lines:
        for slot in line["slots"]:
            del slot["weights"]
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = render(read_run(run.path))
    assert "Which op leads each slot" in text and "The weights of one slot" not in text


def test_repeats_resume_with_a_report_in_their_folder(tmp_path: Path) -> None:
    folder = write_repeats(tmp_path / "repeats")
    write_report(folder)
    with Run(folder).lock(repeats=True):
        pass


def test_a_race_shows_its_rungs(tmp_path: Path) -> None:
    run = write_growth(tmp_path / "run", **{"growth.strategy": "racing", "growth.doublings": "even"})
    record = read_run(run.path)
    assert record.state == "finished" and record.history
    stopped = [one for one in record.history.records if one.state == "stopped"]
    rungs = PAGES["grow"](record).data()["rungs"]
    rows = [dict(zip(rungs["columns"], row, strict=True)) for row in rungs["rows"]]
    assert stopped and {row["id"] for row in rows if row["state"] == "stopped"} == {one.spec.id for one in stopped}
    assert len({row["images"] for row in rows}) == 3, "two rungs and the end"


def test_the_analysis_is_that_of_the_records(tmp_path: Path) -> None:
    """Gains of actions, by hand."""
    record = read_run(write_growth(tmp_path / "run").path)
    assert record.history
    normalized = {one.spec.id: one.normalized for one in record.history.records}
    gains: dict[str, list[float]] = {}
    for one in record.history.records:
        own, parent = one.normalized, normalized.get(one.spec.parent or "")
        if one.role == "search" and one.spec.action and own and parent:
            gains.setdefault(one.spec.action, []).append(log(parent / own))
    chart = PAGES["grow"](record).data()["actions"]
    rows = {row[0]: row[1:] for row in chart["rows"]}
    assert rows.keys() == gains.keys()
    for action, found in gains.items():
        count, improved, mean, *_ = rows[action]
        assert (count, improved) == (len(found), sum(gain > 0 for gain in found) / len(found))
        assert mean == pytest.approx(sum(found) / len(found))


def test_the_page_of_a_front(tmp_path: Path) -> None:
    """Its points by milliseconds, with their pictures as far as there are any."""
    record = read_run(write_front(tmp_path / "front", pictures=2).path)
    assert record.front and len(record.front.points) == 3 and [*record.front_pictures] == [0, 1]
    assert record.as_json()["front"]["points"][0]["generator_ab"]["milliseconds"] == 5
    text = render(record)
    assert "a front of 3 points" in text and "point 2: psnr@rgb-native-16 22, 25.0 ms" in text
    assert text.count(" data-picture=") == 2 and "fine-tune a point" in text and "--point 0" in text
    assert render(read_run(write_front(tmp_path / "bare", pictures=0).path)).count(" data-picture=") == 0
    write_picture(Run(tmp_path / "front").front_picture(2), 4, 6)
    Run(tmp_path / "front").front_picture(0).write_bytes(b"no picture")
    assert render(read_run(tmp_path / "front")).count(" data-picture=") == 2, "an unreadable one is left out"


def test_a_recipe_says_which_score_is_better(tmp_path: Path) -> None:
    folder = write_recipe(tmp_path / "recipe")
    (table,) = folder.glob("fig6*.json")
    assert "C4 has the lowest swd@x" in render(read_run(folder))
    table.write_text(table.read_text().replace("swd@x", "psnr@x"))
    text = render(read_run(folder))
    assert "N4 has the highest psnr@x" in text and "2 of 4 variants and directions are better" in text
    table.rename(folder / "front-tiny-noise-abcdef.json")
    text = render(read_run(folder))
    assert "Milliseconds against score" in text and text.count(" data-picture=") == 2
