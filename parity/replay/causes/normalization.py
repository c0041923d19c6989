"""Statistics left out, applied twice, or others than the reference's: told from many gains and offsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from parity.replay.causes.affine import Fit
from parity.tensor import Array

NEAR = 0.3  # recorded statistics of some episodes are this near to those of training, as a share
SAME = 0.02  # gains that are this near each other are one action scale
MIN_DIMENSIONS = 3  # fewer gains and offsets agree with a formula by luck


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of recorded actions, or the reference's where there are none: each ``(D,)``."""

    mean: Array
    std: Array
    low: Array
    high: Array


def told_from(found: Mapping[int, Fit], informative: Sequence[int], s: Statistics) -> str:
    """Return which normalization explains the gains and offsets of most dimensions, "" where none does."""
    dims = [d for d in informative if d in found and found[d].source == d and found[d].gain > 0]
    if len(dims) < max(MIN_DIMENSIONS, 0.8 * len(informative)):
        return ""
    gain, offset = np.array([found[d].gain for d in dims]), np.array([found[d].offset for d in dims])
    mean, std, low, high = (a[dims] for a in (s.mean, s.std, s.low, s.high))
    half, middle = (high - low) / 2, (high + low) / 2
    formulas = (
        ("its actions are still normalized by mean and standard deviation", 1 / std, -mean / std),
        ("its actions are still normalized to [-1, 1]", 1 / half, -middle / half),
        ("its actions are still normalized to [0, 1]", 0.5 / half, 0.5 - 0.5 * middle / half),
        ("its actions are un-normalized twice (mean and standard deviation)", std, mean),
        ("its actions are un-normalized twice ([-1, 1])", half, middle),
    )
    for text, a, b in formulas:
        size = np.maximum(np.abs(a) * np.maximum(std, half), 1e-300)
        if np.all(np.abs(np.log(gain / a)) < NEAR) and np.all(np.abs(gain * middle + offset - (a * middle + b)) < size):
            return text
    spread = float(np.ptp(gain)) / float(np.median(gain))
    if spread > 10 * SAME and all(found[d].kind in ("gain", "affine") for d in dims):
        return f"its actions are un-normalized with other statistics (gains {gain.min():.3g} to {gain.max():.3g})"
    return ""
