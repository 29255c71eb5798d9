"""A model in one file that says what it is: safetensors whose metadata holds a JSON document. Nothing is executed."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

from ganas.store import write_atomically

MALFORMED = (RuntimeError, ValueError, KeyError, TypeError, AttributeError, OverflowError, struct.error)  # of any bytes
METADATA_KEY = "ganas"  # one key only: several make the bytes differ from process to process


def write_model(path: Path, network: nn.Module, document: Mapping[str, Any]) -> None:
    """Write a network's weights and what they are; equal weights and documents give equal bytes."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_atomically(path, save(tensors, metadata={METADATA_KEY: json.dumps(document, sort_keys=True)}))


def read_metadata(content: bytes) -> dict[str, Any]:
    """The metadata of a safetensors file of ours: eight bytes of length, then a JSON header. Raises `MALFORMED`."""
    try:
        (length,) = struct.unpack_from("<Q", content)
        header = json.loads(content[8 : 8 + length])
        return json.loads(header["__metadata__"][METADATA_KEY])  # type: ignore[no-any-return]
    except MALFORMED:
        raise ValueError("ganas did not write it, or it is cut off") from None
