"""Schedules: pure functions of the images seen, so that a resumed run equals an uninterrupted one."""

from math import exp, log


def learning_rate_factor(nimg: int, *, total: int, decay: float) -> float:
    """1, then linear to 0 over the last share `decay` of `total` images (CycleGAN's 100 + 100 epochs: 0.5)."""
    start = total * (1 - decay)
    if nimg <= start or start >= total:
        return 1.0
    return max(0.0, (total - nimg) / (total - start))


def blend(nimg: int, *, images: int) -> float:
    """Fade-in: the share of a new layer, linear from 0 to 1 over `images` (DGGAN, search space)."""
    return min(nimg / images, 1.0) if images else 1.0


def temperature(nimg: int, *, total: int, start: float, end: float) -> float:
    """Gumbel-softmax temperature: exponential from `start` to `end` over `total` images (released code: 5 to 0.1)."""
    return start * exp(log(end / start) * min(nimg / total, 1.0))


def ema_decay(nimg: int, *, batch: int, half_life: float) -> float:
    """Decay per step for a half-life in images, capped at a twentieth of the images seen to forget early weights."""
    return float(0.5 ** (batch / max(min(half_life, nimg / 20), 1e-8)))
