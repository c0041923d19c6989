"""The inner loops of `compiled`: plain functions over arrays, in the part of Python that numba turns into machine code.

Each is a short loop of its own, because only such does the compiler turn into vector instructions.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from parity.tensor import Array

# Sums may be taken in any order, and no value is NaN (not_finite is asked first, and looks at the bits).
RELAXED = {"reassoc", "contract", "nsz", "nnan"}
EXPONENT = 0x7F800000  # of float32: all ones where a number is not finite
MAGNITUDE = 0x7FFFFFFF
CHUNK = 32  # elements looked at together


def not_finite(a: Array, b: Array) -> int:
    """Return 1 if any of the float32, given as int32, is NaN or infinite, else 0."""
    bad = 0
    for i in range(a.size):
        bad |= int((a[i] & EXPONENT) == EXPONENT) | int((b[i] & EXPONENT) == EXPONENT)
    return bad


def max_ulp(a: Array, b: Array) -> int:
    """Return the largest distance in representable numbers between float32, given as int32."""
    largest = np.uint32(0)
    for i in range(a.size):
        x, y = a[i], b[i]
        x = np.int32(((x & MAGNITUDE) ^ (x >> 31)) - (x >> 31))
        y = np.int32(((y & MAGNITUDE) ^ (y >> 31)) - (y >> 31))
        largest = max(largest, np.uint32(np.uint32(max(x, y)) - np.uint32(min(x, y))))
    return int(largest)


def gaps(a: Array, b: Array, out: Array) -> None:
    """Write |a - b| into ``out``, float64."""
    for i in range(a.size):
        out[i] = abs(np.float64(a[i]) - np.float64(b[i]))


def dots(a: Array, b: Array, width: int, out: Array) -> float:
    """Write a·a, b·b and a·b of each row into ``out`` ``(3, rows)``; return Σ |a - b|."""
    total = 0.0
    for row in range(a.size // width):
        aa = bb = ab = gap = 0.0
        a_row, b_row = a[row * width : row * width + width], b[row * width : row * width + width]
        for j in range(width):
            x, y = np.float64(a_row[j]), np.float64(b_row[j])
            aa += x * x
            bb += y * y
            ab += x * y
            gap += abs(x - y)
        out[0, row], out[1, row], out[2, row] = aa, bb, ab
        total += gap
    return total


def zeros(b: Array) -> int:
    """Return how many elements are zero."""
    count = 0
    for i in range(b.size):
        count += 1 if b[i] == 0 else 0
    return count


def columns(a: Array, b: Array, out: Array) -> None:
    """Take each row of ``a`` and ``b`` into the extremes and sums of its columns.

    The rows of ``out`` ``(7, width)`` are those of `compiled.REDUCTIONS`: the largest |a - b|, the smallest b, the
    largest b, Σ (a - b)², Σ b², the largest |a - b| / |b| and their sum, where b is not 0.
    """
    largest, low, high, squares, squares_b, ratio, ratios = out[0], out[1], out[2], out[3], out[4], out[5], out[6]
    width = largest.size
    for row in range(a.size // width):
        a_row, b_row = a[row * width : row * width + width], b[row * width : row * width + width]
        for j in range(width):
            largest[j] = max(largest[j], abs(np.float64(a_row[j]) - np.float64(b_row[j])))
        for j in range(width):
            low[j] = min(low[j], np.float64(b_row[j]))
        for j in range(width):
            high[j] = max(high[j], np.float64(b_row[j]))
        for j in range(width):
            gap = np.float64(a_row[j]) - np.float64(b_row[j])
            squares[j] += gap * gap
        for j in range(width):
            squares_b[j] += np.float64(b_row[j]) * np.float64(b_row[j])
        for j in range(width):
            x, y = np.float64(a_row[j]), np.float64(b_row[j])
            none = y == 0  # then 0 / 1: a division that is always done is done several at a time
            quotient = (0.0 if none else abs(x - y)) / (1.0 if none else abs(y))
            ratio[j] = max(ratio[j], quotient)
            ratios[j] += quotient


def select(values: Array, low: float, high: float, low_2: float, high_2: float, out: Array) -> int:
    """Write the values in ``low``…``high`` or ``low_2``…``high_2`` into ``out``, which is longer; return how many."""
    kept = 0
    for start in range(0, values.size, CHUNK):
        chunk = values[start : start + CHUNK]
        some = 0
        for i in range(chunk.size):
            value = chunk[i]
            some += 1 if ((value >= low) & (value <= high)) | ((value >= low_2) & (value <= high_2)) else 0
        if some:
            for i in range(chunk.size):
                value = chunk[i]
                out[kept] = value
                kept += 1 if ((value >= low) & (value <= high)) | ((value >= low_2) & (value <= high_2)) else 0
    return kept


@cache
def compiled() -> dict[str, Any]:
    """Compile the loops, or load them from numba's cache, and return them by name."""
    from numba import float64, int32, int64, njit, types, uint32, void

    floats = types.Array(types.float32, 1, "C", readonly=True)
    doubles = types.Array(types.float64, 1, "C", readonly=True)
    bits = types.Array(int32, 1, "C", readonly=True)
    row, table = float64[::1], float64[:, ::1]
    signatures = {
        not_finite: int64(bits, bits),
        max_ulp: uint32(bits, bits),
        gaps: void(floats, floats, row),
        dots: float64(floats, floats, int64, table),
        zeros: int64(floats),
        columns: void(floats, floats, table),
        select: int64(doubles, float64, float64, float64, float64, row),
    }

    def compile_one(function: Any, signature: Any) -> Any:
        options = {"nogil": True, "error_model": "numpy", "fastmath": RELAXED}
        try:
            return njit(signature, cache=True, **options)(function)
        except RuntimeError:  # no folder to keep the machine code in
            return njit(signature, **options)(function)

    return {function.__name__: compile_one(function, signature) for function, signature in signatures.items()}
