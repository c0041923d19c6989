"""What is summed up over the shards of a tensor pair, and how two such sums become one.

Sums are added in the order of the shards. Sums from shards that needed extended precision stay in it until the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from parity.tensor import Array

OpenRow = tuple[int, Any, Any, Any, int]  # row, candidate·candidate, reference·reference, candidate·reference, elements


@dataclass(slots=True)
class Dimensions:
    """Sums over all but the last axis, each ``(D,)``. ``low`` and ``high`` are +inf and -inf where nothing counts."""

    count: Array
    max_abs: Array
    low: Array
    high: Array
    sum_square_gap: Array
    sum_square_reference: Array

    def add(self, other: Dimensions) -> None:
        """Take in the sums of shards that follow."""
        self.count = self.count + other.count
        self.max_abs = np.maximum(self.max_abs, other.max_abs)
        self.low = np.minimum(self.low, other.low)
        self.high = np.maximum(self.high, other.high)
        self.sum_square_gap = self.sum_square_gap + other.sum_square_gap
        self.sum_square_reference = self.sum_square_reference + other.sum_square_reference


@dataclass(slots=True)
class Holes:
    """Elements that are not finite on both sides. ``first`` is the flat index of the first that is a mismatch.

    NaN is a mismatch whatever the other side holds. Infinities of one sign on both sides are equal, and no mismatch.
    """

    nan: int = 0
    inf: int = 0
    nan_both: int = 0
    inf_both: int = 0
    first: int | None = None

    def add(self, other: Holes) -> None:
        """Take in the counts of shards that follow."""
        self.nan += other.nan
        self.inf += other.inf
        self.nan_both += other.nan_both
        self.inf_both += other.inf_both
        self.first = other.first if self.first is None else self.first


@dataclass(slots=True)
class Moments:
    """Everything that is known of one shard, or of several in a row."""

    compared: int = 0
    holes: Holes = field(default_factory=Holes)
    max_abs: Any = -1.0  # below every gap, so that the first shard wins
    max_span: tuple[int, int] = (0, 0)  # the first shard that holds max_abs
    sum_abs: Any = 0.0
    sum_square: Any = 0.0
    max_reference: Any = 0.0
    max_rel: Any = -1.0
    sum_rel: Any = 0.0
    count_rel: int = 0
    max_ulp: int | None = None  # None where it is not counted
    cosine_min: float = 1.0
    cosine_max: float = -1.0
    cosine_sum: float = 0.0
    cosine_count: int = 0
    open_rows: list[OpenRow] = field(default_factory=list)
    dims: Dimensions | None = None
    sample: list[Array] = field(default_factory=list)  # of |Δ|

    def add(self, other: Moments) -> None:
        """Take in the moments of shards that follow."""
        self.compared += other.compared
        self.holes.add(other.holes)
        if other.max_abs > self.max_abs:
            self.max_abs, self.max_span = other.max_abs, other.max_span
        self.sum_abs = self.sum_abs + other.sum_abs
        self.sum_square = self.sum_square + other.sum_square
        self.max_reference = max(self.max_reference, other.max_reference)
        self.max_rel = max(self.max_rel, other.max_rel)
        self.sum_rel = self.sum_rel + other.sum_rel
        self.count_rel += other.count_rel
        if other.max_ulp is not None:
            self.max_ulp = max(self.max_ulp or 0, other.max_ulp)
        self.cosine_min = min(self.cosine_min, other.cosine_min)
        self.cosine_max = max(self.cosine_max, other.cosine_max)
        self.cosine_sum += other.cosine_sum
        self.cosine_count += other.cosine_count
        for row in other.open_rows:
            self._add_open(row)
        self.dims = _joined(self.dims, other.dims)
        self.sample += other.sample

    def _add_open(self, row: OpenRow) -> None:
        if self.open_rows and self.open_rows[-1][0] == row[0]:
            old = self.open_rows[-1]
            self.open_rows[-1] = (row[0], old[1] + row[1], old[2] + row[2], old[3] + row[3], old[4] + row[4])
        else:
            self.open_rows.append(row)

    def add_cosines(self, values: Array) -> None:
        """Take in the cosines of rows."""
        if values.size:
            self.cosine_min = min(self.cosine_min, float(values.min()))
            self.cosine_max = max(self.cosine_max, float(values.max()))
            self.cosine_sum += float(values.sum())
            self.cosine_count += int(values.size)

    def close_rows(self) -> None:
        """Turn the rows that were gathered piece by piece into cosines."""
        rows = [r for r in self.open_rows if r[4]]
        if rows:
            self.add_cosines(cosines(*(np.asarray([r[i] for r in rows]) for i in (1, 2, 3))))
        self.open_rows = []


def _joined(one: Dimensions | None, other: Dimensions | None) -> Dimensions | None:
    if one is None or other is None:
        return one or other
    one.add(other)
    return one


def cosines(xx: Array, yy: Array, xy: Array) -> Array:
    """Return the cosine of each row from its three dot products: 1 where both rows are zero, 0 where one is."""
    product = np.sqrt(xx) * np.sqrt(yy)
    empty = product == 0
    if empty.any():
        values = np.where(empty, (xx == 0) & (yy == 0), xy / np.where(empty, 1, product))
    else:
        values = xy / product
    clipped: Array = np.clip(values, -1.0, 1.0)  # rounding may leave a cosine of 1 + 1e-16
    return clipped
