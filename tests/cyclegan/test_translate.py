"""Using a generator: its file says everything, and every image comes back once and in its size."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save
from torch import Tensor, nn

from ganas.cyclegan.layout import LAYOUTS
from ganas.cyclegan.translate import (
    GeneratorInfo,
    Translator,
    build_generator,
    load_generator,
    output_names,
    read_generator_info,
    save_generator,
    translate,
)
from ganas.data.containers.folder import Folder
from ganas.data.loaders import to_images, to_network
from ganas.data.sources import ImageSource
from ganas.errors import DataError, RunError
from ganas.model_file import METADATA_KEY
from ganas.store import Run
from tiny import FLAGS, ganas


def info_of(layout: str = "framed", network: str = "generator_ab") -> GeneratorInfo:
    """A generator as narrow as it can be, whose slots hold their last ops."""
    ops = tuple(slot.ops[-1] for slot in LAYOUTS[layout].generator.searched)
    return GeneratorInfo(network, layout, ops, width=1.0, resolution=16, images=4, architecture="0123456789")


def write_generator(path: Path, info: GeneratorInfo, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    save_generator(path, build_generator(info), info)
    return path


def pixels(height: int, width: int, count: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(height * width)
    return torch.randint(0, 256, (count, 3, height, width), generator=generator, dtype=torch.uint8)


def write_image(path: Path, height: int, width: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(height, width)[0].permute(1, 2, 0).numpy()).save(path)


def read_image(path: Path) -> Tensor:
    return torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)


# Generator files


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_gives_back_the_generator_and_what_it_is(layout: str, tmp_path: Path) -> None:
    info = info_of(layout, "generator_ba")
    torch.manual_seed(0)
    network = build_generator(info)
    save_generator(tmp_path / "g.safetensors", network, info)
    loaded, its_info = load_generator(tmp_path / "g.safetensors")
    assert its_info == info
    assert not loaded.training
    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(loaded(x), network(x))


SAVE = """
import sys
from pathlib import Path
import torch
from ganas.cyclegan.translate import load_generator, save_generator
save_generator(Path(sys.argv[2]), *load_generator(Path(sys.argv[1])))
"""


def test_saving_again_here_or_in_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write_generator(tmp_path / "first", info_of())
    save_generator(tmp_path / "second", *load_generator(first))
    subprocess.run([sys.executable, "-c", SAVE, str(first), str(tmp_path / "third")], check=True)
    assert first.read_bytes() == (tmp_path / "second").read_bytes() == (tmp_path / "third").read_bytes()


def with_metadata(**changes: Any) -> Callable[[bytes], bytes]:
    """The same file that says other things of itself; None: does not say them."""

    def change(content: bytes) -> bytes:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        document = json.loads(header["__metadata__"][METADATA_KEY]) | changes
        document = {key: value for key, value in document.items() if value is not None}
        header["__metadata__"][METADATA_KEY] = json.dumps(document.get("instead", document))
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + content[8 + length :]

    return change


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[:-100], id="that is cut"),
        pytest.param(lambda content: content[:100], id="cut in its header"),
        pytest.param(lambda content: content[:5], id="cut at once"),
        pytest.param(lambda content: np.random.default_rng(0).bytes(len(content)), id="of noise"),
        pytest.param(lambda _: save({"weight": torch.zeros(3)}, metadata={"format": "pt"}), id="of another program"),
        pytest.param(lambda _: save({"weight": torch.zeros(3)}), id="without metadata"),
        pytest.param(with_metadata(schema=2), id="of a later ganas"),
        pytest.param(with_metadata(layout="framd"), id="of an unknown layout"),
        pytest.param(with_metadata(layout="paper"), id="of another layout"),
        pytest.param(with_metadata(ops=["conv9"] * 22), id="with unknown ops"),
        pytest.param(with_metadata(ops=["conv3"] * 3), id="with too few ops"),
        pytest.param(with_metadata(width=2), id="of another width"),
        pytest.param(with_metadata(width="wide"), id="whose width is no number"),
        pytest.param(with_metadata(network=None), id="that lacks a key"),
        pytest.param(with_metadata(instead=["no object"]), id="whose metadata is a list"),
        pytest.param(with_metadata(instead="no object"), id="whose metadata is text"),
    ],
)
def test_a_file_that_is_damaged_or_foreign_is_refused_by_name(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = write_generator(tmp_path / "g.safetensors", info_of())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RunError, match=r"g\.safetensors' is not an intact generator \(.+\): use another") as caught:
        load_generator(path)
    assert "\n" not in str(caught.value)


# Sizes


@given(st.integers(1, 70), st.integers(1, 70))
def test_padding_is_cropped_away_again(height: int, width: int) -> None:
    """A network that does nothing leaves every pixel of every size where it was."""
    images = pixels(height, width, count=2)
    assert torch.equal(Translator(nn.Identity(), multiple=4)(images), images)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("height, width", [(17, 23), (5, 64), (1, 1), (16, 16), (33, 20)])
def test_images_of_any_size_keep_it(layout: str, height: int, width: int) -> None:
    translator = Translator(build_generator(info_of(layout)).eval(), LAYOUTS[layout].generator_multiple)
    translated = translator(pixels(height, width, count=2))
    assert translated.shape == (2, 3, height, width)
    assert translated.dtype == torch.uint8


def test_images_that_fit_are_not_padded() -> None:
    network = build_generator(info_of()).eval()
    images = pixels(20, 24, count=2)
    assert torch.equal(Translator(network, multiple=4)(images), to_images(network(to_network(images))))


def test_padding_mirrors_the_image_where_it_is_large_enough() -> None:
    seen: list[Tensor] = []

    class Look(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(to_images(x))
            return x

    images = pixels(17, 22)
    Translator(Look(), multiple=4)(images)
    rows, columns = [*range(17), 15, 14, 13], [*range(22), 20, 19]
    assert torch.equal(seen[0], images[:, :, rows][:, :, :, columns])


# Names


def source(*names: str) -> ImageSource:
    return ImageSource(Folder(Path("images")), tuple(names))


def test_names_keep_their_folders_and_become_pngs_and_images_that_differ_in_their_suffix_keep_it() -> None:
    assert output_names(source("a.jpg", "b/a.jpeg", "c.d.png")) == ["a.png", "b/a.png", "c.d.png"]
    assert output_names(source("a.jpg", "a.png", "b.jpg")) == ["a.jpg.png", "a.png.png", "b.png"]


FOLDER, FILE = r"((x|a\.png|a\.jpg\.png)/)?", r"a(\.jpg|\.png){0,2}\.(jpg|png|tif)"


@given(st.lists(st.from_regex(FOLDER + FILE, fullmatch=True), unique=True))
def test_no_two_images_get_one_name_nor_that_of_a_folder(names: list[str]) -> None:
    outputs = output_names(source(*names))
    folders = {name.rpartition("/")[0] for name in names}
    assert len(set(outputs)) == len(names) and not folders & set(outputs)
    assert all(output.endswith(".png") for output in outputs)


def test_a_name_at_the_systems_limit_is_kept_or_named(tmp_path: Path) -> None:
    longest = "ž" * 125 + "x.jpg"  # 255 bytes
    assert output_names(source(longest)) == [longest.replace(".jpg", ".png")]
    with pytest.raises(DataError, match=r"žx\.jpg: the name is too long to append \.png"):
        output_names(source(longest, longest.replace(".jpg", ".gif")))


# Folders


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with both generators."""
    run = Run(tmp_path / "run")
    for seed, direction in enumerate(("ab", "ba")):
        write_generator(run.generator(direction), info_of(network=f"generator_{direction}"), seed)
    return run


def test_every_image_of_a_folder_is_translated_once_in_its_size(run: Run, tmp_path: Path) -> None:
    sizes = dict.fromkeys(("one.png", "two.png", "four.png"), (17, 23))
    sizes |= {"in/three.png": (5, 64), "strip.png": (1, 2000)}
    for name, size in sizes.items():
        write_image(tmp_path / "images" / name, *size)
    assert translate(run.path, tmp_path / "images", tmp_path / "out", direction="ab", device="cpu") == 5
    out = {path.relative_to(tmp_path / "out").as_posix(): path for path in (tmp_path / "out").rglob("*.*")}
    assert {name: tuple(read_image(path).shape[1:]) for name, path in out.items()} == sizes
    translator = Translator(load_generator(run.generator("ab"))[0], 4)
    for name, path in out.items():
        alone = translator(read_image(tmp_path / "images" / name)[None])[0]
        assert (read_image(path).int() - alone.int()).abs().max() <= 1, "whatever it shared a batch with"


def test_a_model_folder_copied_elsewhere_or_a_file_of_it_does_what_its_run_does(run: Run, tmp_path: Path) -> None:
    write_image(tmp_path / "image.png", 20, 30)
    copied = Path(shutil.copytree(run.model, tmp_path / "elsewhere"))
    results: dict[str, set[bytes]] = {"ab": set(), "ba": set()}
    for direction in results:
        for number, model in enumerate((run.path, copied, run.generator(direction))):
            out = tmp_path / f"{direction}{number}"
            translate(model, tmp_path / "image.png", out, direction=direction, device="cpu")
            results[direction].add((out / "image.png").read_bytes())
    assert len(results["ab"]) == len(results["ba"]) == 1
    assert results["ab"] != results["ba"]


def test_an_image_too_large_for_the_memory_is_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(self: Translator, images: Tensor) -> Tensor:
        raise MemoryError

    write_image(tmp_path / "images" / "000.png", 20, 40)
    monkeypatch.setattr(Translator, "__call__", exhausted)
    with pytest.raises(DataError, match=r"'000.png' \(40×20 pixels\) does not fit into .* memory: shrink it"):
        translate(run.path, tmp_path / "images", tmp_path / "out", direction="ab")


# Outputs


@pytest.mark.parametrize("litter", [".DS_Store", ".gitkeep", "lost+found", "Thumbs.db", None])
def test_an_output_that_looks_empty_is_empty(run: Run, tmp_path: Path, litter: str | None) -> None:
    write_image(tmp_path / "image.png", 20, 30)
    (tmp_path / "out").mkdir()
    if litter:
        (tmp_path / "out" / litter).touch()
    translate(run.path, tmp_path / "image.png", tmp_path / "out", direction="ab")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"image.png", *([litter] if litter else [])}


def test_results_within_their_own_input_are_no_input(run: Run, tmp_path: Path) -> None:
    write_image(tmp_path / "photos" / "a.png", 20, 30)
    for number in range(3):
        assert translate(run.path, tmp_path / "photos", tmp_path / "photos" / f"out{number}", direction="ab") == 1


@pytest.mark.parametrize(
    "name, kind, error",
    [("x.png", "PNG", 0), ("x.jpg", "JPEG", 32), ("x.webp", "WEBP", 0), ("x.TIFF", "TIFF", 0), ("x.bmp", "BMP", 0)],
)
def test_one_image_becomes_a_file_of_the_format_its_suffix_says(
    name: str, kind: str, error: int, run: Run, tmp_path: Path
) -> None:
    image, smooth = tmp_path / "image.png", Image.linear_gradient("L").resize((30, 20)).convert("RGB")
    smooth.save(image)
    translate(str(run.path), str(image), str(tmp_path / name), direction="ab")
    translate(run.path, image, tmp_path / "out", direction="ab")
    with Image.open(tmp_path / name) as written:
        assert written.format == kind
    difference = read_image(tmp_path / name).int() - read_image(tmp_path / "out" / "image.png").int()
    assert difference.abs().max() <= error
    before = (tmp_path / name).read_bytes()
    with pytest.raises(DataError, match="exists already: choose another file name"):
        translate(run.path, image, tmp_path / name, direction="ab")
    assert (tmp_path / name).read_bytes() == before


def test_an_image_is_read_as_those_were_that_the_generator_learned_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """12 bits in 16, and a dark one, which alone would be taken for 10."""
    generator = np.random.default_rng(0)
    for letter in "ab":
        (tmp_path / letter).mkdir()
        for number in range(3):
            values = generator.integers(0, 4096, (16, 16)).astype(np.uint16)
            Image.fromarray(values).save(tmp_path / letter / f"{number}.png")
    dark = tmp_path / "dark.png"
    Image.fromarray(np.full((16, 16), 800, np.uint16)).save(dark)
    domains = ("--a", tmp_path / "a", "--b", tmp_path / "b")
    assert ganas("train", "resnet6", *domains, *FLAGS, "--resolution", "24", "--out", tmp_path / "run") == 0
    assert read_generator_info(tmp_path / "run" / "model" / "generator_ab.safetensors").white == 4095
    monkeypatch.setattr(Translator, "__call__", lambda _, images: images)
    for white, expected in ((None, 800 / 4095), (1000, 800 / 1000)):
        out = tmp_path / f"{white}.png"
        translate(tmp_path / "run", dark, out, direction="ab", white=white)
        assert (read_image(out) == round(255 * expected)).all()


def test_a_file_cannot_hold_a_folder(run: Run, tmp_path: Path) -> None:
    write_image(tmp_path / "photos" / "a.png", 20, 30)
    with pytest.raises(DataError, match="is an image file, but the input is not: give a folder"):
        translate(run.path, tmp_path / "photos", tmp_path / "out.png", direction="ab")
    assert not (tmp_path / "out.png").exists()


TRANSLATE = """
import sys
from ganas.cyclegan.translate import Translator, translate
def wait(self, images):
    print("at work", flush=True)
    sys.stdin.read()
    return images
Translator.__call__ = wait
translate(sys.argv[1], sys.argv[2], sys.argv[3], direction="ab")
"""


def test_two_do_not_translate_into_one_folder(run: Run, tmp_path: Path) -> None:
    write_image(tmp_path / "photos" / "a.png", 20, 30)
    arguments = [str(run.path), str(tmp_path / "photos"), str(tmp_path / "out")]
    first = subprocess.Popen(
        [sys.executable, "-c", TRANSLATE, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with first:
        assert first.stdout and first.stdin and first.stdout.readline() == "at work\n"
        with pytest.raises(RunError, match="out' is in use by another process: wait for it, or choose another folder"):
            translate(run.path, tmp_path / "photos", tmp_path / "out", direction="ba")
        first.stdin.close()
        assert first.wait() == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"], "and nothing else"
    assert torch.equal(read_image(tmp_path / "out" / "a.png"), read_image(tmp_path / "photos" / "a.png"))
