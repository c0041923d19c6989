"""Which lag, chunk step or speed explains a difference, dimension by dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from parity.replay.causes.shifted import LAGS, REACH, Aligned
from parity.tensor import Array

EXPLAINS = 0.1  # a named lag leaves at most this share of the difference
BETTER = 0.3  # and at most this share of what the best line without a lag leaves
WITH_GAIN = 0.02  # lag and line together leave at most this share of the difference, and a tenth of the line alone
FEWEST = 64  # pairs of rows below which a lag may be luck

_ZERO = LAGS.index(0)


@dataclass(frozen=True, slots=True)
class Late:
    """A dimension that follows ``lag`` rows of alignment later: which one, what is left, what the runner-up leaves.

    ``line`` is (gain, offset) where a line had to be fitted besides, else None.
    """

    dimension: int
    row: int
    share: float
    runner_up: float
    line: tuple[float, float] | None = None

    @property
    def lag(self) -> int:
        """Steps, where the row is one of `LAGS`."""
        return LAGS[self.row]

    @property
    def at_the_end(self) -> bool:
        """Whether no longer lag was looked at."""
        return abs(self.lag) == REACH


def late(a: Aligned, zero: Array, among: Sequence[int], plain: int = _ZERO) -> list[Late]:
    """Return the dimensions whose difference an alignment explains.

    Args:
        a: what is left in each alignment.
        zero: mean squares of the difference as it is, over the rows of each alignment, ``(L, D)``.
        among: the dimensions that are over their limit.
        plain: the alignment that is none.
    """
    found = []
    for d in among:
        enough = a.n[:, 0] >= FEWEST
        if not enough[plain] or zero[plain, d] <= 0:
            continue
        whole = np.maximum(zero[:, d], 1e-300)
        share = np.where(enough, a.apart[:, d] / whole, np.inf)
        best = int(share.argmin())
        others = np.delete(share, best)
        line = a.left[plain, d] / whole[plain]
        if best != plain and share[best] <= min(EXPLAINS, BETTER * line):
            found.append(Late(d, best, float(share[best]), float(others.min())))
            continue
        moves = np.minimum(a.spread[:, d], whole)
        fitted = np.where(enough, a.left[:, d] / np.maximum(moves, 1e-300), np.inf)
        best = int(fitted.argmin())
        if best != plain and fitted[best] <= WITH_GAIN and fitted[best] <= EXPLAINS * fitted[plain]:
            by = float(a.gain[best, d]), float(a.offset[best, d])
            found.append(Late(d, best, float(fitted[best]), float(np.delete(fitted, best).min()), by))
    return found


def of_demonstration(a: Aligned, among: Sequence[int]) -> tuple[int, float]:
    """Return the lag of a policy behind what was recorded, over all dimensions, and the share of the difference left.

    0 where it does not lag: less than three quarters are explained, or not nearly all dimensions agree.
    """
    dims = list(among)
    if not dims or a.n.min() < FEWEST:
        return 0, 1.0
    unit = np.maximum(a.spread[_ZERO, dims], 1e-300)
    pooled = (a.apart[:, dims] / unit).sum(axis=1)
    best = int(pooled.argmin())
    own = np.sign(np.array(LAGS)[a.apart[:, dims].argmin(axis=0)])
    agree = float(np.mean(own == np.sign(LAGS[best])))
    share = float(pooled[best] / pooled[_ZERO]) if pooled[_ZERO] > 0 else 1.0
    return (LAGS[best], share) if LAGS[best] and share <= 0.25 and agree >= 0.8 else (0, share)
