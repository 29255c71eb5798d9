"""Judging a run: what it held out, or test images, before and after translation."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganas.cyclegan.translate import find_generator, load_generator
from ganas.cyclegan.validation import Validation
from ganas.data.loaders import center_crops
from ganas.data.sources import open_source
from ganas.evaluation import evaluate_run, evaluate_translations
from ganas.metrics.features.preprocessing import TensorImages
from ganas.metrics.paired import psnr
from ganas.metrics.reference import Reference
from ganas.store import Run
from kill_and_resume import write_images
from tiny import FLAGS, Capture, ganas, write_domains

SMALL = (*FLAGS, "--resolution", "24")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run `train` of domains that are large enough to hold images out, and test images."""
    home = tmp_path_factory.mktemp("home")
    domains = write_domains(home, 100, 110)
    assert ganas("train", "resnet6", *domains, *SMALL, "--out", home / "train") == 0
    write_images(home / "test_a", 5, seed=5, sides=(30, 27))
    write_images(home / "test_b", 6, seed=6)
    return home


def scored_lines(run: Path) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl`` that hold scores."""
    return [line for line in Run(run).read_metrics() if "scores" in line]


def judged(capsys: Capture, *arguments: str | Path) -> dict[str, Any]:
    capsys.readouterr()
    assert ganas("evaluate", *arguments, "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_what_a_run_held_out_scores_as_it_did_when_it_was_kept(home: Path, capsys: Capture) -> None:
    found = judged(capsys, home / "train")
    kept = Run(home / "train").read_result()["kept"]
    for direction, best in kept.items():
        translated = found[direction]["translated"]
        assert translated["scores"][best["metric"]] == pytest.approx(best["score"], rel=1e-6)
        assert translated["protocol"]["split"] == "validation"
        assert found[direction]["untranslated"]["scores"].keys() == translated["scores"].keys()


def test_test_images_are_translated_in_their_own_sizes(home: Path, capsys: Capture) -> None:
    found = judged(capsys, home / "train", "--a", home / "test_a", "--b", home / "test_b")
    assert ganas("translate", home / "train", home / "test_a", home / "translated", "--direction", "ab") == 0
    sources = [open_source(home / name) for name in ("test_b", "translated", "test_a")]
    for name, source in (("translated", sources[1]), ("untranslated", sources[2])):
        expected = Reference(sources[0], ["swd"], None).measure(source)
        assert found["ab"][name]["scores"] == expected.scores
        protocol = found["ab"][name]["protocol"]
        assert protocol["split"] == "test" and protocol["fake_pixels"] == [27, 30]


def test_the_table_shows_both_directions_and_intervals(home: Path, capsys: Capture) -> None:
    capsys.readouterr()
    assert ganas("evaluate", home / "train", "--bootstrap", "3") == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["split", "score", "untranslated", "translated"]
    scores = [row for row in rows if "level of" not in row]
    assert [row.split()[:2] for row in scores] == [["ab", "validation"], ["ba", "validation"]]
    assert all(row.count("[") == 2 for row in scores) and len(rows) > len(scores), "and a row a level of swd"


def test_a_model_folder_is_enough_with_test_images_and_not_without(home: Path, capsys: Capture) -> None:
    model = home / "train" / "model"
    whole = judged(capsys, home / "train", "--a", home / "test_a", "--b", home / "test_b")
    alone = judged(capsys, model, "--a", home / "test_a", "--b", home / "test_b")
    assert alone["ba"]["translated"]["scores"] == whole["ba"]["translated"]["scores"]
    assert ganas("evaluate", model) == 2
    assert "has no config that says what was held out: give --a and --b" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["train", "--a", "test_a"], "give both --a and --b"),
        (["train", "--real", "test_a"], "--real cannot be used here, RUN is given"),
        (["--a", "test_a", "--real", "test_a"], "--a cannot be used here, it needs a RUN"),
        (["--real", "test_a"], "give a RUN, or --real and --fake"),
        (["nowhere"], "there is no run"),
        (["train", "--resolution", "24"], "--resolution needs --a and --b"),
        (["--real", "test_a", "--resolution", "24"], "--resolution cannot be used here, it needs a RUN"),
        (["train", "--metrics", "kid"], "kid needs a feature network"),
    ],
)
def test_what_does_not_go_together(
    home: Path, arguments: list[str], said: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    assert ganas("evaluate", *arguments) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in line


# ── pairs, and comparisons ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def task(home: Path) -> Path:
    """A task of noise, and runs of it that select by a score of its pairs."""
    photos = write_images(home / "photos", 60, seed=7, sides=(24, 24))
    assert ganas("data", "task", "colour", photos, "--size", "24", "--out", home / "task", "--pairs", "10") == 0
    domains = ("--a", home / "task" / "trainA", "--b", home / "task" / "trainB", "--paired", home / "task")
    settings = ("--set", "metrics.select=psnr", "--set", "data.load_scale=1", "--set", "data.validation=10")
    for seed in ("0", "1"):
        flags = (*SMALL, *settings, "--set", "training.evaluate_every=2", "--seed", seed)
        assert ganas("train", "resnet3", *domains, *flags, "--out", home / f"paired {seed}") == 0
    return home / "task"


def test_a_run_selects_the_highest_psnr_of_its_pairs(home: Path, task: Path) -> None:
    run = Run(home / "paired 0")
    kept = run.read_result()["kept"]["ba"]
    scores = [line["scores"][f"ba/{kept['metric']}"] for line in scored_lines(run.path)]
    assert kept["metric"] == "psnr@rgb-native-24" and kept["score"] == max(scores) and len(scores) == 2


def test_pairs_are_scored_against_the_right_answers(home: Path, task: Path, capsys: Capture, tmp_path: Path) -> None:
    found = judged(capsys, home / "paired 0", "--paired", task, "--metrics", "psnr,ssim,swd")["ba"]
    output = tmp_path / "translated"
    assert ganas("translate", home / "paired 0", task / "testB", output, "--direction", "ba") == 0
    pairs = [
        [np.asarray(Image.open(folder / path.name)) for folder in (task / "testA", output)]
        for path in (task / "testA").iterdir()
    ]
    expected = np.mean([psnr(truth, image) for truth, image in pairs])
    assert found["translated"]["scores"]["psnr@rgb-native-24"] == pytest.approx(expected, rel=1e-9)
    assert found["translated"]["protocol"]["pairs"] == 10
    before = np.mean(
        [
            psnr(np.asarray(Image.open(task / "testA" / path.name)), np.asarray(Image.open(path)))
            for path in (task / "testB").iterdir()
        ]
    )
    assert found["untranslated"]["scores"]["psnr@rgb-native-24"] == pytest.approx(before, rel=1e-9)


def test_training_scores_val_and_notices_when_it_changes(
    home: Path, task: Path, capsys: Capture, tmp_path: Path
) -> None:
    shutil.copytree(task, tmp_path / "task")
    domains = ("--a", tmp_path / "task" / "trainA", "--b", tmp_path / "task" / "trainB", "--paired", tmp_path / "task")
    train = ["train", "resnet3", *domains, *SMALL, "--set", "metrics.select=psnr", "--out", tmp_path / "run"]
    assert ganas(*train) == 0
    assert "made for 24 pixels, and read at 27" in capsys.readouterr().err
    digests = [line["protocol"]["ab"]["pairs_digest"] for line in scored_lines(tmp_path / "run")]
    crops = center_crops(open_source(task / "valB"), 24)
    assert digests == [TensorImages(crops).digest()]
    shutil.copy(task / "testB" / next((task / "testB").iterdir()).name, next((tmp_path / "task" / "valB").iterdir()))
    assert ganas(*train) == 2
    assert f"the images of data.pairs ('{tmp_path}/task') have changed since" in capsys.readouterr().err


def test_names_may_end_in_a_and_b(home: Path, task: Path, tmp_path: Path) -> None:
    """As in facades; and the order of names differs between the sides."""
    for side in "AB":
        (tmp_path / f"test{side}").mkdir()
        for number, path in enumerate(sorted((task / f"test{side}").iterdir())):
            suffix = "jpg" if number % 2 else "png"
            name = f"{number}{'' if number % 3 else '-x'}_{side}.{suffix if side == 'A' else 'png'}"
            shutil.copy(path, tmp_path / f"test{side}" / name)
    expected, found = (
        evaluate_translations(home / "paired 0", paired=folder, metrics=["psnr", "ssim"]) for folder in (task, tmp_path)
    )
    for direction, one in expected.items():
        assert found[direction].scores == pytest.approx(one.scores, rel=1e-9)


def test_translations_alone_score_as_beside_the_baseline(home: Path, task: Path) -> None:
    both = evaluate_run(home / "paired 0", paired=task, metrics=["psnr", "swd"])
    alone = evaluate_translations(home / "paired 0", paired=task, metrics=["psnr", "swd"])
    assert {direction: one.scores for direction, one in alone.items()} == {
        direction: one.translated.scores for direction, one in both.items()
    }


def test_swd_is_resampled_only_where_it_is_named_or_alone(home: Path, task: Path) -> None:
    def resampled(paired: Path | None, metrics: list[str] | None) -> set[str]:
        found = evaluate_translations(home / "paired 0", paired=paired, metrics=metrics, bootstrap=2)["ab"]
        assert any(key.startswith("swd") for key in found.scores)
        return {key.partition("@")[0] for key in found.resampled}

    assert resampled(task, None) == set() and resampled(task, ["psnr", "swd"]) == {"swd"}
    assert resampled(task, ["swd"]) == {"swd"}


def test_a_run_with_few_held_out_images_is_evaluated_on_its_pairs(home: Path, task: Path, capsys: Capture) -> None:
    kept = Run(home / "paired 0").read_result()["kept"]
    found = judged(capsys, home / "paired 0")
    for direction, best in kept.items():
        assert found[direction]["translated"]["scores"][best["metric"]] == pytest.approx(best["score"], rel=1e-6)
        assert found[direction]["translated"]["protocol"]["split"] == best["split"] == "validation"
    assert ganas("evaluate", home / "paired 0", "--metrics", "swd") == 2
    assert "holds out too few images to score" in capsys.readouterr().err


def test_repeats_keep_the_highest_psnr(home: Path, task: Path, tmp_path: Path) -> None:
    flags = (*SMALL, "--paired", task, "--set", "metrics.select=psnr", "--set", "data.load_scale=1", "--repeats", "2")
    domains = ("--a", task / "trainA", "--b", task / "trainB")
    assert ganas("train", "resnet3", *domains, *flags, "--out", tmp_path / "run") == 0
    kept = [Run(tmp_path / "run" / "repeats" / seed).read_result()["kept"]["ab"]["score"] for seed in ("0", "1")]
    assert Run(tmp_path / "run").read_result()["kept"]["ab"]["score"] == max(kept) != min(kept)


def test_held_out_images_may_be_compared_with_all_images(home: Path, capsys: Capture, tmp_path: Path) -> None:
    domains = ("--a", home / "a", "--b", home / "b")
    assert ganas("train", "resnet3", *domains, *SMALL, "--set", "metrics.split=all", "--out", tmp_path / "run") == 0
    assert " on held-out images" in capsys.readouterr().out
    (line,) = scored_lines(tmp_path / "run")
    protocol = line["protocol"]["ab"]
    assert (protocol["split"], protocol["fake_images"], protocol["real_images"]) == ("all", 10, 110)


def test_the_next_command_of_a_small_task_runs(capsys: Capture, tmp_path: Path) -> None:
    photos = write_images(tmp_path / "photos", 30, seed=8, sides=(24, 24))
    capsys.readouterr()
    assert ganas("data", "task", "sharpness", photos, "--size", "24", "--out", tmp_path / "task") == 0
    command = shlex.split(capsys.readouterr().out.splitlines()[-1].removeprefix("next: ganas "))
    assert ganas(*command, *FLAGS[4:], "--set", "nets.discriminator_width=2") == 0
    assert "pairs" in capsys.readouterr().err


def test_several_runs_may_follow_against(home: Path, task: Path, capsys: Capture) -> None:
    sides = [home / "paired 0", "--against", home / "paired 1", home / "train", "--metrics", "psnr", "--json"]
    assert ganas("compare", *sides, "--paired", task) == 0
    found = json.loads(capsys.readouterr().out)
    assert [group["seeds"] for group in found["groups"]] == [1, 2]
    assert {one["verdict"] for one in found["contrasts"]} == {"cannot tell"}


def test_two_models_are_compared(home: Path, task: Path, capsys: Capture) -> None:
    runs = (home / "paired 0", home / "paired 1")
    capsys.readouterr()
    assert ganas("compare", *runs, "--paired", task, "--metrics", "psnr,swd", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["part"], one["key"].partition("@")[0]) for one in found["contrasts"]] == [
        (direction, metric) for direction in ("ab", "ba") for metric in ("swd", "psnr")
    ]
    assert ganas("compare", *runs, "--paired", task, "--json") == 0
    without = json.loads(capsys.readouterr().out)
    assert {one["key"].partition("@")[0] for one in without["contrasts"]} == {"psnr", "ssim"}
    assert "swd@laplacian-clean-16 is left out" in without["notes"][0]
    assert ganas("compare", runs[0], "--against", runs[0], "--paired", task, "--metrics", "psnr") == 0
    head, *rows, last = capsys.readouterr().out.splitlines()
    assert head.split()[-2:] == ["first", "is"] and all(row.endswith("cannot tell") for row in rows)
    assert last.startswith("a verdict on these two models only")


@pytest.mark.parametrize(
    "command, said",
    [
        (["compare", "paired 0", "paired 0/", "--against", "paired 1"], "is given twice: a seed counts once"),
        (["compare", "train", "paired 0"], "another protocol"),
        (["compare", "paired 0"], "one run cannot be compared: give another one, or --against"),
        (["evaluate", "train", "--metrics", "psnr"], "psnr compares each image with the right answer: give pairs"),
        (["evaluate", "paired 0", "--paired", "photos"], "holds no pairs: it needs testA and testB"),
        (["evaluate", "paired 0", "--paired", "task", "--a", "test_a"], "give either --paired"),
        (["train", "resnet9", "--a", "a", "--b", "b", "--out", "x", "--set", "metrics.select=psnr"], "--paired DIR"),
        (["data", "task", "grey", "photos", "--size", "24", "--out", "x"], "unknown task 'grey': choose from colour"),
    ],
)
def test_what_has_no_pairs(
    home: Path, task: Path, command: list[str], said: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    assert ganas(*command) == 2
    assert said in capsys.readouterr().err.strip().splitlines()[-1]


def test_a_generator_is_not_judged_in_the_other_direction(home: Path, capsys: Capture) -> None:
    file = home / "train" / "model" / "generator_ab.safetensors"
    assert ganas("evaluate", file, "--a", home / "test_a", "--b", home / "test_b") == 2
    assert "is a generator_ab: give the run or its model folder" in capsys.readouterr().err


def test_images_that_a_run_learned_from_are_called_so(home: Path, capsys: Capture) -> None:
    found = judged(capsys, home / "train", "--a", home / "a", "--b", home / "b")
    assert found["ab"]["translated"]["protocol"]["split"] == "training"
    assert any("training images of the run" in warning for warning in found["ab"]["translated"]["warnings"])


def test_folders_of_different_counts_are_refused_before_they_are_measured(home: Path, capsys: Capture) -> None:
    more = write_images(home / "six", 6, seed=7, sides=(30, 27))
    fakes = ["--fake", home / "test_a", "--fake", more]
    assert ganas("evaluate", "--real", home / "a", *fakes) == 2
    assert "5 and 6 images cannot be compared: give --images 5" in capsys.readouterr().err
    assert ganas("evaluate", "--real", home / "a", *fakes, "--images", "5") == 0
    fakes[-1] = home / "test_b"  # of another size
    assert ganas("evaluate", "--real", home / "a", *fakes, "--images", "5") == 2
    assert "different protocols cannot be compared: fake_pixels" in capsys.readouterr().err


def test_a_network_or_images_that_changed_are_not_taken_for_the_runs_own(tmp_path: Path, capsys: Capture) -> None:
    from safetensors.torch import save_file
    from torchvision.models import squeezenet1_1

    def write_weights(seed: int) -> Path:
        torch.manual_seed(seed)
        save_file(squeezenet1_1().state_dict(), tmp_path / "weights.safetensors")
        return tmp_path / "weights.safetensors"

    domains = write_domains(tmp_path, 100, 100)
    features = f"squeezenet:{write_weights(0)}"
    train = ["train", "resnet6", *domains, *SMALL, "--features", features]
    assert ganas(*train, "--out", tmp_path / "run") == 0
    found = judged(capsys, tmp_path / "run")
    best = Run(tmp_path / "run").read_result()["kept"]["ab"]
    assert best["metric"] == "kid@squeezenet-clean-128"
    assert found["ab"]["translated"]["scores"][best["metric"]] == pytest.approx(best["score"], rel=1e-4)
    write_weights(1)
    assert ganas("evaluate", tmp_path / "run") == 2
    assert "holds other weights than when" in capsys.readouterr().err
    assert ganas(*train, "--out", tmp_path / "run") == 2, "nor does training go on with them"
    assert f"the weights of metrics.features ('{features}') have changed since" in capsys.readouterr().err
    (tmp_path / "weights.safetensors").unlink()
    assert ganas("evaluate", tmp_path / "run", "--metrics", "swd") == 0, "which needs none"
    write_images(tmp_path / "a", 1, seed=77)
    assert ganas("evaluate", tmp_path / "run", "--metrics", "swd") == 2
    assert f"the images of '{tmp_path}/a' changed since" in capsys.readouterr().err


def test_repeats_go_on_where_they_were(tmp_path: Path, capsys: Capture) -> None:
    domains = write_domains(tmp_path, 100, 100)
    train = ["train", "resnet6", *domains, *SMALL, "--out", tmp_path / "run"]
    assert ganas(*train, "--repeats", "2") == 0
    first = (tmp_path / "run" / "result.json").read_bytes()
    assert ganas(*train, "--repeats", "2") == 0
    assert (tmp_path / "run" / "result.json").read_bytes() == first
    capsys.readouterr()
    assert ganas(*train, "--repeats", "3") == 0, "and more of them may be asked for"
    assert "3 repeats, mean" in capsys.readouterr().out
    assert ganas(*train, "--repeats", "2") == 2
    assert "holds other repeats (2)" in capsys.readouterr().err
    assert ganas(*train) == 2, "a single training does not mix with them"
    assert "is not empty and no run of ganas" in capsys.readouterr().err


def test_several_folders_of_fakes_are_summed_up(home: Path, capsys: Capture) -> None:
    repeats = [write_images(home / f"repeat {seed}", 5, seed=40 + seed) for seed in range(3)]
    fakes = [word for repeat in repeats for word in ("--fake", repeat)]
    found = judged(capsys, "--real", home / "a", *fakes)
    assert len(found["repeats"]) == 3
    (summary,) = found["summary"].values()
    assert summary["low"] <= summary["mean"] <= summary["high"] and summary["repeats"] == 3
    assert ganas("evaluate", "--real", home / "a", *fakes) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("score") and " ± " in out[-1] and "range" in out[-1]
    assert out[1].startswith("swd@") and out[2].startswith("  level of 16 px")


def test_choosing_on_test_images_is_possible_and_labelled(tmp_path: Path, home: Path, capsys: Capture) -> None:
    domains = write_domains(tmp_path, 12, 12)
    tests = [write_images(tmp_path / f"test_{name}", 10, seed=50, sides=(30, 27)) for name in "ab"]
    train = ["train", "resnet6", *domains, *SMALL, "--set", "training.evaluate_every=2"]
    assert ganas(*train, "--set", "metrics.split=test", "--out", tmp_path / "missing") == 2
    assert "give --set data.test_a=DIR and data.test_b=DIR" in capsys.readouterr().err
    train += ["--set", "metrics.split=test", "--set", f"data.test_a={tests[0]}", "--set", f"data.test_b={tests[1]}"]
    assert ganas(*train, "--out", tmp_path / "run") == 0
    assert "on test images, which selected it" in capsys.readouterr().out
    scored = scored_lines(tmp_path / "run")
    assert [line["nimg"] for line in scored] == [2, 4]
    assert {facts["split"] for line in scored for facts in line["protocol"].values()} == {"test"}
    _, info = load_generator(find_generator(tmp_path / "run", "ab"))
    assert info.split == "test"
    shutil.copytree(tmp_path / "run" / "model", tmp_path / "model")
    found = judged(capsys, tmp_path / "model", "--a", home / "test_a", "--b", home / "test_b")
    assert any("selected on test images" in warning for warning in found["ab"]["translated"]["warnings"])
    assert Run(tmp_path / "run").read_result()["kept"]["ab"]["split"] == "test"
    again = judged(capsys, tmp_path / "run")["ab"]["translated"]
    assert again["protocol"]["chosen_on"] == "test" and any("biased" in warning for warning in again["warnings"])
    write_images(tests[0], 1, seed=99, sides=(30, 27))
    assert ganas("evaluate", tmp_path / "run") == 2
    assert "test images of" in capsys.readouterr().err


def test_the_authors_protocol_may_be_had_in_the_loop_and_afterwards(
    tmp_path: Path, home: Path, capsys: Capture
) -> None:
    """Test images of one domain, cropped and translated, against those of the other; all others are trained on."""
    tests = [write_images(tmp_path / f"test_{name}", 10, seed=seed, sides=(30, 27)) for seed, name in enumerate("ab")]
    train: list[str | Path] = ["train", "resnet6", *write_domains(tmp_path, 12, 12), *SMALL, "--out", tmp_path / "run"]
    for setting in (
        *("data.validation=0", "metrics.reference=scored", "metrics.select=last", "metrics.split=test"),
        *(f"data.test_a={tests[0]}", f"data.test_b={tests[1]}"),
    ):
        train += ["--set", setting]
    assert ganas(*train) == 0
    assert "A has 12 images" in (tmp_path / "run" / "log.txt").read_text()
    last = scored_lines(tmp_path / "run")[-1]["scores"]
    found = judged(capsys, tmp_path / "run", "--a", tests[0], "--b", tests[1], "--resolution", "24")
    for direction in ("ab", "ba"):
        (key,) = found[direction]["translated"]["scores"]
        assert found[direction]["translated"]["scores"][key] == pytest.approx(last[f"{direction}/{key}"], rel=1e-6)
        target, source = (open_source(tests[number]) for number in ((1, 0) if direction == "ab" else (0, 1)))
        expected = Reference(center_crops(target, 24), ["swd"], None).measure(center_crops(source, 24))
        assert found[direction]["untranslated"]["scores"] == expected.scores
    train += ["--set", "metrics.split=all"]
    assert ganas(*train) == 2
    assert "metrics.split=all compares with all images, metrics.reference=scored" in capsys.readouterr().err


def test_the_last_is_kept_whatever_its_scores_where_that_is_wanted(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is measured on the way just as where the best is kept."""
    domains = write_domains(tmp_path, 100, 110)
    train = ["train", "resnet6", *domains, *SMALL, "--set", "training.evaluate_every=2"]
    scores = {}
    for select in ("swd", "last"):
        assert ganas(*train, "--set", f"metrics.select={select}", "--out", tmp_path / select) == 0
        scores[select] = {line["nimg"]: line["scores"] for line in scored_lines(tmp_path / select)}
    swd = next(iter(scores["last"][4])).removeprefix("ab/")
    last = {direction: scores["last"][4][f"{direction}/{swd}"] for direction in ("ab", "ba")}
    told = capsys.readouterr().out.splitlines()
    assert scores["last"] == scores["swd"] and [*scores["last"]] == [2, 4]
    kept = Run(tmp_path / "last").read_result()["kept"]
    for direction in ("ab", "ba"):
        assert (kept[direction]["score"], kept[direction]["chosen"]) == (last[direction], False)
        after, before = f"{last[direction]:.4g} on held-out images", f"{kept[direction]['untranslated'][swd]:.4g}"
        line = f"kept the last generator after 4 images, {swd} {after}; {before} before translation"
        assert any(said.endswith(line) for said in told)
        _, info = load_generator(find_generator(tmp_path / "last", direction))
        assert (info.images, info.metric, info.score, info.split) == (4, swd, last[direction], None)
    judged_now = judged(capsys, tmp_path / "last")
    for direction, one in judged_now.items():
        now = one["translated"]["scores"]
        assert now == pytest.approx({key: scores["last"][4][f"{direction}/{key}"] for key in now}, rel=1e-6)
        assert one["translated"]["protocol"]["chosen_on"] == "nothing"
        before = one["untranslated"]["scores"]
        assert {key: before[key] for key in kept[direction]["untranslated"]} == kept[direction]["untranslated"]
    monkeypatch.delattr(Validation, "untranslated")
    assert ganas(*train, "--set", "metrics.select=last", "--out", tmp_path / "last") == 0, "nothing is measured again"
    again = Run(tmp_path / "last").read_result()["kept"]
    assert again == kept and capsys.readouterr().out.splitlines()[-2:] == told[-2:]


def test_repeats_without_a_choice_say_their_scores_and_keep_the_first(tmp_path: Path, capsys: Capture) -> None:
    domains = write_domains(tmp_path, 100, 100)
    train = ["train", "resnet6", *domains, *SMALL, "--set", "metrics.select=last"]
    assert ganas(*train, "--repeats", "2", "--seed", "3", "--out", tmp_path / "run") == 0
    out = capsys.readouterr().out
    assert "A→B: kept the last generator of seed 3 after 4 images" in out and "A→B: 2 repeats, mean" in out
    for direction in ("ab", "ba"):
        kept, first = (Run(place).generator(direction) for place in (tmp_path / "run", tmp_path / "run/repeats/3"))
        assert kept.read_bytes() == first.read_bytes()


def test_a_search_measures_its_supernets_on_the_way(home: Path, tmp_path: Path) -> None:
    search = ["search", "--a", home / "a", "--b", home / "b", *FLAGS, "--set", "training.evaluate_every=2"]
    assert ganas(*search, "--out", tmp_path / "run") == 0
    scored = scored_lines(tmp_path / "run")
    assert [line["nimg"] for line in scored] == [2, 4]
    assert all(line["score_seconds"] > 0 and line["protocol"]["ab"]["split"] == "validation" for line in scored)
