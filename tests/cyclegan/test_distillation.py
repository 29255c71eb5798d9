"""What a teacher adds to the loss, by hand; that it stays as it is; and that a distilled run resumes to the bit."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor

from ganas.cyclegan.architecture import Architecture, random_architecture
from ganas.cyclegan.build import Network, build, only_op
from ganas.cyclegan.config import DistillationConfig, LossConfig, RunConfig, SearchConfig
from ganas.cyclegan.distillation import Distillation, compared_cells, count_cells, open_distillation, with_teacher
from ganas.cyclegan.elastic import ElasticNetwork, below_with, largest, random_choice, skeleton, smallest
from ganas.cyclegan.layout import GENERATORS, ElasticLayout, find_layout
from ganas.cyclegan.model import CycleGAN, generator_loss
from ganas.cyclegan.networks import open_gan
from ganas.cyclegan.presets import PRESETS, _tiny
from ganas.cyclegan.steps import open_loop, open_pools, sandwich_loss
from ganas.cyclegan.translate import GeneratorInfo, load_generator, save_generator
from ganas.errors import ConfigError, RunError
from ganas.learning.loop import Loop
from ganas.store import Run
from kill_and_resume import differences
from small import noise, small_config
from tiny import FLAGS, Capture, ganas, write_domains

CLOSE = {"rtol": 1e-10, "atol": 1e-10}
TEACHER = {"ab": ("resnet9", 3.0), "ba": ("framed", 2.0)}  # layouts and widths; students have others


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a generator of each direction, of different layouts."""
    run = Run(tmp_path_factory.mktemp("teacher"))
    for seed, (direction, (name, width)) in enumerate(TEACHER.items()):
        torch.manual_seed(seed)
        ops = random_architecture(find_layout(name), seed).generator_ab
        network = build(find_layout(name).generator.final(ops), width, only_op)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        info = GeneratorInfo(f"generator_{direction}", name, ops, width, 32, 1, "0")
        save_generator(run.generator(direction), network, info)
    return run.path


def student_config(teacher: Path, layout: str, **distillation: float) -> RunConfig:
    search = SearchConfig(strategy="sampled") if layout == "elastic" else None
    config = small_config(layout, search)
    return config.with_values({"distillation": DistillationConfig(teacher=teacher, **distillation)})


def student(config: RunConfig) -> tuple[CycleGAN, Distillation]:
    layout = find_layout(config.nets.layout)
    architecture = None if config.search else Architecture(layout.name)
    gan = open_gan(config, layout, architecture)
    distillation = open_distillation(gan, architecture, config)
    assert distillation
    return gan, distillation


def in_double(gan: CycleGAN, distillation: Distillation) -> None:
    gan.double()
    distillation.adapters.double()
    for one in distillation.teachers.values():
        one.network.double()


def recorded(network: Network | ElasticNetwork, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The image, and the outputs of all cells."""
    cells = (
        skeleton(network.layout, network.width, network.ops).cells
        if isinstance(network, ElasticNetwork)
        else network.cells
    )
    found: list[Tensor] = []
    hooks = [cell.register_forward_hook(lambda module, inputs, output: found.append(output)) for cell in cells]
    image = network(x)
    for hook in hooks:
        hook.remove()
    return image, found


@pytest.mark.parametrize(
    "choose", [None, largest, smallest, lambda layout: random_choice(layout, below_with(torch.Generator()))]
)
def test_the_terms_and_their_gradients_are_those_by_hand(
    teacher: Path, choose: Callable[[ElasticLayout], tuple[str, ...]] | None
) -> None:
    """Of a hand-made student of six cells, and of subnetworks; teachers have nine."""
    config = student_config(teacher, "elastic" if choose else "resnet6", image=3.0, features=0.7)
    gan, distillation = student(config)
    in_double(gan, distillation)
    a, b = (images.double() for images in noise(config))
    for name in GENERATORS if choose else ():
        gan.network(name).ops = choose(gan.network(name).layout)
    compare = distillation.comparison(a, b)
    terms, _ = generator_loss(gan, a, b, LossConfig(), compare)
    added = {name: term for name, term in terms.items() if name.startswith("distillation")}
    plain, _ = generator_loss(gan, a, b, LossConfig())
    assert terms.keys() - added.keys() == plain.keys()
    for name, term in plain.items():
        torch.testing.assert_close(terms[name], term, **CLOSE)
    learners = [*gan.parameters(), *distillation.parameters()]
    found = torch.autograd.grad(torch.stack([*added.values()]).sum(), learners, allow_unused=True)

    by_hand = []
    for name, images in zip(GENERATORS, (a, b), strict=True):
        own = gan.network(name)
        fake, outputs = recorded(own, images)
        if choose:  # the encoder is the second cell; the others follow it in the order of their numbers
            taken = [number for number, op in enumerate(own.ops[2:11], 1) if op != "skip"]
            places = [1 + sum(number <= depth for number in taken) for depth in (0, 3, 6, 9)]
        else:
            places = [1, 3, 5, 7]
        network, _ = load_generator(Run(teacher).generator(name.removeprefix("generator_")))
        wanted, theirs = recorded(network.double(), images)
        by_hand.append(3.0 * (fake - wanted.detach()).abs().mean())
        pairs = [(outputs[place], theirs[depth]) for place, depth in zip(places, (1, 4, 7, 10), strict=True)]
        for adapter, (one, other) in zip(distillation.adapters[name], pairs, strict=True):
            kernel = adapter.weight[:, : one.shape[1], 0, 0]
            mapped = torch.einsum("tc,nchw->nthw", kernel, one) + adapter.bias[:, None, None]
            by_hand.append(0.7 / 4 * (mapped - other.detach()).abs().mean())
    torch.testing.assert_close(torch.stack(by_hand).sum(), torch.stack([*added.values()]).sum(), **CLOSE)
    expected = torch.autograd.grad(torch.stack(by_hand).sum(), learners, allow_unused=True)
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, **CLOSE)
    assert any(one is not None and one.any() for one in found)


def test_a_sandwich_is_compared_with_the_teacher_three_times(teacher: Path) -> None:
    config = student_config(teacher, "elastic")
    gan, distillation = student(config)
    in_double(gan, distillation)
    a, b = (images.double() for images in noise(config))
    calls = []
    for one in distillation.teachers.values():
        one.network.register_forward_hook(lambda *_: calls.append(1))
    compare = distillation.comparison(a, b)
    terms, _ = sandwich_loss(gan, a, b, LossConfig(), torch.Generator().manual_seed(5), compare)
    below = below_with(torch.Generator().manual_seed(5))
    chosen = {name: [largest, smallest, lambda layout: random_choice(layout, below)] for name in GENERATORS}
    sums: dict[str, Tensor] = {}
    for number in range(3):
        for name in GENERATORS:
            gan.network(name).ops = chosen[name][number](gan.network(name).layout)
        for name, term in generator_loss(gan, a, b, LossConfig(), compare)[0].items():
            sums[name] = sums.get(name, 0) + term
    assert terms.keys() == sums.keys() and "distillation_features_ba" in terms
    for name, term in terms.items():
        torch.testing.assert_close(term, sums[name], **CLOSE)
    assert len(calls) == 2, "each teacher translates a batch once"


@pytest.mark.parametrize("layout", ["framed", "paper", "reference", "resnet9", "resnet6", "resnet3", "resnet0"])
def test_features_are_compared_at_the_same_depths_of_all_layouts(layout: str) -> None:
    """At the end of the encoder, and of each third of the residual cells, all at a quarter of the resolution."""
    network = find_layout(layout).generator
    ops = random_architecture(find_layout(layout), 1).generator_ab
    final, count = network.final(ops), count_cells(network)
    assert count == {"resnet6": 6, "resnet3": 3, "resnet0": 0}.get(layout, 9)
    first = 0 if layout == "paper" else 1
    assert compared_cells(final, count) == [first + count * third // 3 for third in range(4)]


def test_a_cell_that_is_left_out_has_the_output_of_the_one_before() -> None:
    layout = find_layout("elastic").generator
    cells = {f"r{number}": "skip" for number in range(1, 10)} | {"r3": "conv3 1", "r8": "conv3 1"}
    ops = [cells.get(slot.name, slot.ops[0]) for slot in layout.slots]
    assert count_cells(layout) == 9
    assert compared_cells(layout.final(ops), 9) == [1, 2, 2, 3]
    assert compared_cells(layout.final(smallest(layout)), 9) == [1, 1, 1, 1]


def loop_of(config: RunConfig) -> tuple[Loop, Distillation]:
    gan, distillation = student(config)
    return open_loop(gan, open_pools(config), config, distillation=distillation), distillation


@pytest.mark.parametrize("layout", ["resnet3", "elastic"])
def test_the_teacher_does_not_learn_and_the_adapters_do(teacher: Path, layout: str) -> None:
    config = student_config(teacher, layout)
    loop, distillation = loop_of(config)
    before = {name: one.clone() for name, one in distillation.state_dict().items()}
    teachers = {name: one.network.state_dict() for name, one in distillation.teachers.items()}
    kept = {name: {key: one.clone() for key, one in state.items()} for name, state in teachers.items()}
    for number in range(2):
        loop.step(*noise(config, number))
    for name, one in distillation.teachers.items():
        assert not one.network.training and all(p.grad is None for p in one.network.parameters())
        assert all(torch.equal(kept[name][key], value) for key, value in one.network.state_dict().items())
    assert all(not torch.equal(before[name], one) for name, one in distillation.state_dict().items())
    alone = {
        name
        for name, _ in open_gan(
            config, find_layout(layout), None if config.search else Architecture(layout)
        ).named_parameters()
    }
    assert {name for name, _ in loop.gan.named_parameters()} == alone, "nothing of it is in the model"


def test_without_weights_a_teacher_changes_nothing_else(teacher: Path) -> None:
    """The networks start as without it, see the same images and make the same steps; adapters are those of the seed."""
    config = student_config(teacher, "resnet3", image=0.0, features=0.0)
    plain = config.with_values({"distillation": DistillationConfig()})
    loops = [
        loop_of(config)[0],
        open_loop(open_gan(plain, find_layout("resnet3"), Architecture("resnet3")), open_pools(plain), plain),
    ]
    for loop in loops:
        for number in range(2):
            loop.step(*noise(config, number))
    one, other = (loop.gan.state_dict() for loop in loops)
    assert all(torch.equal(one[name], other[name]) for name in other)
    adapters = [student(student_config(teacher, "resnet3"))[1].state_dict() for _ in range(2) if torch.rand(1).any()]
    assert adapters[0] and all(torch.equal(adapters[0][name], adapters[1][name]) for name in adapters[0])


@pytest.mark.parametrize("kind", ["search", "train"])
def test_a_distilled_run_goes_on_to_the_bit(
    kind: str, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Killed after any step; the teacher may have moved meanwhile, and may not have changed."""
    domains = write_domains(tmp_path)
    layout = ("--layout", "elastic", "--strategy", "sampled") if kind == "search" else ()
    command = [kind, *(["resnet3"] if kind == "train" else []), *domains, *FLAGS, *layout]
    command += ["--resolution", "32", "--set", "training.images=8"]
    command += ["--set", "search.generations=1", "--set", "search.latency_resolution=32"] if kind == "search" else []
    monkeypatch.setattr("ganas.cyclegan.front_search.median_seconds", lambda *_: 0.01)  # the clock is no part of it
    assert ganas(*command, "--teacher", teacher, "--out", tmp_path / "whole") == 0
    step = Loop.step

    class Killed(Exception):
        pass

    def killed(loop: Loop, *images: Tensor) -> None:
        step(loop, *images)
        if loop.nimg == 6:  # a checkpoint was written at 4
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Loop, "step", killed)
        ganas(*command, "--teacher", teacher, "--out", tmp_path / "run")
    moved = tmp_path / "moved"
    (moved / "model").mkdir(parents=True)
    for direction in TEACHER:
        (moved / "model" / f"generator_{direction}.safetensors").write_bytes(
            Run(teacher).generator(direction).read_bytes()
        )
    assert ganas(*command, "--teacher", moved, "--out", tmp_path / "run") == 0
    assert set(differences(tmp_path / "run", tmp_path / "whole")) == {"config.yaml"}
    assert "distillation" in (tmp_path / "run" / "log.txt").read_text()
    capsys.readouterr()
    swapped = Run(moved).generator("ab")
    swapped.write_bytes(Run(teacher).generator("ba").read_bytes())
    assert ganas(*command, "--teacher", moved, "--out", tmp_path / "run") == 2
    assert "the weights of distillation.teacher" in capsys.readouterr().err
    assert ganas(*command, "--out", tmp_path / "run") == 2
    assert "distillation" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--teacher", "nowhere"], "there is no run 'nowhere'"),
        (["--set", "distillation.image=1"], "distillation.image needs a teacher: give --teacher RUN"),
        (["--teacher", "TEACHER", "--set", "training.compile=true"], "training.compile is not for distillation"),
        (["--teacher", "FILE"], "is a file: give the run"),
        (["--teacher", "IMAGES"], "holds no generator_ab.safetensors"),
    ],
)
def test_what_cannot_teach_is_refused_in_one_line(
    arguments: list[str], words: str, teacher: Path, tmp_path: Path, capsys: Capture
) -> None:
    domains = write_domains(tmp_path)
    places = {"TEACHER": teacher, "FILE": Run(teacher).generator("ab"), "IMAGES": tmp_path / "a"}
    arguments = [places.get(word, word) for word in arguments]
    assert ganas("train", "resnet3", *domains, *FLAGS, "--resolution", "32", *arguments, "--out", tmp_path / "run") == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and not (tmp_path / "run").exists()


def test_mixtures_have_no_teacher(teacher: Path, tmp_path: Path, capsys: Capture) -> None:
    domains = write_domains(tmp_path)
    assert ganas("search", *domains, *FLAGS, "--teacher", teacher, "--out", tmp_path / "run") == 2
    assert "--teacher is for subnetworks: leave it out, or search with --strategy sampled" in capsys.readouterr().err


def test_a_front_without_a_teacher_trains_one_first(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the run, once; it is the hand-made network, trained as the preset does."""
    monkeypatch.setitem(PRESETS, "tiny", lambda kind: _tiny(kind) | {"training.images": 8})  # type: ignore[misc]
    monkeypatch.setattr("ganas.cyclegan.front_search.median_seconds", lambda *_: 0.01)
    command = ["search", *write_domains(tmp_path), *FLAGS, "--layout", "elastic", "--strategy", "sampled"]
    command += ["--resolution", "32", "--set", "search.generations=1", "--set", "search.latency_resolution=32"]
    alone, teacher = [*command, "--out", tmp_path / "alone", "--teacher", "none"], tmp_path / "run-teacher"
    command += ["--set", "distillation.features=2", "--out", tmp_path / "run"]
    assert ganas(*command, "--layout", "framed") == 2 and not teacher.exists(), "before the teacher is trained"
    assert "layout 'framed' is searched with" in capsys.readouterr().err
    assert ganas(*command, "--dry-run") == 0 and not teacher.exists()
    said = capsys.readouterr().out
    assert "the teacher, " in said and "in total         8 pairs" in said and "the search, without a teacher:" in said
    assert "an evolution, which compares up to 64 subnetworks" in said and "latencies" not in said
    assert ganas(*command) == 0
    said, log = capsys.readouterr(), (tmp_path / "run" / "log.txt").read_text()
    assert "training the teacher first, resnet9 in" in said.err and f"--teacher {teacher}" in said.out
    assert "distillation" in log and Run(teacher).config.is_file()
    trained = RunConfig.model_validate(yaml.safe_load(Run(teacher).config.read_text()))
    assert trained.nets.layout == "resnet9" and trained.distillation == DistillationConfig()
    assert trained.nets.width == 2, "as wide as the supernets"
    before = Run(teacher).generator("ab").stat().st_mtime_ns
    assert ganas(*command, "--dry-run") == 0 and "the teacher, " not in capsys.readouterr().out
    assert ganas(*command) == 0 and "first" not in capsys.readouterr().err
    assert Run(teacher).generator("ab").stat().st_mtime_ns == before
    assert ganas(*alone) == 0 and not (tmp_path / "alone-teacher").exists()
    assert "distillation" not in (tmp_path / "alone" / "log.txt").read_text()
    # a run goes on with the teacher that it has, or with none, whatever the command leaves out
    assert ganas(*alone[:-2]) == 0 and not (tmp_path / "alone-teacher").exists()
    teacher.rename(tmp_path / "moved")
    assert ganas(*command, "--teacher", tmp_path / "moved") == ganas(*command) == 0 and not teacher.exists()
    # a new run does not learn from the teacher of another one
    (tmp_path / "moved").rename(teacher)
    shutil.rmtree(tmp_path / "run")
    capsys.readouterr()
    assert ganas(*command, "--seed", "5") == 2 and not (tmp_path / "run").exists()
    assert f"{str(teacher)!r} is a run of another config (seed" in capsys.readouterr().err


def test_a_teacher_lies_beside_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("ganas.cyclegan.cost.dry_run", lambda config, *_, **__: (config, []))
    command = ["search", *write_domains(tmp_path), *FLAGS, "--layout", "elastic", "--strategy", "sampled"]
    assert ganas(*command, "--resolution", "32", "--out", ".", "--dry-run") == 0
    assert f"the teacher, {tmp_path / 'here-teacher'}:" in capsys.readouterr().out


def test_a_damaged_teacher_is_named(teacher: Path, tmp_path: Path) -> None:
    for direction in TEACHER:
        Run(tmp_path).generator(direction).parent.mkdir(exist_ok=True)
        Run(tmp_path).generator(direction).write_bytes(Run(teacher).generator(direction).read_bytes()[:50])
    config = small_config("resnet3").with_values({"distillation": DistillationConfig(teacher=tmp_path)})
    with pytest.raises(RunError, match="is not an intact generator"):
        with_teacher(config)
    with pytest.raises(ConfigError, match="needs a teacher"):
        from ganas.presets import make_config

        make_config("train", flags={"data.a": "a", "data.b": "b"}, settings=["distillation.features=2"])
