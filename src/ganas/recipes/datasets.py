"""The data sets of a recipe: a user's folder, the built-in photographs, or one of the paper's six.

A data set is a folder with trainA, trainB, testA and testB. The paper's data sets are downloaded into ganas's cache on
first use. The checksum of the first download is stored beside the data, and later downloads must match it.
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
    """A downloadable data set."""

    file: str
    train_a: int  # approximate number of training images
    train_b: int


PUBLISHED = {  # by the paper's names
    "facades": Published("facades", 400, 400),
    "maps": Published("maps", 1096, 1096),
    "apple2orange": Published("apple2orange", 996, 1020),
    "horse2zebra": Published("horse2zebra", 1067, 1334),
    "summer2winter": Published("summer2winter_yosemite", 1273, 854),
    "iphone2dslr": Published("iphone2dslr_flower", 1813, 3316),
}
TIMEOUT = 60.0  # seconds without a response


def find_dataset(text: str, data: DataConfig | None = None) -> Dataset:
    """Open a folder, or one of the paper's data sets by name; raises `DataError` or `ConfigError`.

    data    how the jobs will read the images; None: the defaults
    """
    folder = as_path(text)
    if folder.is_dir():
        return _open_checked(folder.resolve().name, folder, data)
    if text not in PUBLISHED:
        raise ConfigError(f"there is no data set {text!r}: give a folder, or one of {', '.join(PUBLISHED)}")
    return _open_checked(text, _download(PUBLISHED[text].file), data)


def expected_dataset(text: str, data: DataConfig | None = None) -> Dataset:
    """Return a data set for a cost estimate: a published one that is not downloaded has its approximate size.

    Others are opened, because the digest is needed to recognize finished jobs.
    """
    if text in PUBLISHED and not Path(text).is_dir() and not _cache_folder(PUBLISHED[text].file).is_dir():
        return Dataset(text, text, PUBLISHED[text].train_a, PUBLISHED[text].train_b, "")
    return find_dataset(text, data)


def demo_dataset(out: Path) -> Dataset:
    """Write the built-in photographs to ``out/demo``, unless they are there, and open them."""
    folder = out / "demo"
    if not folder.exists():
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out) as temporary:
            data = write_demo_data(Path(temporary) / "photographs")
            for part, source in zip(PARTS, (data.a, data.b, data.test_a, data.test_b), strict=True):
                shutil.copytree(source, Path(temporary) / "demo" / part)
            (Path(temporary) / "demo").rename(folder)
    return _open_checked("demo", folder)


def _open_checked(name: str, folder: Path, data: DataConfig | None = None) -> Dataset:
    """Open a data set and decode every image once, so that a broken one is reported now and not hours later."""
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
            overlap = f"{test.path.name} and {train.path.name} share {counted(shared, 'image')}"
            raise DataError(f"{str(folder)!r}: {overlap}: remove them from one of the two")
    Reporter().note(notes_of(*sources))
    digest = hashlib.sha256(" ".join(source.digest() for source in sources).encode()).hexdigest()[:16]
    return Dataset(name, str(folder.absolute()), len(sources[0]), len(sources[1]), digest)


def _cache_folder(name: str) -> Path:
    """Return the folder in the cache that a published data set is downloaded to."""
    cache = default_cache()
    if cache is None:
        raise ConfigError("there is no home folder to store downloads in: set GANAS_CACHE, or pass a folder to --data")
    return cache / "datasets" / name


def _download(name: str) -> Path:
    """Return the folder of a published data set in the cache; download it if it is not there."""
    folder = _cache_folder(name)
    checksum = folder.parent / f"{name}.sha256"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    url = f"{SERVER}/{name}.zip"
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        archive = Path(temporary) / "download.zip"
        Reporter().say(f"downloading {url} …")
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as response, archive.open("wb") as file:
                shutil.copyfileobj(response, file)
        except (OSError, HTTPException) as error:
            raise DataError(
                f"cannot download {url} ({error}): download it by hand, unpack it, and pass its folder to --data"
            ) from None
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if checksum.exists() and checksum.read_text().strip() != digest:
            raise DataError(f"{url} has changed since the first download: remove {str(checksum)!r} to accept it")
        _unpack(archive, Path(temporary) / "unpacked", url)
        write_atomically(checksum, f"{digest}\n".encode())
        (Path(temporary) / "unpacked").rename(folder)  # last, so that a kill leaves no data set without its checksum
    return folder


def _unpack(archive: Path, folder: Path, origin: str) -> None:
    """Extract only the images of the four parts, wherever they are in the archive."""
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
        raise DataError(f"{origin} is not a readable zip ({error}): try again later") from None
    if not all((folder / part).is_dir() for part in PARTS):
        raise DataError(f"{origin} does not contain {', '.join(PARTS)}: download it by hand, pass its folder to --data")
