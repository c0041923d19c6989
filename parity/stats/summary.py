"""What is summed up over all frames of one feature: a few numbers that can be joined in any order to the same bytes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from parity.stats.bits import Share

if TYPE_CHECKING:
    from parity.tensor import Array

QUANTILES: Mapping[str, float] = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}


class Summary(Protocol):
    """Sums over the frames of one feature."""

    shape: tuple[int, ...]

    @property
    def count(self) -> Array:
        """How many finite values each column has, ``(D,)``."""
        ...

    @property
    def nan(self) -> Array:
        """How many values of each column are NaN, ``(D,)``."""
        ...

    @property
    def inf(self) -> Array:
        """How many values of each column are infinite, ``(D,)``."""
        ...

    def add(self, values: Array) -> None:
        """Take in frames ``(N, ...)``; the array must not change afterwards."""
        ...

    def merge(self, other: Self) -> None:
        """Take in what another summary of the same feature holds."""
        ...

    def values(self) -> dict[str, Array]:
        """Return ``mean``, ``std``, ``min``, ``max`` and the quantiles, each ``shape``; NaN where nothing counts."""
        ...

    def bounds(self) -> dict[str, Array]:
        """Return how far each quantile may be off at most, ``shape``."""
        ...

    def outside(self, low: Array, high: Array) -> list[Share]:
        """Return how many values of each column lie below ``low`` or above ``high``, both ``(D,)``."""
        ...

    def digest(self) -> str:
        """Return the SHA-256 of all that it holds."""
        ...


class Pixels:
    """The summary of pictures of whole numbers 0 … 255, ``(H, W, C)`` or ``(C, H, W)``: each channel is a column.

    Values count as fractions of 255, and statistics have shape ``(C, 1, 1)``, both as LeRobot keeps them. ``count``
    counts pixels. All is exact: a channel's 256 counts are kept.
    """

    __slots__ = ("_axis", "_counts", "count", "inf", "nan", "shape")

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._axis = channel_axis(shape)
        channels = shape[self._axis]
        self.shape: tuple[int, ...] = (channels, 1, 1)
        self._counts = np.zeros((channels, 256), np.int64)
        self.count, self.nan, self.inf = (np.zeros(channels, np.int64) for _ in range(3))

    def add(self, values: Array) -> None:
        """Take in pictures ``(N, *shape)`` of uint8."""
        channels = np.moveaxis(values, self._axis + 1, 0)
        for i, channel in enumerate(channels):
            self._counts[i] += np.bincount(channel.reshape(-1), minlength=256)
        self.count = self._counts.sum(axis=1)

    def merge(self, other: Pixels) -> None:
        """Take in what another summary of the same feature holds."""
        self._counts = self._counts + other._counts
        self.count = self._counts.sum(axis=1)

    def values(self) -> dict[str, Array]:
        """Return ``mean``, ``std``, ``min``, ``max`` and the quantiles, each ``(C, 1, 1)``; NaN of no pictures."""
        rows = [_of_counts(counts) for counts in self._counts]
        return {name: np.asarray([row[name] for row in rows]).reshape(self.shape) / 255 for name in rows[0]}

    def bounds(self) -> dict[str, Array]:
        """Return how far each quantile may be off: 0."""
        return {name: np.zeros(self.shape) for name in QUANTILES}

    def outside(self, low: Array, high: Array) -> list[Share]:
        """Return how many pixels of each channel lie below ``low`` or above ``high``, both ``(C,)``, of 0 … 1."""
        levels = np.arange(256) / 255
        found = [int(c[(levels < a) | (levels > b)].sum()) for c, a, b in zip(self._counts, low, high, strict=True)]
        return [Share(n, n) for n in found]

    def digest(self) -> str:
        """Return the SHA-256 of all that it holds."""
        return hashlib.sha256(self._counts.astype("<i8").tobytes()).hexdigest()


def channel_axis(shape: tuple[int, ...]) -> int:
    """Return which axis of a picture counts its channels: the last, or the first where that alone is that short."""
    return 0 if shape[0] <= 4 < shape[-1] else len(shape) - 1


def _of_counts(counts: Array) -> dict[str, float]:
    """Return the statistics of whole numbers 0 … 255 from how often each occurs."""
    total = int(counts.sum())
    if not total:
        return dict.fromkeys(("mean", "std", "min", "max", *QUANTILES), math.nan)
    levels = np.arange(256)
    first, second = int((counts * levels).sum()), int((counts * levels**2).sum())
    there, upto = np.flatnonzero(counts), np.cumsum(counts)
    found = {"mean": first / total, "std": math.sqrt((total * second - first**2) / total**2)}
    found |= {"min": float(there[0]), "max": float(there[-1])}
    for name, fraction in QUANTILES.items():
        place = fraction * (total - 1)
        low, high = np.searchsorted(upto, [math.floor(place), math.ceil(place)], side="right")
        found[name] = float(low + (high - low) * (place - math.floor(place)))
    return found
