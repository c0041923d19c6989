"""rsl_rl's `EmpiricalNormalization` of observations, the same in all eras.

Sources: rsl_rl/modules/normalizer.py (2.3.3), rsl_rl/networks/normalization.py (3.3.0), rsl_rl/modules/normalization.py
(5.5.1). eps is an argument of the constructor that no checkpoint holds; its default is 1e-2, added on both ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from parity.stats.formulas.values import check_float, check_mode, no_loss, taken
from parity.stats.model import FeatureStats

if TYPE_CHECKING:
    from parity.tensor import Array

EPS = 1e-2


@dataclass(frozen=True, slots=True)
class _Empirical:
    """rsl_rl, 2.x to 5.x."""

    upstream: str = "rsl-rl-lib 2.3.3, 3.3.0 and 5.5.1, class EmpiricalNormalization"
    modes: frozenset[str] = frozenset({"IDENTITY", "MEAN_STD"})

    def forward(self, x: Array, stats: FeatureStats, mode: str) -> Array:
        """Return ``(x − mean)/(std + eps)``."""
        check_mode(mode, self.modes, "rsl_rl", stats.name)
        if mode == "IDENTITY":
            return x
        check_float(x, stats.name)
        mean, std = taken(x, stats, ("mean", "std"), np.float32)
        return (x - mean) / (std + _eps(stats))

    def backward(self, y: Array, stats: FeatureStats, mode: str) -> Array:
        """Return ``y · (std + eps) + mean``."""
        check_mode(mode, self.modes, "rsl_rl", stats.name)
        if mode == "IDENTITY":
            return y
        check_float(y, stats.name)
        mean, std = taken(y, stats, ("mean", "std"), np.float32)
        return y * (std + _eps(stats)) + mean

    def loss(self, stats: FeatureStats, mode: str) -> Array:
        """Return zeros: both ways add the same eps."""
        return no_loss(stats, "mean") if mode == "MEAN_STD" else np.zeros(())


def _eps(stats: FeatureStats) -> np.float32:
    return np.float32(EPS if stats.eps is None else stats.eps)


EMPIRICAL = _Empirical()
