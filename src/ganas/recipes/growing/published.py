"""The numbers that DGGAN publishes, and its percentages checked. No torch.

An improvement is 1 - ours/baseline, of FIDs. Table 2 prints that, but for 128×128, where it prints 46 % and its FIDs
give 55 %. For CIFAR-10 the text prints 51, 45 and 34 % for 32, 16 and 8 pixels. Its FIDs give 34, 45 and 51 %: the same
percentages in the opposite order. (51 % for 32 pixels would also follow from dividing by its own FID,
(18.33 - 12.10)/12.10, but then the others would be 83 and 105 %.)
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

DGGAN, PROGGAN, AUTOGAN = "DGGAN", "ProgGAN", "AutoGAN"  # the models that recipes train


class Published(NamedTuple):
    """A row of table 1: CIFAR-10, 50,000 images."""

    model: str
    fid: float
    inception_score: str | None = None
    ours: str | None = None  # the model of a recipe that it is the published score of


TABLE_1: Sequence[Published] = (
    Published("CR-GAN", 14.56),
    Published("Improving MMD-GAN", 16.21, "8.29"),
    Published("DistGAN", 17.61),
    Published("ProgGAN", 18.33, "8.80 ± 0.05", PROGGAN),
    Published("WGAN-GP", 29.3, "7.86 ± 0.07"),
    Published("DCGAN", 37.7, "6.64 ± 0.14"),
    Published("AutoGAN", 12.42, "8.55 ± 0.10", AUTOGAN),
    Published("AGAN", 23.80, "8.82 ± 0.09"),
    Published("DGGAN", 12.10, "8.64 ± 0.06", DGGAN),
)


class Level(NamedTuple):
    """FIDs at one resolution."""

    baseline: float  # ProgGAN's
    ours: float
    printed: int  # the improvement as the paper prints it, in percent

    @property
    def improvement(self) -> float:
        """1 - ours/baseline."""
        return improvement(self.ours, self.baseline)


CIFAR_LEVELS: Mapping[int, Level] = {  # text of section "CIFAR-10"
    8: Level(4.02, 1.96, 34),
    16: Level(11.68, 6.40, 45),
    32: Level(18.33, 12.10, 51),
}
LSUN_LEVELS: Mapping[int, Level] = {  # table 2
    8: Level(29.07, 24.29, 16),
    16: Level(23.75, 21.49, 10),
    32: Level(27.9, 19.01, 32),
    64: Level(19.67, 8.25, 58),
    128: Level(29.35, 13.29, 46),
    256: Level(10.76, 8.22, 24),
}


class Sliced(NamedTuple):
    """A row of table 3: LSUN bedrooms."""

    model: str
    resolution: int
    fid: float
    swd: Mapping[int, float] = MappingProxyType({})  # · 1000, by the side of a level in pixels
    average: float | None = None


def _levels(*values: float) -> dict[int, float]:
    return dict(zip((256, 128, 64, 32, 16), values, strict=True))


TABLE_3: Sequence[Sliced] = (
    Sliced("DCGAN", 64, 70.4),
    Sliced("WGAN-GP", 64, 20.5),
    Sliced("Imp. MMD-GAN", 64, 12.52),
    Sliced("TTUR", 64, 9.5),
    Sliced("DGGAN", 64, 8.25),
    Sliced("ProgGAN (Karras et al. 2018)", 256, 8.34, _levels(2.72, 2.45, 2.34, 2.90, 9.08), 3.90),
    Sliced("ProgGAN (PyTorch)", 256, 10.76, _levels(3.74, 3.78, 3.53, 4.04, 1.58), 3.33),
    Sliced("DGGAN", 256, 8.22, _levels(3.01, 2.15, 3.03, 4.56, 1.40), 2.83),
    Sliced("COCO-GAN (part-based)", 256, 5.99),
)


def improvement(ours: float, baseline: float) -> float:
    """By how much a score that is better when lower is below a baseline's, as a share of the baseline's."""
    return 1 - ours / baseline
