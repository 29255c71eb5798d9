"""The losses of one batch, and the pool of older fakes."""

from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ganas.cyclegan.architecture import random_architecture
from ganas.cyclegan.config import LossConfig
from ganas.cyclegan.layout import LAYOUTS, NETWORKS, Layout
from ganas.cyclegan.mixed import draw
from ganas.cyclegan.model import CycleGAN, Fakes, ImagePool, discriminator_loss, generator_loss
from ganas.cyclegan.sampling import SAMPLERS
from ganas.learning.adversarial import ADVERSARIAL
from ganas.learning.losses import reconstruction
from small import MIXTURES

every_layout = pytest.mark.parametrize("layout", MIXTURES.values(), ids=MIXTURES)


def flat(value: float) -> Tensor:
    """Two images of one value."""
    return torch.full((2, 3, 4, 4), value)


def numbers(terms: dict[str, Tensor]) -> dict[str, float]:
    return {name: round(term.item(), 6) for name, term in terms.items()}


# Equation 4

# Networks simple enough to work out by hand: a = 1/2 becomes 3/2 in B, b = 1/4 becomes 1/2 in A.
BY_HAND = cast(
    CycleGAN,
    SimpleNamespace(
        generator_ab=lambda x: x + 1,
        generator_ba=lambda x: 2 * x,
        discriminator_a=lambda x: 4 * x,
        discriminator_b=lambda x: x,
    ),
)
WEIGHTED = LossConfig(adversarial_ab=2, adversarial_ba=3, cycle=5, identity_ab=7, identity_ba=11)
UNWEIGHTED = {
    "adversarial_ab": (1.5 - 1) ** 2,
    "adversarial_ba": (4 * 0.5 - 1) ** 2,
    "cycle_a": 2 * 1.5 - 0.5,
    "cycle_b": (0.5 + 1) - 0.25,
    "identity_ab": (0.25 + 1) - 0.25,
    "identity_ba": 2 * 0.5 - 0.5,
}


@pytest.mark.parametrize("weights", [LossConfig(), WEIGHTED])
def test_the_terms_of_the_generators_by_hand(weights: LossConfig) -> None:
    terms, fakes = generator_loss(BY_HAND, flat(0.5), flat(0.25), weights)
    factors = weights.model_dump() | {"cycle_a": weights.cycle, "cycle_b": weights.cycle}
    assert numbers(terms) == {name: factors[name] * value for name, value in UNWEIGHTED.items()}
    assert torch.equal(fakes.b, flat(1.5)) and torch.equal(fakes.a, flat(0.5))


@pytest.mark.parametrize("name", ["cycle", "identity_ab", "identity_ba"])
def test_a_term_of_weight_zero_is_left_out_and_the_others_stay(name: str) -> None:
    weights = LossConfig(**{name: 0})  # type: ignore[arg-type]
    terms, _ = generator_loss(BY_HAND, flat(0.5), flat(0.25), weights)
    whole, _ = generator_loss(BY_HAND, flat(0.5), flat(0.25), LossConfig())
    assert terms == {key: term for key, term in whole.items() if not key.startswith(name)}


def test_the_terms_of_the_discriminators_by_hand() -> None:
    """Each judges images of its own domain: reals for 1, fakes for 0."""
    fakes = Fakes(a=flat(0.75), b=flat(-2))
    terms = discriminator_loss(BY_HAND, flat(0.5), flat(0.25), fakes, LossConfig())
    assert numbers(terms) == {
        "discriminator_a": 0.5 * ((4 * 0.5 - 1) ** 2 + (4 * 0.75) ** 2),
        "discriminator_b": 0.5 * ((0.25 - 1) ** 2 + 2**2),
    }


def small_gan(layout: Layout) -> tuple[CycleGAN, Tensor, Tensor]:
    """Networks of a layout in evaluation mode, with one draw of their mixtures, and a batch for them: float64."""
    torch.manual_seed(0)
    gan = CycleGAN(layout, None, 2, 2).double().eval()
    for network in gan.children():
        draw(network, SAMPLERS["gumbel"], 1.0, torch.Generator().manual_seed(1))
    a, b = torch.rand(2, 2, 3, layout.minimum, layout.minimum, dtype=torch.float64) * 2 - 1
    return gan, a, b


@every_layout
def test_images_that_share_a_batch_have_the_losses_of_separate_passes(layout: Layout) -> None:
    """Translations and identities go through a generator together, and reals and fakes through a discriminator."""
    gan, a, b = small_gan(layout)
    weights = WEIGHTED.model_copy(update={"adversarial": "bce"})
    terms, fakes = generator_loss(gan, a, b, weights)
    fake_a, fake_b = gan.generator_ba(b), gan.generator_ab(a)
    fool, judge = partial(ADVERSARIAL["bce"].generator, torch.empty(0)), ADVERSARIAL["bce"].discriminator
    expected = {
        "adversarial_ab": 2 * fool(gan.discriminator_b(fake_b)),
        "adversarial_ba": 3 * fool(gan.discriminator_a(fake_a)),
        "cycle_a": 5 * reconstruction(gan.generator_ba(fake_b), a),
        "cycle_b": 5 * reconstruction(gan.generator_ab(fake_a), b),
        "identity_ab": 7 * reconstruction(gan.generator_ab(b), b),
        "identity_ba": 11 * reconstruction(gan.generator_ba(a), a),
    }
    close(terms, expected)
    close(fakes._asdict(), {"a": fake_a, "b": fake_b})
    assert not fakes.a.requires_grad and not fakes.b.requires_grad
    close(
        discriminator_loss(gan, a, b, fakes, weights),
        {
            "discriminator_a": judge(gan.discriminator_a(a), gan.discriminator_a(fake_a)),
            "discriminator_b": judge(gan.discriminator_b(b), gan.discriminator_b(fake_b)),
        },
    )


@pytest.mark.parametrize(
    "term, learning",
    [
        ("adversarial_ab", {"generator_ab", "discriminator_b"}),
        ("adversarial_ba", {"generator_ba", "discriminator_a"}),
        ("cycle_a", {"generator_ab", "generator_ba"}),
        ("cycle_b", {"generator_ab", "generator_ba"}),
        ("identity_ab", {"generator_ab"}),
        ("identity_ba", {"generator_ba"}),
    ],
)
def test_a_term_teaches_every_network_its_images_went_through(term: str, learning: set[str]) -> None:
    gan, a, b = small_gan(LAYOUTS["resnet6"])
    terms, _ = generator_loss(gan, a, b, LossConfig())
    terms[term].backward()
    # what reaches a network at all reaches its first convolution
    assert {name for name in NETWORKS if next(gan.network(name).parameters()).grad is not None} == learning
    assert all(next(gan.network(name).parameters()).grad.any() for name in learning)


def close(found: dict[str, Any], expected: dict[str, Any]) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6, check_dtype=False)  # losses are float32


# Image pools


def numbered(*values: float) -> Tensor:
    """Tiny images that can be told apart."""
    return torch.tensor(values).reshape(-1, 1, 1, 1).expand(-1, 3, 2, 2)


def values(images: Tensor) -> list[float]:
    return images[:, 0, 0, 0].tolist()


def test_a_pool_fills_first_and_gives_back_what_it_is_given() -> None:
    pool, generator = ImagePool(5), torch.Generator().manual_seed(0)
    assert values(pool.exchange(numbered(1, 2, 3), generator)) == [1, 2, 3]
    assert values(pool.exchange(numbered(4, 5), generator)) == [4, 5]
    assert values(torch.stack(pool.images)) == [1, 2, 3, 4, 5]


def test_a_full_pool_exchanges_about_half_of_the_images_for_any_of_its_own() -> None:
    pool, generator, count = ImagePool(10), torch.Generator().manual_seed(0), 4000
    pool.exchange(numbered(*range(-10, 0)), generator)
    shown = values(pool.exchange(numbered(*range(count)), generator))
    exchanged = [older != given for given, older in enumerate(shown)]
    assert sum(exchanged) / count == pytest.approx(0.5, abs=4 * (0.25 / count) ** 0.5)
    ages = [given - older for given, older in enumerate(shown) if older != given]
    assert sum(ages) / len(ages) == pytest.approx(2 * 10, rel=0.1)  # one of ten leaves in every second step


@given(st.integers(0, 6), st.lists(st.integers(1, 4), max_size=8), st.integers(0, 2**32))
def test_a_pool_never_holds_too_many_and_every_image_is_shown_or_held_once(
    size: int, batches: list[int], seed: int
) -> None:
    pool, generator = ImagePool(size), torch.Generator().manual_seed(seed)
    given, shown = 0, []
    for batch in batches:
        shown += values(pool.exchange(numbered(*range(given, given + batch)), generator))
        given += batch
        assert len(pool.images) == min(size, given)
    held = [image[0, 0, 0].item() for image in pool.images]
    filled = range(min(size, given))  # these were shown when they came, too
    assert sorted(shown + held) == sorted([*range(given), *filled])


@pytest.mark.parametrize("given", [0, 3, 20])
def test_a_restored_pool_goes_on_as_the_saved_one(given: int) -> None:
    pool, restored = ImagePool(5), ImagePool(5)
    for number in range(given):
        pool.exchange(numbered(number), torch.Generator().manual_seed(number))
    restored.load_state_dict(pool.state_dict())
    batch = numbered(*range(100, 110))
    shown = [p.exchange(batch, torch.Generator().manual_seed(1)) for p in (pool, restored)]
    assert torch.equal(*shown)
    assert torch.equal(torch.stack(pool.images), torch.stack(restored.images))


def test_a_pool_holds_no_graph() -> None:
    images = numbered(1.5, 2.5).clone().requires_grad_()
    assert not ImagePool(5).exchange(images, torch.Generator()).requires_grad


def test_a_restored_pool_shows_its_images_on_the_device_of_the_new_ones() -> None:
    pool, generator = ImagePool(3), torch.Generator().manual_seed(0)
    pool.load_state_dict({"images": numbered(1, 2, 3)})
    shown = [pool.exchange(numbered(number).to("meta"), generator) for number in range(20)]
    assert {images.device.type for images in shown} == {"meta"}


def test_hand_made_discriminators_may_judge_searched_generators() -> None:
    layout = LAYOUTS["framed"]
    architecture = random_architecture(layout, 0)
    gan = CycleGAN(layout, architecture, 2, 64, discriminator="patchgan")
    assert sum(parameter.numel() for parameter in gan.discriminator_a.parameters()) == 2_764_737
    assert gan.discriminator_b(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)
    ours = CycleGAN(layout, architecture, 2, 64).generator_ab.state_dict()
    assert {k: v.shape for k, v in gan.generator_ab.state_dict().items()} == {k: v.shape for k, v in ours.items()}
