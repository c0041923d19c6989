"""How far the reference's outputs reach over the cases of a profile, per action dimension: their scale, their span."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from parity.compare.floors import by_dimension, dimension_max, dimensions_of
from parity.tensor import Array, TensorSource

BLOCK = 1 << 22  # elements read at once
SPANNED = 1 << 22  # elements; of a larger output only the extremes over all elements are known


@dataclass(frozen=True, slots=True)
class Extent:
    """The extent of one output over the cases of one profile, arrays ``(D,)``.

    ``scale`` is the largest magnitude of each dimension; None for integers. ``span`` is how far the element of each
    dimension that moves most moves from case to case: a chunk that is a ramp in every case does not move. None where
    outputs are too large to be held.
    """

    scale: Array | None
    span: Array | None


def extent_of(sources: Iterable[TensorSource]) -> Extent:
    """Return the extent of the reference's outputs ``sources``, one for each case."""
    scale: Array | None = None
    ranges: dict[tuple[int, ...], tuple[Array, Array]] = {}
    whole = True
    for source in sources:
        if source.dtype.kind in "fV":
            largest = largest_of(source)
            scale = np.maximum(scale, largest) if scale is not None and scale.shape == largest.shape else largest
        size = int(np.prod(source.shape, dtype=np.int64))
        whole &= size <= SPANNED
        if whole and size:
            _widen(ranges, source, size)
    return Extent(scale, _span(ranges) if whole else None)


def _widen(ranges: dict[tuple[int, ...], tuple[Array, Array]], source: TensorSource, size: int) -> None:
    """Widen the range of each element over the cases of this shape. What is not finite is not counted."""
    values = source.read(0, size).reshape(source.shape)
    if values.dtype.kind not in "iub":
        values = values.astype(np.float64)
        values = np.where(np.isfinite(values), values, np.nan)
    low, high = ranges.get(source.shape, (values, values))
    ranges[source.shape] = (np.fmin(low, values), np.fmax(high, values))


def _span(ranges: dict[tuple[int, ...], tuple[Array, Array]]) -> Array | None:
    found: Array | None = None
    for low, high in ranges.values():
        if low.dtype.kind in "iub":  # exact beyond 2^53, and for the whole range of int64
            gap = (high.astype(np.uint64) - low.astype(np.uint64)).astype(np.float64)
        else:
            gap = np.nan_to_num(high - low, nan=0.0)
        moved = by_dimension(gap).max(axis=0)
        found = np.maximum(found, moved) if found is not None and found.shape == moved.shape else moved
    return found


def largest_of(source: TensorSource) -> Array:
    """Return the largest finite magnitude in each action dimension, ``(D,)``, reading whole rows in blocks."""
    size = int(np.prod(source.shape, dtype=np.int64))
    width = dimensions_of(source.shape)
    step = max(1, BLOCK // width) * width
    largest = np.zeros(width)
    for start in range(0, size, step):
        rows = source.read(start, min(start + step, size)).reshape(-1, width)
        largest = np.maximum(largest, dimension_max(rows) if width > 1 else dimension_max(rows.reshape(-1)))
    return largest
