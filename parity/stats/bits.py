"""Histograms over the bits of floats: every value, or every stretch of neighbouring values, with how often it occurs.

The bits of a float, its sign folded in, are an integer that orders as the number does. Neighbouring numbers share their
first bits. A column keeps each distinct number with its count; where these become more than `bins`, numbers that differ
in their last bit become one bin, then in their last two bits, and so on: always as few bits as will do. That depends on
the values alone and not on their order, so histograms can be joined in any order to the same bytes. A column of few or
close values (a parked joint) stays exact, and whatever is read from the others comes with the width of its bin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from parity.tensor import Array

ALL_BINS = 1 << 22  # of all columns together, about
MOST_BINS, LEAST_BINS = 1 << 16, 1 << 10  # of one column


def bins_for(width: int) -> int:
    """Return how many bins each of ``width`` columns may have: a power of two, so that all fit the memory."""
    fair = max(LEAST_BINS, min(MOST_BINS, ALL_BINS // max(1, width)))
    return 1 << (fair.bit_length() - 1)


@dataclass(frozen=True, slots=True)
class Share:
    """How many of a column's values lie somewhere: at least ``low``, at most ``high`` of them (equal where exact)."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Column:
    """One column: ``keys`` ascending, each standing for 2**shift neighbouring floats, and how many values it holds.

    ``least`` and ``most`` are the smallest and the largest value, exactly.
    """

    keys: Array
    counts: Array
    shift: int = 0
    least: float = np.inf
    most: float = -np.inf

    def coarser(self, shift: int) -> Column:
        """Return the column with bins of 2**shift neighbouring floats."""
        if shift <= self.shift or not len(self.keys):
            return self
        keys = self.keys >> (shift - self.shift)
        starts = np.concatenate([[0], np.flatnonzero(keys[1:] != keys[:-1]) + 1])
        return Column(keys[starts], np.add.reduceat(self.counts, starts), shift, self.least, self.most)

    def within(self, bins: int) -> Column:
        """Return the column with as few bits dropped as leave at most ``bins`` bins."""
        if len(self.keys) <= bins:
            return self
        apart = self.keys[1:] ^ self.keys[:-1]  # two neighbours are two bins as long as a bit of this is left
        apart[apart < 0] = np.iinfo(np.int64).max  # of two signs: always two
        kth = int(np.partition(apart, len(apart) - bins)[len(apart) - bins])
        return self.coarser(self.shift + kth.bit_length())

    def joined(self, other: Column) -> Column:
        """Return both columns as one, with the bins of the coarser."""
        shift = max(self.shift, other.shift)
        one, two = self.coarser(shift), other.coarser(shift)
        if not len(one.keys) or not len(two.keys):
            return two if len(two.keys) else one
        keys, counts = np.concatenate([one.keys, two.keys]), np.concatenate([one.counts, two.counts])
        order = np.argsort(keys, kind="stable")
        keys, counts = keys[order], counts[order]
        starts = np.concatenate([[0], np.flatnonzero(keys[1:] != keys[:-1]) + 1])
        least, most = min(one.least, two.least), max(one.most, two.most)
        return Column(keys[starts], np.add.reduceat(counts, starts), shift, least, most)

    def quantiles(self, fractions: Sequence[float], dtype: np.dtype[Any]) -> tuple[Array, Array]:
        """Return quantiles (0 … 1), as NumPy's ``linear``, and how far each may be off at most; NaN of no values."""
        if not len(self.keys):
            return np.full(len(fractions), np.nan), np.full(len(fractions), np.nan)
        upto = np.cumsum(self.counts)
        places = np.asarray(fractions) * (int(upto[-1]) - 1)
        ranks = np.asarray([np.floor(places), np.ceil(places)])
        low, high = self._ends(self.keys[np.searchsorted(upto, ranks, side="right")], dtype)
        weight = places - ranks[0]  # of two neighbours in order, each somewhere in its bin
        weights = np.asarray([1 - weight, weight])
        return (weights * (low + (high - low) / 2)).sum(axis=0), (weights * ((high - low) / 2)).sum(axis=0)

    def outside(self, low: float, high: float, dtype: np.dtype[Any]) -> Share:
        """Return how many values lie below ``low`` or above ``high``."""
        first, last = self._ends(self.keys, dtype)
        surely, perhaps = (last < low) | (first > high), (first < low) | (last > high)
        return Share(int(self.counts[surely].sum()), int(self.counts[perhaps].sum()))

    def _ends(self, keys: Array, dtype: np.dtype[Any]) -> tuple[Array, Array]:
        """Return the smallest and the largest float of ``dtype`` that can be in bins, as float64."""
        low = keys << self.shift
        ends = floats(low, dtype), floats(low + ((1 << self.shift) - 1), dtype)
        return np.maximum(ends[0], self.least), np.minimum(ends[1], self.most)


def counted(values: Array, shift: int) -> Column:
    """Return values of a float dtype, sorted, at least one and all finite, as a column."""
    if shift:
        keys = keys_of(values) >> shift
        ends = np.flatnonzero(keys[1:] != keys[:-1])
    else:
        ends = np.flatnonzero(values[1:] != values[:-1])
    starts = np.concatenate([[0], ends + 1])
    kept = keys[starts] if shift else keys_of(values[starts])
    counts = np.empty(len(starts), np.int64)
    np.subtract(starts[1:], starts[:-1], out=counts[:-1])
    counts[-1] = len(values) - starts[-1]
    return Column(kept.astype(np.int64), counts, shift, float(values[0]), float(values[-1]))


def keys_of(values: Array) -> Array:
    """Return integers that order as the floats do: their bits, with those of a negative number turned round."""
    return _turned(values.view(np.int32 if values.dtype == np.float32 else np.int64))


def _turned(bits: Array) -> Array:
    """Turn round all bits but the sign of negative integers: floats' bits become keys, and keys bits."""
    size = 8 * bits.dtype.itemsize
    turned: Array = bits ^ ((bits >> (size - 1)) & ((1 << (size - 1)) - 1))
    return turned


def floats(keys: Array, dtype: np.dtype[Any]) -> Array:
    """Return the floats of keys, as float64; beyond the largest number it is infinity."""
    kind = np.int32 if dtype == np.float32 else np.int64
    last = keys_of(np.asarray([-np.inf, np.inf], dtype)).astype(np.int64)
    whole = np.clip(keys, last[0], last[1]).astype(kind)
    found: Array = _turned(whole).view(dtype).astype(np.float64)
    return found
