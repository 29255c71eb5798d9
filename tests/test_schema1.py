"""Files that earlier versions wrote still open, and their models make the same images. tests/schema1 holds one each."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from ganas.cyclegan.translate import Translator, load_generator
from ganas.growing.architecture import GrowthArchitecture
from ganas.growing.candidates import Spec
from ganas.growing.sample import load_grown_generator, make_images

FILES = Path(__file__).with_name("schema1")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def image(name: str) -> torch.Tensor:
    return pil_to_tensor(Image.open(FILES / name))


def close(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal pixels, except for one gray level of rounding on another CPU."""
    return int((one.int() - other.int()).abs().max()) <= 1


def test_translator() -> None:
    generator, info = load_generator(FILES / "translator.safetensors")
    assert (info.network, info.layout, info.width, info.images, info.score) == ("generator_ab", "framed", 1, 8, 0.25)
    assert close(Translator(generator, 4)(image("translator_input.png")[None])[0], image("translated.png"))


def test_grown_generator() -> None:
    generator, info = load_grown_generator(FILES / "grown.safetensors")
    assert (info.candidate, info.metric, info.score) == ("candidate", "swd@laplacian-clean-16", 0.25)
    assert close(make_images(generator, range(3, 4))[0], image("grown.png"))


def test_growth_architecture_and_spec() -> None:
    text = (FILES / "growth_architecture.json").read_text()
    architecture = GrowthArchitecture.from_json(text)
    assert architecture.id == "70ed6a5e54" and architecture.to_json() == text
    spec = Spec.from_json((FILES / "spec.json").read_text(), "spec.json")
    assert spec == Spec("candidate", architecture, None, None, generation=0, seed=5, images=100)
