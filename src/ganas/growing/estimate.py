"""A pooled estimate of how good candidates are: ridge regression of log scores over all candidates so far. No torch.

A score varies over seeds nearly as much as over the candidates of a generation (docs/growing.md). Each growth was tried
in many candidates, so their scores together say more about it. A share of a candidate's own residual is added, because
its luck is inherited with its weights.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RIDGE = 1.0  # prior variance of noise over that of an effect
RESIDUAL_SHARE = 0.5  # of a candidate's own residual


@dataclass(frozen=True)
class Observation:
    """A candidate's score at one time of its training."""

    candidate: str
    stage: Hashable  # scores of different stages, such as resolutions or training lengths, differ by a constant
    grown: Mapping[str, int]  # what was grown since the base, and how often
    log_score: float  # lower is better


def pooled_estimates(
    observations: Sequence[Observation], *, ridge: float = RIDGE, share: float = RESIDUAL_SHARE
) -> dict[str, float]:
    """Estimate each candidate's log score relative to others of its stage; lower is better.

    The last observation of a candidate is the one whose residual counts. The order of the others does not matter.
    """
    if not observations:
        return {}
    stages = {stage: number for number, stage in enumerate(dict.fromkeys(one.stage for one in observations))}
    effects = sorted({name for one in observations for name in one.grown})
    columns = {name: number for number, name in enumerate(effects)}
    counts = np.zeros((len(observations), len(effects)))
    for row, one in enumerate(observations):
        for name, times in one.grown.items():
            counts[row, columns[name]] = times
    scores = np.array([one.log_score for one in observations])
    stage = np.array([stages[one.stage] for one in observations])
    # the constants of stages are not shrunk: subtract each stage's mean from both sides
    members = np.eye(len(stages))[stage]
    sizes = members.sum(0)
    centered = counts - (members.T @ counts / sizes[:, None])[stage]
    targets = scores - (members.T @ scores / sizes)[stage]
    gram = centered.T @ centered + ridge * np.eye(len(effects))
    effect = np.linalg.solve(gram, centered.T @ targets) if effects else np.zeros(0)
    predicted = centered @ effect
    estimates = predicted + share * (targets - predicted)
    return {one.candidate: float(value) for one, value in zip(observations, estimates, strict=True)}
