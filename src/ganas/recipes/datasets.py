"""Where the data sets of a recipe come from: a folder of the user's, the built-in photographs, or the paper's six.

A data set is a folder with trainA, trainB, testA and testB. The paper's are downloaded once, into ganas's cache, when
they are asked for by name; the checksum of the first download is written beside them, and a later one has to agree.
"""

import hashlib
import shutil
import tempfile
import urllib.request
import zipfile
import zlib
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ganas.cyclegan.config import DataConfig
from ganas.data.demo import write_demo_data
from ganas.data.listing import IMAGE_SUFFIXES
from ganas.data.sources import MINIMUM_IMAGES, notes_of, open_source
from ganas.errors import ConfigError, DataError, counted
from ganas.paths import as_path
from ganas.progress import Reporter
from ganas.recipes.jobs import Dataset
from ganas.store import default_cache, write_atomically

PARTS = ("trainA", "trainB", "testA", "testB")
SERVER = "http://efrosgans.eecs.berkeley.edu/cyclegan/datasets"


class Published(NamedTuple):
    """A download, and about how many images there are to learn from."""

    file: str
    train_a: int
    train_b: int


PUBLISHED = {  # by the paper's names
    "facades": Published("facades", 400, 400),
    "maps": Published("maps", 1096, 1096),
    "apple2orange": Published("apple2orange", 996, 1020),
    "horse2zebra": Published("horse2zebra", 1067, 1334),
    "summer2winter": Published("summer2winter_yosemite", 1273, 854),
    "iphone2dslr": Published("iphone2dslr_flower", 1813, 3316),
}
PATIENCE = 60.0  # seconds without an answer


def find_dataset(text: str, data: DataConfig | None = None) -> Dataset:
    """A folder, or one of the paper's data sets by name; raises `DataError` or `ConfigError`.

    data: how the jobs will read its images; None: as by default
    """
    folder = as_path(text)
    if folder.is_dir():
        return _opened(folder.resolve().name, folder, data)
    if text not in PUBLISHED:
        raise ConfigError(f"there is no data set {text!r}: give a folder, or one of {', '.join(PUBLISHED)}")
    return _opened(text, _downloaded(PUBLISHED[text].file), data)


def expected_dataset(text: str, data: DataConfig | None = None) -> Dataset:
    """What a data set is like, for the cost of a recipe: a published one is not downloaded for that.

    One that has been is opened, or jobs that are done could not be told.
    """
    if text in PUBLISHED and not Path(text).is_dir() and not _kept(PUBLISHED[text].file).is_dir():
        return Dataset(text, text, PUBLISHED[text].train_a, PUBLISHED[text].train_b, "")
    return find_dataset(text, data)


def demo_dataset(out: Path) -> Dataset:
    """The built-in photographs, written under `out`."""
    folder = out / "demo"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=_made(out)) as place:
            data = write_demo_data(Path(place) / "photographs")
            for part, source in zip(PARTS, (data.a, data.b, data.test_a, data.test_b), strict=True):
                shutil.copytree(source, Path(place) / "demo" / part)
            (Path(place) / "demo").rename(folder)
    return _opened("demo", folder)


def _opened(name: str, folder: Path, data: DataConfig | None = None) -> Dataset:
    """A data set all of whose images have been looked at: a broken one is told now, and not after hours."""
    for part in PARTS:
        if not (folder / part).is_dir():
            raise DataError(f"{str(folder)!r} has no {part}: a data set has the folders {', '.join(PARTS)}")
    data = data or DataConfig(a=folder, b=folder)
    sources = [
        open_source(folder / part, minimum=MINIMUM_IMAGES, skip_bad=data.skip_bad, white=data.white, icc=data.icc)
        for part in PARTS
    ]
    for train, test in zip(sources[:2], sources[2:], strict=True):
        if shared := len(train.files & test.files):
            both = f"{test.path.name} and {train.path.name} share {counted(shared, 'image')}"
            raise DataError(f"{str(folder)!r}: {both}: keep test images apart")
    Reporter().note(notes_of(*sources))
    digest = hashlib.sha256(" ".join(source.digest() for source in sources).encode()).hexdigest()[:16]
    return Dataset(name, str(folder.absolute()), len(sources[0]), len(sources[1]), digest)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _kept(name: str) -> Path:
    """Where in the cache a published data set lies once it is downloaded."""
    cache = default_cache()
    if cache is None:
        raise ConfigError("there is no home folder to keep downloads in: set GANAS_CACHE, or give --data a folder")
    return cache / "datasets" / name


def _downloaded(name: str) -> Path:
    """The folder of a published data set in the cache."""
    folder = _kept(name)
    home = folder.parent
    checksum = home / f"{name}.sha256"
    if folder.is_dir():
        return folder
    home.mkdir(parents=True, exist_ok=True)
    url = f"{SERVER}/{name}.zip"
    with tempfile.TemporaryDirectory(dir=home) as place:
        archive = Path(place) / "download.zip"
        digest = hashlib.sha256()
        Reporter().say(f"downloading {url} …")
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer, archive.open("wb") as file:
                while block := answer.read(1 << 20):
                    digest.update(block)
                    file.write(block)
        except (OSError, HTTPException) as error:
            raise DataError(
                f"cannot download {url} ({error}): fetch it by hand, unpack it, and give --data its folder"
            ) from None
        if checksum.exists() and checksum.read_text().strip() != digest.hexdigest():
            raise DataError(f"{url} is not what it was at the first download: remove {str(checksum)!r} to accept it")
        _unpack(archive, Path(place) / "unpacked", url)
        write_atomically(checksum, f"{digest.hexdigest()}\n".encode())
        (Path(place) / "unpacked").rename(folder)  # last: a kill before it leaves no data set without its checksum
    return folder


def _unpack(archive: Path, folder: Path, origin: str) -> None:
    """Images of the four parts, and nothing else, wherever in the archive they lie."""
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                path = PurePosixPath(member.filename)
                part = path.parent.name
                if part in PARTS and path.suffix.lower() in IMAGE_SUFFIXES:
                    (folder / part).mkdir(parents=True, exist_ok=True)
                    with opened.open(member) as source, (folder / part / path.name).open("wb") as target:
                        shutil.copyfileobj(source, target)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:  # damaged, encrypted, unknown codec
        raise DataError(f"{origin} is no zip that can be read ({error}): try again later") from None
    if not all((folder / part).is_dir() for part in PARTS):
        raise DataError(f"{origin} does not hold {', '.join(PARTS)}: fetch the data set by hand, and give --data")
