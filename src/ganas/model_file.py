"""A model in one self-describing file: safetensors with a JSON document in its metadata. Loading executes no code."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

from ganas.store import write_atomically

MALFORMED = (
    RuntimeError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    struct.error,
)  # by any bytes
METADATA_KEY = "ganas"  # one key only: several make the bytes differ from process to process


def write_model(path: Path, network: nn.Module, document: Mapping[str, Any]) -> None:
    """Write a network's weights and the document that describes them; equal weights and documents give equal bytes."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_atomically(path, save(tensors, metadata={METADATA_KEY: json.dumps(document, sort_keys=True)}))


def read_metadata(content: bytes) -> dict[str, Any]:
    """Read the metadata of a ganas safetensors file: eight bytes of length, then a JSON header. Raises `ValueError`."""
    try:
        (length,) = struct.unpack_from("<Q", content)
        header = json.loads(content[8 : 8 + length])
        return json.loads(header["__metadata__"][METADATA_KEY])  # type: ignore[no-any-return]
    except MALFORMED:
        raise ValueError("it was not written by ganas, or is truncated") from None
