"""Recipes as data: the jobs of each figure of the paper, and that equal jobs run once."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from ganas.errors import ConfigError, RunError
from ganas.recipes.cyclegan.configs import job_config
from ganas.recipes.cyclegan.figures import FIGURES, SCALES, recipe
from ganas.recipes.cyclegan.jobs import Dataset, RecipeJob

ONE, OTHER = Dataset("one", "/data/one", 4, 5, "0"), Dataset("other", "/data/other", 4, 5, "1")
every_recipe = pytest.mark.parametrize("figure, scale", [*product(FIGURES, SCALES)])


@every_recipe
def test_jobs_are_unique_and_include_their_parents(figure: str, scale: str) -> None:
    made = recipe(figure, scale, [ONE, OTHER])
    ids = [job.id for job in made.jobs]
    assert len(set(ids)) == len(ids)
    assert all(parent in ids for job in made.jobs for parent in job.parents)
    assert all(variant.jobs for variant in made.variants)
    assert {variant.dataset for variant in made.variants} == {"one", "other"}
    for dataset in ("one", "other"):
        assert made.reference in [variant.name for variant in made.variants if variant.dataset == dataset]
    assert all(RecipeJob.from_json(job.to_json(), "job.json") == job for job in made.jobs)


def test_figure_3_compares_strategies_at_one_width() -> None:
    made = recipe("fig3", "paper", [ONE])
    assert [variant.name for variant in made.variants] == ["OF", "TF", "TH", "THS"]
    assert [dict(job.values)["search.strategy"] for job in made.searches] == ["of", "tf", "th", "ths"]
    for variant, search in zip(made.variants, made.searches, strict=True):
        assert [job.seed for job in variant.jobs] == [0, 1, 2]
        assert all(job.architecture == f"job:{search.id}" for job in variant.jobs)
        assert all(dict(job.values)["nets.width"] == 64 for job in variant.jobs)


def test_figure_5_compares_equal_sizes_and_five_random_architectures() -> None:
    made = recipe("fig5", "paper", [ONE])
    names = [variant.name for variant in made.variants]
    assert names == ["C32", "N32", "C64", "N64", *(f"R64.{number}" for number in range(1, 6))]
    by_name = {variant.name: variant for variant in made.variants}
    assert {job.match for job in by_name["N64"].jobs} == {"resnet9:64"}
    assert by_name["R64.3"].jobs[0].architecture == "random:paper:3"
    assert len(by_name["R64.3"].jobs) == 1 and len(by_name["C64"].jobs) == 3


def test_figure_6_scales_hand_made_generators_to_searched_ones() -> None:
    made = recipe("fig6", "small", [ONE])
    hand_made, scaled, searched = made.variants
    assert scaled.name == "C'16" and all(job.match_each for job in scaled.jobs)
    search = made.searches[0]
    assert {job.match for job in scaled.jobs} == {f"job:{search.id}@resnet9:16"}, "N's own size"
    assert {job.match for job in searched.jobs} == {"resnet9:16"}
    assert all(job.parents == (search.id,) for job in scaled.jobs), "they depend on the search alone"
    assert not any(job.match for job in hand_made.jobs)


def test_figures_share_equal_jobs() -> None:
    """Figures 5 and 6 share a search and the trainings at one size."""
    fifth, sixth = (recipe(figure, "small", [ONE]) for figure in ("fig5", "fig6"))
    shared = {job.id for job in fifth.jobs} & {job.id for job in sixth.jobs}
    expected = {job.id for variant in sixth.variants if variant.name in ("C16", "N16") for job in variant.jobs}
    assert expected | {job.id for job in sixth.searches} == shared


def test_a_jobs_id_depends_on_everything_that_affects_results() -> None:
    job = RecipeJob("train", "N", ONE, "small", 0, (("nets.width", 8),), architecture="resnet9")
    changes = [
        {"kind": "search"},
        {"dataset": replace(ONE, digest="1")},
        {"settings": ("training.lr=1",)},
        {"preset": "tiny"},
        {"seed": 1},
        {"values": (("nets.width", 9),)},
        {"features": "squeezenet:weights"},
        {"features": "squeezenet-clean-64:weights"},
        {"weights": "1"},
        {"architecture": "resnet6"},
        {"match": "1MB"},
        {"match_each": True},
    ]
    ids = {replace(job, **change).id.rpartition("-")[2] for change in changes}
    assert len(ids) == len(changes) and job.id.rpartition("-")[2] not in ids
    assert replace(job, name="M").id == job.id, "the name in a figure does not matter"
    scored = replace(job, features="squeezenet:weights", weights="1")
    moved = replace(scored, features="squeezenet:elsewhere", dataset=replace(ONE, folder="/elsewhere"))
    assert moved.id == scored.id, "paths do not matter"
    with_settings = replace(job, settings=("training.lr=1e-4", "data.flip=no"))
    equivalent = ("data.flip=false", "data.workers=8", "training.log_every=7", "training.lr=0.0001")
    assert replace(job, settings=equivalent).id == with_settings.id, "nor does spelling, nor keys that affect no result"


def test_settings_apply_to_the_runs_that_have_their_keys() -> None:
    made = recipe("fig6", "tiny", [ONE], settings=["training.images=10", "search.warmup=0.1", "training.batch=2"])
    (search,) = made.searches
    assert search.settings == ("training.images=10", "search.warmup=0.1", "training.batch=2")
    assert made.variants[0].jobs[0].settings == ("training.images=10", "training.batch=2")
    paper = recipe("fig6", "paper", [ONE], settings=["training.images=10"])
    assert all("training.images=10" in job.settings for job in paper.jobs)


@pytest.mark.parametrize(
    "setting, words",
    [
        ("nets.width=3", "--set nets.width: fig5 controls this key, leave it out"),
        ("search.strategy=tf", "controls this key"),
        ("metrics.features=x", "controls this key"),
        ("data.split_seed=null", "controls this key"),
        ("training.lr=-1", "training.lr"),
    ],
)
def test_settings_that_a_figure_controls_or_that_are_invalid_are_refused(setting: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        recipe("fig5", "tiny", [ONE], settings=[setting])


@pytest.mark.parametrize("figure, scale", [*product(sorted({*FIGURES} - {"front"}), SCALES)])  # it teaches some of them
def test_compared_trainings_differ_only_in_architecture(figure: str, scale: str) -> None:
    """And in widths, which follow from sizes, and seeds. All jobs hold out the same images, whatever their seeds."""
    jobs = recipe(figure, scale, [ONE], seed=7).jobs
    configs = [job_config(job) for job in jobs]
    assert {(config.split_seed, config.data.validation) for config in configs} == {(7, configs[0].data.validation)}
    assert len({config.seed for config in configs}) > 1
    trainings = [config for config in configs if config.kind == "train"]
    same = [
        config.model_copy(update={"nets": config.nets.model_copy(update={"width": 1.0}), "seed": 0})
        for config in trainings
    ]
    assert len(same) > 2 and all(config == same[0] for config in same)
    assert same[0].metrics.select == "last", "all are scored after the same number of pairs"


@pytest.mark.parametrize("scale", SCALES)
def test_random_architectures_use_the_seeds_of_the_other_variants(scale: str) -> None:
    """With one seed for all, the effect of that seed could not be separated from that of random architectures."""
    variants = recipe("fig5", scale, [ONE], seed=7).variants
    others = {job.seed for variant in variants if not variant.group.startswith("R") for job in variant.jobs}
    assert {job.seed for variant in variants if variant.group.startswith("R") for job in variant.jobs} == others


def test_figure_6_has_the_papers_five_evaluations() -> None:
    assert [len(variant.jobs) for variant in recipe("fig6", "paper", [ONE]).variants] == [5, 5, 5]


def test_recipes_with_different_jobs_have_different_digests() -> None:
    names = {
        recipe("fig5", "tiny", [ONE]).digest,
        recipe("fig5", "tiny", [ONE], seed=1).digest,
        recipe("fig5", "tiny", [ONE], settings=["training.lr=1e-4"]).digest,
        recipe("fig5", "tiny", [ONE], features="squeezenet:weights", weights="1").digest,
    }
    assert len(names) == 4 and recipe("fig5", "tiny", [replace(ONE, folder="/elsewhere")]).digest in names


def test_data_sets_with_the_same_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two data sets are called 'one'"):
        recipe("fig5", "tiny", [ONE, replace(ONE, folder="/other/one")])


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"schema": 2}), json.dumps({"schema": 1, "values": []})])
def test_a_damaged_job_is_named(text: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"^job\.json (is n|has schema|lacks)"):
        RecipeJob.from_json(text, "job.json")
