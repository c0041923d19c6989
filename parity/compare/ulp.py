"""Units in the last place between two float tensors: how many representable numbers lie from one to the other.

Counted in the coarser of the two dtypes; -0 and +0 are the same number. The bits of an IEEE 754 number, read as an
integer with sign and magnitude, number the representable values in order (IEEE 754-2019, 5.10).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from parity.tensor import Array

FINE_TO_COARSE = ("float64", "float32", "float16", "bfloat16")
SIGNED: dict[int, np.dtype[Any]] = {8: np.dtype(np.int64), 4: np.dtype(np.int32), 2: np.dtype(np.int16)}
UNSIGNED: dict[int, np.dtype[Any]] = {8: np.dtype(np.uint64), 4: np.dtype(np.uint32), 2: np.dtype(np.uint16)}


@cache
def dtype_name(dtype: np.dtype[Any]) -> str:
    """Return NumPy's name of a dtype, which NumPy takes its time to make."""
    return dtype.name


@cache
def coarser_dtype(a: np.dtype[Any], b: np.dtype[Any]) -> np.dtype[Any] | None:
    """Return the coarser of two float dtypes, or None where either is not a float that this counts in."""
    if not {a.name, b.name} <= set(FINE_TO_COARSE):
        return None
    return max(a, b, key=lambda d: FINE_TO_COARSE.index(d.name)).newbyteorder("=")


def max_distance(a: Array, b: Array, dtype: np.dtype[Any], scratch: Array | None = None) -> int:
    """Return the largest distance between elements of ``a`` and ``b``, both finite, in units of ``dtype``.

    Args:
        a: 1-D floats; rounded to ``dtype`` where they are finer.
        b: 1-D floats of the same length.
        dtype: what `coarser_dtype` returned.
        scratch: at least ``3 × len(a) × itemsize`` bytes as uint8, to save taking memory anew.
    """
    a, b = a.astype(dtype, copy=False), b.astype(dtype, copy=False)
    signed, unsigned = SIGNED[dtype.itemsize], UNSIGNED[dtype.itemsize]
    if scratch is None:
        scratch = np.empty(3 * a.size * dtype.itemsize, np.uint8)
    x, y, work = scratch[: 3 * a.size * dtype.itemsize].view(signed).reshape(3, a.size)
    one, other = a.view(signed), b.view(signed)
    np.bitwise_xor(one, other, out=work)
    if work.min() >= 0:  # no pair differs in sign: the bits count the distance as they are, and faster
        np.subtract(one, other, out=work)
        return int(np.abs(work, out=work).max())
    _ordinals(one, x, work)
    _ordinals(other, y, work)
    np.maximum(x, y, out=work)
    np.minimum(x, y, out=x)
    # The distance may need one bit more than the signed type has; the unsigned difference is right all the same.
    high, low = work.view(unsigned), x.view(unsigned)
    np.subtract(high, low, out=high)
    return int(high.max())


def _ordinals(bits: Array, out: Array, work: Array) -> None:
    """Write the position of each number among all representable ones, zero for both zeros, into ``out``."""
    width = 8 * bits.dtype.itemsize - 1
    np.right_shift(bits, width, out=work)  # -1 where the sign is set, else 0
    np.bitwise_and(bits, bits.dtype.type((1 << width) - 1), out=out)
    np.bitwise_xor(out, work, out=out)  # with the next line: negated where the sign is set
    np.subtract(out, work, out=out)
