"""Numbers by counter: the value at (seed, profile, case, row, input, element) depends on nothing else.

Only integer arithmetic modulo 2⁶⁴ and float64 +, −, × are used (no libm, no generator state), so the same seed gives
the same bytes on every platform and NumPy version, and adding an input, a case, a row or an element changes no other.

The mixing function is the finalizer of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
generators", OOPSLA 2014), fed with a key plus one odd multiplier per axis.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.cases.make_normal_table import CELLS
from parity.cases.make_normal_table import PATH as TABLE

Bits = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]

_MASK = (1 << 64) - 1
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_GOLDEN = 0x9E3779B97F4A7C15


def key(seed: int, profile: str, case: int, row: int, name: str) -> int:
    """Return the 64-bit key of one row of one input of one case. The name comes last, so no two tuples read alike."""
    text = f"{seed}|{profile}|{case}|{row}|{name}"
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "little")


def mixed(value: int) -> int:
    """Return the SplitMix64 finalizer of one integer."""
    z = value & _MASK
    z = ((z ^ (z >> 30)) * _FIRST) & _MASK
    z = ((z ^ (z >> 27)) * _SECOND) & _MASK
    return z ^ (z >> 31)


def bits(keys: Sequence[int], shape: tuple[int, ...]) -> Bits:
    """Return 64 random bits for every element, ``(len(keys), *shape)``.

    Axes are counted from the last one, so that a longer axis or one more leading axis leaves the values that were
    there.
    """
    z: Bits = np.array(keys, dtype=np.uint64).reshape(-1, *(1,) * len(shape))
    for axis, size in enumerate(reversed(shape)):
        multiplier = np.uint64(mixed(_GOLDEN * (axis + 1)) | 1)
        counter: Bits = np.arange(size, dtype=np.uint64) * multiplier
        z = z + counter.reshape(-1, *(1,) * axis)
    return _finalize(z)


def _finalize(z: Bits) -> Bits:
    out = z.copy()
    for shift, factor in ((30, _FIRST), (27, _SECOND)):
        out ^= out >> np.uint64(shift)
        out *= np.uint64(factor)
    out ^= out >> np.uint64(31)
    return out


def uniform(random: Bits) -> Floats:
    """Return floats in [0, 1): the upper 53 bits × 2⁻⁵³, which is exact."""
    return (random >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(random: Bits) -> Floats:
    """Return draws of N(0, 1) within ±4: a sign bit, a cell of the shipped quantile table, linear within the cell."""
    table = _table()
    cell = ((random >> np.uint64(51)) & np.uint64(CELLS - 1)).astype(np.intp)
    within = (random & np.uint64((1 << 51) - 1)).astype(np.float64) * 2.0**-51
    low = table[cell]
    size = low + within * (table[cell + 1] - low)
    sign = 1.0 - 2.0 * (random >> np.uint64(63)).astype(np.float64)
    return sign * size


@cache
def _table() -> Floats:
    table: npt.NDArray[Any] = np.load(Path(TABLE), allow_pickle=False)
    return table.astype(np.float64)
