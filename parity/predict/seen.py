"""What was seen of one value over all cases, in float32 and with float16's roundings; constant memory."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from parity.tensor import Array

LARGEST = 65504.0  # float16's largest number (IEEE 754 binary16)
OVERFLOWS = 65520.0  # from here on, rounding to nearest gives infinity
NORMAL = 2.0**-14  # the smallest number with all 11 digits
SMALLEST = 2.0**-24  # the smallest number above 0; half of it, and less, is rounded to 0
WHOLE = 2048.0  # the last whole number up to which all are held


@dataclass(slots=True)
class Seen:
    """Facts about one value.

    Attributes:
        largest: max |x| over all cases, finite elements only, with the case ``at``.
        over: elements that are finite in float32 and infinite in float16.
        whole: whether every element seen is a whole number.
        moved: whole numbers beyond 2048 that float16 does not hold, with the case ``moved_at``.
        squares, power: of the rounded run's difference from float32, and of float32.
        broken: elements that are NaN or infinite in the rounded run alone, with the case ``broken_at``.
        worst: the largest rms(Δ) / rms(x) of a case, with the case ``worst_at``.
    """

    largest: float = 0.0
    at: str = ""
    over: int = 0
    whole: bool = True
    moved: int = 0
    moved_at: str = ""
    squares: float = 0.0
    power: float = 0.0
    broken: int = 0
    broken_at: str = ""
    worst: float = 0.0
    worst_at: str = ""

    @property
    def rel(self) -> float:
        """Root mean square of what the roundings changed, over that of the value."""
        if self.squares == 0:
            return 0.0
        return math.sqrt(self.squares / self.power) if self.power > 0 else math.inf

    def add(self, exact: Array, half: Array, case: str) -> None:
        """Take in one case: the value in float32, and in the rounded run."""
        x, y = exact.astype(np.float64).ravel(), half.astype(np.float64).ravel()
        finite = np.isfinite(x)
        size = np.abs(x[finite])
        top = float(size.max(initial=0.0))
        if top > self.largest:
            self.largest, self.at = top, case
        self.over += int((size >= OVERFLOWS).sum())
        self._whole(size, case)
        if x.shape != y.shape:
            self.broken, self.broken_at = self.broken + 1, self.broken_at or case
            return
        bad = int((finite & ~np.isfinite(y)).sum())
        if bad:
            self.broken, self.broken_at = self.broken + bad, self.broken_at or case
        both = finite & np.isfinite(y)
        gap, of = float(((y[both] - x[both]) ** 2).sum()), float((x[both] ** 2).sum())
        self.squares, self.power = self.squares + gap, self.power + of
        share = math.sqrt(gap / of) if of > 0 else 0.0
        if share > self.worst:
            self.worst, self.worst_at = share, case

    def _whole(self, size: Array, case: str) -> None:
        self.whole = self.whole and bool((size == np.floor(size)).all())
        if self.whole:
            beyond = size[(size > WHOLE) & (size <= LARGEST)]
            moved = int((beyond.astype(np.float16).astype(np.float64) != beyond).sum())
            if moved:
                self.moved, self.moved_at = self.moved + moved, self.moved_at or case


@dataclass(slots=True)
class OutputSeen:
    """How far the roundings move an output, per action dimension ``(D,)``, over all cases; ``broken`` as in `Seen`."""

    gap: Array = field(default_factory=lambda: np.zeros(1))
    scale: Array = field(default_factory=lambda: np.zeros(1))
    broken: int = 0
    at: str = ""

    def add(self, exact: Array, half: Array, case: str) -> None:
        """Take in one case."""
        width = exact.shape[-1] if exact.ndim else 1
        if exact.shape != half.shape or width == 0:
            self.broken, self.at = self.broken + 1, case
            return
        x, y = (v.astype(np.float64).reshape(-1, width) for v in (exact, half))
        with np.errstate(invalid="ignore"):
            bad = int((np.isfinite(x) & ~np.isfinite(y)).sum())
            gap = np.where(np.isfinite(x) & np.isfinite(y), np.abs(y - x), 0.0).max(axis=0)
        scale = np.where(np.isfinite(x), np.abs(x), 0.0).max(axis=0)
        if self.gap.size != width:
            self.gap, self.scale = np.zeros(width), np.zeros(width)
        if bad or (not self.broken and bool((gap > self.gap).any())):
            self.at = case
        self.broken += bad
        self.gap, self.scale = np.maximum(self.gap, gap), np.maximum(self.scale, scale)
