"""Read, resize and batch images for a feature network."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from ganas.data.images import Images
from ganas.data.threads import in_threads

PreprocessingName = Literal["clean", "legacy"]


class TensorImages(Images):
    """A tensor uint8 [n, 3, h, w] as :class:`Images`; raises ValueError for others, such as images in [-1, 1]."""

    def __init__(self, images: Tensor) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"images must be uint8 [n, 3, h, w], got {images.dtype} {list(images.shape)}")
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def read(self, index: int, /) -> Image.Image:
        return Image.fromarray(self._images[index].permute(1, 2, 0).cpu().numpy())

    def digest(self) -> str:
        """Return 16 hex digits of all pixels and the shape."""
        pixels = self._images.cpu().contiguous().numpy()
        return hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:16]


def clean_resize(image: Image.Image, size: int) -> npt.NDArray[np.float32]:
    """Resize an RGB image by the *clean* protocol of Parmar et al. 2022 (docstring of the package).

    Returns float32 [3, size, size], clipped to [0, 255] (bicubic overshoots) and not rounded.
    """
    channels = [channel.convert("F").resize((size, size), Image.Resampling.BICUBIC) for channel in image.split()]
    return np.stack([np.asarray(channel) for channel in channels]).clip(0, 255)


def legacy_resize(image: Image.Image, size: int) -> npt.NDArray[np.float32]:
    """Resize with TensorFlow 1's bilinear filter, which aliases; shapes as in `clean_resize`."""
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    pixels = torch.from_numpy(np.asarray(image).transpose(2, 0, 1).astype(np.float32))[None]
    resized = interpolate_bilinear_2d_like_tensorflow1x(pixels, size=(size, size), align_corners=False)
    return resized[0].numpy()  # type: ignore[no-any-return]


Resize = Callable[[Image.Image, int], npt.NDArray[np.float32]]
PREPROCESSING: Mapping[PreprocessingName, Resize] = {"clean": clean_resize, "legacy": legacy_resize}


def resized_batches(
    images: Images, size: int, batch: int, preprocessing: PreprocessingName = "clean"
) -> Iterator[Tensor]:
    """Yield every image in order, as float32 [batch or fewer, 3, size, size].

    Threads (as many as torch uses) read and resize the next batch while the caller works on this one.
    """
    threads = torch.get_num_threads()
    resize = PREPROCESSING[preprocessing]
    resized = in_threads(
        lambda index: resize(images.read(index), size),
        len(images),
        threads=threads,
        block=max(1, batch // (2 * threads)),  # so that one batch is ahead
    )
    while ready := list(islice(resized, batch)):
        yield torch.from_numpy(np.stack(ready))
