"""Weights of feature networks: read as tensors only, or downloaded once."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch
from safetensors.torch import load
from torch import Tensor, nn

from ganas.errors import FeatureError, shown
from ganas.paths import expanded

StateDict: TypeAlias = dict[str, Tensor]

WANTED = "give a .safetensors file or a .pth state dict"


class Published(NamedTuple):
    """A classifier of torchvision as it was published, with the user's weights if there are any."""

    weights: StateDict
    path: Path
    mean: Tensor  # [3], in gray levels
    deviation: Tensor
    size: int  # pixels


def read_published(model: str, name: str, path: Path | None) -> Published:
    """The weights of torchvision's ``model``, read from ``path`` or downloaded; ``name`` is what the user calls it."""
    from torchvision.models import get_model_weights  # slow to import, and not needed for SWD alone

    recommended: Any = get_model_weights(model).DEFAULT
    path = path or downloaded(recommended.url, name)
    transform = recommended.transforms()
    mean, deviation = (255 * torch.tensor(values) for values in (transform.mean, transform.std))
    return Published(read_weights(path), path, mean, deviation, transform.crop_size[0])


def digest_of(network: nn.Module) -> str:
    """Twelve hexadecimal digits that stand for the values of all weights, in the order the network runs them."""
    digest = hashlib.sha256()
    for value in network.state_dict().values():
        if value.is_floating_point():  # batch norm's counters change nothing, and not every file has them
            digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def read_weights(path: Path) -> StateDict:
    """The tensors in a .safetensors file, or in a .pth one without running anything that its pickle asks for."""
    if not path.is_file():
        raise FeatureError(f"no feature network at {shown(path)}: give the file that holds its weights")
    try:
        if path.suffix == ".safetensors":
            tensors: object = load(path.read_bytes())  # load_file wants a name in UTF-8
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files raise whatever the bytes lead to; the cause stays attached
        raise FeatureError(f"{shown(path)} cannot be read as weights: {WANTED}") from error
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise FeatureError(f"{shown(path)} holds something else than weights: {WANTED}")
    return tensors


def downloaded(url: str, name: str) -> Path:
    """Where torch hub keeps published weights, downloaded now if they are not there yet."""
    path = expanded(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # The end of the file's name is the start of its SHA-256, by torch hub's convention.
            torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rpartition("-")[2], progress=True)
        except (OSError, RuntimeError) as error:  # offline, read-only, or not the published bytes
            raise FeatureError(
                f"the weights of {name} cannot be downloaded: fetch {url} and give {name}:PATH, "
                f"or another network's file as squeezenet:PATH, or measure swd, which needs none"
            ) from error
    return path
