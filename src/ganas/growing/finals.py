"""``final.safetensors``, what a candidate leaves to its children: its networks, their EMA, perhaps Adam's moments."""

from collections.abc import Mapping

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from ganas.errors import RunError
from ganas.store import Run


def tensors_of(tensors: Mapping[str, Tensor], group: str) -> dict[str, Tensor]:
    """The tensors of a group, by name without the group."""
    return {name.removeprefix(f"{group}/"): t for name, t in tensors.items() if name.startswith(f"{group}/")}


def load_final(folder: Run) -> dict[str, Tensor]:
    """Read a candidate's ``final.safetensors`` as group/name -> tensor; raises `RunError`."""
    try:
        return load(folder.final.read_bytes())  # load_file requires a UTF-8 path
    except (OSError, SafetensorError) as error:
        raise RunError(f"{str(folder.final)!r} cannot be read ({error}): remove it, and it is recreated") from None


def averaged_generator(folder: Run) -> dict[str, Tensor]:
    """The weights of a candidate's EMA generator, without the second RGB convolution of a fade-in."""
    found = tensors_of(load_final(folder), "average")
    return {name: tensor for name, tensor in found.items() if not name.startswith("old_")}
