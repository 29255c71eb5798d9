"""Feature networks: from images to the vectors that FID, KID, precision and recall compare, and the logits of IS.

A score depends on the network, on how images are brought to its size and on that size, so a network carries all three
(``name``, ``preprocessing``, ``size``), and digests of the very weights it runs with. A specification says them in the
same words as a metric's key: ``NETWORK[-PREPROCESSING[-SIZE]][:PATH]``, as in ``inception``, ``inception-legacy``,
``squeezenet:weights.safetensors`` or ``resnet50-clean-224:resnet50.pth``.

Images come as uint8 RGB. *clean* resizes them the way Parmar et al. 2022 found that scores need ("On Aliased Resizing
and Surprising Subtleties in GAN Evaluation", https://arxiv.org/abs/2104.11222): each channel as float32 through an
antialiased bicubic filter, up and down alike, and never rounded back to integers. *legacy* is TensorFlow 1's bilinear
resize without antialiasing, which the first FID code used, and which older papers' numbers need.
"""

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from safetensors.torch import load
from torch import Tensor, nn

from ganas.data.threads import Threads
from ganas.errors import FeatureError, shown
from ganas.paths import expanded

StateDict: TypeAlias = dict[str, Tensor]
PreprocessingName = Literal["clean", "legacy"]

SQUEEZENET_SIZE = 128  # pixels: near the size of the images that are compared, and cheap enough between training steps
INCEPTION_SIZE = 299
FORMAT = "NETWORK[-clean|-legacy[-SIZE]][:PATH]"
WEIGHTS_WANTED = "give a .safetensors file or a .pth state dict"

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

    def digest(self) -> str:
        """16 hex digits that change when a pixel or the shape does."""
        pixels = self._images.cpu().contiguous().numpy()
        return hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:16]


class Activations(NamedTuple):
    """What a network makes of n images."""

    features: Tensor  # float32 [n, dimension]
    logits: Tensor | None  # float32 [n, classes]; None: its weights have no classifier


class FeatureNetwork(Protocol):
    """A network whose features are compared, and what a score computed with it has to say about it."""

    @property
    def name(self) -> str:
        """``inception``, ``squeezenet``, or torchvision's name of a classifier."""
        ...

    @property
    def preprocessing(self) -> PreprocessingName:
        """How images come to ``size``: a key of `PREPROCESSING`."""
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
    def classes(self) -> int | None:
        """Number of logits of one image; None where its weights have no classifier."""
        ...

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``: the last bits differ."""
        ...

    @property
    def digest(self) -> str:
        """Short SHA-256 of the weights that features depend on: the same weights in another file have the same."""
        ...

    @property
    def classifier_digest(self) -> str | None:
        """The same of the last layer, which makes logits of features."""
        ...

    def __call__(self, images: Tensor, /) -> Activations:
        """float32 [n, 3, size, size] RGB in [0, 255], not rounded -> what it makes of them, on the CPU."""
        ...


@dataclass(frozen=True, eq=False)
class TorchNetwork:
    """A :class:`FeatureNetwork` made of a trunk, of what makes features of its output, and of what makes logits."""

    name: str
    preprocessing: PreprocessingName
    size: int
    dimension: int
    classes: int | None
    digest: str
    classifier_digest: str | None
    trunk: nn.Module  # takes float32 [n, 3, size, size]
    pool: nn.Module  # of its output: [n, dimension]
    classifier: nn.Module | None  # of its output: [n, classes]
    mean: Tensor  # [3, 1, 1], in grey levels of [0, 255]
    deviation: Tensor  # [3, 1, 1], in grey levels

    @property
    def device(self) -> str:
        """The kind of device it is on."""
        return self.mean.device.type

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Activations:
        """float32 [n, 3, size, size] RGB in [0, 255], not rounded -> what it makes of them, on the CPU."""
        # An autocast of the training loop around this call would make the score depend on the training's precision.
        # TF32 would make it depend on the kind of GPU.
        exact = torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False)
        with torch.autocast(self.mean.device.type, enabled=False), exact:
            output = self.trunk((images.to(self.mean.device) - self.mean) / self.deviation)
            logits = self.classifier(output).cpu() if self.classifier else None
            return Activations(self.pool(output).cpu(), logits)


def parse_spec(spec: str) -> tuple[str, PreprocessingName, int | None, Path | None]:
    """``NETWORK[-PREPROCESSING[-SIZE]][:PATH]`` -> its parts, None where left out; raises FeatureError."""
    words, colon, path = spec.partition(":")
    name, *rest = words.split("-")
    preprocessing = rest[0] if rest else "clean"
    size = rest[1] if len(rest) > 1 else ""
    if not name or len(rest) > 2 or preprocessing not in PREPROCESSING or (size and not size.isdecimal()):
        raise FeatureError(
            f"cannot read the feature network {spec!r}: give {FORMAT}, as in inception or squeezenet:PATH"
        )
    if colon and not path:
        raise FeatureError(f"the path in {spec!r} is empty: give {name}:PATH, or {name} alone to have it downloaded")
    place = expanded(path) if path else None
    return name, preprocessing, int(size) if size else None, place  # type: ignore[return-value]


def load_features(spec: str, *, device: str = "cpu") -> FeatureNetwork:
    """The feature network that ``spec`` names, ready on ``device``.

    spec      as in the module docstring. The networks are
              ``inception``      the Inception-v3 of FID (Szegedy et al. 2015, https://arxiv.org/abs/1512.00567, with
                                 TensorFlow's weights as torch-fidelity publishes them), 2048 features at 299 px
              ``squeezenet``     SqueezeNet 1.1 (Iandola et al. 2016, https://arxiv.org/abs/1602.07360), 512 features at
                                 128 px; PATH may hold its ``.features`` alone, and then there are no logits
              ``resnet50``, ...  any classifier of torchvision by its name there; its features are what its last layer
                                 is given, its size that of its published transform
              PATH holds the weights (.safetensors, or a .pth state dict); without it they are downloaded once
    device    where torch runs it

    Files are only ever read as tensors: one that needs unpickling of anything else is refused and nothing in it is run.
    Raises FeatureError where the name is unknown, or the weights are missing, damaged or another network's.
    """
    name, preprocessing, size, path = parse_spec(spec)
    if name == "inception":
        if size not in (None, INCEPTION_SIZE):
            raise FeatureError(f"inception takes images of {INCEPTION_SIZE} px, got {size}: leave the size out")
        parts = _inception(path)
    else:
        parts = _classifier(name, path)
    return _assembled(name, preprocessing, size, parts, device)


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


def legacy_resize(image: Image.Image | npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.float32]:
    """One image at ``size`` × ``size`` pixels by TensorFlow 1's bilinear resize, which aliases; shapes as above."""
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    channels = np.asarray(image).transpose(2, 0, 1) if isinstance(image, Image.Image) else image
    pixels = torch.from_numpy(channels.astype(np.float32))[None]
    resized = interpolate_bilinear_2d_like_tensorflow1x(pixels, size=(size, size), align_corners=False)
    return resized[0].numpy()  # type: ignore[no-any-return]


Resize = Callable[[Image.Image | npt.NDArray[np.uint8], int], npt.NDArray[np.float32]]
PREPROCESSING: Mapping[PreprocessingName, Resize] = {"clean": clean_resize, "legacy": legacy_resize}


def resized_batches(
    images: Images, size: int, batch: int, preprocessing: PreprocessingName = "clean"
) -> Iterator[Tensor]:
    """Every image in order, as float32 [batch or fewer, 3, size, size].

    The next batch is read and resized by threads (as many as torch computes with) while the caller works on this one:
    decoding and resizing release the interpreter's lock. Two batches are held at most, whatever n is.
    """
    resize = PREPROCESSING[preprocessing]

    def read(index: int) -> npt.NDArray[np.float32]:
        return resize(images.read(index), size)

    with Threads(torch.get_num_threads(), "resized") as pool:

        def submit(start: int) -> list[Future[npt.NDArray[np.float32]]]:
            return [pool.submit(read, index) for index in range(start, min(start + batch, len(images)))]

        ahead = submit(0)
        for start in range(batch, len(images) + batch, batch):
            ready, ahead = ahead, submit(start)
            yield torch.from_numpy(np.stack([image.result() for image in ready]))


def extract(
    network: FeatureNetwork, images: Images | Tensor, *, batch: int = 32, seen: Callable[[int], None] = lambda _: None
) -> Activations:
    """The features and logits of every image, in order.

    images    an image source, or uint8 [n, 3, h, w]
    batch     images that go through the network at once; the result depends on it by float32 rounding at most
    seen      told how many are done
    """
    source = TensorImages(images) if isinstance(images, Tensor) else images
    features = torch.empty(len(source), network.dimension)
    logits = None if network.classes is None else torch.empty(len(source), network.classes)
    start = 0
    for resized in resized_batches(source, network.size, batch, network.preprocessing):
        part = network(resized)
        features[start : start + len(resized)] = part.features
        if logits is not None:
            assert part.logits is not None
            logits[start : start + len(resized)] = part.logits
        start += len(resized)
        seen(start)
    return Activations(features, logits)


class _Parts(NamedTuple):
    """A network taken apart, on the CPU."""

    trunk: nn.Module
    pool: nn.Module  # of the trunk's output: [n, dimension]
    classifier: nn.Module | None  # of the trunk's output: [n, classes]
    mean: Tensor  # [3], in grey levels
    deviation: Tensor
    size: int  # pixels, unless the specification says another


def _inception(path: Path | None) -> _Parts:
    """Torch-fidelity's Inception-v3, without its resize: images come at 299 px already.

    Its own forward takes uint8 and resizes as TensorFlow 1 did, which is what *legacy* does outside of it. Its logits
    are those of IS: without the bias.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

    path = path or _downloaded(URL_INCEPTION_V3, "inception")
    weights = _read_weights(path)

    def build() -> nn.Module:
        # Torch-fidelity unpickles whatever its file holds. It gets a file that holds the tensors read safely above.
        with tempfile.TemporaryDirectory() as folder:
            checked = Path(folder) / "inception.pth"
            torch.save(weights, checked)
            extractor = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(checked))
        extractor.fc.bias.zero_()
        assert isinstance(extractor, nn.Module)
        return extractor

    network = _built(build, path, "torch-fidelity's Inception-v3")
    trunk = nn.Sequential(*(network.get_submodule(name) for name in INCEPTION_LAYERS), *_average())
    classifier = network.get_submodule("fc")
    grey = torch.full((3,), 128.0)
    return _Parts(trunk, nn.Identity(), classifier, grey, grey, INCEPTION_SIZE)


def _average() -> tuple[nn.Module, nn.Module]:
    """A map [n, c, h, w] -> [n, c]."""
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(1)


def _classifier(name: str, path: Path | None) -> _Parts:
    """A classifier of torchvision, cut before its last layer."""
    import torchvision.models as models  # slow to import, and not needed by who uses SWD alone

    known = models.list_models(module=models)
    published = "squeezenet1_1" if name == "squeezenet" else name
    if published not in known:
        raise FeatureError(
            f"unknown feature network {name!r}: give inception, squeezenet, or a classifier of torchvision as resnet50"
        )
    recommended = models.get_model_weights(published).DEFAULT
    path = path or _downloaded(recommended.url, name)
    weights = _read_weights(path)
    transform = recommended.transforms()
    mean, deviation = (255 * torch.tensor(values) for values in (transform.mean, transform.std))
    expected = f"{published} from torchvision"
    if published.startswith("squeezenet"):
        trunk, head = _squeezenet(published, weights, path, expected)
        size = SQUEEZENET_SIZE if name == "squeezenet" else transform.crop_size[0]
        return _Parts(trunk, nn.Sequential(*_average()), head, mean, deviation, size)

    # the two whose published weights come from TensorFlow: torchvision rescales what they are given
    options = {"transform_input": True, "init_weights": False} if published in ("inception_v3", "googlenet") else {}

    if published.startswith("densenet"):
        weights = {re.sub(r"\.(norm|relu|conv)\.([12])\.", r".\1\2.", key): value for key, value in weights.items()}

    def build() -> nn.Module:
        network: nn.Module = models.get_model(published, weights=None, **options)
        network.load_state_dict(_versioned(weights, network))
        return network

    network = _built(build, path, expected)
    place, linear = [(place, module) for place, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
    network.set_submodule(place, nn.Identity())
    return _Parts(network, nn.Identity(), linear, mean, deviation, transform.crop_size[0])


def _versioned(weights: StateDict, network: nn.Module) -> StateDict:
    """The weights with the version marks of the network itself: files of bare tensors have lost theirs."""
    versioned = network.state_dict()
    metadata = versioned._metadata  # type: ignore[attr-defined]
    marked = type(versioned)(weights)
    marked._metadata = getattr(weights, "_metadata", metadata)  # type: ignore[attr-defined]
    return marked


def _squeezenet(published: str, weights: StateDict, path: Path, expected: str) -> tuple[nn.Module, nn.Module | None]:
    """Its ``.features``, and its classifier where the file has it: a 1×1 convolution of the map, then the average."""
    from torchvision.models import get_model  # slow to import

    whole = any(key.startswith("classifier.") for key in weights)

    def build() -> nn.Module:
        network: nn.Module = get_model(published, weights=None)
        (network if whole else network.get_submodule("features")).load_state_dict(weights)
        return network

    network = _built(build, path, expected)
    head = nn.Sequential(network.get_submodule("classifier"), nn.Flatten(1)) if whole else None
    return network.get_submodule("features"), head


def _built(build: Callable[[], nn.Module], path: Path, expected: str) -> nn.Module:
    """What ``build`` makes of the weights in ``path``; FeatureError where they are not those of ``expected``."""
    try:
        with torch.random.fork_rng(devices=[]):  # initial weights are drawn and thrown away: training must not notice
            return build()
    except (RuntimeError, TypeError, ValueError) as error:  # load_state_dict: missing, unknown or misshapen keys
        raise FeatureError(f"{path} does not hold the weights of {expected}: its tensors don't fit") from error


def _assembled(
    name: str, preprocessing: PreprocessingName, size: int | None, parts: _Parts, device: str
) -> TorchNetwork:
    """The network on its device, with digests, once it was seen to take images of its size."""
    size = size or parts.size
    trunk = parts.trunk.requires_grad_(False).eval()
    classifier = parts.classifier.requires_grad_(False).eval() if parts.classifier else None
    mean, deviation = parts.mean[:, None, None], parts.deviation[:, None, None]
    try:
        with torch.inference_mode():
            output = trunk(torch.zeros(1, 3, size, size))
            features, logits = parts.pool(output), classifier(output) if classifier else None
    except (RuntimeError, AssertionError, ValueError) as error:
        raise FeatureError(f"{name} cannot take images of {size} px: leave the size out") from error
    return TorchNetwork(
        name=name,
        preprocessing=preprocessing,
        size=size,
        dimension=features.shape[1],
        classes=None if logits is None else logits.shape[1],
        digest=_digest(trunk),
        classifier_digest=_digest(classifier) if classifier else None,
        trunk=trunk.to(device),
        pool=parts.pool,
        classifier=classifier.to(device) if classifier else None,
        mean=mean.to(device),
        deviation=deviation.to(device),
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
        raise FeatureError(f"no feature network at {shown(path)}: give the file that holds its weights")
    try:
        if path.suffix == ".safetensors":
            tensors: object = load(path.read_bytes())  # load_file wants a name in UTF-8
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files raise whatever the bytes lead to; the cause stays attached
        raise FeatureError(f"{shown(path)} cannot be read as weights: {WEIGHTS_WANTED}") from error
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise FeatureError(f"{shown(path)} holds something else than weights: {WEIGHTS_WANTED}")
    return tensors


def _downloaded(url: str, name: str) -> Path:
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
