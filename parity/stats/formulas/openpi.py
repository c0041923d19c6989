"""openpi's normalization, which RLinf uses as it is: `Normalize` and `Unnormalize` of openpi/src/openpi/transforms.py.

The statistics come from JSON as float64 and NumPy promotes, so that both ways compute and give float64, whatever the
data are; the model then takes float32. Every divisor has 1e-6 added, on both ways. Which mode applies is not in the
statistics: openpi's configuration says it (`use_quantile_norm`: pi0 z-score, pi0-FAST and pi0.5 quantiles).

Padding: the way in looks at as many dimensions of the statistics as the data have (it runs before the data are padded
to the model's action dimension). On the way out the model's further dimensions are left alone: z-score is given mean 0
and std 1 there, and quantiles pass them through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from parity.errors import ArtifactError
from parity.stats.formulas.values import check_float, check_mode, check_shape, no_loss, take
from parity.stats.model import FeatureStats

if TYPE_CHECKING:
    from parity.tensor import Array

EPS = 1e-6
_NAMES = {"MEAN_STD": ("mean", "std"), "QUANTILES": ("q01", "q99")}


@dataclass(frozen=True, slots=True)
class _OpenPi:
    """openpi and RLinf."""

    upstream: str = "openpi, src/openpi/transforms.py"
    modes: frozenset[str] = frozenset({"IDENTITY", *_NAMES})

    def forward(self, x: Array, stats: FeatureStats, mode: str) -> Array:
        """Return ``(x − mean)/(std + 1e-6)``, or ``(x − q01)/(q99 − q01 + 1e-6) · 2 − 1``, as float64."""
        check_mode(mode, self.modes, "openpi", stats.name)
        if mode == "IDENTITY":
            return x
        check_float(x, stats.name)
        first, second = (take(stats, n, np.float64)[..., : x.shape[-1]] for n in _NAMES[mode])
        for name, value in zip(_NAMES[mode], (first, second), strict=True):
            check_shape(x, value, f"{stats.name}: {name}")
        if mode == "MEAN_STD":
            return (x - first) / (second + EPS)
        return (x - first) / (second - first + EPS) * 2.0 - 1.0

    def backward(self, y: Array, stats: FeatureStats, mode: str) -> Array:
        """Return ``y · (std + 1e-6) + mean``, or ``(y + 1)/2 · (q99 − q01 + 1e-6) + q01``, as float64."""
        check_mode(mode, self.modes, "openpi", stats.name)
        if mode == "IDENTITY":
            return y
        check_float(y, stats.name)
        first, second = (take(stats, n, np.float64) for n in _NAMES[mode])
        known = first.shape[-1] if first.ndim else 1
        if known > y.shape[-1]:
            raise ArtifactError(
                f"{stats.name}: statistics of {known} dimensions cannot unnormalize {y.shape[-1]}",
                remedy="check that the statistics belong to this policy",
            )
        if mode == "MEAN_STD":
            mean, std = _padded(first, y.shape[-1], 0.0), _padded(second, y.shape[-1], 1.0)
            check_shape(y, mean, f"{stats.name}: mean")
            return y * (std + EPS) + mean
        own, rest = y[..., :known], y[..., known:]
        check_shape(own, first, f"{stats.name}: q01")
        out: Array = (own + 1.0) / 2.0 * (second - first + EPS) + first
        return np.concatenate([out, rest], axis=-1) if rest.shape[-1] else out

    def loss(self, stats: FeatureStats, mode: str) -> Array:
        """Return zeros: both ways add the same eps."""
        return no_loss(stats, _NAMES[mode][0]) if mode in _NAMES else np.zeros(())


def _padded(value: Array, size: int, fill: float) -> Array:
    """Return the statistic with its last axis filled up to ``size``, as `pad_to_dim` does."""
    missing = size - value.shape[-1]
    if missing <= 0:
        return value
    return np.pad(value, [(0, 0)] * (value.ndim - 1) + [(0, missing)], constant_values=fill)


OPENPI = _OpenPi()
