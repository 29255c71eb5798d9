"""Where the data sets of a recipe come from: a folder of the user's, the built-in photographs, or the paper's six.

A data set is a folder with trainA, trainB, testA and testB. The paper's are downloaded once, into ganas's cache, when
they are asked for by name; the checksum of the first download is written beside them, and a later one has to agree.
"""

import hashlib
import shutil
import tempfile
import urllib.request
import zipfile
from pathlib import Path, PurePosixPath

from ganas.data.demo import write_demo_data
from ganas.data.sources import IMAGE_SUFFIXES
from ganas.errors import ConfigError, DataError
from ganas.recipes.jobs import Dataset
from ganas.store import default_cache, write_atomically

PARTS = ("trainA", "trainB", "testA", "testB")
SERVER = "http://efrosgans.eecs.berkeley.edu/cyclegan/datasets"
# name in the paper -> name of the download
PUBLISHED = {
    "facades": "facades",
    "maps": "maps",
    "apple2orange": "apple2orange",
    "horse2zebra": "horse2zebra",
    "summer2winter": "summer2winter_yosemite",
    "iphone2dslr": "iphone2dslr_flower",
}
PATIENCE = 60.0  # seconds without an answer


def find_dataset(text: str) -> Dataset:
    """A folder, or one of the paper's data sets by name; raises `DataError` or `ConfigError`."""
    folder = Path(text)
    if folder.is_dir():
        for part in PARTS:
            if not (folder / part).is_dir():
                raise DataError(f"{text!r} has no {part}: a data set has the folders {', '.join(PARTS)}")
        return Dataset(folder.resolve().name, str(folder.resolve()))
    if text not in PUBLISHED:
        raise ConfigError(f"there is no data set {text!r}: give a folder, or one of {', '.join(PUBLISHED)}")
    return Dataset(text, str(_downloaded(PUBLISHED[text])))


def demo_dataset(out: Path) -> Dataset:
    """The built-in photographs, written under `out`."""
    data = write_demo_data(out / "photographs")
    for part, source in zip(PARTS, (data.a, data.b, data.test_a, data.test_b), strict=True):
        place = out / "demo" / part
        if not place.exists():
            shutil.copytree(source, place)
    return Dataset("demo", str((out / "demo").resolve()))


def _downloaded(name: str) -> Path:
    """The folder of a published data set in the cache."""
    home = default_cache() / "datasets"
    folder, checksum = home / name, home / f"{name}.sha256"
    if folder.is_dir():
        return folder
    home.mkdir(parents=True, exist_ok=True)
    url = f"{SERVER}/{name}.zip"
    with tempfile.TemporaryDirectory(dir=home) as place:
        archive = Path(place) / "download.zip"
        digest = hashlib.sha256()
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer, archive.open("wb") as file:
                while block := answer.read(1 << 20):
                    digest.update(block)
                    file.write(block)
        except OSError as error:
            raise DataError(
                f"cannot download {url} ({error}): fetch it by hand, unpack it, and give --data its folder"
            ) from None
        if checksum.exists() and checksum.read_text().strip() != digest.hexdigest():
            raise DataError(f"{url} is not what it was at the first download: remove {str(checksum)!r} to accept it")
        _unpack(archive, Path(place) / "unpacked", url)
        (Path(place) / "unpacked").rename(folder)
    write_atomically(checksum, f"{digest.hexdigest()}\n".encode())
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
    except zipfile.BadZipFile as error:
        raise DataError(f"{origin} is no zip ({error}): try again later") from None
    if not all((folder / part).is_dir() for part in PARTS):
        raise DataError(f"{origin} does not hold {', '.join(PARTS)}: fetch the data set by hand, and give --data")
