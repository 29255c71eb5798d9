"""CycleGANAS's six data sets, by name: downloaded into ganas's cache when they are first opened. No torch here.

``horse2zebra/trainA`` is a folder of images in every command that takes one, unless there is such a path.
"""

import hashlib
import shutil
import tempfile
import urllib.request
import zipfile
import zlib
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import IO

from ganas.data.listing import IMAGE_SUFFIXES
from ganas.data.names import PARTS, PUBLISHED, is_published
from ganas.errors import ConfigError, DataError, shown
from ganas.progress import Reporter
from ganas.store import default_cache

SERVERS = (  # tried in this order; whatever answers, the checksum must match
    "https://efrosgans.eecs.berkeley.edu/cyclegan/datasets",
    "http://efrosgans.eecs.berkeley.edu/cyclegan/datasets",
)
TIMEOUT = 60.0  # seconds without a response


def is_downloaded(name: str) -> bool:
    """Whether a published data set is in the cache."""
    return _cache_folder(PUBLISHED[name].file).is_dir()


def find_folder(path: Path) -> Path:
    """Return a path as it is, or the folder in the cache of a published data set, which is downloaded if need be."""
    if not is_published(path):
        return path
    name, *part = path.parts
    return download(name).joinpath(*part)


def download(name: str) -> Path:
    """Return the folder of a published data set; raises DataError if it cannot be downloaded, or is another file."""
    published = PUBLISHED[name]
    folder = _cache_folder(published.file)
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        archive = Path(temporary) / "download.zip"
        with archive.open("w+b") as file:
            url = _fetch(f"{published.file}.zip", file)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != published.sha256:
            raise DataError(
                f"{url} is not the published file (its SHA-256 is {digest[:12]}…, not {published.sha256[:12]}…): "
                f"download the data set elsewhere, and pass its folders"
            )
        _unpack(archive, Path(temporary) / "unpacked", url)
        (Path(temporary) / "unpacked").rename(folder)
    return folder


def _fetch(name: str, file: IO[bytes]) -> str:
    """Download a file from the first server that answers; returns its address."""
    reasons = {}
    for server in SERVERS:
        url = f"{server}/{name}"
        Reporter().say(f"downloading {url} …")
        file.truncate(0)
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
                shutil.copyfileobj(response, file)
            return url
        except (OSError, HTTPException) as error:
            file.seek(0)
            reasons[url] = error
    url, reason = next(iter(reasons.items()))
    raise DataError(f"cannot download {url} ({reason}): download it by hand, unpack it, and pass its folders")


def _cache_folder(name: str) -> Path:
    """Return the folder in the cache that a published data set is downloaded to."""
    cache = default_cache()
    if cache is None:
        raise ConfigError("there is no home folder to store downloads in: set GANAS_CACHE, or pass folders")
    return cache / "datasets" / name


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
        raise DataError(f"{shown(origin)} does not contain {', '.join(PARTS)}: download it by hand, pass its folders")
