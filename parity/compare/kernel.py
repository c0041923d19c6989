"""The gap between candidate and reference in one shard, and everything that is summed up over it.

Floats of 32 bits or fewer are computed in float64, where no square can overflow or vanish. Where float64 does not do
(float64 values beyond 1e150 or below 1e-135, 64-bit integers beyond 2^53), the shard is done again in the platform's
extended precision; where that is no wider than float64 a sum that overflows is reported as Infinity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.compare.moments import Dimensions, Holes, Moments, cosines
from parity.compare.shards import LANE
from parity.compare.ulp import max_distance

if TYPE_CHECKING:
    from parity.tensor import Array

EXACT_INTEGERS = 2.0**53  # every integer up to here is a float64
SAFE_SQUARES = 2.0**-900  # a sum of squares above this lost nothing to underflow
WIDE = np.dtype(np.longdouble)


class Scratch:
    """Working memory of one thread, taken once and used for every shard."""

    def __init__(self, size: int) -> None:
        self.candidate, self.reference, self.gap, self.work = np.empty((4, size), np.float64)
        self.bits = np.empty(3 * 8 * size, np.uint8)


@dataclass(slots=True)
class Gap:
    """Candidate, reference and |candidate - reference| of one shard; zeros where ``left_out`` (not finite) is set."""

    candidate: Array
    reference: Array
    gap: Array
    total: Any
    left_out: Array | None = None

    def compared(self) -> Array:
        """Return |Δ| of the elements that are finite on both sides, as float64."""
        kept = self.gap if self.left_out is None else self.gap[~self.left_out]
        return kept.astype(np.float64, copy=False)


def gap_of(a: Array, b: Array, scratch: Scratch) -> Gap:
    """Return the gap between candidate ``a`` and reference ``b``, 1-D, in float64 or, where that fails, wider."""
    n = a.size
    x, y, gap = _float64(a, scratch.candidate), _float64(b, scratch.reference), scratch.gap[:n]
    np.subtract(x, y, out=gap)
    np.abs(gap, out=gap)
    total = gap.sum()
    if not np.isfinite(total):
        return _gap_with_holes(a, b, x, y)
    if _too_big_for_float64(a, x) or _too_big_for_float64(b, y):
        return wide_gap(a, b, None)
    return Gap(x, y, gap, total)


def _float64(values: Array, room: Array) -> Array:
    if values.dtype == np.float64:
        return values
    out = room[: values.size]
    np.copyto(out, values, casting="unsafe")
    return out


def _too_big_for_float64(values: Array, as_float: Array) -> bool:
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 8:
        return False
    return bool(max(as_float.max(), -as_float.min()) > EXACT_INTEGERS)


def _gap_with_holes(a: Array, b: Array, x: Array, y: Array) -> Gap:
    left_out = ~(np.isfinite(x) & np.isfinite(y))
    if a.dtype.kind in "iu" or b.dtype.kind in "iu" or a.dtype == WIDE or b.dtype == WIDE:
        return wide_gap(a, b, left_out)
    x, y = np.where(left_out, 0.0, x), np.where(left_out, 0.0, y)
    gap = np.abs(x - y)
    total = gap.sum()
    return Gap(x, y, gap, total, left_out) if np.isfinite(total) else wide_gap(a, b, left_out)


def wide_gap(a: Array, b: Array, left_out: Array | None) -> Gap:
    """Return the gap in extended precision; differences of 64-bit integers are exact on every platform."""
    x, y = a.astype(WIDE), b.astype(WIDE)
    if left_out is not None:
        x[left_out], y[left_out] = 0, 0
    if a.dtype.kind in "iu" and a.dtype == b.dtype:
        unsigned = a.dtype.str.replace("i", "u")
        high, low = np.maximum(a, b).view(unsigned), np.minimum(a, b).view(unsigned)
        gap = (high - low).astype(WIDE)
    else:
        gap = np.abs(x - y)
    return Gap(x, y, gap, gap.sum(), left_out)


def measure(
    a: Array, b: Array, start: int, width: int, ulp: np.dtype[Any] | None, scratch: Scratch
) -> tuple[Moments, Gap]:
    """Return the moments of one shard of whole rows, or of a piece of one row, and its gap (valid until the next).

    Args:
        a: the candidate's elements, 1-D.
        b: the reference's.
        start: flat index of the first element.
        width: length of the last axis; larger than the shard where this is a piece of a row.
        ulp: the dtype that ULP are counted in, or None.
        scratch: working memory of this thread.
    """
    found = gap_of(a, b, scratch)
    guarded = found.gap.dtype != WIDE and any(v.dtype.kind == "f" and v.dtype.itemsize >= 8 for v in (a, b))
    moments = _moments(found, b, start, width, scratch, guarded)
    if moments is None:
        found = wide_gap(a, b, found.left_out)
        moments = _moments(found, b, start, width, scratch, False)
    assert moments is not None
    if found.left_out is not None:
        moments.holes = _holes(a, b, found.left_out, start)
        a, b = a.copy(), b.copy()
        a[found.left_out], b[found.left_out] = 0, 0
    if ulp is not None and moments.compared:
        moments.max_ulp = max_distance(a, b, ulp, scratch.bits)
    return moments, found


def _moments(found: Gap, native: Array, start: int, width: int, scratch: Scratch, guarded: bool) -> Moments | None:
    """Return the moments of a shard; None where ``guarded`` and float64 is too narrow for its squares."""
    n = found.gap.size
    shape = (n // width, width) if width <= n else (1, n)
    x, y = found.candidate.reshape(shape), found.reference.reshape(shape)
    kept = None if found.left_out is None else ~found.left_out
    dims = _dimensions(found, kept, width if width <= n else 1, native)
    xx, yy, xy = _row_dots(x, x), _row_dots(y, y), _row_dots(x, y)
    if guarded and not (
        np.isfinite(xx.sum() + yy.sum() + dims.sum_square_gap.sum())
        and _kept_all(xx, lambda: np.abs(x).max(axis=1))
        and _kept_all(yy, lambda: np.abs(y).max(axis=1))
        and _kept_all(dims.sum_square_gap, lambda: dims.max_abs)
        and _kept_all(dims.sum_square_reference, lambda: np.maximum(np.abs(dims.low), np.abs(dims.high)))
    ):
        return None
    out = Moments(compared=n if kept is None else int(kept.sum()), dims=dims if width <= n else None)
    if out.compared:
        out.max_abs, out.max_span = dims.max_abs.max(), (start, start + n)
        out.sum_abs, out.sum_square = found.total, dims.sum_square_gap.sum()
        out.max_reference = max(dims.high.max(), -dims.low.min())
    _relative(out, found, scratch)
    if guarded and not np.isfinite(out.sum_rel):
        return None
    if width > n:
        out.open_rows = [(start // width, xx[0], yy[0], xy[0], out.compared)]
    elif width > 1:
        values = cosines(xx, yy, xy)
        out.add_cosines(values if kept is None else values[kept.reshape(shape).any(axis=1)])
    return out


def _row_dots(x: Array, y: Array) -> Array:
    """Return the dot product of each row. BLAS is quicker over short rows; over long ones it would start threads."""
    if hasattr(np, "vecdot") and x.shape[1] <= LANE:
        short: Array = np.vecdot(x, y)
        return short
    long: Array = np.einsum("ij,ij->i", x, y)
    return long


def _kept_all(squares: Array, largest: Callable[[], Array]) -> bool:
    """Whether no sum of squares lost digits to underflow: each is large enough, or all that went into it is zero."""
    small = squares < SAFE_SQUARES
    return not small.any() or not (largest()[small] > 0).any()


def _dimensions(found: Gap, kept: Array | None, width: int, native: Array) -> Dimensions:
    gap, y = found.gap.reshape(-1, width), found.reference.reshape(-1, width)
    if kept is None:
        low = high = native.reshape(-1, width) if native.dtype == np.float32 else y  # half the memory to go through
        count = np.full(width, gap.shape[0], np.int64)
    else:
        kept = kept.reshape(-1, width)
        low, high = np.where(kept, y, np.inf), np.where(kept, y, -np.inf)
        count = kept.sum(axis=0)
    return Dimensions(
        count,
        _over_rows(np.maximum, gap),
        _over_rows(np.minimum, low),
        _over_rows(np.maximum, high),
        _squares_over_rows(gap),
        _squares_over_rows(y),
    )


def _groups(rows: int, width: int) -> int:
    """Return how many rows to reduce side by side: NumPy is slow over many short rows."""
    group = max(1, LANE // width)
    return group if rows >= 2 * group else 1


def _over_rows(reduce: np.ufunc, values: Array) -> Array:
    rows, width = values.shape
    group = _groups(rows, width)
    whole = rows // group * group
    lanes = reduce.reduce(values[:whole].reshape(-1, group * width), axis=0)
    result: Array = reduce.reduce(lanes.reshape(group, width), axis=0)
    return result if whole == rows else reduce(result, reduce.reduce(values[whole:], axis=0))


def _squares_over_rows(values: Array) -> Array:
    rows, width = values.shape
    group = _groups(rows, width)
    whole = rows // group * group
    folded, rest = values[:whole].reshape(-1, group * width), values[whole:]
    result: Array = np.einsum("ij,ij->j", folded, folded).reshape(group, width).sum(axis=0)
    return result if whole == rows else result + np.einsum("ij,ij->j", rest, rest)


def _relative(out: Moments, found: Gap, scratch: Scratch) -> None:
    """Fill in |Δ| / |reference| where |reference| > 0."""
    n = found.gap.size
    ratio = scratch.work[:n] if found.gap.dtype != WIDE else np.empty(n, WIDE)
    np.abs(found.reference, out=ratio)
    np.divide(found.gap, ratio, out=ratio)
    total = ratio.sum()
    if not np.isfinite(total):  # some |reference| is 0, or so small that the ratio overflows
        some = found.reference != 0
        ratio = found.gap[some] / np.abs(found.reference[some])
        total = ratio.sum()
    if ratio.size:
        out.max_rel, out.sum_rel, out.count_rel = ratio.max(), total, int(ratio.size)


def _holes(a: Array, b: Array, left_out: Array, start: int) -> Holes:
    x, y = a[left_out].astype(np.float64), b[left_out].astype(np.float64)
    nan_x, nan_y = np.isnan(x), np.isnan(y)
    nan, equal = nan_x | nan_y, x == y  # neither side is NaN where they are equal: one infinity on both sides
    wrong = np.flatnonzero(left_out)[~equal]
    return Holes(
        nan=int(nan.sum()),
        inf=int((~nan & ~equal).sum()),
        nan_both=int((nan_x & nan_y).sum()),
        inf_both=int(equal.sum()),
        first=start + int(wrong[0]) if wrong.size else None,
    )
