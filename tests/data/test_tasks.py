"""Tasks whose answer is known: what a damage does, and which photographs go where."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganas.data.pairs import find_pairs, match_pairs
from ganas.data.sources import open_source
from ganas.data.tasks import SPLITS, TASKS, find_task, other_resolution, write_task
from ganas.errors import ConfigError, DataError, RunError


def write_photos(folder: Path, count: int, size: tuple[int, int] = (40, 32)) -> Path:
    folder.mkdir()
    generator = np.random.default_rng(0)
    for index in range(count):
        pixels = generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"photo {index}.png")
    return folder


def images(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(Image.open(path)) for path in sorted(folder.iterdir())}


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("tasks") / "photos", 20)


@pytest.mark.parametrize("name", TASKS)
def test_pairs_are_one_photograph_and_domains_are_different_ones(photos: Path, tmp_path: Path, name: str) -> None:
    task = write_task(name, photos, tmp_path / "task", size=16, pairs=3)
    parts = {part: images(tmp_path / "task" / part) for part in SPLITS}
    assert task.images == {part: len(found) for part, found in parts.items()}
    assert task.images == {"trainA": 7, "trainB": 7, "valA": 3, "valB": 3, "testA": 3, "testB": 3}
    for split in ("val", "test"):
        assert parts[f"{split}A"].keys() == parts[f"{split}B"].keys()
        for file, photo in parts[f"{split}A"].items():
            index = int(file.partition("-")[0])
            damaged = TASKS[name].apply(Image.fromarray(photo), np.random.default_rng((0, index)))
            assert np.array_equal(np.asarray(damaged), parts[f"{split}B"][file])
    groups = [set(parts[part]) for part in ("trainA", "trainB", "valA", "testA")]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 20


def test_a_damage_is_what_it_says(photos: Path, tmp_path: Path) -> None:
    for name in TASKS:
        write_task(name, photos, tmp_path / name, size=16)
    for pixels in images(tmp_path / "colour" / "testB").values():
        assert (pixels == pixels[..., :1]).all()
    photo, blurred = (images(tmp_path / "sharpness" / part) for part in ("testA", "testB"))
    for file in photo:  # noise averaged over 4×4 pixels keeps about a quarter of its deviation
        assert blurred[file].std() < 0.5 * photo[file].std()
    for pixels in images(tmp_path / "tones" / "testB").values():
        assert set(np.unique(pixels)) <= {0, 255}
    photo, dark = (images(tmp_path / "exposure" / part) for part in ("testA", "testB"))
    for file in photo:
        assert dark[file].mean() < 0.5 * photo[file].mean()


def test_dithering_keeps_the_mean_and_commutes_with_mirroring() -> None:
    """Training flips images: a flipped dithered image has to be a dithered image."""
    noise = np.random.default_rng(1)
    for level in range(0, 256, 15):
        flat = TASKS["tones"].apply(Image.new("RGB", (16, 16), (level,) * 3), noise)
        assert np.asarray(flat).mean() == pytest.approx(level, abs=255 / 16)
    image = Image.fromarray(noise.integers(0, 256, (16, 24, 3), dtype=np.uint8))
    mirror = Image.Transpose.FLIP_LEFT_RIGHT
    damaged, flipped = (TASKS["tones"].apply(one, noise) for one in (image, image.transpose(mirror)))
    assert np.array_equal(np.asarray(damaged.transpose(mirror)), np.asarray(flipped))


def test_underexposure_is_an_eighth_of_the_light_with_noise_that_grows_with_it() -> None:
    def light(level: int) -> np.ndarray:
        image = TASKS["exposure"].apply(Image.new("RGB", (200, 200), (level,) * 3), np.random.default_rng(0))
        return (np.asarray(image) / 255 + 0.055).clip(0.0) ** 2.4 / 1.055**2.4  # of sRGB, above its linear part

    bright, dim = light(250), light(150)
    assert bright.mean() == pytest.approx(((250 / 255 + 0.055) / 1.055) ** 2.4 / 8, rel=0.01)
    signal = np.array([bright.mean(), dim.mean()])
    assert np.array([bright.var(), dim.var()]) == pytest.approx(0.03**2 * signal + 0.004**2, rel=0.06)


def test_photographs_are_reduced_as_training_reads_them(photos: Path, tmp_path: Path) -> None:
    from ganas.data.loaders import center_crops

    write_task("colour", photos, tmp_path / "task", size=16, pairs=3)
    source = open_source(photos)
    crops = {source.names[index]: crop for index, crop in enumerate(center_crops(source, 16).permute(0, 2, 3, 1))}
    for file, pixels in images(tmp_path / "task" / "trainA").items():
        assert np.array_equal(pixels, crops[file.partition("-")[2]].numpy())


def test_the_seed_decides_everything(photos: Path, tmp_path: Path) -> None:
    for folder, seed in (("one", 0), ("again", 0), ("other", 1)):
        write_task("sharpness", photos, tmp_path / folder, size=16, seed=seed)
    assert digest(tmp_path / "one") == digest(tmp_path / "again")
    assert digest(tmp_path / "one").keys() != digest(tmp_path / "other").keys()


def test_a_run_that_would_resize_a_task_is_warned(photos: Path, tmp_path: Path) -> None:
    write_task("colour", photos, tmp_path / "task", size=16)
    domain = tmp_path / "task" / "trainA"
    assert other_resolution(domain, 16, 1.0) is None
    assert other_resolution(photos, 64, 1.12) is None
    for resolution, scale, read in ((32, 1.0, 32), (16, 1.12, 18)):
        assert f"made for 16 pixels, and read at {read}" in str(other_resolution(domain, resolution, scale))


def test_bad_input_is_one_line_and_leaves_nothing(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "task"
    one = write_photos(tmp_path / "one", 1)
    with pytest.raises(DataError, match="1 photograph, 8 needed for 2 pairs"):
        write_task("colour", one, out, size=16)
    with pytest.raises(DataError, match=r"photo \d+\.png has 32 pixels on its shorter side: give --size 32"):
        write_task("colour", photos, out, size=64)
    with pytest.raises(ConfigError, match="unknown task 'color': choose from colour, sharpness, exposure, tones"):
        write_task("color", photos, out, size=16)
    with pytest.raises(ConfigError, match="--size 8 is too small to see the damage: give 16"):
        write_task("colour", photos, out, size=8)
    assert not out.exists()
    out.mkdir()
    (out / "mine.txt").write_text("x")
    with pytest.raises(DataError, match="is not empty"):
        write_task("colour", photos, out, size=16)


def test_a_damaged_description_is_refused(photos: Path, tmp_path: Path) -> None:
    write_task("colour", photos, tmp_path / "task", size=16)
    file = tmp_path / "task" / "task.json"
    file.write_text(json.dumps({key: value for key, value in json.loads(file.read_text()).items() if key != "size"}))
    with pytest.raises(RunError, match=r"task\.json.*size.*: make the task again, or remove the file"):
        find_task(tmp_path / "task" / "trainA")


# ── pairs ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def write_named(folder: Path, sizes: dict[str, tuple[int, int]]) -> Path:
    folder.mkdir(parents=True)
    for name, size in sizes.items():
        (folder / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", size).save(folder / name)
    return folder


def test_pairs_are_matched_by_name(tmp_path: Path) -> None:
    size = (8, 9)
    a = open_source(write_named(tmp_path / "testA", dict.fromkeys(("10_A.png", "9_A.jpg", "x_A.png"), size)))
    b = open_source(write_named(tmp_path / "testB", dict.fromkeys(("9_B.png", "10_B.jpg", "x_B.bmp"), size)))
    found = [tuple(source.names) for source in match_pairs(a, b)]
    assert found == [("10_A.png", "9_A.jpg", "x_A.png"), ("10_B.jpg", "9_B.png", "x_B.bmp")]
    assert [tuple(source.names) for source in match_pairs(b, a)] == [
        ("10_B.jpg", "9_B.png", "x_B.bmp"),
        ("10_A.png", "9_A.jpg", "x_A.png"),
    ]
    assert find_pairs(tmp_path, "val", "test") == (tmp_path / "testA", tmp_path / "testB")


def test_an_unreadable_image_may_be_left_out_with_its_partner(tmp_path: Path) -> None:
    sides = [write_named(tmp_path / side, dict.fromkeys(("1.png", "2.png", "3.png"), (8, 8))) for side in "AB"]
    (sides[0] / "1.png").write_bytes(b"noise")
    (sides[1] / "3.png").write_bytes(b"noise")
    a, b = (open_source(side, skip_bad=True) for side in sides)
    assert [source.names for source in match_pairs(a, b, skip_missing=True)] == [("2.png",), ("2.png",)]
    with pytest.raises(DataError, match="no partner for 1 image"):
        match_pairs(a, b)
    with pytest.raises(DataError, match="no partner for 1 image"):
        match_pairs(a.subset([1]), b.subset([0]), skip_missing=True)


def test_the_folder_in_a_zip_is_not_part_of_a_name(tmp_path: Path) -> None:
    sources = []
    for side in "AB":
        folder = write_named(tmp_path / side / f"test{side}", {"1.png": (8, 8), "sub/2.png": (8, 8)})
        shutil.make_archive(str(tmp_path / f"test{side}"), "zip", folder.parent)
        sources.append(open_source(tmp_path / f"test{side}.zip"))
    found = [tuple(source.names) for source in match_pairs(*sources)]
    assert found == [(f"test{side}/1.png", f"test{side}/sub/2.png") for side in "AB"]


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ({"1.png": (8, 8), "2.png": (8, 8)}, {"1.png": (8, 8)}, "no partner for 1 image .* pairs need the same names"),
        ({"1.png": (8, 8)}, {"1.png": (8, 8), "2.png": (8, 8)}, "no partner for 1 image .*2"),
        ({"1.png": (8, 8)}, {"1.png": (8, 9)}, r"1\.png has 8×8 pixels and its partner in .* 8×9: pairs need the same"),
        ({"1.png": (8, 8), "1.jpg": (8, 8)}, {"1.png": (8, 8)}, r"1\.jpg and 1\.png share a name"),
    ],
)
def test_what_makes_no_pairs_is_refused(
    tmp_path: Path, a: dict[str, tuple[int, int]], b: dict[str, tuple[int, int]], message: str
) -> None:
    sources = open_source(write_named(tmp_path / "A", a)), open_source(write_named(tmp_path / "B", b))
    with pytest.raises(DataError, match=message):
        match_pairs(*sources)


def test_a_folder_without_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no pairs: it needs testA and testB, or A and B"):
        find_pairs(tmp_path, "test")
