"""The summary of a feature of plain numbers: exact mean, std, min and max, and a histogram for its quantiles.

Frames are gathered, and when they are many they are sorted, column by column: what counting and summing up need then
lies side by side. Nothing of the result depends on when that happens.
"""

from __future__ import annotations

import hashlib
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.compare.shards import thread_count
from parity.stats.bits import Column, Share, bins_for, counted
from parity.stats.exact import ExactSums
from parity.stats.summary import QUANTILES

if TYPE_CHECKING:
    from parity.tensor import Array

HELD = 1 << 21  # values that are gathered before they are sorted
PARALLEL = 1 << 17  # values from which on several threads sort
EMPTY = Column(np.zeros(0, np.int64), np.zeros(0, np.int64))


class Numbers:
    """The summary of a feature of plain numbers, ``shape`` of one frame; each element of it is a column.

    float16, float32, bool and integers of at most 16 bits are float32 here, all others float64 (integers beyond 2**53
    are rounded to it). NaN and infinities are counted and left out. std is that of all frames, not of a sample of them.
    """

    __slots__ = ("_bins", "_columns", "_count", "_dtype", "_found", "_held", "_inf", "_nan", "_rows", "_sums", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: str | np.dtype[Any], bins: int | None = None) -> None:
        self.shape = shape
        width = math.prod(shape)
        self._dtype, self._bins = float_for(np.dtype(dtype)), bins or bins_for(width)
        self._count, self._nan, self._inf = (np.zeros(width, np.int64) for _ in range(3))
        self._sums, self._columns = ExactSums(width), [EMPTY] * width
        self._held: list[Array] = []
        self._rows = 0
        self._found: tuple[dict[str, Array], dict[str, Array]] | None = None

    def add(self, values: Array) -> None:
        """Take in frames ``(N, *shape)``; the array must not change afterwards."""
        if len(values):
            self._held.append(values)
            self._rows += len(values)
            self._found = None
        if self._rows * len(self._columns) >= HELD:
            self._settle()

    def merge(self, other: Numbers) -> None:
        """Take in what another summary of the same feature holds."""
        self._settle()
        other._settle()
        self._found = None
        self._count, self._nan, self._inf = self.count + other.count, self.nan + other.nan, self.inf + other.inf
        self._sums.merge(other._sums)
        both = zip(self._columns, other._columns, strict=True)
        self._columns = [one.joined(two).within(self._bins) for one, two in both]

    @property
    def count(self) -> Array:
        """How many finite values each column has, ``(D,)``."""
        self._settle()
        return self._count

    @property
    def nan(self) -> Array:
        """How many values of each column are NaN, ``(D,)``."""
        self._settle()
        return self._nan

    @property
    def inf(self) -> Array:
        """How many values of each column are infinite, ``(D,)``."""
        self._settle()
        return self._inf

    def values(self) -> dict[str, Array]:
        """Return ``mean``, ``std``, ``min``, ``max`` and the quantiles, each ``shape``; NaN where nothing counts."""
        return dict(self._statistics()[0])

    def bounds(self) -> dict[str, Array]:
        """Return how far each quantile may be off at most, ``shape``: 0 where every distinct value was kept."""
        return dict(self._statistics()[1])

    def outside(self, low: Array, high: Array) -> list[Share]:
        """Return how many values of each column lie below ``low`` or above ``high``, both ``(D,)``."""
        self._settle()
        three = zip(self._columns, low.tolist(), high.tolist(), strict=True)
        return [column.outside(a, b, self._dtype) for column, a, b in three]

    def digest(self) -> str:
        """Return the SHA-256 of all that it holds."""
        self._settle()
        digest = hashlib.sha256(repr((self.shape, self._sums.total.tolist(), self._sums.squares.tolist())).encode())
        for array in (self._count, self._nan, self._inf):
            digest.update(array.astype("<i8").tobytes())
        for column in self._columns:
            digest.update(f"{column.shift} {len(column.keys)} {column.least!r} {column.most!r} ".encode())
            digest.update(column.keys.astype("<i8").tobytes() + column.counts.astype("<i8").tobytes())
        return digest.hexdigest()

    def _statistics(self) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return the statistics, and the bounds of the quantiles."""
        self._settle()
        if self._found is None:
            ends = np.asarray([(c.least, c.most) for c in self._columns], np.float64).reshape(-1, 2)
            low, high = np.where(self._count[:, None] > 0, ends, np.nan).T
            rows = [c.quantiles(tuple(QUANTILES.values()), self._dtype) for c in self._columns]
            values, bounds = np.asarray(rows, np.float64).reshape(-1, 2, len(QUANTILES)).transpose(1, 2, 0)
            found = {"mean": self._sums.mean(self._count), "std": np.sqrt(self._sums.variance(self._count))}
            found |= {"min": low, "max": high} | dict(zip(QUANTILES, values, strict=True))
            off = dict(zip(QUANTILES, bounds, strict=True))
            shaped = [{n: v.reshape(self.shape) for n, v in part.items()} for part in (found, off)]
            self._found = shaped[0], shaped[1]
        return self._found

    def _settle(self) -> None:
        """Sort, count and sum up what was gathered."""
        if not self._rows:
            return
        rows = np.empty((len(self._columns), self._rows), self._dtype)
        at = 0
        for values in self._held:
            flat = values.reshape(len(values), -1).T
            np.add(flat, 0, out=rows[:, at : at + len(values)], casting="same_kind")  # −0.0 becomes 0.0
            at += len(values)
        self._held, self._rows = [], 0
        threads = min(thread_count(), len(rows)) if rows.size >= PARALLEL else 1
        cuts = list(pairwise(len(rows) * i // threads for i in range(threads + 1)))
        if threads == 1:
            parts = [self._part(rows, 0, len(rows))]
        else:
            with ThreadPoolExecutor(threads) as pool:
                parts = list(pool.map(lambda cut: self._part(rows, *cut), cuts))
        for (start, stop), part in zip(cuts, parts, strict=True):
            self._columns[start:stop] = part.columns
            self._sums.total[start:stop] += part.sums.total
            self._sums.squares[start:stop] += part.sums.squares
            self._count[start:stop] += rows.shape[1] - part.nan - part.inf
            self._nan[start:stop] += part.nan
            self._inf[start:stop] += part.inf

    def _part(self, rows: Array, start: int, stop: int) -> _Part:
        """Return columns ``start:stop`` with their ``rows`` taken in; sorts these where they lie."""
        mine = rows[start:stop]
        mine.sort(axis=1)
        sums = ExactSums(len(mine))
        bits = np.finfo(self._dtype).nmant + 1
        low, high = _finite(mine)
        columns = []
        for values, column, a, b in zip(mine, self._columns[start:stop], low.tolist(), high.tolist(), strict=True):
            finite = values[a:b]
            columns.append(column.joined(counted(finite, column.shift)).within(self._bins) if a < b else column)
        whole = mine.shape[1]
        nan = np.asarray([int(np.isnan(values[b:]).sum()) for values, b in zip(mine, high.tolist(), strict=True)])
        for values, a, b in zip(mine, low.tolist(), high.tolist(), strict=True):
            if b - a < whole:
                values[:a] = values[b:] = 0
                values.sort()
        sums.add(mine, bits)
        return _Part(columns, sums, nan, whole - (high - low) - nan)


@dataclass(frozen=True, slots=True)
class _Part:
    """Some columns after rows were taken in, and what these rows alone add up to."""

    columns: list[Column]
    sums: ExactSums
    nan: Array
    inf: Array


def _finite(rows: Array) -> tuple[Array, Array]:
    """Return where in each sorted row the finite values begin and end, both ``(D,)``."""
    low, high = np.zeros(len(rows), np.int64), np.full(len(rows), rows.shape[1])
    for i in np.flatnonzero(~(np.isfinite(rows[:, 0]) & np.isfinite(rows[:, -1]))):
        low[i] = np.searchsorted(rows[i], -np.inf, side="right")
        high[i] = max(low[i], np.searchsorted(rows[i], np.inf, side="left"))
    return low, high


def float_for(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the float dtype in which numbers of ``dtype`` are summed up."""
    small = dtype.itemsize <= (4 if dtype.kind == "f" else 2)
    return np.dtype(np.float32 if small else np.float64)
