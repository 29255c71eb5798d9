"""Feature networks: from images to the vectors that FID and KID compare.

A score depends on the network, on how images are brought to its size and on that size, so a network carries all three
(``name``, ``preprocessing``, ``size``), and a digest of the very weights it runs with.

Images come as uint8 RGB and are resized the way Parmar et al. 2022 found that scores need ("On Aliased Resizing and
Surprising Subtleties in GAN Evaluation", https://arxiv.org/abs/2104.11222), called *clean*: each channel as float32
through an antialiased bicubic filter, up and down alike, and never rounded back to integers.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from ganas.errors import FeatureError

StateDict: TypeAlias = dict[str, Tensor]

SQUEEZENET_SIZE = 128  # pixels: near the size of the images that are compared, and cheap enough between training steps
INCEPTION_SIZE = 299
WEIGHTS_WANTED = "give a .safetensors file or a .pth state dict"
IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of images in [0, 1]
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)

# In the network's own order, up to the last map.
INCEPTION_LAYERS = (
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "MaxPool_1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "MaxPool_2"),
    *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    *("Mixed_7a", "Mixed_7b", "Mixed_7c"),
)


class Images(Protocol):
    """A set of images that are read one at a time, as :class:`ganas.data.sources.ImageSource` does."""

    def __len__(self) -> int: ...

    def read(self, index: int, /) -> Image.Image:
        """Image ``index`` as PIL RGB."""
        ...


class TensorImages:
    """A tensor seen as :class:`Images`.

    images    uint8 [n, 3, h, w]; ValueError otherwise, so that images in [-1, 1] are never scored by mistake
    """

    def __init__(self, images: Tensor) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"images must be uint8 [n, 3, h, w], got {images.dtype} {list(images.shape)}")
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def read(self, index: int, /) -> Image.Image:
        """Image ``index`` as PIL RGB."""
        return Image.fromarray(self._images[index].permute(1, 2, 0).cpu().numpy())


class FeatureNetwork(Protocol):
    """A network whose features are compared, and what a score computed with it has to say about it."""

    @property
    def name(self) -> str:
        """``squeezenet`` or ``inception``."""
        ...

    @property
    def preprocessing(self) -> str:
        """How images come to ``size``: ``clean``, see :func:`clean_resize`."""
        ...

    @property
    def size(self) -> int:
        """Side of its square input, in pixels."""
        ...

    @property
    def dimension(self) -> int:
        """Number of features of one image."""
        ...

    @property
    def digest(self) -> str:
        """Short SHA-256 of its weights: the same weights from another file format have the same digest."""
        ...

    def features(self, images: Tensor, /) -> Tensor:
        """float32 [n, 3, size, size] RGB in [0, 255], not rounded -> float32 [n, dimension] on the CPU."""
        ...


@dataclass(frozen=True, eq=False)
class PooledNetwork:
    """A :class:`FeatureNetwork` made of layers whose last output is pooled to one vector per image."""

    name: str
    size: int
    dimension: int
    digest: str
    layers: nn.Module  # float32 [n, 3, size, size] -> [n, dimension]
    mean: Tensor  # [3, 1, 1], in grey levels of [0, 255]
    deviation: Tensor  # [3, 1, 1], in grey levels
    preprocessing: str = "clean"

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """float32 [n, 3, size, size] RGB in [0, 255], not rounded -> float32 [n, dimension] on the CPU."""
        # An autocast of the training loop around this call would make the score depend on the training's precision.
        with torch.autocast(self.mean.device.type, enabled=False):
            pooled: Tensor = self.layers((images.to(self.mean.device) - self.mean) / self.deviation)
        return pooled.cpu()


def load_features(spec: str, *, device: str = "cpu") -> FeatureNetwork:
    """The feature network that ``spec`` names, ready on ``device``.

    spec      ``squeezenet:PATH``  SqueezeNet 1.1 (Iandola et al. 2016, https://arxiv.org/abs/1602.07360), 512 features
                                   at 128 px; PATH holds torchvision's weights, as .safetensors of its ``.features`` or
                                   as the whole .pth state dict
              ``inception``        the Inception-v3 of FID (Szegedy et al. 2015, https://arxiv.org/abs/1512.00567, with
                                   TensorFlow's weights as torch-fidelity publishes them), 2048 features at 299 px;
                                   downloaded once
              ``inception:PATH``   the same from a file, for a machine that is offline
    device    where torch runs it

    Files are only ever read as tensors: one that needs unpickling of anything else is refused and nothing in it is run.
    Raises FeatureError where the name is unknown, or the weights are missing, damaged or another network's.
    """
    name, _, path = spec.partition(":")
    if name == "squeezenet" and path:
        return _squeezenet(Path(path).expanduser(), device)
    if name == "squeezenet":
        raise FeatureError("squeezenet needs its weights: give squeezenet:PATH (torchvision's squeezenet1_1)")
    if name == "inception":
        return _inception(Path(path).expanduser() if path else _downloaded_inception(), device)
    raise FeatureError(f"unknown feature network {spec!r}: give squeezenet:PATH, inception or inception:PATH")


def clean_resize(image: Image.Image | npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.float32]:
    """One image at ``size`` × ``size`` pixels by the *clean* protocol of Parmar et al. 2022 (module docstring).

    image    PIL RGB, or uint8 [3, h, w]

    Returns float32 [3, size, size], clipped to [0, 255] (bicubic overshoots) and not rounded.
    """
    channels = np.asarray(image).transpose(2, 0, 1) if isinstance(image, Image.Image) else image
    resized = [
        Image.fromarray(np.ascontiguousarray(channel, dtype=np.float32)).resize((size, size), Image.Resampling.BICUBIC)
        for channel in channels
    ]
    return np.stack([np.asarray(channel) for channel in resized]).clip(0, 255)


def resized_batches(images: Images, size: int, batch: int) -> Iterator[Tensor]:
    """Every image in order, as float32 [batch or fewer, 3, size, size] through :func:`clean_resize`.

    The next batch is read and resized by threads (as many as torch computes with) while the caller works on this one:
    decoding and resizing release the interpreter's lock. Two batches are held at most, whatever n is.
    """

    def read(index: int) -> npt.NDArray[np.float32]:
        return clean_resize(images.read(index), size)

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:

        def submit(start: int) -> list[Future[npt.NDArray[np.float32]]]:
            return [pool.submit(read, index) for index in range(start, min(start + batch, len(images)))]

        ahead = submit(0)
        for start in range(batch, len(images) + batch, batch):
            ready, ahead = ahead, submit(start)
            yield torch.from_numpy(np.stack([image.result() for image in ready]))


def extract(network: FeatureNetwork, images: Images | Tensor, *, batch: int = 32) -> npt.NDArray[np.float64]:
    """The features of every image, in order, as float64 [n, network.dimension].

    images    an image source, or uint8 [n, 3, h, w]
    batch     images that go through the network at once; the result depends on it by float32 rounding at most
    """
    source = TensorImages(images) if isinstance(images, Tensor) else images
    features = np.empty((len(source), network.dimension))
    start = 0
    for resized in resized_batches(source, network.size, batch):
        features[start : start + len(resized)] = network.features(resized).numpy()
        start += len(resized)
    return features


def _squeezenet(path: Path, device: str) -> PooledNetwork:
    """SqueezeNet 1.1 with the weights in ``path``, its last map averaged over space."""
    from torchvision.models import squeezenet1_1  # slow to import, and not needed by who uses SWD alone

    weights = _read_weights(path)
    if "features.0.weight" in weights:  # torchvision's whole network: the classifier behind .features is not used
        prefix = "features."
        weights = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}

    def build() -> nn.Module:
        layers: nn.Sequential = squeezenet1_1().features
        layers.load_state_dict(weights)
        return layers

    layers = _built(build, path, "squeezenet1_1 from torchvision")
    mean, deviation = (255 * torch.tensor(values) for values in (IMAGENET_MEAN, IMAGENET_DEVIATION))
    return _pooled("squeezenet", SQUEEZENET_SIZE, 512, layers, mean, deviation, device)


def _inception(path: Path, device: str) -> PooledNetwork:
    """Torch-fidelity's Inception-v3 with the weights in ``path``, without its resize: images come at 299 px already.

    Its own forward takes uint8 and resizes as TensorFlow 1 did, which the clean protocol replaces.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3  # slow to import

    weights = _read_weights(path)

    def build() -> nn.Module:
        # Torch-fidelity unpickles whatever its file holds. It gets a file that holds the tensors read safely above.
        with tempfile.TemporaryDirectory() as folder:
            checked = Path(folder) / "inception.pth"
            torch.save(weights, checked)
            network = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(checked))
        return nn.Sequential(*(network.get_submodule(name) for name in INCEPTION_LAYERS))

    layers = _built(build, path, "torch-fidelity's Inception-v3")
    grey = torch.full((3,), 128.0)
    return _pooled("inception", INCEPTION_SIZE, 2048, layers, grey, grey, device)


def _built(build: Callable[[], nn.Module], path: Path, expected: str) -> nn.Module:
    """What ``build`` makes of the weights in ``path``; FeatureError where they are not those of ``expected``."""
    try:
        with torch.random.fork_rng(devices=[]):  # initial weights are drawn and thrown away: training must not notice
            return build()
    except (RuntimeError, TypeError) as error:  # load_state_dict: missing, unknown or misshapen keys
        raise FeatureError(f"{path} does not hold the weights of {expected}: its tensors don't fit") from error


def _pooled(
    name: str, size: int, dimension: int, layers: nn.Module, mean: Tensor, deviation: Tensor, device: str
) -> PooledNetwork:
    """The network that averages the last map of ``layers`` over space; ``mean`` and ``deviation`` are [3]."""
    pooled = nn.Sequential(layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(1)).requires_grad_(False).eval()
    return PooledNetwork(
        name=name,
        size=size,
        dimension=dimension,
        digest=_digest(pooled),
        layers=pooled.to(device),
        mean=mean[:, None, None].to(device),
        deviation=deviation[:, None, None].to(device),
    )


def _digest(network: nn.Module) -> str:
    """Twelve hexadecimal digits that stand for the values of all weights, in the order the network runs them."""
    digest = hashlib.sha256()
    for value in network.state_dict().values():
        if value.is_floating_point():  # batch norm's counters change nothing, and not every file has them
            digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def _read_weights(path: Path) -> StateDict:
    """The tensors in a .safetensors file, or in a .pth one without running anything that its pickle asks for."""
    if not path.is_file():
        raise FeatureError(f"no feature network at {path}: give the file that holds its weights")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors: object = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files raise whatever the bytes lead to; the cause stays attached
        raise FeatureError(f"{path} cannot be read as weights: {WEIGHTS_WANTED}") from error
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise FeatureError(f"{path} holds something else than weights: {WEIGHTS_WANTED}")
    return tensors


def _downloaded_inception() -> Path:
    """Where torch hub keeps torch-fidelity's Inception weights, downloaded now if they are not there yet."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3 as url

    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # The end of the file's name is the start of its SHA-256, by torch hub's convention.
            torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rpartition("-")[2], progress=True)
        except (OSError, RuntimeError) as error:  # offline, read-only, or not the published bytes
            raise FeatureError(
                f"inception's weights cannot be downloaded: fetch {url} and give inception:PATH, or use squeezenet:PATH"
            ) from error
    return path
