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


@pytest.mark.parametrize(
    "module",
    [
        *("ganas", "ganas.cli", "ganas.config", "ganas.presets", "ganas.store", "ganas.candidates"),
        *("ganas.nets.architecture", "ganas.nets.layers", "ganas.searching.growth", "ganas.searching.topk"),
        *(
            "ganas.searching.plan",
            "ganas.searching.runner",
            "ganas.searching.kept",
            "ganas.searching.outlook",
            "ganas.searching.history",
            "ganas.executors.base",
            "ganas.executors.local",
            "ganas.executors.worker",
            "ganas.executors.ray",
        ),
    ],
)
def test_needs_no_torch(module: str) -> None:
    check = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0


LOW = ("nets", "gan", "data", "metrics", "store.py")
HIGH = ("ganas.searching", "ganas.training", "ganas.cli", "ganas.demo", "ganas.doctor", "ganas.inference")
HIGH += ("ganas.executors", "ganas.sampling")


@pytest.mark.parametrize(
    "file",
    [path for low in LOW for path in sorted(SOURCE.glob(low)) + sorted(SOURCE.glob(f"{low}/*.py")) if path.is_file()],
    ids=lambda path: path.relative_to(SOURCE).as_posix(),
)
def test_imports_point_one_way(file: Path) -> None:
    assert not [name for name in _imported(file) if name.startswith(HIGH)]


@pytest.mark.parametrize("folder", ["nets", "gan"])
def test_nets_and_gan_need_torch_alone(folder: str) -> None:
    for file in (SOURCE / folder).glob("*.py"):
        foreign = (
            {name.partition(".")[0] for name in _imported(file)} - set(sys.stdlib_module_names) - {"ganas", "torch"}
        )
        assert not foreign, file.name


def _imported(file: Path) -> list[str]:
    """Modules that a file imports, at its top or inside a function."""
    names = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return names


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
