"""Intervals by resampling groups of whole episodes: frames of one episode depend on each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from parity.tensor import Array

TIMES = 1000
CHUNK = 100  # resamples that are held at once


def ratios(above: Array, below: Array, seed: int) -> Array:
    """Return ``sum(above) / sum(below)`` over resampled groups, ``(TIMES, D)`` (Efron's bootstrap of clusters).

    Args:
        above: sums of each group, ``(B, D)``.
        below: what they are divided by, ``(B, D)``; groups where all of it is zero are none.
        seed: of the drawing.

    NaN where there are fewer than two groups, or nothing was drawn.
    """
    there = np.asarray(below).any(axis=1)
    above, below = np.asarray(above, np.float64)[there], np.asarray(below, np.float64)[there]
    groups, width = below.shape
    if groups < 2:
        return np.full((TIMES, width), np.nan)
    rng = np.random.default_rng(seed)
    drawn = np.concatenate([rng.multinomial(groups, np.full(groups, 1 / groups), CHUNK) for _ in range(TIMES // CHUNK)])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((drawn @ above) / (drawn @ below))


def interval(resampled: Array, level: float = 0.95) -> Array:
    """Return the middle ``level`` of resampled figures, ``(2, D)``; NaN where one of them is."""
    tail = (1 - level) / 2
    return np.asarray(np.quantile(resampled, [tail, 1 - tail], axis=0))


def lower_bounds(above: Array, below: Array, chance: float) -> Array:
    """Return what ``sum(above) / sum(below)`` almost surely exceeds, ``(D,)``: by Student's t over the groups.

    Args:
        above: sums of each group, ``(B, D)``.
        below: counts, ``(B, D)``.
        chance: that it does not, in all dimensions together.

    The error of a ratio is that of its linear part (Cochran, Sampling Techniques, 1977, 6.4). Minus infinity where
    there are fewer than three groups.
    """
    from scipy.special import stdtrit  # as scipy.stats.t.ppf, which takes half a second to import

    whole = np.maximum(below.sum(axis=0), 1)
    groups = (below > 0).sum(axis=0)
    mean = above.sum(axis=0) / whole
    few = groups < 3
    free = np.where(few, 2, groups)
    rest = np.where(below > 0, above - mean * below, 0.0)
    error = np.sqrt(free / (free - 1) * (rest**2).sum(axis=0)) / whole
    bound = mean - stdtrit(free - 1, 1 - chance / max(1, len(mean))) * error
    return np.asarray(np.where(few, -np.inf, bound))
