"""The loop: a resumed run is the run that never stopped, and a number that is lost ends it."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from ganas.cyclegan.config import RunConfig, SearchConfig
from ganas.cyclegan.layout import DISCRIMINATORS, GENERATORS, NETWORKS
from ganas.cyclegan.mixed import mixtures
from ganas.cyclegan.model import CycleGAN, ImagePool
from ganas.errors import NonFiniteError, Stopped
from ganas.learning.loop import Event, Loop
from ganas.learning.phases import Phase, Terms
from ganas.progress import Reporter
from ganas.signals import StopSignal
from ganas.store import Run
from small import BATCH, noise, small_config, small_loop

GUMBEL = SearchConfig(sampling="gumbel", alpha_lr=0.01)
SOFTMAX = SearchConfig(sampling="softmax")

# Resuming


def take_steps(loop: Loop, count: int) -> None:
    for _ in range(count):
        loop.step(*noise(loop.config, loop.nimg))


def everything(loop: Loop, pools: dict[str, ImagePool]) -> dict[str, Any]:
    return {"loop": loop.state_dict(), "pools": {domain: pool.state_dict() for domain, pool in pools.items()}}


@pytest.mark.parametrize("layout, search", [("framed", SOFTMAX), ("reference", GUMBEL), ("resnet6", None)])
def test_six_steps_are_three_a_checkpoint_and_three_bit_for_bit(
    layout: str, search: SearchConfig | None, tmp_path: Path
) -> None:
    config = small_config(layout, search, ema_half_life=4.0)
    whole, pools = small_loop(config)
    take_steps(whole, 6)
    expected = everything(whole, pools)

    first, pools = small_loop(config)
    take_steps(first, 3)
    Run(tmp_path).save_checkpoint(first.nimg, everything(first, pools))
    second, pools = small_loop(config, seed=99)  # nothing of its initial weights may stay
    torch.manual_seed(77)
    state = Run(tmp_path).load_checkpoint()
    assert state is not None
    second.load_state_dict(state["loop"])
    for domain, pool in pools.items():
        pool.load_state_dict(state["pools"][domain])
    torch.testing.assert_close(everything(second, pools), everything(first, pools), rtol=0, atol=0)
    take_steps(second, 3)

    assert second.nimg == 6 * BATCH
    torch.testing.assert_close(everything(second, pools), expected, rtol=0, atol=0)


def test_steps_differ_by_seed_when_gumbel_draws() -> None:
    states = []
    for seed in (3, 4):
        loop, _ = small_loop(small_config("framed", GUMBEL).model_copy(update={"seed": seed}))
        take_steps(loop, 1)
        states.append(torch.cat([parameter.flatten() for parameter in loop.gan.parameters()]))
    assert not torch.equal(*states)


def test_the_learning_rate_of_every_group_follows_the_schedule() -> None:
    loop, _ = small_loop(small_config("framed", SearchConfig(alpha_lr=0.01), decay=0.5))
    rates = []
    for _ in range(6):
        take_steps(loop, 1)
        rates.append([group["lr"] for phase in loop.phases for group in phase.optimizer.param_groups])
    factors = [1, 1, 1, 1, 2 / 3, 1 / 3]  # of steps that start at 0, 2 ... 10 of 12 images
    assert rates == [pytest.approx([2e-4 * factor, 0.01 * factor] * 2) for factor in factors]


# One draw, and one power iteration, per network and optimiser step


def with_terms(terms: dict[str, Any]) -> Any:
    """A list of phases whose terms are the given functions of the networks, for `small_loop`."""

    def phases(gan: CycleGAN, pools: dict[str, ImagePool], config: RunConfig) -> list[Phase]:
        networks = {"generators": GENERATORS, "discriminators": DISCRIMINATORS}

        def phase(name: str) -> Phase:
            learning = [p for network in networks[name] for p in gan.network(network).parameters()]
            optimizer = torch.optim.SGD([{"params": learning, "lr": 0.0, "initial_lr": 0.0, "start_image": 0}])
            return Phase(name, optimizer, networks[name], NETWORKS, lambda images, _: terms[name](gan, *images))

        return [phase(name) for name in terms]

    return phases


@pytest.mark.parametrize("mixing", ["merged", "naive"])
def test_however_often_a_network_is_used_in_a_step_its_weights_are_drawn_and_normalised_once(mixing: str) -> None:
    drawn: list[list[Tensor]] = []

    def scores(gan: CycleGAN, a: Tensor, b: Tensor) -> Terms:
        used = []
        for images in (a, b, a):
            used.append(gan.discriminator_a(images).mean())
            drawn.append([mixed.weights.detach() for mixed in mixtures(gan)])
        assert used[0].equal(used[2])
        return {"score": torch.stack(used).sum()}

    config = small_config("reference", GUMBEL)
    config = config.model_copy(update={"nets": config.nets.model_copy(update={"mixing": mixing})})
    loop, _ = small_loop(config, phases=with_terms({"discriminators": scores}))
    expected = []
    for module in loop.gan.discriminator_a.modules():
        if parametrize.is_parametrized(module):
            norm = module.parametrizations.weight[0]
            norm.v.copy_(functional.normalize(torch.randn(len(norm.v)), dim=0))  # far from converged
            matrix = module.parametrizations.weight.original.detach().permute(0, 2, 3, 1).flatten(1)
            v = functional.normalize(matrix.T @ functional.normalize(matrix @ norm.v, dim=0), dim=0)
            expected.append((norm, v))
    assert expected
    take_steps(loop, 1)
    for norm, v in expected:
        torch.testing.assert_close(norm.v, v)
    assert all(map(torch.equal, drawn[0], drawn[1]))
    take_steps(loop, 1)
    assert not any(map(torch.equal, drawn[0], drawn[3]))


# Numbers that are lost


def total(gan: CycleGAN, name: str) -> Tensor:
    """Something that every weight of a network has a part in."""
    return torch.stack([parameter.sum() for parameter in gan.network(name).parameters()]).sum()


def refused(terms: Any, steps: int = 1) -> str:
    """The message with which a run ends at its last step, having kept its weights."""
    loop, _ = small_loop(small_config("resnet6"), phases=with_terms({"generators": terms}))
    loop.nimg = (steps - 1) * BATCH
    for group in loop.phases[0].optimizer.param_groups:
        group["initial_lr"] = 0.1
    before = [parameter.clone() for parameter in loop.gan.parameters()]
    with pytest.raises(NonFiniteError) as caught:
        take_steps(loop, 1)
    assert all(map(torch.equal, before, loop.gan.parameters()))
    assert loop.nimg == (steps - 1) * BATCH
    return str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_named_with_its_step(value: float) -> None:
    def terms(gan: CycleGAN, a: Tensor, b: Tensor) -> Terms:
        return {"fine": total(gan, "generator_ab"), "cycle_b": total(gan, "generator_ba") + value}

    assert "the loss of cycle_b is not finite at step 3" in refused(terms, steps=3)


def test_losses_that_are_numbers_but_whose_sum_is_not_are_named_after_their_phase() -> None:
    def terms(gan: CycleGAN, a: Tensor, b: Tensor) -> Terms:
        return dict.fromkeys(("one", "other"), torch.tensor(3e38) + total(gan, "generator_ab"))

    assert "the loss of generators is not finite at step 1" in refused(terms)


def test_a_gradient_that_is_no_number_is_named_after_its_network() -> None:
    def terms(gan: CycleGAN, a: Tensor, b: Tensor) -> Terms:
        root = (0 * total(gan, "generator_ba")).abs().sqrt()  # 0, but its slope is 0 · ∞
        return {"fine": total(gan, "generator_ab"), "root": root}

    assert "the gradient of generator_ba is not finite at step 1" in refused(terms)


# Events


@given(st.integers(1, 50), st.integers(1, 20), st.integers(1, 20))
def test_an_event_is_due_once_for_each_multiple_it_crosses_and_at_the_end(every: int, batch: int, steps: int) -> None:
    event, length = Event("log", every, lambda nimg: None), batch * steps
    due = {nimg for nimg in range(0, length + 1, batch) if event.due(nimg, batch, length)}
    reached = {-(-multiple // batch) * batch for multiple in range(every, length + 1, every)}
    assert due == reached | {length}


def watch(loop: Loop, seen: list[tuple[str, int]], stop_at: int | None = None) -> None:
    """Run a loop without phases; its two events write down what they see, and the first may stop it."""
    stop = StopSignal()

    def look(nimg: int) -> None:
        seen.append(("look", nimg))
        if nimg == stop_at:
            stop.received = signal.SIGTERM

    events = [Event("look", 5, look), Event("keep", 5, lambda nimg: seen.append(("keep", nimg)))]
    batches = (noise(loop.config, nimg) for nimg in range(loop.nimg, 1000, BATCH))
    with Reporter().bar("test", loop.nimg, loop.config.total_images) as bar:
        loop.run(batches, events, stop, bar)


def quiet_loop() -> Loop:
    return small_loop(small_config("resnet6"), phases=lambda *_: [])[0]


ALL_EVENTS = [("look", 6), ("keep", 6), ("look", 10), ("keep", 10), ("look", 12), ("keep", 12)]


def test_events_happen_in_their_order_at_multiples_and_at_the_end() -> None:
    seen: list[tuple[str, int]] = []
    watch(quiet_loop(), seen)
    assert seen == ALL_EVENTS


@pytest.mark.parametrize("stop_at", [6, 12])
def test_a_run_stopped_between_two_events_goes_on_with_the_second(stop_at: int) -> None:
    seen: list[tuple[str, int]] = []
    loop, resumed = quiet_loop(), quiet_loop()
    with pytest.raises(Stopped):
        watch(loop, seen, stop_at)
    assert seen[-1] == ("look", stop_at)
    resumed.load_state_dict(loop.state_dict())
    watch(resumed, seen)
    assert seen == ALL_EVENTS


def test_an_event_that_fails_is_tried_again() -> None:
    loop, tries = quiet_loop(), []

    def fail(nimg: int) -> None:
        tries.append(nimg)
        raise OSError("disk full")

    for _ in range(2):
        with pytest.raises(OSError, match="disk full"), Reporter().bar("test", 0, 12) as bar:
            loop.run(iter([noise(loop.config)] * 6), [Event("keep", BATCH, fail)], StopSignal(), bar)
    assert tries == [2, 2]


def alphas_of(loop: Loop) -> list[nn.Parameter]:
    return [mixed.alpha for mixed in mixtures(loop.gan)]


def moments(loop: Loop) -> list[Tensor]:
    return [parameter for phase in loop.phases for parameter in phase.optimizer.state]


def test_alphas_rest_during_the_warm_up_and_learn_after_it() -> None:
    config = small_config("framed", SearchConfig(warmup=0.5, alpha_lr=0.1))
    loop, _ = small_loop(config)
    initial = [alpha.detach().clone() for alpha in alphas_of(loop)]

    def moved() -> set[bool]:
        return {not torch.equal(old, new) for old, new in zip(initial, alphas_of(loop), strict=True)}

    while loop.nimg < config.total_images / 2:
        loop.step(*noise(config, loop.nimg))
        assert moved() == {False}
    assert not {*alphas_of(loop)} & {*moments(loop)}, "gradients of the warm-up leave no trace in Adam's moments"
    loop.step(*noise(config, loop.nimg))
    assert moved() == {True}
