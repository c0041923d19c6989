"""LeRobot's normalization, in the two eras whose formulas differ.

``lerobot-0.3`` (buffers in the weights): lerobot/policies/normalize.py of 0.3.3, `Normalize` and `Unnormalize`.
``lerobot-0.4`` (processor files): lerobot/processor/normalize_processor.py of 0.4.4, `_apply_transform`; that of 0.5.1
and 0.6.1 is the same (0.6 also gives flat statistics of an image the shape (C, 1, 1): `flat_image_stats`).

torch computes element by element in the dtype of the data, one rounding per operation, and a Python number beside a
tensor takes its dtype. NumPy does the same with ``dtype.type(eps)``, so that both give the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from parity.stats.formulas.values import ENDS, check_float, check_mode, no_loss, number, take, taken
from parity.stats.model import FeatureStats

if TYPE_CHECKING:
    from parity.tensor import Array

EPS = 1e-8  # both eras; a processor's own configuration may say otherwise


@dataclass(frozen=True, slots=True)
class _Legacy:
    """LeRobot up to 0.3: eps is added to the divisor on the way in, never on the way out."""

    upstream: str = "lerobot 0.3.3, lerobot/policies/normalize.py"
    modes: frozenset[str] = frozenset({"IDENTITY", "MEAN_STD", "MIN_MAX"})

    def forward(self, x: Array, stats: FeatureStats, mode: str) -> Array:
        """Return ``(x − mean)/(std + eps)``, or ``(x − min)/(max − min + eps) · 2 − 1``."""
        check_mode(mode, self.modes, "LeRobot 0.3", stats.name)
        if mode == "IDENTITY":
            return x
        check_float(x, stats.name)
        dtype = np.result_type(np.float32, x.dtype)  # the buffers are float32, and torch promotes
        one, two, eps = number(1, dtype), number(2, dtype), number(EPS, np.float32)
        if mode == "MEAN_STD":
            mean, std = taken(x, stats, ("mean", "std"), np.float32)
            out: Array = (x - mean) / (std + eps)
        else:
            low, high = taken(x, stats, ("min", "max"), np.float32)
            out = (x - low) / (high - low + eps) * two - one
        return out

    def backward(self, y: Array, stats: FeatureStats, mode: str) -> Array:
        """Return ``y · std + mean``, or ``(y + 1)/2 · (max − min) + min``."""
        check_mode(mode, self.modes, "LeRobot 0.3", stats.name)
        if mode == "IDENTITY":
            return y
        check_float(y, stats.name)
        if mode == "MEAN_STD":
            mean, std = taken(y, stats, ("mean", "std"), np.float32)
            return y * std + mean
        low, high = taken(y, stats, ("min", "max"), np.float32)
        out: Array = (y + number(1, y.dtype)) / number(2, y.dtype) * (high - low) + low
        return out

    def loss(self, stats: FeatureStats, mode: str) -> Array:
        """Return ``eps/(std + eps)``, or ``eps/(max − min + eps)``: eps is added on one way only."""
        if mode == "IDENTITY":
            return np.zeros(())
        first, second = ("mean", "std") if mode == "MEAN_STD" else ENDS[mode]
        width = take(stats, second, np.float64)
        if mode != "MEAN_STD":
            width = width - take(stats, first, np.float64)
        return _share(EPS, width)


@dataclass(frozen=True, slots=True)
class _Processor:
    """LeRobot since 0.4: MEAN_STD adds eps on the way in only; a range that is exactly 0 is replaced by eps."""

    upstream: str = "lerobot 0.4.4, 0.5.1 and 0.6.1, lerobot/processor/normalize_processor.py"
    modes: frozenset[str] = frozenset({"IDENTITY", "MEAN_STD", *ENDS})

    def forward(self, x: Array, stats: FeatureStats, mode: str) -> Array:
        """Return ``(x − mean)/(std + eps)``, or ``2 · (x − low)/(high − low) − 1`` with eps where high is low."""
        check_mode(mode, self.modes, "LeRobot 0.4", stats.name)
        if mode == "IDENTITY":
            return x
        check_float(x, stats.name)
        one, two, eps = number(1, x.dtype), number(2, x.dtype), number(_eps(stats), x.dtype)
        if mode == "MEAN_STD":
            mean, std = self._taken(x, stats, ("mean", "std"))
            out: Array = (x - mean) / (std + eps)
        else:
            low, high = self._taken(x, stats, ENDS[mode])
            out = two * (x - low) / _range(low, high, eps) - one
        return out

    def backward(self, y: Array, stats: FeatureStats, mode: str) -> Array:
        """Return ``y · std + mean``, ``(y + 1)/2 · (max − min) + min``, or ``(y + 1) · (q99 − q01)/2 + q01``."""
        check_mode(mode, self.modes, "LeRobot 0.4", stats.name)
        if mode == "IDENTITY":
            return y
        check_float(y, stats.name)
        one, two, eps = number(1, y.dtype), number(2, y.dtype), number(_eps(stats), y.dtype)
        if mode == "MEAN_STD":
            mean, std = self._taken(y, stats, ("mean", "std"))
            return y * std + mean
        low, high = self._taken(y, stats, ENDS[mode])
        width = _range(low, high, eps)
        out: Array = (y + one) / two * width + low if mode == "MIN_MAX" else (y + one) * width / two + low
        return out

    def loss(self, stats: FeatureStats, mode: str) -> Array:
        """Return ``eps/(std + eps)`` for MEAN_STD; 0 for the others, whose two ways use the same divisor."""
        if mode == "MEAN_STD":
            return _share(_eps(stats), take(stats, "std", np.float64))
        return no_loss(stats, ENDS[mode][0]) if mode in ENDS else np.zeros(())

    @staticmethod
    def _taken(x: Array, stats: FeatureStats, names: tuple[str, ...]) -> list[Array]:
        """Return statistics as the step holds them: loaded as float32, then cast to the dtype of the data."""
        return [value.astype(x.dtype) for value in taken(x, stats, names, np.float32)]


def flat_image_stats(value: Array) -> Array:
    """Return an image's statistics of shape ``(C,)`` as ``(C, 1, 1)``, as LeRobot 0.6 reshapes them."""
    return value.reshape(-1, 1, 1) if value.ndim == 1 else value


def _eps(stats: FeatureStats) -> float:
    return EPS if stats.eps is None else stats.eps


def _range(low: Array, high: Array, eps: Array) -> Array:
    width = high - low
    result: Array = np.where(width == 0, eps, width)
    return result


def _share(eps: float, width: Array) -> Array:
    total = width + eps
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(total == 0, 0.0, eps / total))


LEGACY = _Legacy()
PROCESSOR = _Processor()
