"""Budgets: the knapsack against brute force, the penalty against its closed form, derivations that keep to limits."""

import json
from itertools import product
from math import isclose
from pathlib import Path
from statistics import mean

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganas.cyclegan import latency
from ganas.cyclegan.architecture import random_architecture
from ganas.cyclegan.budget import Budget, open_budget
from ganas.cyclegan.config import DataConfig, NetsConfig, RunConfig, SearchConfig, TrainingConfig
from ganas.cyclegan.derive import derive, read_choices
from ganas.cyclegan.knapsack import best_within
from ganas.cyclegan.layout import GENERATORS, NETWORKS, find_layout
from ganas.cyclegan.model import CycleGAN
from ganas.cyclegan.networks import open_gan
from ganas.cyclegan.size import macs, parameters
from ganas.cyclegan.steps import open_loop, open_pools
from ganas.errors import ConfigError, RunError
from ganas.store import Run
from tiny import FLAGS, ganas, write_domains

LAYOUT = find_layout("framed")
groups = st.lists(
    st.lists(st.tuples(st.integers(-20, 0).map(lambda n: n / 4), st.integers(0, 12)), min_size=1, max_size=4),
    min_size=1,
    max_size=5,
)


@settings(max_examples=300)
@given(items=groups, budget=st.integers(0, 40))
def test_the_knapsack_is_exact(items: list[list[tuple[float, int]]], budget: int) -> None:
    scores, costs = [[s for s, _ in group] for group in items], [[c for _, c in group] for group in items]

    def sums(choice: tuple[int, ...]) -> tuple[float, int]:
        return (
            sum(score[item] for score, item in zip(scores, choice, strict=True)),
            sum(cost[item] for cost, item in zip(costs, choice, strict=True)),
        )

    fitting = [sums(c) for c in product(*(range(len(group)) for group in items)) if sums(c)[1] <= budget]
    found = best_within(scores, costs, budget)
    if not fitting:
        assert found is None
        return
    assert found is not None
    score, cost = sums(tuple(found))
    best = max(score for score, _ in fitting)
    assert score == best and cost == min(cost for score, cost in fitting if score == best)


def config(budget: str | None = "params", **search: object) -> RunConfig:
    return RunConfig(
        kind="search",
        data=DataConfig(a=Path("a"), b=Path("b"), resolution=32),
        nets=NetsConfig(layout="framed", width=4, discriminator_width=2),
        search=SearchConfig(budget=budget, **search),  # type: ignore[arg-type]
        training=TrainingConfig(images=4, device="cpu", precision="float32", threads=1),
    )


def budget_of(settings: RunConfig, folder: Path) -> Budget:
    budget = open_budget(Run(folder), settings, LAYOUT)
    assert budget is not None
    return budget


def size(name: str, ops: tuple[str, ...], kind: str, width: float = 4) -> int:
    assert name in GENERATORS
    return parameters(LAYOUT.generator, ops, width) if kind == "params" else macs(LAYOUT.generator, ops, width, 32)


@pytest.mark.parametrize("kind", ["params", "macs"])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.9])
def test_derived_networks_keep_to_their_limits_and_use_them(kind: str, share: float, tmp_path: Path) -> None:
    """Whatever the alphas; 95 % of the limit and more are used on the average, where the leading ops are above it.

    Not in each case: the next better choice may be one large kernel more, and above.
    """
    costs = budget_of(config(kind, budget_ab=1e15), tmp_path).costs["generator_ab"]
    limit = costs.minimum + share * (costs.fixed + sum(map(max, costs.slots)) - costs.minimum)
    budget = budget_of(config(kind, budget_ab=limit, budget_ba=limit), tmp_path)
    random, uses = torch.Generator().manual_seed(1), []
    for _ in range(20):
        alphas = {
            name: [torch.randn(len(slot.ops), generator=random) for slot in LAYOUT.network(name).searched]
            for name in NETWORKS
        }
        found, leading = budget.derive(LAYOUT, alphas), derive(LAYOUT, read_choices(LAYOUT, alphas))
        assert found.discriminator_a == leading.discriminator_a
        for name in GENERATORS:
            spent = size(name, found.ops(name), kind)
            assert spent <= limit and isclose(budget.utilization(LAYOUT, found)[name], spent / int(limit))
            if size(name, leading.ops(name), kind) <= limit:
                assert found.ops(name) == leading.ops(name)
            else:
                uses.append(spent / limit)
    assert share == 0.9 or (mean(uses) >= 0.95 and min(uses) > 0.85)


@pytest.mark.parametrize("seed", range(3))
def test_what_one_architecture_costs_is_its_size(seed: int, tmp_path: Path) -> None:
    ops = random_architecture(LAYOUT, seed).generator_ab
    for kind in ("params", "macs"):
        costs = budget_of(config(kind, budget_ab=1e15), tmp_path).costs["generator_ab"]
        assert costs.total(LAYOUT.generator, ops) == size("generator_ab", ops, kind)
        alphas = [
            torch.tensor([0.0 if op == chosen else -1e4 for op in slot.ops], dtype=torch.float64)
            for slot, chosen in zip(LAYOUT.generator.searched, ops, strict=True)
        ]
        assert float(costs.expected(alphas)) == pytest.approx(costs.total(LAYOUT.generator, ops), rel=1e-12)


def test_the_penalty_and_its_gradient(tmp_path: Path) -> None:
    """λ (C/B - 1) while the leading ops' cost C is above the budget, ∂/∂α_i = λ/B · w_i (c_i - Σ w c); else nothing.

    Above it is the one direction, within it the other, though its expected cost is not.
    """
    gan = CycleGAN(LAYOUT, None, 4, 2).double()
    for alphas in gan.alphas().values():
        for alpha in alphas:
            alpha.data.normal_(generator=torch.Generator().manual_seed(len(alpha)))
    free = config(budget_ab=10**9, budget_ba=10**9)
    leading = budget_of(free, tmp_path).derive(LAYOUT, gan.alphas())
    taken = {name: size(name, leading.ops(name), "params") for name in GENERATORS}
    limit, ample = taken["generator_ab"] - 1, taken["generator_ba"]
    budget = budget_of(config(budget_ab=float(limit), budget_ba=float(ample), budget_weight=3.0), tmp_path)
    terms = budget.terms(gan)
    assert float(terms["budget_ab"].detach()) == pytest.approx(3 / limit, rel=1e-9)
    assert terms["budget_ba"] == 0 and budget.costs["generator_ba"].expected(gan.alphas()["generator_ba"]) > ample
    torch.stack([*terms.values()]).sum().backward()
    costs = budget.costs["generator_ab"]
    for alpha, c in zip(gan.alphas()["generator_ab"], costs.slots, strict=True):
        w, cost = torch.softmax(alpha.detach(), 0), torch.tensor(c, dtype=torch.float64)
        torch.testing.assert_close(alpha.grad, 3 / limit * w * (cost - w @ cost), rtol=1e-10, atol=1e-18)
    assert all(alpha.grad is None or not alpha.grad.any() for alpha in gan.alphas()["generator_ba"])


def test_in_two_steps_the_penalty_is_for_alphas_alone(tmp_path: Path) -> None:
    """Weights learn as they do without it, bit for bit; alphas do not."""
    after = []
    for limit in (50_000.0, 1e9):
        settings = config(budget_ab=limit, budget_ba=limit, strategy="tf")
        gan = open_gan(settings, LAYOUT, None)
        budget = budget_of(settings, tmp_path)
        loop = open_loop(gan, open_pools(settings), settings, penalty=budget.terms)
        image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
        loop.step(image, image, image, image)
        alphas = {id(alpha) for some in gan.alphas().values() for alpha in some}
        after.append({which: [p for p in gan.parameters() if (id(p) in alphas) == which] for which in (True, False)})
    assert all(map(torch.equal, after[0][False], after[1][False]))
    assert not all(map(torch.equal, after[0][True], after[1][True]))


def test_one_direction_alone_may_have_a_budget(tmp_path: Path) -> None:
    budget = budget_of(config(budget_ba=60_000.0), tmp_path)
    assert [*budget.limits] == ["generator_ba"]
    assert [*budget.terms(CycleGAN(LAYOUT, None, 4, 2))] == ["budget_ba"]


def test_latencies_are_measured_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, settings = Run(tmp_path), config("ms", budget_ab=1e4, budget_ba=1e4)
    first = budget_of(settings, tmp_path)
    assert all(cost >= 1 for costs in first.costs["generator_ab"].slots for cost in costs)
    monkeypatch.setattr(latency, "measure_latencies", lambda *_: pytest.fail("measured again"))
    assert budget_of(settings, tmp_path).costs == first.costs
    run.latencies.write_text("{")
    with pytest.raises(RunError, match=r"latencies\.json' is not complete JSON"):
        budget_of(settings, tmp_path)


def test_a_budget_that_nothing_meets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="the budget of generator_ab is 100 parameters, but the cheapest architecture"
    ):
        open_budget(Run(tmp_path), config(budget_ab=100.0), LAYOUT)


@pytest.mark.parametrize(
    "width, again",
    [
        ("--budget-width 2.5", "--width 2.5"),
        ("--set search.budget_width=2.5", "--width 2.5"),
        ("--set nets.width_ab=2.5 --set nets.width_ba=3", "--set nets.width_ab=2.5 --set nets.width_ba=3"),
    ],
)
def test_a_search_with_a_budget(width: str, again: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Penalised from the first step on, the larger of two budgets does not matter, and the smaller is kept to.

    So little that the penalty leads no alpha to the small ops: keeping to the budget is left to the derivation.
    """
    domains = write_domains(tmp_path)
    out = tmp_path / "run"
    budget = ("--budget-params", "21.5k,1M", *width.split(), "--set", "search.budget_weight=1e-6")
    assert ganas("search", *domains, *FLAGS, "--out", out, *budget) == 0
    said = capsys.readouterr().out
    assert "generator_ab: " in said and "of 21,500 parameters" in said and "generator_ba: " in said
    assert said.splitlines()[-1].endswith(again), "what is to be done next keeps to the budget"
    result = json.loads((out / "result.json").read_text())
    assert 0.5 < result["budget"]["generator_ab"] <= 1 and result["budget"]["generator_ba"] < 0.1
    architecture = json.loads((out / "architecture.json").read_text())
    taken = [op for name in NETWORKS for op in architecture[name]]
    leading = [choice["op"] for choice in result["choices"]]
    told = [one["op"] for one in result["overruled"]]
    assert told == [one for one, other in zip(taken, leading, strict=True) if one != other] and told
    assert f"in {len(told)} of their 44 slots the leading op was overruled" in said
    line = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    assert line["loss"]["budget_ab"] > 0 and line["loss"]["budget_ba"] == 0


@pytest.mark.parametrize("kind, amount, unit", [("macs", "1G", "1,000,000,000 multi"), ("ms", "1000.5", "1,000.5 ms")])
def test_a_budget_of_time(
    kind: str, amount: str, unit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of multiply-accumulates or of milliseconds: as ample as these, it changes nothing and is reported."""
    flags = (*write_domains(tmp_path), *FLAGS, f"--budget-{kind}", amount)
    assert ganas("search", *flags, "--out", tmp_path / "run") == 0
    assert f" of {unit}" in capsys.readouterr().out
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["overruled"] == [] and all(0 < share < 0.5 for share in result["budget"].values())


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--budget-params", "1M", "--budget-ms", "3"], "give one budget, not --budget-params and --budget-ms"),
        (["--budget-width", "3"], "--budget-width needs a budget"),
        (["--budget-macs", "lots"], "--budget-macs 'lots': give a number such as 2.5M"),
        (["--budget-params", "1,2,3"], "give a number such as 2.5M, or two"),
        (["--budget-ms", "3M"], "give a number such as 12.5, or two"),
        (["--budget-params", "10", "--dry-run"], "the budget of generator_ab is 10 parameters, but the cheapest"),
        (["--budget-params", "10"], "the budget of generator_ab is 10 parameters, but the cheapest"),
        (["--budget-ms", "0.02"], "the budget of generator_ab is 0.02 ms, but the cheapest architecture"),
        (["--set", "search.budget=ms"], "search.budget is the unit"),
    ],
)
def test_bad_budgets_are_one_line(
    flags: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    domains = write_domains(tmp_path)
    assert ganas("search", *domains, *FLAGS, "--out", tmp_path / "run", *flags) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and words in err
