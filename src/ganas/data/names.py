"""Names of data sets that are given in place of a path: CycleGANAS's six, and those of Hugging Face."""

from pathlib import Path
from typing import NamedTuple

PARTS = ("trainA", "trainB", "testA", "testB")
HUB = "hf:"  # in front of a name on Hugging Face


class Published(NamedTuple):
    """A downloadable data set."""

    file: str  # a zip, without its suffix
    train_a: int  # approximate number of training images
    train_b: int
    sha256: str  # of the zip, by TensorFlow Datasets: tensorflow_datasets/url_checksums/cycle_gan.txt


PUBLISHED = {  # by the paper's names
    "facades": Published("facades", 400, 400, "9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0"),
    "maps": Published("maps", 1096, 1096, "639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e"),
    "apple2orange": Published(
        "apple2orange", 996, 1020, "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8"
    ),
    "horse2zebra": Published(
        "horse2zebra", 1067, 1334, "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1"
    ),
    "summer2winter": Published(
        "summer2winter_yosemite", 1273, 854, "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9"
    ),
    "iphone2dslr": Published(
        "iphone2dslr_flower", 1813, 3316, "8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113"
    ),
}


def is_published(path: Path) -> bool:
    """Whether a path is the name of a published data set, or of a part of one, and no path that exists."""
    name, *part = path.parts or ("",)
    return name in PUBLISHED and (not part or (len(part) == 1 and part[0] in PARTS)) and not path.exists()


def is_on_hub(path: Path) -> bool:
    """Whether a path is a name on Hugging Face."""
    return str(path).startswith(HUB)


def absolute(path: Path) -> Path:
    """Return a path that another working folder does not change; a name is one already."""
    return path if is_published(path) or is_on_hub(path) else path.absolute()
