"""Read a batch of CIFAR-10's python archive: an unpickler for this one kind of file.

A pickle is a program, and may call whatever it names. Ours may name three things, those that an array consists of, and
gets a stand-in for each, which only keeps what it is called with: nothing of numpy runs, nor anything else.
"""

import io
import pickle
import pickletools
from typing import Any

import numpy as np

from ganas.data.limits import UnreadableError
from ganas.data.unpaired import Pixels

SIDE = 32  # pixels
CHANNELS = 3

# as numpy 1, which the published archive was made with, and numpy 2 name them
ARRAY_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}


class _Called:
    """What a call in the pickle returned: its arguments, and the state that was set afterwards."""

    __slots__ = ("arguments", "state")

    def __init__(self, arguments: tuple[object, ...]) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _StandIn:
    """A name in the pickle."""

    __slots__ = ()

    def __call__(self, *arguments: object) -> _Called:
        return _Called(arguments)


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> _StandIn:
        if (module, name) not in ARRAY_NAMES:
            raise UnreadableError(f"refused, it is a pickle that names {module}.{name}: not a batch of CIFAR-10")
        return _StandIn()


def read_batch(content: bytes) -> Pixels:
    """Return the images of one batch, uint8 [n, 3, 32, 32]. Raises UnreadableError for any other file."""
    try:
        _check_memo(content)
        batch: Any = _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
    except UnreadableError:
        raise
    except Exception as error:  # a damaged pickle raises a dozen exception types
        raise UnreadableError("damaged: not a whole pickle") from error
    if not isinstance(batch, dict):
        raise UnreadableError("not a batch of CIFAR-10")
    data, labels = (batch.get(key, batch.get(key.encode())) for key in ("data", "labels"))
    images = _array(data)
    if not isinstance(labels, list) or len(labels) != len(images):
        raise UnreadableError(f"damaged: {len(images)} images without as many labels")
    return images


def _check_memo(content: bytes) -> None:
    """Raise UnreadableError for a pickle that skips numbers: a table up to the highest one would be allocated."""
    stored = 0
    for operation, argument, _ in pickletools.genops(content):
        if operation.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            stored += 1
            if not 0 <= int(argument or 0) <= stored:
                raise UnreadableError("not a batch of CIFAR-10")


def _array(data: Any) -> Pixels:
    """Build the array that a pickle describes, uint8 [n, 3072]."""
    match data:
        case _Called(state=(_, (int(count), int(width)), _Called(arguments=("u1" | b"u1", *_)), _, bytes(pixels))):
            if width == CHANNELS * SIDE**2 and 0 < count * width == len(pixels):
                return np.frombuffer(pixels, np.uint8).reshape(count, CHANNELS, SIDE, SIDE)
    raise UnreadableError(f"not a batch of CIFAR-10: its data is not uint8 [n, {CHANNELS * SIDE**2}]")
