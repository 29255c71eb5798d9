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

WAY_OUT = "give a .safetensors file or a .pth state dict"


class Published(NamedTuple):
    """A published classifier of torchvision, with its published or the user's weights."""

    weights: StateDict
    path: Path
    mean: Tensor  # [3], in gray levels
    deviation: Tensor
    size: int  # pixels


def read_published(model: str, name: str, path: Path | None) -> Published:
    """Read the weights of torchvision's ``model`` from ``path``, or download them; ``name`` is for messages."""
    from torchvision.models import get_model_weights  # slow to import, and not needed for SWD alone

    recommended: Any = get_model_weights(model).DEFAULT
    path = path or download(recommended.url, name)
    transform = recommended.transforms()
    mean, deviation = (255 * torch.tensor(values) for values in (transform.mean, transform.std))
    return Published(read_weights(path), path, mean, deviation, transform.crop_size[0])


def digest_of(network: nn.Module) -> str:
    """Return twelve hex digits of the values of all weights, in the order of the state dict."""
    digest = hashlib.sha256()
    for value in network.state_dict().values():
        if value.is_floating_point():  # batch norm's counters have no effect and are missing in some files
            digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def read_weights(path: Path) -> StateDict:
    """Read the tensors of a .safetensors or .pth file, without executing anything in a pickle."""
    if not path.is_file():
        raise FeatureError(f"no feature network at {shown(path)}: give the file that holds its weights")
    try:
        if path.suffix == ".safetensors":
            tensors: object = load(path.read_bytes())  # load_file needs a UTF-8 name
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files raise many exception types
        raise FeatureError(f"{shown(path)} cannot be read as weights: {WAY_OUT}") from error
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise FeatureError(f"{shown(path)} does not contain weights: {WAY_OUT}")
    return tensors


def download(url: str, name: str) -> Path:
    """Return the path of published weights in torch hub's folder; download them if they are missing."""
    path = expanded(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # a name of torch hub ends with the start of the file's SHA-256
            torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rpartition("-")[2], progress=True)
        except (OSError, RuntimeError) as error:  # offline, read-only, or not the published bytes
            raise FeatureError(
                f"the weights of {name} cannot be downloaded: fetch {url} and give {name}:PATH, "
                f"or another network's file as squeezenet:PATH, or measure swd, which needs no network"
            ) from error
    return path
