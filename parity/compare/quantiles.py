"""Exact percentiles of |Δ| without sorting it: NumPy's `linear`, which is definition 7 of Hyndman and Fan (1996).

A sample that was taken on the way says between which two values a percentile almost surely lies. One more pass counts
what is below and gathers what is between (Floyd and Rivest, 1975). Where the sample was wrong, or too much is between,
the percentile is found digit by digit instead, in a few passes. Both are exact, so both give the same number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil, floor, gcd, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.compare.radix import order_statistics

if TYPE_CHECKING:
    from parity.tensor import Array

    Select = Callable[[Array, Sequence[tuple[float, float]]], Array]
    Scan = Callable[[Callable[[Array], Any]], Iterator[Any]]

SAMPLE = 1 << 18  # values, about; up to four times as many from a very large tensor
SPREAD = 4.0  # standard deviations of a sample's percentile on either side: missed once in 10⁴ samples
GATHER = 1 << 21  # values between two bounds; more, and the digits are used


def sample_step(size: int, width: int) -> int:
    """Return every how many elements to take one into the sample, so that it meets every column of the last axis."""
    step = max(1, size // max(SAMPLE, min(4 * SAMPLE, size >> 9)))
    while gcd(step, width) > 1:
        step += 1
    return step


def of_values(values: Array, fractions: Sequence[float]) -> list[float]:
    """Return the percentiles of a 1-D float64 array that is held in memory; reorders it."""
    ranks = _ranks(values.size, fractions)
    values.partition(ranks)
    return _interpolate({r: float(values[r]) for r in ranks}, values.size, fractions)


def select(values: Array, ranges: Sequence[tuple[float, float]]) -> Array:
    """Return the ``values`` that lie in one of the ranges, ends included, in their order."""
    mask = np.zeros(values.shape, bool)
    for low, high in ranges:
        mask |= (values >= low) & (values <= high)
    return values[np.flatnonzero(mask)]  # faster than by mask


def of_stream(
    total: int, sample: Array, fractions: Sequence[float], scan: Scan, select: Select = select
) -> list[float]:
    """Return the percentiles of values that are too many to hold.

    Args:
        total: how many there are.
        sample: some of them, 1-D, in any order.
        fractions: in 0…1, as 0.5 for the median.
        scan: calls its argument on every stretch of the values (1-D float64, ≥ 0) and yields what it returned.
        select: what picks the values in some ranges, where there is something faster.
    """
    ranks = _ranks(total, fractions)
    ordered = np.sort(sample)
    brackets = [_bracket(ordered, fraction) for fraction in fractions]
    values = _between(brackets, ranks, scan, select)
    missing = [r for r in ranks if r not in values]
    if missing:
        values |= order_statistics(missing, scan)
    return _interpolate(values, total, fractions)


def _ranks(total: int, fractions: Sequence[float]) -> list[int]:
    return sorted({r for f in fractions for r in (floor(f * (total - 1)), ceil(f * (total - 1)))})


def _interpolate(values: dict[int, float], total: int, fractions: Sequence[float]) -> list[float]:
    out = []
    for fraction in fractions:
        position = fraction * (total - 1)
        low, high = values[floor(position)], values[ceil(position)]
        out.append(low if low == high else low + (high - low) * (position - floor(position)))
    return out


@dataclass(slots=True)
class _Bracket:
    """Two values between which a percentile is thought to lie, and what was found there."""

    low: float
    high: float
    below: int = 0  # values < low
    at_low: int = 0
    at_high: int = 0
    inside: list[Array] = field(default_factory=list)  # values between, both ends left out
    gathered: int = 0

    def take(self, counts: tuple[int, int, int, Array]) -> None:
        self.below += counts[0]
        self.at_low += counts[1]
        self.at_high += counts[2]
        self.gathered += counts[3].size
        if self.gathered <= GATHER:
            self.inside.append(counts[3])
        else:
            self.inside.clear()

    def look(self, values: Array, near: Array) -> tuple[int, int, int, Array]:
        """Return the counts in one stretch, of which ``near`` holds at least the values that lie here.

        The ends may hold many equal values, so these are counted, not gathered.
        """
        below = int(np.count_nonzero(values < self.low))
        mine = near[(near >= self.low) & (near <= self.high)]
        at_low = int(np.count_nonzero(mine == self.low))
        if self.low == self.high:
            return below, at_low, 0, np.empty(0)  # not mine[:0], which would keep all of it
        at_high = int(np.count_nonzero(mine == self.high))
        inside = mine[(mine > self.low) & (mine < self.high)] if at_low + at_high else mine
        return below, at_low, at_high, inside

    def values_at(self, ranks: Sequence[int]) -> dict[int, float]:
        """Return those of ``ranks`` that lie here, with their values."""
        if self.gathered > GATHER:
            return {}
        inside = np.concatenate(self.inside) if self.inside else np.empty(0)
        self.inside = []
        inside.sort()
        found = {}
        for rank in ranks:
            place = rank - self.below
            if 0 <= place < self.at_low:
                found[rank] = self.low
            elif 0 <= place - self.at_low < inside.size:
                found[rank] = float(inside[place - self.at_low])
            elif 0 <= place - self.at_low - inside.size < self.at_high:
                found[rank] = self.high
        return found


def _bracket(ordered: Array, fraction: float) -> _Bracket:
    """Return bounds from a sorted sample that hold the percentile unless the sample is very unlike the whole."""
    last = ordered.size - 1
    middle, spread = fraction * last, SPREAD * sqrt(fraction * (1 - fraction) * last) + 2
    low, high = max(0, floor(middle - spread)), min(last, ceil(middle + spread))
    return _Bracket(float(ordered[low]), float(ordered[high]))


def _between(brackets: Sequence[_Bracket], ranks: Sequence[int], scan: Scan, select: Select) -> dict[int, float]:
    ranges = [(bracket.low, bracket.high) for bracket in brackets]

    def visit(values: Array) -> list[tuple[int, int, int, Array]]:
        near = select(values, ranges)
        return [bracket.look(values, near) for bracket in brackets]

    for part in scan(visit):
        for bracket, counts in zip(brackets, part, strict=True):
            bracket.take(counts)
    found: dict[int, float] = {}
    for bracket in brackets:
        found |= bracket.values_at(ranks)
    return found
