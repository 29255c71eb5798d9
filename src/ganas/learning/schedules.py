"""Schedules: pure functions of the images seen, so that a resumed run goes on as if it had never stopped."""

from math import exp, log


def learning_rate_factor(nimg: int, *, total: int, decay: float) -> float:
    """1 at first, then linear to 0 over the last `decay` (0 to 1) of `total` images (100 + 100 epochs: decay ½)."""
    start = total * (1 - decay)
    if nimg <= start or start >= total:
        return 1.0
    return max(0.0, (total - nimg) / (total - start))


def blend(nimg: int, *, images: int) -> float:
    """The share of a new doubling after `nimg` images, linear from 0 to 1 over `images` (DGGAN, search space)."""
    return min(nimg / images, 1.0) if images else 1.0


def temperature(nimg: int, *, total: int, start: float, end: float) -> float:
    """Exponential from `start` to `end` over `total` images (5 -> 0.1 in the released code)."""
    return start * exp(log(end / start) * min(nimg / total, 1.0))


def ema_decay(nimg: int, *, batch: int, half_life: float) -> float:
    """Decay per step for a half-life in images, at most a twentieth of the images seen: early weights are forgotten."""
    return float(0.5 ** (batch / max(min(half_life, nimg / 20), 1e-8)))
