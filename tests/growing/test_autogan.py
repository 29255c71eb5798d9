"""AutoGAN's found networks: counted by hand, and trained, resumed and sampled like grown ones."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ganas.errors import ArchitectureError, ConfigError, Stopped
from ganas.growing.architecture import SIDES
from ganas.growing.autogan import FOUND, AutoGANArchitecture, read_architecture
from ganas.growing.candidates import Spec, candidates
from ganas.growing.config import GrowConfig
from ganas.growing.model import GrownGAN
from ganas.growing.plan import route_specs
from ganas.growing.run import dry_run, grow, open_data
from ganas.growing.sample import load_grown_generator, make_images
from ganas.growing.trainer import CandidateTrainer
from ganas.presets import make_config
from ganas.progress import Reporter
from ganas.records import read_run
from ganas.signals import StopSignal
from ganas.store import Run
from in_process import InProcess
from kill_and_resume import write_images
from tiny import ganas

NARROW = {
    "base.latent": 4,
    "base.channels": [4],
    "data.resolution": 16,
    "training.batch": 4,
    "training.generator_batch": 6,
    "training.images": 48,
    "training.checkpoint_every": 8,
    "training.log_every": 8,
    "training.ema_half_life": 8,
    "metrics.images": 16,
}
every = pytest.mark.parametrize("name", FOUND)


def full(name: str, resolution: int = 32) -> AutoGANArchitecture:
    return AutoGANArchitecture(name, latent=128, channels=256, discriminator_channels=128, resolution=resolution)


def narrow(name: str, resolution: int = 16) -> AutoGANArchitecture:
    return AutoGANArchitecture(name, latent=5, channels=6, discriminator_channels=3, resolution=resolution)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("data") / "images", 24, seed=0, sides=(16, 16))


def config(images: Path, **changed: Any) -> GrowConfig:
    return make_config("grow", preset="autogan", flags={"data.images": str(images)} | NARROW | changed)


def test_parameters_as_counted_by_hand() -> None:
    linear, conv, small = 128 * 4096 + 4096, 9 * 256 * 256 + 256, 256 * 256 + 256
    end = 2 * 256 + 9 * 256 * 3 + 3  # batch norm, 3×3 to RGB
    one_more = {"a": 2, "b": 3, "c": 2}  # shortcuts
    norms = {"a": 0, "b": 0, "c": 2 * 2 * 256}  # of the first cell
    for name in FOUND:
        expected = linear + 6 * conv + (one_more[name] + 1 + 2) * small + end + norms[name]
        assert full(name).parameters("generator") == expected
    assert full("a").parameters("generator") == 4_405_251
    first = (9 * 3 * 128 + 128) + (9 * 128 * 128 + 128) + (3 * 128 + 128)
    second = 2 * (9 * 128 * 128 + 128) + (128 * 128 + 128)
    others = 2 * (9 * 128 * 128 + 128)
    assert full("a").parameters("discriminator") == first + second + 2 * others + 128 == 1_053_824


@every
@pytest.mark.parametrize("resolution", [8, 16, 64])
def test_shapes_size_and_work_are_known_without_building(name: str, resolution: int) -> None:
    architecture = narrow(name, resolution)
    gan = GrownGAN(architecture)
    for side, given, made in (("generator", (5,), (3, resolution, resolution)), ("discriminator", None, (1,))):
        network = gan.network(side)
        assert architecture.parameters(side) == sum(parameter.numel() for parameter in network.parameters())
        network.eval()
        x = torch.randn(2, *(given or (3, resolution, resolution)))
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            assert network(x).shape == (2, *made)
        assert architecture.macs(side) == counter.get_total_flops() // 4


def test_cells_use_what_their_table_says() -> None:
    found = {name: [(c.mode, c.shortcut, c.norm) for c in full(name).cells] for name in FOUND}
    near, bi = "nearest", "bilinear"
    assert found["a"] == [(near, True, False), (bi, True, False), (near, False, False)]
    assert found["b"] == [(near, True, False)] * 3
    assert found["c"] == [(near, True, True), (bi, True, False), (near, False, False)]
    generator = GrownGAN(narrow("c")).generator
    assert [len(cell.skips) for cell in generator.cells] == [0, 1, 2]  # type: ignore[union-attr, arg-type]
    assert sum(isinstance(module, nn.BatchNorm2d) for module in generator.modules()) == 3


def test_the_first_cell_as_it_is_written() -> None:
    """Pre-activation, nearest: 3×3(ReLU(3×3(up(ReLU x)))) + 1×1(up(x)); the own skip is the first map."""
    cell = GrownGAN(narrow("a")).generator.cells[0]  # type: ignore[union-attr]
    x = torch.randn(2, 6, 3, 3)

    def up(y: torch.Tensor) -> torch.Tensor:
        return y.repeat_interleave(2, 2).repeat_interleave(2, 3)

    with torch.no_grad():
        made, skip = cell(x, [])
        h = cell.first(up(x.relu()))
        torch.testing.assert_close(skip, h)
        torch.testing.assert_close(made, cell.second(h.relu()) + cell.shortcut(up(x)))


def test_every_convolution_of_the_discriminator_has_spectral_norm_one() -> None:
    torch.manual_seed(0)
    discriminator = GrownGAN(narrow("a")).discriminator
    for _ in range(100):  # power iterations
        discriminator(torch.randn(2, 3, 16, 16))
    convs = [module for module in discriminator.modules() if isinstance(module, nn.Conv2d)]
    assert len(convs) == 4 * 2 + 2 + 1
    for conv in convs:
        largest = torch.linalg.matrix_norm(conv.weight.detach().flatten(1), 2)
        torch.testing.assert_close(largest, torch.ones(()), rtol=0.02, atol=0)
    discriminator.eval()
    x = torch.randn(6, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(discriminator(x, batch=3), torch.cat([discriminator(one[None]) for one in x]))


@every
def test_an_architecture_survives_its_file(name: str) -> None:
    architecture = full(name)
    assert read_architecture(json.loads(architecture.to_json()), "a.json") == architecture
    spec = Spec("id", architecture, None, None, 0, seed=1, images=2)
    assert Spec.from_json(spec.to_json(), "spec.json") == spec


@pytest.mark.parametrize("name, resolution, reason", [("d", 32, "unknown AutoGAN 'd'"), ("a", 12, "a multiple of 8")])
def test_what_does_not_exist_is_refused(name: str, resolution: int, reason: str) -> None:
    with pytest.raises(ArchitectureError, match=reason):
        full(name, resolution)


# ── training ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_preset_has_autogans_constants() -> None:
    found = make_config("grow", preset="autogan", flags={"data.images": "x"})
    training = found.training
    assert (found.loss.adversarial, found.loss.gradient, found.loss.drift) == ("hinge", 0, 0)
    assert (training.lr, training.betas, training.decay, training.critic_steps) == (2e-4, (0.0, 0.9), 1.0, 5)
    assert (training.batch, training.generator_batch) == (64, 128)
    assert training.images == 50_000 * 5 * 64 and training.final_images == 0
    steps_of_the_generator = training.ema_half_life / (5 * 64)  # type: ignore[operator]
    assert 0.5 ** (1 / steps_of_the_generator) == pytest.approx(0.999, abs=1e-5)
    (spec,) = route_specs(found, [])
    assert spec.architecture == full("a")


def trainer(run: Run, settings: GrowConfig, images: int | None = None) -> CandidateTrainer:
    (spec,) = route_specs(settings, [])
    folder = run.candidate(spec.id)
    folder.write_text(folder.spec, spec.to_json())
    return CandidateTrainer(folder, spec, settings, None, None)


def test_the_generator_takes_every_fifth_step(images: Path, tmp_path: Path) -> None:
    settings, _ = open_data(config(images))
    one = trainer(Run(tmp_path), settings)
    parameter, seen = next(one.gan.generator.parameters()), []
    for _ in range(11):
        before = parameter.detach().clone()
        one.loop.step(torch.rand(4, 3, 16, 16) * 2 - 1)
        seen.append(not torch.equal(before, parameter))
    assert [number for number, changed in enumerate(seen) if changed] == [4, 9]


def test_it_is_trained_sampled_and_looked_at_like_a_grown_run(
    images: Path, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    found = grow(config(images), out, executor=InProcess())
    assert isinstance(found.architecture, AutoGANArchitecture) and found.candidates == 1
    ((spec, result),) = candidates(Run(out))
    assert result and result.images == 48 and result.state == "done"
    generator, info = load_grown_generator(out / "model" / "generator.safetensors")
    assert info.architecture == spec.architecture
    alone = torch.cat([make_images(generator, range(seed, seed + 1)) for seed in range(4)])
    assert (alone.int() - make_images(generator, range(4)).int()).abs().max() <= 1, "running statistics, not a batch's"
    assert read_run(out).architecture == info.architecture
    for command in (("runs", out), ("report", out), ("sample", out, tmp_path / "x.png"), ("evaluate", out)):
        assert ganas(*command) == 0
    capsys.readouterr()
    assert grow(config(images), out, executor=InProcess()) == found, "a finished run is not repeated"


class _StopAfter(StopSignal):
    def __init__(self, checks: int) -> None:
        super().__init__()
        self._left = checks

    def check(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Stopped("here")


def test_it_resumes_bit_for_bit(images: Path, tmp_path: Path, cache: Path) -> None:
    """Between two steps of the generator, with the running statistics of batch norm and spectral norm's vectors."""
    from ganas.growing.images import open_squares

    settings, _ = open_data(config(images, **{"base.autogan": "c"}))
    finals = []
    for name, checks in (("whole", None), ("parts", 7)):
        run = Run(tmp_path / name)
        (spec,) = route_specs(settings, [])
        folder = run.candidate(spec.id)
        for stop in (*([_StopAfter(checks)] if checks else []), StopSignal()):
            one = CandidateTrainer(folder, spec, settings, None, open_squares(run, settings))
            try:
                one.train(Reporter(quiet=True), stop)
            except Stopped:
                assert 0 < one.loop.nimg < 48 and (one.loop.nimg // 4) % 5
        finals.append(one.final())
    whole, parts = finals
    statistics = [name for name in whole if name.startswith("average/") and "running" in name]
    assert len(statistics) == 2 * 3
    assert all(torch.equal(whole[name], whole[name.replace("average", "generator")]) for name in statistics)
    assert whole.keys() == parts.keys() and all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_dry_run_and_a_longer_training_know_it(images: Path, tmp_path: Path, cache: Path) -> None:
    _, lines = dry_run(config(images))
    assert any("16×16" in line for line in lines)
    found = grow(config(images, **{"training.final_images": 8}), tmp_path / "run", executor=InProcess())
    assert len([*candidates(Run(tmp_path / "run"))]) == 2 and isinstance(found.architecture, AutoGANArchitecture)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"base.channels": [4, 8]}, "base.autogan takes one value of base.channels, got"),
        ({"base.autogan": "z"}, "base.autogan: input should be 'a', 'b' or 'c'"),
        ({"loss.adversarial": "relativistic"}, "training.generator_batch=6: the relativistic loss compares"),
    ],
)
def test_what_does_not_fit_is_one_line(images: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        config(images, **settings)
    assert "\n" not in str(error.value)


def test_it_follows_no_route(images: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"base\.autogan trains one network and grows nothing"):
        grow(config(images), tmp_path / "run", route="proggan")


def test_sides_are_those_of_grown_networks() -> None:
    assert [len(full("a").layers(side)) for side in SIDES] == [3, 4]
