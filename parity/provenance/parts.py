"""Exported tensors that are a part of a source (one of q, k, v of a fused projection), or several sources joined.

Both are found by where a first element stands: that of the exported tensor on an edge of a source, or that of a source
on an edge of the exported tensor. Every part is then compared element by element.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from parity.checkpoint.weight import Weight
from parity.provenance.compare_weights import How, same_values
from parity.provenance.pool import Corner, Pool, numbers, views

MAX_PARTS = 4096
# A few numbers of a low precision class stand in many places by chance: a part must hold this many bits at least, less
# where it is one of several equal parts, as those of a fused projection are.
MIN_BITS, MIN_BITS_OF_EQUAL = 96, 32
MANTISSA = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}
Parts = tuple[str, How]


def cut(weight: Weight, axis: int, start: int, stop: int) -> Weight:
    """Return the part of a tensor from ``start`` to ``stop`` along an axis."""
    at = tuple(slice(start, stop) if i == axis else slice(None) for i in range(len(weight.shape)))
    shape = tuple(stop - start if i == axis else n for i, n in enumerate(weight.shape))
    return replace(weight, shape=shape, load=lambda: weight.array[at])


def split_of(exported: Weight, pool: Pool) -> Parts | None:
    """Return the source that the exported tensor is a part of, such as ``attn.in_proj_weight[0:64]``, and how."""
    first = _first(exported)
    bits = exported.size * MANTISSA.get(exported.dtype, 0)
    if first is None or bits < MIN_BITS_OF_EQUAL:
        return None
    for corner in pool.with_edge(first, exported.dtype):
        length, whole = _length(exported, corner), corner.source.shape[corner.axis]
        stop = corner.offset + length
        if stop <= corner.offset or stop > whole:
            continue
        if bits < MIN_BITS and (corner.offset % length or whole % length):
            continue
        how = fitted(exported, cut(corner.source, corner.axis, corner.offset, stop))
        if how is not None:
            before = ":, " * corner.axis
            return f"{corner.source.name}[{before}{corner.offset}:{stop}]", how
    return None


def _length(exported: Weight, corner: Corner) -> int:
    """Return how long the part must be along the corner's axis to have the exported tensor's shape; 0: it cannot."""
    others = [n for i, n in enumerate(corner.source.shape) if i != corner.axis]
    rest = list(exported.shape)
    if len(rest) != len(others) + 1:
        return 0
    for n in others:
        if n not in rest:
            return 0
        rest.remove(n)
    return rest[0] if rest[0] < corner.source.shape[corner.axis] else 0


def joined_from(exported: Weight, pool: Pool) -> Parts | None:
    """Return the sources that, one after the other along some axis, make the exported tensor, and how."""
    for axis in range(len(exported.shape)):
        found = list(_parts(exported, axis, pool))
        if len(found) > 1 and found[-1] is not None:
            hows = [f[1] for f in found if f is not None]
            how: How = "exact" if all(h == "exact" for h in hows) else "rounded"
            return " and ".join(dict.fromkeys(f[0] for f in found if f is not None)), how
    return None


def _parts(exported: Weight, axis: int, pool: Pool) -> Iterator[Parts | None]:
    """Yield the source of each part along an axis; None, last, where one is missing."""
    offset, length = 0, exported.shape[axis]
    for _ in range(MAX_PARTS):
        if offset == length:
            return
        part = _next_part(exported, axis, offset, pool)
        if part is None:
            break
        yield part[0]
        offset += part[1]
    yield None


def _next_part(exported: Weight, axis: int, offset: int, pool: Pool) -> tuple[Parts, int] | None:
    rest = cut(exported, axis, offset, exported.shape[axis])
    first = _first(rest)
    for source in pool.starting_with(first, exported.dtype) if first is not None else ():
        length = _length_of(source, exported, axis)
        if not 0 < length <= rest.shape[axis] or length == exported.shape[axis]:
            continue
        how = fitted(cut(exported, axis, offset, offset + length), source)
        if how is not None:
            return (source.name, how), length
    return None


def _length_of(source: Weight, exported: Weight, axis: int) -> int:
    """Return how long the source is along the axis that the others leave; 0 where it does not fit beside them."""
    others = [n for i, n in enumerate(exported.shape) if i != axis]
    rest = list(source.shape)
    if len(rest) != len(others) + 1:
        return 0
    for n in others:
        if n not in rest:
            return 0
        rest.remove(n)
    return rest[0]


def fitted(exported: Weight, source: Weight) -> How | None:
    """Return how the exported tensor holds the source's values, in any order of the source's axes."""
    if exported.quantization is not None:
        return same_values(exported, source)
    for view in views(source, exported.shape):
        how = same_values(exported, view)
        if how is not None:
            return how
    return None


def _first(weight: Weight) -> float | None:
    if weight.quantization is not None or not weight.size or not weight.shape:
        return None
    raw = weight.array[(0,) * len(weight.shape)]
    return float(numbers(np.asarray(raw).reshape(1), weight.dtype)[0])
