"""A model in one self-describing file: safetensors with a JSON document in its metadata. Loading executes no code."""

import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save
from torch import nn

from ganas.document import open_envelope
from ganas.errors import RunError, UserError
from ganas.store import Run, write_atomically

# what reading arbitrary bytes may raise
MALFORMED = (RuntimeError, ValueError, KeyError, TypeError, AttributeError, OverflowError, struct.error)
METADATA_KEY = "ganas"  # only one key: with several, the order of the bytes varies between processes


def write_model(path: Path, network: nn.Module, document: Mapping[str, Any]) -> None:
    """Write a network's weights and the document that describes them; equal weights and documents give equal bytes."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_atomically(path, save(tensors, metadata={METADATA_KEY: json.dumps(document, sort_keys=True)}))


def read_metadata(content: bytes) -> dict[str, Any]:
    """Read the metadata of a ganas safetensors file: eight bytes of length, then a JSON header.

    Raises `ValueError` if ganas did not write it, `RunError` for another schema.
    """
    try:
        (length,) = struct.unpack_from("<Q", content)
        header = json.loads(content[8 : 8 + length])
        document = json.loads(header["__metadata__"][METADATA_KEY])
    except MALFORMED:
        raise ValueError("it was not written by ganas, or is truncated") from None
    return open_envelope(document, "it", "model")


def find_model(path: Path, name: str, *, command: str, run: str) -> Path:
    """Find a model file in a run or in a copied model folder; `path` may also be the file itself.

    Raises `RunError` that names the command that writes it, and a run that holds it.
    """
    for file in (path, Run(path).model / name, path / name):
        if file.is_file():
            return file
    if not path.exists():
        raise RunError(f"there is no run {str(path)!r}: give the folder that {command} wrote")
    raise RunError(f"{str(path)!r} holds no {name}: give {run}")


@contextmanager
def intact(path: Path, what: str) -> Iterator[None]:
    """Convert any exception from reading a damaged or foreign file to a `RunError` that names it."""
    try:
        yield
    except (SafetensorError, UserError, *MALFORMED) as error:
        reason = (str(error).splitlines() or ["cut off"])[0][:100]
        raise RunError(f"{str(path)!r} is not an intact {what} ({reason}): use another copy") from None
