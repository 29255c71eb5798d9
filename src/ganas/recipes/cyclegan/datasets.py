"""The data sets of a recipe: a user's folder, the built-in photographs, or one of the paper's six.

A data set is a folder with trainA, trainB, testA and testB. The paper's are downloaded on first use
(:mod:`ganas.data.published`).
"""

import hashlib
from pathlib import Path

from ganas.cyclegan.config import DataConfig
from ganas.data.names import PARTS, PUBLISHED
from ganas.data.published import download, is_downloaded
from ganas.data.sources import MINIMUM_IMAGES, notes_of, open_source
from ganas.errors import ConfigError, DataError, counted
from ganas.paths import as_path
from ganas.progress import Reporter
from ganas.recipes.cyclegan.jobs import Dataset
from ganas.recipes.photographs import write_photographs


def find_dataset(text: str, data: DataConfig | None = None) -> Dataset:
    """Open a folder, or one of the paper's data sets by name; raises `DataError` or `ConfigError`.

    data    how the jobs will read the images; None: the defaults
    """
    folder = as_path(text)
    if folder.is_dir():
        return _open_checked(folder.resolve().name, folder, data)
    if text not in PUBLISHED:
        raise ConfigError(f"there is no data set {text!r}: give a folder, or one of {', '.join(PUBLISHED)}")
    return _open_checked(text, download(text), data)


def expected_dataset(text: str, data: DataConfig | None = None) -> Dataset:
    """Return a data set for a cost estimate: a published one that is not downloaded has its approximate size.

    Others are opened, because the digest is needed to recognize finished jobs.
    """
    if text in PUBLISHED and not Path(text).is_dir() and not is_downloaded(text):
        return Dataset(text, text, PUBLISHED[text].train_a, PUBLISHED[text].train_b, "")
    return find_dataset(text, data)


def demo_dataset(out: Path) -> Dataset:
    """Write the built-in photographs to ``out/demo``, unless they are there, and open them."""
    return _open_checked("demo", write_photographs(out))


def _open_checked(name: str, folder: Path, data: DataConfig | None = None) -> Dataset:
    """Open a data set and decode every image once, so that a broken one is reported now and not hours later."""
    for part in PARTS:
        if not (folder / part).is_dir():
            raise DataError(f"{str(folder)!r} has no {part}: a data set has the folders {', '.join(PARTS)}")
    data = data or DataConfig(a=folder, b=folder)
    sources = [
        open_source(
            folder / part,
            minimum=MINIMUM_IMAGES,
            skip_bad=data.skip_bad,
            verify=data.verify,
            white=data.white,
            icc=data.icc,
        )
        for part in PARTS
    ]
    for train, test in zip(sources[:2], sources[2:], strict=True):
        if shared := len(train.files & test.files):
            overlap = f"{test.path.name} and {train.path.name} share {counted(shared, 'image')}"
            raise DataError(f"{str(folder)!r}: {overlap}: remove them from one of the two")
    Reporter().note(notes_of(*sources))
    digest = hashlib.sha256(" ".join(source.digest() for source in sources).encode()).hexdigest()[:16]
    return Dataset(name, str(folder.absolute()), len(sources[0]), len(sources[1]), digest)
