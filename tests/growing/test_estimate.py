"""The pooled estimate of candidates, against least squares written out, and its limits."""

from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganas.growing.estimate import Observation, pooled_estimates


@st.composite
def observations(draw: st.DrawFn) -> list[Observation]:
    count = draw(st.integers(1, 12))
    scores = draw(st.lists(st.floats(-3, 3), min_size=count, max_size=count))
    grown = st.dictionaries(st.sampled_from("abc"), st.integers(1, 2), max_size=3)
    return [
        Observation(str(number), draw(st.sampled_from((8, 16))), draw(grown), score)
        for number, score in enumerate(scores)
    ]


def written_out(observed: Sequence[Observation], ridge: float, share: float) -> dict[str, float]:
    """Least squares with a column a stage, and a row of √ridge for each effect: the definition of ridge regression."""
    stages = sorted({one.stage for one in observed})  # type: ignore[type-var]
    names = sorted({name for one in observed for name in one.grown})
    rows = [[float(one.stage == stage) for stage in stages] + [one.grown.get(n, 0) for n in names] for one in observed]
    prior = np.hstack([np.zeros((len(names), len(stages))), ridge**0.5 * np.eye(len(names))])
    design = np.vstack([np.array(rows, dtype=float), prior])
    targets = np.array([one.log_score for one in observed] + [0.0] * len(names))
    solution = np.linalg.lstsq(design, targets, rcond=None)[0]
    fitted = np.array(rows) @ solution
    effects = np.array(rows)[:, len(stages) :] @ solution[len(stages) :]
    estimates = {}
    for number, one in enumerate(observed):
        peers = [other for other, two in enumerate(observed) if two.stage == one.stage]
        relative = effects[number] - effects[peers].mean()
        estimates[one.candidate] = relative + share * (one.log_score - fitted[number])
    return estimates


@given(observations(), st.sampled_from((0.1, 1.0, 10.0)), st.sampled_from((0.0, 0.3, 1.0)))
def test_it_is_ridge_regression_with_a_constant_per_stage(
    observed: list[Observation], ridge: float, share: float
) -> None:
    found, expected = pooled_estimates(observed, ridge=ridge, share=share), written_out(observed, ridge, share)
    assert found == pytest.approx(expected, abs=1e-8)


@given(observations(), st.integers(0, 9))
def test_neither_order_nor_the_level_of_a_stage_matters(observed: list[Observation], seed: int) -> None:
    shuffled = Random(seed).sample(observed, len(observed))
    raised = [
        Observation(one.candidate, one.stage, one.grown, one.log_score + 5 * (one.stage == 16)) for one in shuffled
    ]
    assert pooled_estimates(raised) == pytest.approx(pooled_estimates(observed), abs=1e-8)


def test_what_was_tried_often_counts_more_than_one_lucky_score() -> None:
    good, bad = {"wide": 1}, {"narrow": 1}
    observed = [Observation(f"good {n}", 8, good, -1.0) for n in range(5)]
    observed += [Observation(f"bad {n}", 8, bad, 1.0) for n in range(5)]
    observed.append(Observation("lucky", 8, bad, -1.1))
    found = pooled_estimates(observed)
    assert min(found, key=found.__getitem__).startswith("good") and found["lucky"] < found["bad 0"]
    raw = pooled_estimates(observed, share=1.0)
    assert min(raw, key=raw.__getitem__) == "lucky"


def test_nothing_is_estimated_from_nothing() -> None:
    assert pooled_estimates([]) == {}
    assert pooled_estimates([Observation("base", 8, {}, 2.0)]) == {"base": 0.0}
