"""Training a candidate: it learns, resumes bit for bit, and starts where its parent ended."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganas.data.loaders import center_crops
from ganas.errors import Stopped
from ganas.growing.actions import parse_action
from ganas.growing.architecture import GrowthArchitecture
from ganas.growing.candidates import Spec
from ganas.growing.config import GrowConfig, GrowingLossConfig
from ganas.growing.finals import load_final
from ganas.growing.images import open_squares
from ganas.growing.model import discriminator_loss
from ganas.growing.run import open_data
from ganas.growing.sample import latent_vector, make_images
from ganas.growing.trainer import CandidateTrainer, starts_as_its_parent
from ganas.jobs.job import Job
from ganas.jobs.result import Result, read_result
from ganas.jobs.worker import run_job
from ganas.layers import upsample
from ganas.presets import make_config
from ganas.progress import Reporter
from ganas.signals import StopSignal
from ganas.store import Run

BASE = GrowthArchitecture(latent=4, channels=8)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> GrowConfig:
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for number in range(24):
        pixels = random.integers(0, 256, (4, 4, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    flags = {"data.images": str(folder), "data.resolution": 32, "base.latent": 4, "base.channels": [8]}
    flags |= {"training.batch": 4, "training.images": 32, "training.ema_half_life": 8, "training.precision": "float32"}
    flags |= {"training.log_every": 8, "training.checkpoint_every": 8, "metrics.images": 16, "growth.fade_images": 16}
    config, _ = open_data(make_config("grow", preset="tiny", flags=flags))
    return config


def spec(name: str, parent: Spec | None = None, action: str | None = None) -> Spec:
    before = parent.architecture if parent else BASE
    grown = parse_action(action)(before) if action else before
    return Spec(name, grown, parent.id if parent else None, action, 0, seed=len(name), images=32)


def candidate(run: Run, config: GrowConfig, told: Spec) -> CandidateTrainer:
    parent = load_final(run.candidate(told.parent)) if told.parent else None
    folder = run.candidate(told.id)
    folder.write_text(folder.spec, told.to_json())
    return CandidateTrainer(folder, told, config, parent, open_squares(run, config))


def train(run: Run, config: GrowConfig, told: Spec, stop: StopSignal | None = None) -> CandidateTrainer:
    one = candidate(run, config, told)
    result = one.train(Reporter(quiet=True), stop or StopSignal())
    assert result.state == "done" and result.images == 32
    key = f"swd@laplacian-clean-{told.architecture.resolution}"
    assert result.facts["start"] > 0 and result.scores.keys() == {key}
    return one


class _CountingSignal(StopSignal):
    """Counts the checks of a training, which come at every step; raises an error after some of them."""

    def __init__(self, allowed: int | None = None, error: Exception | None = None) -> None:
        super().__init__()
        self.checks, self._allowed, self._error = 0, allowed, error or Stopped("here")

    def check(self) -> None:
        self.checks += 1
        if self._allowed is not None and self.checks > self._allowed:
            raise self._error


def parent_and_child(run: Run, config: GrowConfig, action: str) -> tuple[CandidateTrainer, CandidateTrainer]:
    """A trained parent, and its child before its training."""
    told = spec("parent")
    return train(run, config, told), candidate(run, config, spec("child", told, action))


@pytest.mark.parametrize("action", ["fade", "g-conv3x4", "d-conv7x16"])
def test_a_stopped_candidate_resumes_bit_for_bit(config: GrowConfig, tmp_path: Path, action: str) -> None:
    config = config.with_values({"growth.fade": "every"})
    finals, times = [], []
    for name, checks in (("whole", None), ("parts", 5)):
        run = Run(tmp_path / name)
        parent = spec("parent")
        train(run, config, parent)
        child = spec("child", parent, action)
        if checks:
            with pytest.raises(Stopped):
                train(run, config, child, _CountingSignal(checks))
            assert run.candidate("child").checkpoint_paths()
        train(run, config, child, signal := _CountingSignal())
        times.append(signal.checks)
        finals.append(load_final(run.candidate("child")))
    one, other = finals
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert times[1] < times[0], "what was trained before the stop is not trained again"


def test_the_best_of_several_evaluations_is_kept_across_stops(
    config: GrowConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {0: 9.0, 8: 3.0, 16: 1.0, 24: 2.0, 32: 4.0}
    measured: list[int] = []

    def measure(self: CandidateTrainer, reference: object) -> dict[str, float]:
        measured.append(self.loop.nimg)
        return {"swd@laplacian-clean-8": scores[self.loop.nimg]}

    monkeypatch.setattr(CandidateTrainer, "measure", measure)
    told = replace(spec("longer"), evaluations=4)
    whole = candidate(Run(tmp_path / "whole"), config, told)
    result = whole.train(Reporter(quiet=True), StopSignal())
    assert measured == [*scores] and result.scores == {"swd@laplacian-clean-8": 1.0}
    assert result.facts["best_at"] == 16 and result.images == 32 and not result.ended

    halfway = candidate(Run(tmp_path / "half"), config, replace(told, evaluations=1))
    halfway.train(Reporter(quiet=True), StopSignal(), until=16)  # the weights after 16 images
    kept, expected = load_final(whole.folder), load_final(halfway.folder)
    assert kept.keys() == expected.keys() and all(torch.equal(kept[name], expected[name]) for name in kept)

    run = Run(tmp_path / "stopped")
    for allowed in (3, 6, None):  # after the first evaluation, after the best one, and to the end
        stop = _CountingSignal(allowed)
        with nullcontext() if allowed is None else pytest.raises(Stopped):
            stopped = candidate(run, config, told)
            result = stopped.train(Reporter(quiet=True), stop)
    assert result.facts["best_at"] == 16 and whole.folder.final.read_bytes() == stopped.folder.final.read_bytes()

    worse = candidate(Run(tmp_path / "worse"), config, replace(told, id="worst"))
    scores[0] = 0.5
    start = worse.final()
    result = worse.train(Reporter(quiet=True), StopSignal())
    kept = load_final(worse.folder)
    assert result.facts["best_at"] == 0 and all(torch.equal(kept[name], start[name]) for name in start)
    scores[0] = 9.0

    patient = config.model_copy(update={"training": config.training.model_copy(update={"patience": 1})})
    ended = candidate(Run(tmp_path / "patient"), patient, told).train(Reporter(quiet=True), StopSignal())
    assert ended.ended and ended.images == 24 and ended.scores == {"swd@laplacian-clean-8": 1.0}


def test_larger_resolutions_may_have_smaller_batches(config: GrowConfig, tmp_path: Path) -> None:
    smaller = GrowConfig.model_validate(config.with_values({"training.batches": ("16:2",)}).model_dump(by_alias=True))
    assert [smaller.batch_at(side) for side in (8, 16, 32)] == [4, 2, 2]
    seen: list[int] = []
    base = train(Run(tmp_path), smaller, spec("base"))
    one = candidate(Run(tmp_path), smaller, spec("doubled", base.spec, "fade"))
    step = one.loop.step
    one.loop.step = lambda *images: (seen.append(len(images[0])), step(*images))[1]  # type: ignore[method-assign,func-returns-value]
    one.train(Reporter(quiet=True), StopSignal())
    assert seen == [2] * 16
    with pytest.raises(ValueError, match=r"must divide training\.batch=4"):
        GrowConfig.model_validate(config.with_values({"training.batches": ("16:3",)}).model_dump(by_alias=True))


def test_a_failed_candidate_records_its_progress(config: GrowConfig, tmp_path: Path) -> None:
    run, told = Run(tmp_path), spec("parent")
    one = candidate(run, config, told)

    def work(_job: Job, _stop: StopSignal, reporter: Reporter) -> Result:
        return one.train(reporter, _CountingSignal(5, ArithmeticError("no number")))

    run_job(Job("candidate", one.folder.path, told.images), StopSignal(), work)
    result = read_result(one.folder)
    assert result and result.state == "failed" and "no number" in str(result.error)
    assert result.images == one.folder.read_metrics()[-1]["nimg"] > 0 and result.seconds > 0
    assert result.facts["start"] > 0 and not result.scores


def test_a_fade_in_starts_with_its_parents_images(config: GrowConfig, tmp_path: Path) -> None:
    parent, child = parent_and_child(Run(tmp_path), config, "fade")
    z = torch.stack([latent_vector(seed, 4) for seed in range(6)])
    with torch.no_grad():
        for ours, theirs in ((child.generator, parent.generator), (child.gan.generator, parent.gan.generator)):
            torch.testing.assert_close(ours(z), upsample(theirs(z)), rtol=0, atol=1e-5)


def test_a_base_of_4_pixels_trains_and_doubles_like_any_other(config: GrowConfig, tmp_path: Path) -> None:
    run, base = Run(tmp_path), replace(BASE, base=4)
    parent = candidate(run, config, replace(spec("parent"), architecture=base))
    images = torch.rand(4, 3, 32, 32) * 2 - 1
    parent.loop.step(images)
    told = replace(spec("child"), architecture=base.doubled(), parent="parent", action="fade")
    child = CandidateTrainer(run.candidate("child"), told, config, parent.final(), None)
    assert make_images(parent.generator, range(2)).shape == (2, 3, 4, 4)
    z = torch.stack([latent_vector(seed, 4) for seed in range(6)])
    with torch.no_grad():
        torch.testing.assert_close(child.generator(z), upsample(parent.generator(z)), rtol=0, atol=1e-5)
    child.loop.step(images)


@pytest.mark.parametrize("fade", ["every", "doublings"])
@pytest.mark.parametrize("action", [None, "fade", "g-conv3x4", "d-conv7x16"])
def test_which_candidates_start_as_their_parents(
    config: GrowConfig, tmp_path: Path, action: str | None, fade: str
) -> None:
    changed = config.with_values({"growth.fade": fade})
    told = spec("parent")
    parent, child = train(Run(tmp_path), changed, told), spec("child", told, action)
    grown = candidate(Run(tmp_path), changed, child)
    z = torch.stack([latent_vector(seed, 4) for seed in range(6)])
    with torch.no_grad():
        ours, theirs = grown.generator(z), parent.generator(z)
    assert starts_as_its_parent(child, changed) == (ours.shape == theirs.shape and torch.equal(ours, theirs))
    assert not starts_as_its_parent(told, changed)
    anew = changed.with_values({"growth.inherit_average": False})
    assert not starts_as_its_parent(child, anew)


@pytest.mark.parametrize("action", ["g-conv3x4", "d-conv7x16"])
def test_a_convolution_that_fades_in_starts_where_its_parent_stood(
    config: GrowConfig, tmp_path: Path, action: str
) -> None:
    every = config.with_values({"growth.fade": "every"})
    parent, child = parent_and_child(Run(tmp_path), every, action)
    z, images = torch.stack([latent_vector(seed, 4) for seed in range(6)]), torch.rand(4, 3, 8, 8)
    with torch.no_grad():
        for ours, theirs in ((child.generator, parent.generator), (child.gan.generator, parent.gan.generator)):
            assert torch.equal(ours(z), theirs(z))
        assert torch.equal(child.gan.discriminator(images), parent.gan.discriminator(images))
    child.train(Reporter(quiet=True), StopSignal())
    ended, started = read_scores(parent.folder)[-1], read_scores(child.folder)[0]
    assert started == ended, "the score at its start is its parent's at its end"
    assert child.gan.network("generator" if action[0] == "g" else "discriminator").blend == 1


def read_scores(folder: Run) -> list[dict[str, float]]:
    return [line["scores"] for line in folder.read_metrics() if "scores" in line]


def test_real_images_fade_in_like_generated_ones(config: GrowConfig, tmp_path: Path) -> None:
    _, child = parent_and_child(Run(tmp_path), config, "fade")
    child.loop.prepare(8)  # half of the way
    assert child.gan.generator.blend == 0.5
    images = torch.rand(4, 3, 32, 32) * 2 - 1
    at_16 = images.unflatten(3, (16, 2)).unflatten(2, (16, 2)).mean((3, 5))
    at_8 = at_16.unflatten(3, (8, 2)).unflatten(2, (8, 2)).mean((3, 5))
    real = 0.5 * at_16 + 0.5 * at_8.repeat_interleave(2, 2).repeat_interleave(2, 3)
    phase = next(phase for phase in child.loop.phases if phase.name == "discriminator")
    ours = phase.terms((images,), torch.Generator().manual_seed(0))
    noise = torch.Generator().manual_seed(0)
    z, between = torch.randn(4, 4, generator=noise), torch.rand(4, 1, 1, 1, generator=noise)
    theirs = discriminator_loss(child.gan, real, z, between, GrowingLossConfig())
    assert ours.keys() == theirs.keys()
    for name, term in ours.items():
        torch.testing.assert_close(term, theirs[name])


def test_each_step_gives_gradients_to_its_own_network_alone(config: GrowConfig, tmp_path: Path) -> None:
    one = candidate(Run(tmp_path), config, spec("base"))
    for phase in one.loop.phases:
        one.gan.zero_grad()
        phase.freeze_others(one.gan)
        torch.stack([*phase.terms((torch.rand(4, 3, 32, 32),), torch.Generator()).values()]).sum().backward()
        for name, parameter in one.gan.named_parameters():
            assert (parameter.grad is not None) == name.startswith(phase.networks), name


def test_moments_are_inherited_with_their_weights(config: GrowConfig, tmp_path: Path) -> None:
    for inherited in (True, False):
        growth = config.growth.model_copy(update={"inherit_moments": inherited})
        settings = config.model_copy(update={"growth": growth})
        parent, child = parent_and_child(Run(tmp_path / str(inherited)), settings, "g-conv3x4")
        final = load_final(parent.folder)
        phases = {phase.name: phase for phase in child.loop.phases}
        parameters = dict(child.gan.generator.named_parameters())
        state = phases["generator"].optimizer.state
        if not inherited:
            assert not state and not [name for name in final if name.startswith("adam/")]
            continue
        for name in ("base.weight", "latent.bias"):
            for key in ("step", "exp_avg", "exp_avg_sq"):
                assert torch.equal(state[parameters[name]][key], final[f"adam/generator/{name}/{key}"])
        assert parameters["rgb.weight"] not in state, "its shape changed"
        assert parameters["layers.0.convs.0.weight"] not in state, "it is new"
        assert phases["discriminator"].optimizer.state, "nothing was grown there"


def test_the_blend_ends_within_the_training(config: GrowConfig, tmp_path: Path) -> None:
    _, child = parent_and_child(Run(tmp_path), config, "fade")
    shares = []
    for nimg in range(0, 32, 4):
        child.loop.prepare(nimg)
        shares.append(child.gan.generator.blend)
        assert child.gan.discriminator.blend == child.generator.blend == shares[-1]
    assert shares == [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]
    child.train(Reporter(quiet=True), StopSignal())
    assert child.generator.blend == child.gan.discriminator.blend == 1, "measured without the old path"


@pytest.mark.parametrize("white", [None, 8191.0])
def test_decoding_again_gives_the_same_images(tmp_path: Path, white: float | None) -> None:
    """The white level, found in the data (12 of 16 bits) or given by the user, holds for every process of a run."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 4096, (32, 32)).astype(np.uint16)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    flags = {"data.images": str(folder), "data.resolution": 32, "training.batch": 2, "data.white": white}
    config, source = open_data(make_config("grow", preset="tiny", flags=flags))
    squares = open_squares(Run(tmp_path / "run"), config)
    assert np.array_equal(squares, center_crops(source, 32))
    assert squares.max() == (255 if white is None else 127)


def test_training_moves_images_towards_the_real_ones(config: GrowConfig, tmp_path: Path) -> None:
    """A base alone learns at least the contrast of the images."""
    training = config.training.model_copy(update={"images": 800})
    longer = config.model_copy(update={"training": training})
    told = Spec("base", BASE, None, None, 0, seed=1, images=800)
    one = candidate(Run(tmp_path), longer, told)
    reference = torch.from_numpy(open_squares(Run(tmp_path), config)).float()
    before = (make_images(one.generator, range(64)).float().std() - reference.std()).abs()
    one.train(Reporter(quiet=True), StopSignal())
    after = (make_images(one.generator, range(64)).float().std() - reference.std()).abs()
    assert after < before
