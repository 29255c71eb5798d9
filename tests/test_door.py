"""The public door, and which way imports point."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ganas
from kill_and_resume import write_images
from tiny import FLAGS

SOURCE = Path(ganas.__file__).parent
PAGE = SOURCE.parents[1] / "docs" / "python.md"

PUBLIC = {
    *("make_config", "RunConfig", "GrowConfig", "ExecutorOptions"),
    *("search", "SearchResult", "train", "TrainResult", "translate", "grow", "GrowResult", "sample"),
    *("compare", "Comparison", "evaluate_grown", "write_task", "Task"),
    *("evaluate", "evaluate_run", "Measurement", "TranslationScores", "reproduce", "Reproduction"),
    *("Architecture", "GrowthArchitecture", "find_architecture", "load_architecture", "open_source", "ImageSource"),
    *("read_run", "RunRecord", "write_report", "GanasError", "UserError", "NonFiniteError", "Stopped"),
}


def test_the_door_is_what_it_was() -> None:
    assert ganas.__all__ == sorted(PUBLIC) and set(dir(ganas)) >= PUBLIC
    block = next(node for node in ast.parse(MODULES["__init__"].read_text()).body if _is_type_checking(node))
    typed = {alias.asname for node in ast.walk(block) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert typed == PUBLIC, "type checkers see what there is"


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    thing = getattr(ganas, name)
    assert callable(thing) and thing.__name__ == name and thing.__module__.startswith("ganas.")
    assert thing.__doc__


def test_no_public_name_is_also_a_module() -> None:
    modules = {path.stem for path in SOURCE.iterdir()}
    assert not modules & PUBLIC, "whichever was imported last would hide the other"


def test_what_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'ganas' has no attribute 'serach'"):
        _ = ganas.serach


# The floors of the house, from the ground up; a module imports from its own floor and from those below.
GROUND, WINGS, ROOF, RECIPES, TOP = range(5)
ROOMS = {
    WINGS: ("cyclegan", "growing"),
    ROOF: ("doctor", "evaluation", "kinds", "presets"),
    RECIPES: ("recipes", "records", "comparison", "report", "demo"),
    TOP: ("__init__", "__main__", "cli"),
}
# Folders and modules that may import torch at module level; every other module is light, and so are LIGHT_PARTS.
WITH_TORCH = (
    *("comparison", "demo", "doctor", "evaluation", "layers", "learning", "metrics", "model_file", "pictures"),
    *(f"cyclegan.{name}" for name in ("budget", "build", "cost", "derive", "domains", "grouping", "latency", "model")),
    *(f"cyclegan.{name}" for name in ("merging", "mixed", "networks", "search", "steps", "train", "trainer")),
    *(
        "cyclegan.distillation",
        "cyclegan.elastic",
        "cyclegan.examples",
        "cyclegan.front_search",
        "cyclegan.projection",
        "cyclegan.supernets",
        "cyclegan.translate",
        "cyclegan.validation",
    ),
    *(f"growing.{name}" for name in ("candidate_job", "forecast", "images", "model", "networks", "run", "sample")),
    "growing.autogan_networks",
    "growing.finals",
    "growing.trainer",
    *(
        "data.loaders",
        "recipes.cyclegan.cost",
        "recipes.cyclegan.recipe_job",
        "recipes.cyclegan.timing",
        "recipes.growing.scores",
    ),
)
LIGHT_PARTS = ("learning.adversarial", "learning.schedules", "learning.trackers", "metrics.measurement")
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}


def _floor(module: str) -> int:
    return next((floor for floor, rooms in ROOMS.items() if module.partition(".")[0] in rooms), GROUND)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    for name in _imported(MODULES[module]):
        assert _floor(name) <= _floor(module), f"{module} imports {name}"
        assert not {_floor(name), _floor(module)} == {WINGS} or name.split(".")[0] == module.split(".")[0], (
            "wings are apart"
        )


def test_imports_make_no_circle() -> None:
    left = {module: _imported(path, lazy=False) & MODULES.keys() for module, path in MODULES.items()}
    while free := {module for module, needs in left.items() if not needs & left.keys()}:
        left = {module: needs for module, needs in left.items() if module not in free}
    assert not left, f"in or behind a circle: {sorted(left)}"


def test_only_the_modules_that_need_torch_import_it() -> None:
    light = [name for name in MODULES if name in LIGHT_PARTS or not {name, name.split(".")[0]} & {*WITH_TORCH}]
    assert {*WITH_TORCH, *LIGHT_PARTS} <= MODULES.keys(), "a module that does not exist"
    check = (
        "import sys, importlib\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, name"
    )
    names = [f"ganas.{name}".removesuffix(".__init__") for name in light]
    done = subprocess.run([sys.executable, "-c", check, *names], capture_output=True, text=True)
    assert not done.returncode, done.stderr


def _imported(file: Path, *, lazy: bool = True) -> set[str]:
    """Modules of ganas that a file imports, at its top or, with `lazy`, inside a function as well."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    typing_only = {id(inner) for node in ast.walk(tree) if _is_type_checking(node) for inner in ast.walk(node)}
    names = set()
    for node in ast.walk(tree) if lazy else tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in typing_only:
            home = node.module.removeprefix("ganas").removeprefix(".")
            if node.module.split(".")[0] == "ganas":
                names |= {f"{home}.{alias.name}".strip(".") for alias in node.names} & MODULES.keys() or {
                    home or "__init__"
                }
    return names


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


GROWN = ("base.latent=4", "base.channels=[4]", "growth.filters=[2]", "growth.depth=1", "growth.rank_by=raw")
GROWN += tuple(f"training.{key}" for key in ("images=8", "final_images=8", "batch=4", "ema_half_life=4"))
SMALL = tuple(word for word in FLAGS if "=" in word)


def test_every_example_of_the_door_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/python.md, block after block, on noise and shorter; the recipe's jobs alone are left out."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    make = ganas.make_config
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("paintings", "photos", "testA", "testB")):
        write_images(Path(name), 8, seed=number)
    for number, name in enumerate(("trainA", "trainB", "testA", "testB")):
        write_images(Path("photos2maps") / name, 2, seed=number, sides=(32, 32))

    def small(kind: Any, *, flags: dict[str, Any], **given: Any) -> Any:
        size = {} if kind == "grow" else {"data.resolution": 32}  # resnet6 takes it, too
        return make(kind, flags=flags | size, settings=GROWN if kind == "grow" else SMALL, **given)

    monkeypatch.setattr("ganas.presets.make_config", small)
    made = ganas.Reproduction("a table", (), ())
    monkeypatch.setattr("ganas.recipes.cyclegan.plan.run_recipe", lambda *_: made)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), names)
    assert names["count"] == 8 and names["record"].state == "finished" and names["losses"]
    used = {node.attr for node in ast.walk(ast.parse("".join(blocks))) if isinstance(node, ast.Attribute)}
    assert {name for name in PUBLIC if name[0].islower()} - used == {"load_architecture"}, "each has its example"


@pytest.mark.parametrize("folder", ["benchmarks", "experiments", "scripts"])
def test_scripts_import_names_that_exist(folder: str) -> None:
    """They run too rarely to notice a renamed function."""
    for path in (SOURCE.parents[1] / folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("ganas"):
                names = ", ".join(alias.name for alias in node.names)
                exec(f"from {node.module} import {names}", {})
