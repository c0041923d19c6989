"""Percentiles of |Δ| from counts alone: a histogram over the first bits of float64, 32 bins to each octave.

The bits of a positive float order as the number does, so that a bin is found by a shift, whatever the units are. Counts
add up in any order, and a percentile is known to within its bin: at most 1/32 too high, never too low.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from parity.tensor import Array

BINS = 2048  # 64 octaves: what is less than 2⁻⁴⁴ is in the first, what is more than 2²⁰ in the last
SHIFT = 52 - 5  # of float64's 52 bits of mantissa 5 are kept
FIRST = ((1023 - 44) << 5) - 1


def counted(gaps: Array, left_out: Array | None = None) -> Array:
    """Return how many of ``(N, H, D)``, float64 and ≥ 0, lie in each bin, ``(D, BINS)``; but those ``left_out``.

    Works in the memory of ``gaps``, which hold nothing of use after that.
    """
    width = gaps.shape[-1]
    keys = gaps.view(np.int64)
    np.right_shift(keys, SHIFT, out=keys)
    np.maximum(keys, FIRST, out=keys)
    np.minimum(keys, FIRST + BINS - 1, out=keys)
    keys += np.arange(width) * BINS - FIRST
    flat = keys.ravel() if left_out is None else keys[~left_out]
    return np.bincount(flat, minlength=width * BINS).reshape(width, BINS)


def at_most(counts: Array, fraction: float, largest: float) -> float:
    """Return what a share ``fraction`` of the values does not exceed: the upper end of the bin that holds it.

    Args:
        counts: ``(BINS,)``.
        fraction: in 0…1, such as 0.99.
        largest: the largest value, which no percentile exceeds.

    NaN where nothing was counted.
    """
    total = int(counts.sum())
    if total == 0:
        return float("nan")
    place = int(np.searchsorted(np.cumsum(counts), max(1, ceil(fraction * total))))
    if place == BINS - 1:
        return largest
    end = np.asarray([(place + FIRST + 1) << SHIFT], np.int64).view(np.float64)[0]
    return min(float(end), largest)
