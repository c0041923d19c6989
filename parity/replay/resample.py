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
