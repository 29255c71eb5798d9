"""Tell from a path which container it is."""

from pathlib import Path

from ganas.data.containers.arrays import Arrays, holds_arrays
from ganas.data.containers.base import Container
from ganas.data.containers.folder import Folder, SingleImage
from ganas.data.containers.huggingface import HuggingFace, is_hugging_face
from ganas.data.containers.lmdb import Lmdb, is_lmdb
from ganas.data.containers.zip import Zip
from ganas.data.listing import NOT_IMAGES, is_image_name
from ganas.data.names import is_on_hub
from ganas.data.published import find_folder
from ganas.errors import DataError, shown


def find_container(path: Path) -> Container:
    """Return the container at ``path``, or of that name; raises DataError if there is nothing that ganas reads."""
    path = find_folder(path)
    if is_on_hub(path):
        return HuggingFace(path)
    if not path.exists():
        raise DataError(f"{shown(path)}: no such file or folder: check the path")
    if holds_arrays(path):
        return Arrays(path)
    if is_lmdb(path):
        return Lmdb(path)
    if is_hugging_face(path):
        return HuggingFace(path)
    if path.is_dir():
        return Folder(path)
    if not path.is_file():  # opening a pipe would wait forever
        raise DataError(f"{shown(path)}: {NOT_IMAGES}")
    return SingleImage(path) if is_image_name(path.name) else Zip(path)
