"""Percentiles of |Δ| from counts alone: a histogram over the first bits of float32, 32 bins to each octave.

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
SHIFT = 23 - 5  # of float32's 23 bits of mantissa 5 are kept
FIRST = ((127 - 44) << 5) - 1


def counted(gaps: Array, left_out: Array | None = None) -> Array:
    """Return how many of ``(N, H, D)``, float64 and ≥ 0, lie in each bin, ``(D, BINS)``; but those ``left_out``."""
    width = gaps.shape[-1]
    with np.errstate(over="ignore"):  # beyond float32 is infinity: the last bin
        keys = gaps.astype(np.float32).view(np.int32) >> SHIFT
    np.clip(keys - FIRST, 0, BINS - 1, out=keys)
    keys += np.arange(width, dtype=np.int32) * BINS
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
    end = np.asarray([(place + FIRST + 1) << SHIFT], np.int32).view(np.float32)[0]
    return min(float(end), largest)
