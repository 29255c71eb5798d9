"""The loop: a resumed run equals an uninterrupted one, and a value that is not finite stops it."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
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
def test_three_steps_a_checkpoint_and_three_more_equal_six_bit_for_bit(
    layout: str, search: SearchConfig | None, tmp_path: Path
) -> None:
    config = small_config(layout, search, ema_half_life=4.0)
    whole, pools = small_loop(config)
    take_steps(whole, 6)
    expected = everything(whole, pools)

    first, pools = small_loop(config)
    take_steps(first, 3)
    Run(tmp_path).save_checkpoint(first.nimg, everything(first, pools))
    second, pools = small_loop(config, seed=99)  # its initial weights must all be replaced
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


def test_gumbel_steps_depend_on_the_seed() -> None:
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


# One sample and one power iteration per network and optimizer step


def with_terms(terms: dict[str, Any]) -> Any:
    """Build phases whose terms are the given functions of the networks, for `small_loop`."""

    def phases(gan: CycleGAN, pools: dict[str, ImagePool], config: RunConfig) -> list[Phase]:
        networks = {"generators": GENERATORS, "discriminators": DISCRIMINATORS}

        def phase(name: str) -> Phase:
            learning = [p for network in networks[name] for p in gan.network(network).parameters()]
            optimizer = torch.optim.SGD([{"params": learning, "lr": 0.0, "initial_lr": 0.0, "start_image": 0}])
            return Phase(name, optimizer, networks[name], NETWORKS, lambda images, _: terms[name](gan, *images))

        return [phase(name) for name in terms]

    return phases


@pytest.mark.parametrize("mixing", ["merged", "naive"])
def test_weights_are_sampled_and_normalized_once_per_step_however_often_a_network_is_used(mixing: str) -> None:
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


# Values that are not finite


@pytest.mark.parametrize(
    "culprit, terms",
    [
        ("loss of cycle_b", lambda ab, ba: {"fine": ab, "cycle_b": ba + float("nan")}),
        ("loss of cycle_b", lambda ab, ba: {"fine": ab, "cycle_b": ba + float("inf")}),
        ("loss of generators", lambda ab, ba: {"one": ab + 3e38, "other": ba + 3e38}),  # only the sum overflows
        ("gradient of generator_ba", lambda ab, ba: {"fine": ab, "root": (0 * ba).abs().sqrt()}),  # its slope is 0 · ∞
    ],
)
def test_a_value_that_is_not_finite_stops_the_run_and_changes_no_weight(culprit: str, terms: Any) -> None:
    def both(gan: CycleGAN, a: Tensor, b: Tensor) -> Terms:
        sums = (torch.stack([p.sum() for p in gan.network(name).parameters()]).sum() for name in GENERATORS)
        return terms(*sums)  # type: ignore[no-any-return]

    loop, _ = small_loop(small_config("resnet6"), phases=with_terms({"generators": both}))
    loop.nimg = 2 * BATCH
    for group in loop.phases[0].optimizer.param_groups:
        group["initial_lr"] = 0.1
    before = [parameter.clone() for parameter in loop.gan.parameters()]
    with pytest.raises(NonFiniteError, match=f"the {culprit} is not finite at step 3"):
        take_steps(loop, 1)
    assert all(map(torch.equal, before, loop.gan.parameters()))
    assert loop.nimg == 2 * BATCH


# Events


@given(st.integers(1, 50), st.integers(1, 20), st.integers(1, 20))
def test_an_event_is_due_once_for_each_multiple_it_crosses_and_at_the_end(every: int, batch: int, steps: int) -> None:
    event, length = Event("log", every, lambda nimg: None), batch * steps
    due = {nimg for nimg in range(0, length + 1, batch) if event.due(nimg, batch, length)}
    reached = {-(-multiple // batch) * batch for multiple in range(every, length + 1, every)}
    assert due == reached | {length}


def watch(loop: Loop, seen: list[tuple[str, int]], stop_at: int | None = None) -> None:
    """Run a loop without phases; its two events record their calls, and the first may stop it."""
    stop = StopSignal()

    def look(nimg: int) -> None:
        seen.append(("look", nimg))
        if nimg == stop_at:
            stop.received = signal.SIGTERM

    events = [Event("look", 5, look), Event("keep", 5, lambda nimg: seen.append(("keep", nimg)))]
    batches = (noise(loop.config, nimg) for nimg in range(loop.nimg, 1000, BATCH))
    with Reporter().bar("test", loop.nimg, loop.config.total_images) as bar:
        loop.run(batches, events, stop, bar)


@pytest.mark.parametrize("stop_at", [6, 12])
def test_events_keep_their_order_across_a_stop_between_two(stop_at: int) -> None:
    seen: list[tuple[str, int]] = []
    loop, resumed = (small_loop(small_config("resnet6"), phases=lambda *_: [])[0] for _ in range(2))
    with pytest.raises(Stopped):
        watch(loop, seen, stop_at)
    assert seen[-1] == ("look", stop_at)
    resumed.load_state_dict(loop.state_dict())
    watch(resumed, seen)
    assert seen == [(name, nimg) for nimg in (6, 10, 12) for name in ("look", "keep")]


def test_alphas_learn_only_after_the_warm_up() -> None:
    config = small_config("framed", SearchConfig(warmup=0.5, alpha_lr=0.1))
    loop, _ = small_loop(config)
    alphas = [mixed.alpha for mixed in mixtures(loop.gan)]
    initial = [alpha.detach().clone() for alpha in alphas]

    def moved() -> set[bool]:
        return {not torch.equal(old, new) for old, new in zip(initial, alphas, strict=True)}

    while loop.nimg < config.total_images / 2:
        loop.step(*noise(config, loop.nimg))
        assert moved() == {False}
    with_moments = {parameter for phase in loop.phases for parameter in phase.optimizer.state}
    assert with_moments.isdisjoint(alphas), "gradients of the warm-up do not enter Adam's moments"
    loop.step(*noise(config, loop.nimg))
    assert moved() == {True}
