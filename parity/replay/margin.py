"""How much two distributions may differ before it matters, in units: what a p-value alone does not say."""

from __future__ import annotations

import numpy as np

from parity.compare.budget import INT8_RMS_RATIO
from parity.replay.model import Context
from parity.tensor import Array

SHIFT = 0.05  # of the spread: a smaller shift of the mean is of no concern
VARIANCE = 1.05  # ratio of variances, or its inverse: closer to 1 is of no concern


def tolerance(context: Context, rms: Array) -> Array:
    """Return how far rounding, or the user's `max_abs`, lets an action be off, in units, ``(D,)``.

    Args:
        context: with the limits of single actions; where they are infinite, int8 may be off by its share of ``rms``.
        rms: root mean square of the reference's actions, ``(D,)``.
    """
    loose = INT8_RMS_RATIO * rms if context.precision == "int8" else np.zeros_like(rms)
    limits = np.asarray(context.limits, np.float64)
    return np.where(np.isfinite(limits), limits, loose)
