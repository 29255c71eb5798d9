"""Strategies: which images weights and alphas see over a whole search, and how many steps that takes (paper 4.1)."""

import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import Tensor

from ganas.cyclegan.architecture import Architecture, random_architecture
from ganas.cyclegan.config import DataConfig, NetsConfig, RunConfig, SearchConfig, TrainingConfig
from ganas.cyclegan.layout import DISCRIMINATORS, GENERATORS, NETWORKS, find_layout
from ganas.cyclegan.mixed import draw
from ganas.cyclegan.model import CycleGAN, Fakes
from ganas.cyclegan.networks import open_gan
from ganas.cyclegan.sampling import SAMPLERS, Sampler
from ganas.cyclegan.search import search
from ganas.cyclegan.steps import assign_roles, build_phases, open_loop, open_pools, step_sources
from ganas.cyclegan.strategies import STRATEGIES, SearchStrategy
from ganas.cyclegan.supernets import Supernets
from ganas.data.loaders import Batches, halves, to_images
from ganas.data.sources import ImageSource, open_source
from ganas.errors import DataError
from ganas.learning.loop import Loop

A, B, EPOCHS = 5, 8, 2
SIDE = 16
MIXING = [name for name, strategy in STRATEGIES.items() if not strategy.sandwich]
every_strategy = pytest.mark.parametrize("name", MIXING)
two_steps = pytest.mark.parametrize("name", [name for name in MIXING if name != "of"])


def config(name: str, **search: Any) -> RunConfig:
    return RunConfig(
        kind="search",
        seed=3,
        data=DataConfig(a=Path("a"), b=Path("b"), resolution=SIDE, load_scale=1.0, split_seed=5),
        nets=NetsConfig(layout="paper", width=1, discriminator_width=1),
        search=SearchConfig(strategy=name, **search),
        training=TrainingConfig(images=EPOCHS * B, device="cpu", precision="float32", threads=1),
    )


@pytest.fixture(scope="module")
def domains(tmp_path_factory: pytest.TempPathFactory) -> tuple[ImageSource, ImageSource]:
    """Images of one colour each: those of A count from 0, those of B from 100."""
    folder = tmp_path_factory.mktemp("domains")
    for domain, count, first in (("a", A, 0), ("b", B, 100)):
        (folder / domain).mkdir()
        for number in range(count):
            Image.new("RGB", (SIDE, SIDE), (first + number,) * 3).save(folder / domain / f"{number}.png")
    return open_source(folder / "a"), open_source(folder / "b")


class Seen(NamedTuple):
    """One call of a loss: who learned, from which pair, in which step."""

    loss: str
    learners: str
    a: int
    b: int
    step: int


@pytest.fixture(scope="module")
def searched(domains: tuple[ImageSource, ImageSource]) -> Callable[[str], list[Seen]]:
    """The search of each strategy, run once."""
    return cache(lambda name: watch_search(name, domains))


def watch_search(name: str, domains: tuple[ImageSource, ImageSource]) -> list[Seen]:
    """A whole search, and what its losses were called with; their values are not those of the images."""
    settings = config(name)
    data = settings.data.model_copy(update={"a": domains[0].path, "b": domains[1].path})
    seen: list[Seen] = []
    steps = 0

    def learners(gan: CycleGAN) -> str:
        alphas = {id(alpha) for alphas in gan.alphas().values() for alpha in alphas}
        found = {"alphas" if id(p) in alphas else "weights" for p in gan.parameters() if p.requires_grad}
        return " and ".join(sorted(found))

    def loss(which: str, gan: CycleGAN, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        seen.append(Seen(which, learners(gan), *(int(to_images(x)[0, 0, 0, 0]) for x in (a, b)), steps))
        return {which: torch.stack([p.square().sum() for p in gan.parameters() if p.requires_grad]).sum()}

    def generators(gan: CycleGAN, a: Tensor, b: Tensor, *_: Any) -> tuple[dict[str, Tensor], Fakes]:
        return loss("generators", gan, a, b), Fakes(a, b)

    def discriminators(gan: CycleGAN, a: Tensor, b: Tensor, fakes: Fakes, _: Any) -> dict[str, Tensor]:
        return loss("discriminators", gan, a, b)

    def step(loop: Loop, *images: Tensor) -> Any:
        nonlocal steps
        told = one_step(loop, *images)
        steps += 1
        return told

    one_step = Loop.step
    with pytest.MonkeyPatch.context() as patched, tempfile.TemporaryDirectory() as folder:
        patched.setattr("ganas.cyclegan.steps.generator_loss", generators)
        patched.setattr("ganas.cyclegan.steps.discriminator_loss", discriminators)
        patched.setattr(Loop, "step", step)
        search(settings.model_copy(update={"data": data}), Path(folder) / "run")
    return seen


def batches(
    settings: RunConfig, domains: tuple[ImageSource, ImageSource], nimg: int = 0
) -> Iterator[tuple[Tensor, ...]]:
    sources = step_sources(*domains, settings)
    walks = Batches(sources, resolution=SIDE, load_size=SIDE, flip=True, batch=1, seed=settings.seed)
    return assign_roles(walks.from_image(nimg), nimg, settings)


def images_of(seen: list[Seen], learners: str) -> tuple[set[int], set[int]]:
    return tuple({getattr(one, domain) for one in seen if learners in one.learners} for domain in "ab")  # type: ignore[return-value]


@every_strategy
def test_optimiser_steps_for_each_pair_that_weights_see(name: str, searched: Callable[[str], list[Seen]]) -> None:
    seen = searched(name)
    expected = {
        "of": [("generators", "alphas and weights"), ("discriminators", "alphas and weights")],
    }.get(name, [(loss, learners) for learners in ("weights", "alphas") for loss in ("generators", "discriminators")])
    for step in range(EPOCHS * B):
        assert [(one.loss, one.learners) for one in seen if one.step == step] == expected


@pytest.mark.parametrize("name", ["of", "tf"])
def test_on_everything_alphas_and_weights_see_the_same_pairs(name: str, searched: Callable[[str], list[Seen]]) -> None:
    seen = searched(name)
    assert all(len({(one.a, one.b) for one in seen if one.step == step}) == 1 for step in range(EPOCHS * B))
    assert images_of(seen, "weights") == images_of(seen, "alphas") == (set(range(A)), set(range(100, 100 + B)))


def test_th_has_exclusive_halves(searched: Callable[[str], list[Seen]]) -> None:
    seen = searched("th")
    for ours, theirs, everything in zip(
        images_of(seen, "weights"), images_of(seen, "alphas"), (range(A), range(100, 100 + B)), strict=True
    ):
        assert not ours & theirs and ours | theirs == set(everything) and abs(len(ours) - len(theirs)) <= 1
        assert ours == {everything[index] for index in halves(len(everything), config("th").split_seed)[0]}
    for learners in ("weights", "alphas"):
        walk = [one.b for one in seen if one.learners == learners and one.loss == "generators"]
        assert all(len(set(walk[start : start + B // 2])) == B // 2 for start in range(0, len(walk), B // 2)), (
            "each image of a half is seen in each epoch"
        )


def test_under_ths_the_halves_change_roles_and_every_image_is_seen_in_both(
    searched: Callable[[str], list[Seen]],
) -> None:
    seen = searched("ths")
    middle = EPOCHS * B // 2
    early, late = [one for one in seen if one.step < middle], [one for one in seen if one.step >= middle]
    assert images_of(early, "weights") == images_of(late, "alphas")
    assert images_of(early, "alphas") == images_of(late, "weights")
    for learners in ("weights", "alphas"):
        assert images_of(seen, learners) == (set(range(A)), set(range(100, 100 + B)))
    thought = searched("th")
    assert early == [one for one in thought if one.step < middle], "until then it is th"


@pytest.mark.parametrize("warmup", [0.0, 0.5])
def test_under_ths_alphas_learn_from_both_halves_as_long(
    warmup: float, domains: tuple[ImageSource, ImageSource]
) -> None:
    """Whatever the warm-up, in which they do not learn."""
    settings = config("ths", warmup=warmup)
    total = settings.total_images
    begins = int(warmup * total)
    seen = [int(to_images(images[-1])[0, 0, 0, 0]) for images in islice(batches(settings, domains), total)]
    halves_of_b = [{100 + index for index in half} for half in halves(B, settings.split_seed)]
    learned = [[image in half for image in seen[begins:]].count(True) for half in halves_of_b]
    assert learned[0] == learned[1] == (total - begins) / 2


@every_strategy
@pytest.mark.parametrize("nimg", [1, 7, 8, 9])
def test_roles_go_on_where_they_were(name: str, nimg: int, domains: tuple[ImageSource, ImageSource]) -> None:
    whole = [*islice(batches(config(name), domains), EPOCHS * B)]
    rest = [*islice(batches(config(name), domains, nimg), EPOCHS * B - nimg)]
    for one, other in zip(whole[nimg:], rest, strict=True):
        assert all(map(torch.equal, one, other))


@two_steps
@pytest.mark.parametrize("mixing", ["merged", "naive"])
def test_an_alpha_step_moves_alphas_alone_and_a_weight_step_weights_alone(name: str, mixing: str) -> None:
    """The generators' loss does not touch the discriminators' alphas, either."""
    settings = config(name)
    settings = settings.model_copy(update={"nets": settings.nets.model_copy(update={"mixing": mixing})})
    gan = open_gan(settings, find_layout("paper"), None)
    random = torch.Generator().manual_seed(0)
    images = tuple(torch.rand(4, 1, 3, SIDE, SIDE, generator=random) * 2 - 1)
    alphas = {id(alpha) for alphas in gan.alphas().values() for alpha in alphas}
    learned = []
    for phase in build_phases(gan, open_pools(settings), settings):
        gan.zero_grad()
        phase.freeze_others(gan)
        for network in NETWORKS:
            draw(gan.network(network), SAMPLERS["softmax"], 1.0, random)
        torch.stack([*phase.terms(images, random).values()]).sum().backward()
        for label, parameter in gan.named_parameters():
            of_alphas = phase.name.startswith("alpha_")
            learns = label.startswith(phase.networks) and (id(parameter) in alphas) == of_alphas
            assert (parameter.grad is not None) == learns, (phase.name, label)
        mine = {id(parameter) for group in phase.optimizer.param_groups for parameter in group["params"]}
        assert mine == {id(parameter) for parameter in gan.parameters() if parameter.grad is not None}
        learned.append((phase.networks, "alphas" if phase.name.startswith("alpha_") else "weights"))
    assert learned == [(networks, who) for who in ("weights", "alphas") for networks in (GENERATORS, DISCRIMINATORS)]


def test_alphas_wait_for_the_warm_up(domains: tuple[ImageSource, ImageSource], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config("tf", warmup=0.5)
    gan = open_gan(settings, find_layout("paper"), None)
    alphas = gan.alphas()["generator_ab"]
    before = [alpha.clone() for alpha in alphas]
    loop = open_loop(gan, open_pools(settings), settings)
    images = tuple(torch.rand(2, 1, 3, SIDE, SIDE) * 2 - 1)
    for _ in range(2):
        loop.step(*images)
    assert all(map(torch.equal, before, alphas))
    assert not any(name.startswith("alpha_") for name in loop.meters.read())
    loop.nimg = settings.total_images // 2
    loop.step(*images)
    assert not any(map(torch.equal, before, alphas))


def test_a_strategy_that_differs_from_the_paper_says_so(
    domains: tuple[ImageSource, ImageSource], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [name for name, strategy in STRATEGIES.items() if strategy.note] == ["tf"]
    settings = config("tf").with_values({"data.a": domains[0].path, "data.b": domains[1].path, "training.images": 1})
    search(settings, tmp_path / "run")
    first = (tmp_path / "run" / "log.txt").read_text().splitlines()[0]
    assert "by the paper's words weights learn from A and alphas from B" in first


def test_a_new_strategy_is_one_entry(
    domains: tuple[ImageSource, ImageSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random search: weights learn with one random op per slot and step, and the result is a random architecture."""
    sampled = []

    def one_hot(alpha: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
        sampled.append(int(torch.randint(len(alpha), (), generator=generator)))
        return torch.eye(len(alpha))[sampled[-1]]

    def derive(supernets: Supernets) -> Architecture:
        return random_architecture(supernets.layout, supernets.config.seed)

    with pytest.raises(ValidationError, match="input should be 'of', 'tf', 'th', 'ths' or 'sampled'"):
        config("random")
    monkeypatch.setitem(STRATEGIES, "random", SearchStrategy(["weights"], sampling=Sampler(one_hot), derive=derive))
    settings = config("random")
    data = settings.data.model_copy(update={"a": domains[0].path, "b": domains[1].path})
    training = settings.training.model_copy(update={"images": 3})
    settings = settings.model_copy(update={"data": data, "training": training})
    layout = find_layout("paper")
    assert search(settings, tmp_path / "run").architecture == random_architecture(layout, settings.seed)
    slots = {name: len(layout.network(name).searched) for name in NETWORKS}
    assert len(sampled) == 3 * sum(slots[name] for names in (NETWORKS, DISCRIMINATORS) for name in names)
    assert {*sampled} == set(range(8)), "every op is sampled"
    before, after = open_gan(settings, layout, None).state_dict(), load_file(tmp_path / "run" / "supernet.safetensors")
    kept = {name for name in after if torch.equal(before[name], after[name])}
    assert {name for name in after if name.endswith("alpha")} <= kept < after.keys(), "weights alone learn"


@pytest.mark.parametrize("count", [2, 3, 10, 101])
def test_halves(count: int) -> None:
    first, second = halves(count, seed=1)
    assert sorted((*first, *second)) == [*range(count)] and 0 <= len(first) - len(second) <= 1
    assert halves(count, seed=1) == (first, second)
    if count > 10:
        assert halves(count, seed=2) != (first, second)


def test_one_image_cannot_be_halved() -> None:
    with pytest.raises(DataError, match="a domain of 1 image cannot be halved: add images"):
        halves(1, seed=0)
