"""The public door, and which way imports point."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ganas
from tiny import FLAGS, write_domains

SOURCE = Path(ganas.__file__).parent

PUBLIC = {
    *("make_config", "RunConfig", "search", "SearchResult", "train", "TrainResult", "translate"),
    *("evaluate", "evaluate_folders", "Measurement", "Architecture", "load_architecture", "open_source", "ImageSource"),
    *("GanasError", "UserError", "NonFiniteError", "Stopped"),
}


def test_the_door_is_what_it_was() -> None:
    assert set(ganas.__all__) == PUBLIC
    assert len(ganas.__all__) == len(PUBLIC) and set(dir(ganas)) >= PUBLIC


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
    ROOF: ("demo", "doctor", "evaluation"),
    RECIPES: ("recipes",),
    TOP: ("__init__", "__main__", "cli"),
}
TORCH_FREE = (
    *("__init__", "__main__", "cli", "config", "document", "errors", "jobs", "paths", "progress", "resuming"),
    *("settings", "signals", "store"),
    *(f"cyclegan.{name}" for name in ("architecture", "config", "knapsack", "layout", "ops", "presets", "size")),
    *(f"growing.{name}" for name in ("actions", "architecture", "baseline_cache", "candidates", "config", "eta")),
    *(f"growing.{name}" for name in ("history", "plan", "presets", "runner", "topk")),
    *(f"recipes.{name}" for name in ("jobs", "worker")),
)
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


def test_what_must_be_light_imports_no_torch() -> None:
    light = [module for module in MODULES if module in TORCH_FREE or module.partition(".")[0] in TORCH_FREE]
    assert {*TORCH_FREE} <= {*light, *(module.partition(".")[0] for module in light)}, "a name that is not there"
    names = ["ganas" if module == "__init__" else f"ganas.{module}" for module in light]
    check = (
        "import sys, importlib\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, name"
    )
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


def test_functions_take_paths_as_text(tmp_path: Path) -> None:
    place = str(tmp_path)
    write_domains(tmp_path)
    settings = [word for word in FLAGS if "=" in word]
    flags = {"data.a": f"{place}/a", "data.b": f"{place}/b", "data.resolution": 16}
    search, train = (
        ganas.make_config(kind, preset="tiny", flags=flags, settings=settings)  # type: ignore[arg-type]
        for kind in ("search", "train")
    )
    found = ganas.search(search, f"{place}/search")
    assert ganas.load_architecture(f"{place}/search/architecture.json") == found.architecture
    ganas.train(train, found.architecture, f"{place}/train")
    assert ganas.translate(f"{place}/train", f"{place}/a", f"{place}/out", direction="ab") == 3
    ganas.evaluate_folders(f"{place}/a", [f"{place}/out"], metrics=["swd"], features=None)
    assert len(ganas.open_source(f"{place}/out")) == 3
