"""A data set of Hugging Face: a folder that `save_to_disk` wrote, parquet files, or a name on the hub.

Arrow files are mapped, not read; parquet files and those of the hub are converted to Arrow once, in ganas's cache. No
code comes with the data: `datasets` from version 4 on runs no loading scripts, and only encoded images are read.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ganas.data.containers.base import Container, Handle, Stamps, check_size, stamp_of
from ganas.data.keys import Keys
from ganas.data.limits import UnreadableError
from ganas.data.listing import Listing
from ganas.data.names import HUB, is_on_hub
from ganas.errors import ConfigError, DataError, shown
from ganas.store import default_cache

SAVED = ("state.json", "dataset_dict.json")  # of save_to_disk: one data set, or several splits
PARQUET = ".parquet"
METADATA = f"metadata{PARQUET}"  # about image files beside it
TRAINING = "train"  # the split that is taken of several
PREFERRED = ("image", "img")  # columns, where there are several of images


class _Opened(NamedTuple):
    data: Any  # a datasets.Dataset whose images are not decoded
    column: str
    files: tuple[str, ...]  # that hold it
    notes: tuple[str, ...]


@dataclass(frozen=True)
class HuggingFace(Container):
    """A data set of Hugging Face; names are the numbers of its rows."""

    path: Path  # a folder, a parquet file, or hf:OWNER/NAME[:SPLIT]
    _handle: Handle[_Opened] = field(default_factory=Handle, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[type["HuggingFace"], tuple[Path]]:
        return HuggingFace, (self.path,)

    def list(self) -> Listing:
        data, _, _, notes = self._opened
        if not len(data):
            raise DataError(f"{shown(self.path)}: a data set without rows: give another")
        digits = len(str(len(data) - 1))
        return Listing(Keys.of(b"%0*d" % (digits, row) for row in range(len(data))), notes)

    def read(self, name: str, /) -> bytes:
        data, column, *_ = self._opened
        encoded = data[int(name)][column]["bytes"]
        if encoded is None:
            raise UnreadableError("only a path is stored, not the image")
        check_size(len(encoded))
        return bytes(encoded)

    def stamps(self, names: Sequence[str], /) -> Stamps:
        data, column, files, _ = self._opened
        stamps = np.empty((len(names), 3), np.int64)
        sizes = _sizes(data, column)
        stamps[:, 0] = sizes[np.fromiter(map(int, names), np.int64, len(names))]
        stamps[:, 1:] = max(stamp_of(os.stat(file))[1:] for file in files)
        return stamps

    @property
    def _opened(self) -> _Opened:
        return self._handle.get(lambda: _open(self.path))


def is_hugging_face(path: Path) -> bool:
    """Whether a path is a name on the hub, or looks like a data set that `datasets` reads."""
    if is_on_hub(path):
        return True
    if path.is_dir():
        return any((path / name).is_file() for name in SAVED) or bool(_parquet_files(path))
    return path.is_file() and path.suffix == PARQUET


def _parquet_files(path: Path) -> Sequence[Path]:
    """Return a parquet file itself, or those in a folder and in its ``data``, where the hub keeps them."""
    if path.is_file():
        return [path]
    files = sorted((*path.glob(f"*{PARQUET}"), *path.glob(f"data/*{PARQUET}")))
    return [file for file in files if file.name != METADATA]


def _open(path: Path) -> _Opened:
    datasets = _datasets()
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        data, notes = _load(datasets, path)
    except (DataError, ConfigError):
        raise
    except Exception as error:  # what datasets, pyarrow, fsspec and their HTTP libraries raise has no common type
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{shown(path)}: cannot be read as a data set ({reason}): check it, or its name") from error
    columns = [name for name, feature in data.features.items() if isinstance(feature, datasets.Image)]
    chosen = next((name for name in (*PREFERRED, *columns) if name in columns), None)
    if chosen is None:
        found = ", ".join(map(shown, data.features))
        raise DataError(f"{shown(path)}: no column of images (it has {found}): give a data set of images")
    if len(columns) > 1:
        others = ", ".join(shown(name) for name in columns if name != chosen)
        notes = (*notes, f"images are those of column {shown(chosen)}, not {others}")
    data = data.with_format(None).select_columns([chosen]).cast_column(chosen, datasets.Image(decode=False))
    files = _parquet_files(path) or [file["filename"] for file in data.cache_files]
    return _Opened(data, chosen, tuple(map(str, files)), notes)


def _load(datasets: Any, path: Path) -> tuple[Any, tuple[str, ...]]:
    """Return one split, and notes on the others."""
    if is_on_hub(path):
        name, _, split = str(path).removeprefix(HUB).partition(":")
        loaded = datasets.load_dataset(name, cache_dir=_cache())
        return _split(path, loaded, split)
    if path.is_dir() and not _parquet_files(path):
        loaded = datasets.load_from_disk(str(path))
        return _split(path, loaded) if isinstance(loaded, datasets.DatasetDict) else (loaded, ())
    splits: dict[str, list[str]] = {}
    for file in _parquet_files(path):  # the hub's names: train-00000-of-00002.parquet
        splits.setdefault(file.stem.partition("-")[0], []).append(str(file))
    if TRAINING not in splits:
        splits = {TRAINING: [name for names in splits.values() for name in names]}
    wanted = {TRAINING: splits[TRAINING]}
    loaded = datasets.load_dataset("parquet", data_files=wanted, cache_dir=_cache())
    return loaded[TRAINING], _on_others(splits)


def _split(path: Path, splits: Mapping[str, Any], wanted: str = "") -> tuple[Any, tuple[str, ...]]:
    split = wanted or (TRAINING if TRAINING in splits else next(iter(splits)) if len(splits) == 1 else "")
    if split not in splits:
        raise DataError(f"{shown(path)}: has no split {wanted or TRAINING!r}: give one of {', '.join(splits)}")
    return splits[split], () if wanted else _on_others(splits, split)


def _on_others(splits: Mapping[str, Any], taken: str = TRAINING) -> tuple[str, ...]:
    others = ", ".join(name for name in splits if name != taken)
    return (f"split {taken} is read, not {others}",) if others else ()


def _sizes(data: Any, column: str) -> Any:
    """Return the bytes of each image, int64 [n]: from their offsets, without reading them."""
    import pyarrow.compute

    chunks = data.data.column(column).chunks
    lengths = [pyarrow.compute.binary_length(chunk.field("bytes")).fill_null(0).to_numpy(False) for chunk in chunks]
    sizes = np.concatenate([np.zeros(0, np.int64), *lengths])
    return sizes if data._indices is None else sizes[data._indices.column(0).to_numpy()]


def _cache() -> str:
    cache = default_cache()
    if cache is None:
        raise ConfigError("there is no home folder to convert the data set in: set GANAS_CACHE to a cache folder")
    return str(cache / "huggingface")


def _datasets() -> Any:
    try:
        import datasets
    except ImportError:
        raise ConfigError("a data set of Hugging Face needs datasets: pip install 'ganas[data]'") from None
    return datasets
