"""The sums of `kernel` for large float32 tensors, by compiled loops that go over the elements a few times, not thirty.

Needs numba, which takes about half a second to load (two the first time on a machine): it is used from `FROM` elements
on, where it is installed. What is not handled here (an element that is not finite) the caller gives to `kernel`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.compare.loops import compiled
from parity.compare.moments import Dimensions, Moments, cosines

if TYPE_CHECKING:
    from parity.tensor import Array

FROM = 1 << 23  # elements
LANE = 256  # elements; short rows are taken side by side up to about this length


@cache
def installed() -> bool:
    """Whether numba is there; it is not loaded."""
    return find_spec("numba") is not None


def suits(size: int, candidate: np.dtype[Any], reference: np.dtype[Any]) -> bool:
    """Whether a pair of tensors is to be measured here; if so, loads what is needed."""
    if size < FROM or not candidate == reference == np.dtype(np.float32) or not installed():
        return False
    compiled()
    return True


def gap(a: Array, b: Array, room: Array) -> Array | None:
    """Return |Δ| of one shard in float64, in ``room``; None where an element is not finite."""
    if not _fits(a, b):
        return None
    out = room[: a.size]
    compiled()["gaps"](a, b, out)
    return out


def select(values: Array, ranges: Sequence[tuple[float, float]]) -> Array:
    """Return the float64 ``values`` that lie in one of two ranges, ends included, in their order."""
    out = np.empty(values.size + 1)
    (low, high), (low_2, high_2) = ranges
    kept = compiled()["select"](values, low, high, low_2, high_2, out)
    return out[:kept]


def measure(a: Array, b: Array, start: int, width: int) -> Moments | None:
    """Return the moments of one shard of whole rows, as `kernel.measure`; None where an element is not finite."""
    if width > a.size or not _fits(a, b):
        return None
    loops, products = compiled(), np.empty((3, a.size // width))
    total = loops["dots"](a, b, width, products)
    sums = _columns(a, b, width)
    dims = Dimensions(np.full(width, a.size // width, np.int64), *sums[:5])
    out = Moments(compared=a.size, dims=dims, sum_abs=total, sum_square=dims.sum_square_gap.sum())
    out.max_abs, out.max_span = dims.max_abs.max(), (start, start + a.size)
    out.max_reference = max(dims.high.max(), -dims.low.min())
    out.count_rel = a.size - loops["zeros"](b)
    if out.count_rel:
        out.max_rel, out.sum_rel = sums[5].max(), sums[6].sum()
    out.max_ulp = int(loops["max_ulp"](a.view(np.int32), b.view(np.int32)))
    if width > 1:
        out.add_cosines(cosines(*products))
    return out


def _fits(a: Array, b: Array) -> bool:
    if not (a.flags.aligned and b.flags.aligned):
        return False
    return not compiled()["not_finite"](a.view(np.int32), b.view(np.int32))


def _columns(a: Array, b: Array, width: int) -> Array:
    """Return what `loops.columns` does, ``(7, width)``."""
    rows = a.size // width
    group = min(max(1, LANE // width), rows)
    whole = rows // group * group * width
    lanes = np.repeat(STARTS, group * width, axis=1)
    compiled()["columns"](a[:whole], b[:whole], lanes)
    lanes = lanes.reshape(len(STARTS), group, width)
    joined = np.stack([reduce.reduce(lane, axis=0) for reduce, lane in zip(REDUCTIONS, lanes, strict=True)])
    compiled()["columns"](a[whole:], b[whole:], joined)
    return joined


REDUCTIONS = (np.maximum, np.minimum, np.maximum, np.add, np.add, np.maximum, np.add)
STARTS = np.asarray([[0.0], [np.inf], [-np.inf], [0.0], [0.0], [0.0], [0.0]])
