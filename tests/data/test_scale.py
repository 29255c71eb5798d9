"""Large sets: what is checked, what is kept, what is noticed; counted in images that are read."""

import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_databases import lmdb_of
from test_sources import encoded, folder_of, noise, plain, refusal, zip_of

from counted_reads import count_reads
from ganas import progress
from ganas.data import sources, verification
from ganas.data.containers.folder import Folder
from ganas.data.containers.lmdb import Lmdb
from ganas.data.containers.zip import Zip
from ganas.data.limits import UnreadableError
from ganas.data.loaders import Batches, CenterCrops, center_crops
from ganas.data.sources import ONLY_SAMPLED, ImageSource, open_source

FILES = {f"{number:02}.png": encoded(noise((20 + number, 24), seed=number)) for number in range(40)}
MAKERS: dict[str, Callable[[Path, dict[str, bytes]], Path]] = {"folder": folder_of, "x.zip": zip_of, "lmdb": lmdb_of}
every_kind = pytest.mark.parametrize("name", MAKERS)


@pytest.fixture
def reads(cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all images that are read, and a cache that keeps what is known of files however new they are."""
    return count_reads(monkeypatch, Folder, Zip, Lmdb)


@pytest.fixture
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """A set of more than ten images is large."""
    monkeypatch.setattr(sources, "SAMPLE", 5)
    progress.warn_once.cache_clear()


@every_kind
def test_a_second_start_reads_nothing(tmp_path: Path, reads: list[str], name: str) -> None:
    path = MAKERS[name](tmp_path / name, FILES)
    first = open_source(path)
    digest = first.digest()
    assert sorted(reads) == sorted(2 * [*FILES]), "decoded once, and hashed once"
    reads.clear()
    again = open_source(path)
    assert again == first and again.digest() == digest and not reads
    half = again.subset(range(20))
    half.digest()
    assert len(reads) == 20
    reads.clear()
    assert again.subset(range(20)).digest() == half.digest() and not reads
    assert open_source(path, icc=False) and len(reads) == 40, "read differently, so checked again"


def replaced_in(path: Path, files: dict[str, bytes], name: str) -> None:
    """Write the set anew at its place."""
    if name == "folder":
        for file in path.iterdir():
            if file.name not in files:
                file.unlink()
        for key, content in files.items():
            if not (path / key).is_file() or (path / key).read_bytes() != content:
                (path / key).write_bytes(content)
        return
    other = MAKERS[name](path.with_name(f"new-{name}"), files)
    (other / "data.mdb").replace(path / "data.mdb") if name == "lmdb" else other.replace(path)


SAME_SIZE = FILES | {"07.png": FILES["07.png"][:-20] + bytes(20)}  # broken, and no larger or smaller
CHANGES = {
    "replaced": FILES | {"07.png": encoded(noise((27, 24), seed=99))},
    "added": FILES | {"99.png": plain()},
    "removed": {name: content for name, content in FILES.items() if name != "39.png"},
    "renamed": {("40.png" if name == "39.png" else name): content for name, content in FILES.items()},
}


@every_kind
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("verify", [100, 10], ids=["small", "large"])
@pytest.mark.usefixtures("reads", "small_sample")
def test_what_changed_on_disk_is_noticed(tmp_path: Path, name: str, change: str, verify: int) -> None:
    path = MAKERS[name](tmp_path / name, FILES)
    digest = open_source(path, verify=verify).digest()
    assert digest == open_source(path, verify=verify).digest()
    time.sleep(0.02)  # a tick of the file system's clock
    replaced_in(path, CHANGES[change], name)
    assert open_source(path, verify=verify).digest() != digest
    assert digest.startswith("listing-") == (verify == 10)


def test_a_file_of_the_same_size_and_time_is_noticed(tmp_path: Path, reads: list[str]) -> None:
    """Nobody can set the time of change that the file system keeps for itself."""
    path = folder_of(tmp_path / "x", FILES)
    digest, status = open_source(path).digest(), (path / "07.png").stat()
    content = bytearray(FILES["07.png"])
    content[40:60] = bytes(20)
    time.sleep(0.02)
    (path / "07.png").write_bytes(content)
    os.utime(path / "07.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path / "07.png").stat().st_size == status.st_size
    assert "1 of 40 images cannot be read (07.png" in refusal(lambda: open_source(path))
    assert open_source(path, skip_bad=True).digest() != digest


@pytest.mark.usefixtures("cache")
def test_nothing_is_kept_of_files_that_changed_just_now(tmp_path: Path) -> None:
    """Two changes within a tick of the clock have the same time."""
    path = folder_of(tmp_path / "x", FILES)
    open_source(path).digest()
    assert not (tmp_path / "cache").exists()


def test_a_damaged_entry_is_as_none(tmp_path: Path, reads: list[str]) -> None:
    path = folder_of(tmp_path / "x", FILES)
    digest = open_source(path).digest()
    for damage in (b"", b"\xff\xfe", b"[]", b'{"schema": 1}', b'{"schema": 1, "digest": 5, "broken": 3}'):
        for entry in (tmp_path / "cache" / "data").iterdir():
            entry.write_bytes(damage)
        reads.clear()
        assert open_source(path).digest() == digest and len(reads) == 80


@pytest.mark.usefixtures("small_sample")
def test_of_a_large_set_a_sample_is_checked_and_it_says_so(tmp_path: Path, reads: list[str]) -> None:
    path = folder_of(tmp_path / "x", FILES)
    source = open_source(path, verify=39)
    assert len(source) == 40 and len(reads) == 5
    assert source.notes == (
        "5 of 40 images, chosen at random, were checked; a broken one ends the run, and changes are noticed by names, "
        "sizes and times: --set data.verify=N checks up to N",
    )
    digest = source.digest()
    assert digest.startswith("listing-") and len(reads) == 5, "of names, sizes and times"
    whole = open_source(path, verify=40)
    assert not whole.notes and len(whole.digest()) == 16 and len(reads) == 5 + 80
    assert source.subset(range(3)).digest() != digest
    sizes = open_source(zip_of(tmp_path / "x.zip", FILES), verify=39).digest()
    with zipfile.ZipFile(tmp_path / "y.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILES.items():
            archive.writestr(zipfile.ZipInfo(name, (2001, 1, 1, 1, 1, 2)), content)
    assert open_source(tmp_path / "y.zip", verify=39).digest() == sizes, "a zip made again has the same checksums"


@every_kind
@pytest.mark.usefixtures("small_sample")
def test_an_image_that_proves_broken_is_replaced_by_the_next(tmp_path: Path, reads: list[str], name: str) -> None:
    sampled = set(open_source(folder_of(tmp_path / "whole", FILES), verify=10) and reads)
    bad = [file for file in FILES if file not in sampled and file > "20"][:3]
    path = MAKERS[name](tmp_path / name, FILES | dict.fromkeys(bad, b"junk"))
    strict = open_source(path, verify=10)
    index = [*FILES].index(bad[0])
    message = refusal(lambda: strict.read(index))
    assert (
        f"{bad[0]}: not an image; repair or remove it, or replace such images by others with --set data.skip" in message
    )
    assert ONLY_SAMPLED in message and message.index("data.skip_bad=true") < message.index("data.verify=N")
    source = open_source(path, verify=10, skip_bad=True)
    assert source.digest() == strict.digest(), "so the same command, with skip_bad, resumes"
    seen = FILES | {next(iter(sampled)): b"junk"}
    message = refusal(lambda: open_source(MAKERS[name](tmp_path / f"seen-{name}", seen), verify=10))
    assert (
        "5 of 40 images were checked, and 1 of them cannot be read" in message and "replace such images by" in message
    )
    assert message.endswith(ONLY_SAMPLED)
    nearest = next(file for file in [*FILES][index:] if file not in bad)
    assert source.read(index).tobytes() == Image.open(tmp_path / "whole" / nearest).convert("RGB").tobytes()
    part = source.subset([3, index])
    assert part.read(1).tobytes() == part.read(0).tobytes(), "after the last comes the first"
    crops = [center_crops(one, 16) for one in (source, open_source(path, verify=10, skip_bad=True))]
    assert crops[0].equal(crops[1]), "a resume does it again"


@pytest.mark.usefixtures("small_sample", "reads")
def test_a_large_set_of_which_nothing_can_be_read_ends(tmp_path: Path) -> None:
    source = ImageSource(
        Folder(folder_of(tmp_path, dict.fromkeys(FILES, b""))), tuple(FILES), sampled=True, replaces=True
    )
    message = refusal(lambda: source.read(3))
    assert "empty file" in message and "nor can the 39 before it be read" in message and "data.verify" in message
    assert "5 of 40 images were checked, and 5 of them cannot be read (30.png: empty file; " in refusal(
        lambda: open_source(tmp_path, verify=10)
    )


def test_a_limit_takes_images_at_random_by_the_seed(tmp_path: Path, reads: list[str]) -> None:
    path = folder_of(tmp_path, FILES)
    few = open_source(path, limit=7, seed=1)
    assert len(few) == 7 and len(reads) == 7 and [*few.names] == sorted(few.names)
    assert few.notes == ("7 of 40 images, chosen at random",)
    assert few == open_source(path, limit=7, seed=1) != open_source(path, limit=7, seed=2)
    assert few.digest() != open_source(path, limit=7, seed=2).digest()
    assert open_source(path, limit=40) == open_source(path) and not open_source(path, limit=41).notes
    larger = open_source(path, limit=20, seed=1)
    assert set(few.names) < set(larger.names), "a larger limit adds images"
    counts = np.zeros(40)
    for seed in range(400):
        for name in open_source(path, limit=10, seed=seed, verify=0).names:
            counts[int(name[:2])] += 1
    assert abs(counts - 100).max() < 45, "each image as often as any other"


@pytest.mark.parametrize("side", [16, 24])
def test_squares_on_the_fly_are_those_of_the_array(tmp_path: Path, side: int) -> None:
    source = open_source(folder_of(tmp_path, FILES))
    array, on_the_fly = center_crops(source, side), CenterCrops(source, side)
    assert center_crops(on_the_fly, side).equal(array)
    options = {"resolution": side, "load_size": side, "flip": True, "batch": 4, "seed": 5, "cache_bytes": 0}
    iterators = [Batches((one,), **options).from_image(0) for one in (array.numpy(), on_the_fly)]  # type: ignore[arg-type]
    for _ in range(25):
        (one,), (other,) = map(next, iterators)
        assert one.equal(other)
    for iterator in iterators:
        iterator.close()


def test_progress_of_long_openings_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"BAR_FROM": 10, "BAR_EVERY": 1}.items():
        monkeypatch.setattr(verification, name, value)
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0)
    source = open_source(folder_of(tmp_path / "x", FILES))
    source.digest()
    err = capsys.readouterr().err
    assert f"checking {tmp_path}/x: 20 of 40 images, " in err and f"digest of {tmp_path}/x: 20 of 40 images" in err


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_keeps_numbers_of_its_members_and_reads_the_last_of_a_name(tmp_path: Path) -> None:
    """zipfile's own objects would take 0.8 GB of a million members."""
    first, last, other = (encoded(noise((16, 16), seed=seed)) for seed in range(3))
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name, content in (("b.png", first), ("a/b.png", other), ("b.png", last)):
            archive.writestr(name, content)
        odd = zipfile.ZipInfo("d/e.png")
        odd.create_system = 0
        archive.writestr(odd, first)
    container = Zip(tmp_path / "x.zip")
    assert container.list().names == ("a/b.png", "b.png", "d/e.png")
    assert [container.read(name) for name in ("a/b.png", "b.png", "d/e.png")] == [other, last, first]
    sizes = [len(last), len(first), len(other)]
    assert container.stamps(["b.png", "d/e.png", "a/b.png"])[:, 0].tolist() == sizes, "in any order"
    assert not container._opened.archive.infolist()
    with pytest.raises(UnreadableError, match="no longer in the zip"):
        container.read("e.png")


def test_a_zip_has_one_directory_for_all_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, opened, real = zip_of(tmp_path / "x.zip", FILES), [], zipfile.ZipFile
    monkeypatch.setattr(zipfile, "ZipFile", lambda file: opened.append(file) or real(file))
    source = open_source(path)
    source.digest()
    batches = Batches((source,), resolution=16, load_size=16, flip=True, batch=4, seed=0)
    next(iterator := batches.from_image(0))
    iterator.close()
    assert len(opened) == 1
