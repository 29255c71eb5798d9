"""Feature networks, each built from a trunk, a pool and a classifier."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ganas.data.images import Images
from ganas.errors import FeatureError
from ganas.metrics.features.preprocessing import PreprocessingName, TensorImages, resized_batches
from ganas.metrics.features.weights import digest_of


class Activations(NamedTuple):
    """The output of a network for n images."""

    features: Tensor  # float32 [n, dimension]
    logits: Tensor | None  # float32 [n, classes]; None: no classifier


@dataclass(frozen=True, eq=False)
class FeatureNetwork:
    """A trunk whose output a pool and a classifier turn into features and logits, and facts for a score's protocol."""

    name: str  # ``inception``, ``squeezenet``, or torchvision's name of a classifier
    preprocessing: PreprocessingName
    size: int  # side of the square input, in pixels
    dimension: int  # features of an image
    classes: int | None  # logits of an image; None without a classifier
    digest: str  # short SHA-256 of the weights that features depend on; independent of the file format
    classifier_digest: str | None
    trunk: nn.Module  # takes float32 [n, 3, size, size]
    pool: nn.Module  # trunk output -> [n, dimension]
    classifier: nn.Module | None  # trunk output -> [n, classes]
    mean: Tensor  # [3, 1, 1], in gray levels of [0, 255]
    deviation: Tensor  # [3, 1, 1], in gray levels

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``: the last bits differ."""
        return self.mean.device.type

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Activations:
        """float32 [n, 3, size, size] RGB in [0, 255], not rounded -> its activations, on the CPU."""
        with self._exact():
            output = self.trunk(self._normalized(images))
            logits = self.classifier(output).cpu() if self.classifier else None
            return Activations(self.pool(output).cpu(), logits)

    @torch.inference_mode()
    def maps(self, images: Tensor) -> list[Tensor]:
        """The same images -> the last feature map of each resolution, [n, c, h, h] each, on the CPU."""
        found: dict[int, Tensor] = {}

        def keep(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] == output.shape[3] > 1:
                found[output.shape[2]] = output

        hooks = [stage.register_forward_hook(keep) for stage in _stages(self.trunk)]
        try:
            with self._exact():
                self.trunk(self._normalized(images))
        finally:
            for hook in hooks:
                hook.remove()
        if not found:
            raise FeatureError(f"{self.name} has no feature maps to compare pairs by: choose a convolutional network")
        return [found[side].cpu() for side in sorted(found, reverse=True)]

    def _normalized(self, images: Tensor) -> Tensor:
        return (images.to(self.mean.device) - self.mean) / self.deviation

    @contextmanager
    def _exact(self) -> Iterator[None]:
        """Autocast in the training loop would make scores depend on the training's precision, TF32 on the GPU model."""
        exact = torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False)
        with torch.autocast(self.device, enabled=False), exact:
            yield


def _stages(trunk: nn.Module) -> Iterator[nn.Module]:
    """Yield the blocks that a network consists of, without the layers inside them."""
    for child in trunk.children():
        if isinstance(child, nn.Sequential):
            yield from _stages(child)
        else:
            yield child


def features_key(network: FeatureNetwork) -> str:
    """Return what follows the @ in a metric's key."""
    return f"{network.name}-{network.preprocessing}-{network.size}"


def extract(
    network: FeatureNetwork,
    images: Images | Tensor,
    *,
    batch: int = 32,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Activations:
    """Return the features and logits of every image, in order; arguments as in `activations`."""
    features = torch.empty(len(images), network.dimension)
    logits = None if network.classes is None else torch.empty(len(images), network.classes)
    start = 0
    for part in activations(network, images, batch=batch, on_progress=on_progress):
        features[start : start + len(part.features)] = part.features
        if logits is not None:
            assert part.logits is not None
            logits[start : start + len(part.features)] = part.logits
        start += len(part.features)
    return Activations(features, logits)


def activations(
    network: FeatureNetwork,
    images: Images | Tensor,
    *,
    batch: int,
    on_progress: Callable[[int], None],
) -> Iterator[Activations]:
    """Yield the features and logits of every image (a tensor is uint8 [n, 3, h, w]), in order, batch by batch.

    batch          images per forward pass; affects the result only by float32 rounding
    on_progress    called with the number of images done
    """
    source = TensorImages(images) if isinstance(images, Tensor) else images
    done = 0
    for resized in resized_batches(source, network.size, batch, network.preprocessing):
        yield network(resized)
        done += len(resized)
        on_progress(done)


class Parts(NamedTuple):
    """The parts of a network, on the CPU."""

    trunk: nn.Module
    pool: nn.Module  # of the trunk's output: [n, dimension]
    classifier: nn.Module | None  # of the trunk's output: [n, classes]
    mean: Tensor  # [3], in gray levels
    deviation: Tensor
    size: int  # pixels; the specification may override it


def global_average() -> tuple[nn.Module, nn.Module]:
    """Return modules that average [n, c, h, w] to [n, c]."""
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(1)


def build_checked(build: Callable[[], nn.Module], path: Path, expected: str) -> nn.Module:
    """Call ``build``, which loads weights from ``path``; raises FeatureError if they are not those of ``expected``."""
    try:
        with torch.random.fork_rng(devices=[]):  # sampling the discarded initial weights must not affect training
            return build()
    except (RuntimeError, TypeError, ValueError) as error:  # load_state_dict: missing, unknown or misshapen keys
        raise FeatureError(f"{path} does not hold the weights of {expected}: its tensors don't fit") from error


def assemble(
    name: str, preprocessing: PreprocessingName, size: int | None, parts: Parts, device: str
) -> FeatureNetwork:
    """Check that the network accepts images of its size, and return it on its device, with digests."""
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
    return FeatureNetwork(
        name=name,
        preprocessing=preprocessing,
        size=size,
        dimension=features.shape[1],
        classes=None if logits is None else logits.shape[1],
        digest=digest_of(trunk),
        classifier_digest=digest_of(classifier) if classifier else None,
        trunk=trunk.to(device),
        pool=parts.pool,
        classifier=classifier.to(device) if classifier else None,
        mean=mean.to(device),
        deviation=deviation.to(device),
    )
