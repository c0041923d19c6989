"""GR00T's normalization of states and actions, in its two eras.

``gr00t`` (N1, N1.5): `Normalizer` of gr00t/data/transform/state_action.py. torch, in the dtype of the data, without
eps: what has no range is 0 (min_max) or left as it is (q99, mean_std). q99 is clipped to [-1, 1] on the way in.
``gr00t-1.6``: gr00t/data/utils.py and gr00t/data/state_action/state_action_processor.py. NumPy with float64
statistics; ranges that are nearly 0 (`np.isclose`) give 0; the way out clips to [-1, 1] first; the way in clips where
`clip_outliers` says so (`FeatureStats.clip`). q01 and q99 take the place of min and max where percentiles are used.

One thing is not as upstream: NaN stays NaN, where a comparison (binary) or a dimension without a range gives a number
there. What a broken sensor or a broken graph gives must not be judged as 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from parity.stats.formulas.values import check_float, check_mode, number, take, taken, with_nan
from parity.stats.model import FeatureStats

if TYPE_CHECKING:
    from parity.tensor import Array

_ENDS = {"MIN_MAX": ("min", "max"), "QUANTILES": ("q01", "q99"), "SCALE": ("min", "max")}


@dataclass(frozen=True, slots=True)
class _N1:
    """GR00T N1 and N1.5. Upstream's q99 is ``QUANTILES``, its mean_std, min_max, scale and binary are capitalized."""

    upstream: str = "Isaac-GR00T N1.5, gr00t/data/transform/state_action.py"
    modes: frozenset[str] = frozenset({"IDENTITY", "MEAN_STD", "BINARY", *_ENDS})

    def forward(self, x: Array, stats: FeatureStats, mode: str) -> Array:
        """Return ``(x − mean)/std``, ``2 · ((x − low)/(high − low)) − 1``, ``x/max(|min|, |max|)`` or ``x > 0.5``."""
        check_mode(mode, self.modes, "GR00T", stats.name)
        if mode == "IDENTITY":
            return x
        check_float(x, stats.name)
        if mode == "BINARY":
            return with_nan(x, (x > 0.5).astype(x.dtype))
        if mode == "MEAN_STD":
            mean, std = taken(x, stats, ("mean", "std"), x.dtype)
            return _where(std != 0, (x - mean), std, x)
        low, high = taken(x, stats, _ENDS[mode], x.dtype)
        if mode == "SCALE":
            size = np.maximum(np.abs(low), np.abs(high))
            return with_nan(x, _where(size != 0, x, size, np.zeros_like(x)))
        unit = _where(low != high, x - low, high - low, x)
        spread: Array = np.broadcast_to(low != high, x.shape)
        both = number(2, x.dtype) * unit - number(1, x.dtype)
        if mode == "MIN_MAX":
            return with_nan(x, np.where(spread, both, number(0, x.dtype)))
        return np.clip(np.where(spread, both, x), number(-1, x.dtype), number(1, x.dtype))

    def backward(self, y: Array, stats: FeatureStats, mode: str) -> Array:
        """Return ``y · std + mean``, ``(y + 1)/2 · (high − low) + low``, or ``y > 0.5``; SCALE has no way back."""
        check_mode(mode, self.modes - {"SCALE"}, "GR00T's way out", stats.name)
        if mode == "IDENTITY":
            return y
        check_float(y, stats.name)
        if mode == "BINARY":
            return with_nan(y, (y > 0.5).astype(y.dtype))
        if mode == "MEAN_STD":
            mean, std = taken(y, stats, ("mean", "std"), y.dtype)
            return y * std + mean
        low, high = taken(y, stats, _ENDS[mode], y.dtype)
        out: Array = (y + number(1, y.dtype)) / number(2, y.dtype) * (high - low) + low
        return out

    def loss(self, stats: FeatureStats, mode: str) -> Array:
        """Return 1 where a dimension has no range and its values do not come back, else 0."""
        return _flattened(stats, mode, exact=True)


@dataclass(frozen=True, slots=True)
class _N16:
    """GR00T since N1.6."""

    upstream: str = "Isaac-GR00T N1.6, gr00t/data/utils.py"
    modes: frozenset[str] = frozenset({"IDENTITY", "MEAN_STD", "MIN_MAX", "QUANTILES"})

    def forward(self, x: Array, stats: FeatureStats, mode: str) -> Array:
        """Return ``(x − mean)/std``, or ``2 · ((x − low)/(high − low)) − 1``, clipped where the source says so."""
        check_mode(mode, self.modes, "GR00T 1.6", stats.name)
        if mode == "IDENTITY":
            return x
        check_float(x, stats.name)
        if mode == "MEAN_STD":
            mean, std = taken(x, stats, ("mean", "std"), np.float64)
            return _where(std != 0, x - mean, std, x).astype(x.dtype)
        low, high = taken(x, stats, _ENDS[mode], np.float64)
        kept: Array = np.broadcast_to(~np.isclose(high, low), x.shape)
        unit = _where(~np.isclose(high, low), x - low, high - low, x).astype(x.dtype)  # stored in the data's dtype
        out = with_nan(x, np.where(kept, number(2, x.dtype) * unit - number(1, x.dtype), number(0, x.dtype)))
        return out if stats.clip is None else np.clip(out, *(number(c, x.dtype) for c in stats.clip))

    def backward(self, y: Array, stats: FeatureStats, mode: str) -> Array:
        """Return ``y · std + mean``, or ``(clip(y) + 1)/2 · (high − low) + low`` as float64."""
        check_mode(mode, self.modes, "GR00T 1.6", stats.name)
        if mode == "IDENTITY":
            return y
        check_float(y, stats.name)
        if mode == "MEAN_STD":
            mean, std = taken(y, stats, ("mean", "std"), np.float64)
            return np.where(std != 0, y * std + mean, y).astype(y.dtype)
        low, high = taken(y, stats, _ENDS[mode], np.float64)
        clipped = np.clip(y, number(-1, y.dtype), number(1, y.dtype))
        out: Array = (clipped + number(1, y.dtype)) / number(2, y.dtype) * (high - low) + low
        return out

    def loss(self, stats: FeatureStats, mode: str) -> Array:
        """Return 1 where a dimension has no range and its values do not come back, else 0."""
        return np.zeros(()) if mode == "MEAN_STD" else _flattened(stats, mode, exact=False)


def _where(mask: Array, x: Array, divisor: Array, other: Array) -> Array:
    """Return ``x / divisor`` where ``mask``, else ``other``."""
    safe = np.where(mask, divisor, number(1, divisor.dtype))
    result: Array = np.where(mask, x / safe, other)
    return result


def _flattened(stats: FeatureStats, mode: str, *, exact: bool) -> Array:
    """Return 1 where the way in gives a constant, or the way out does."""
    if mode in ("IDENTITY", "BINARY"):
        return np.zeros(())
    if mode == "MEAN_STD":
        return np.asarray(take(stats, "std", np.float64) == 0, dtype=np.float64)
    low, high = (take(stats, n, np.float64) for n in _ENDS[mode])
    return np.asarray((low == high) if exact else np.isclose(high, low), dtype=np.float64)


N1 = _N1()
N16 = _N16()
