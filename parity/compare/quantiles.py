"""Exact percentiles of |Δ| without sorting it: radix selection over the bits of float64, in a few streaming passes.

The bits of a float64 that is not negative, read as an integer, order as the number does. The first pass counts how many
|Δ| share their top 16 bits; the bin that holds the wanted rank is then gathered and sorted if it is small, else counted
again by its next 16 bits. Percentiles are NumPy's default, `linear`: Hyndman and Fan (1996), definition 7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from parity.tensor import Array

    Found = dict["Bin", Array]
    Visit = Callable[[Array], Found]
    Scan = Callable[[Visit], Iterator[Found]]

DIGIT = 16  # bits that one pass resolves
TOP = 64 - DIGIT
BINS = 1 << (DIGIT - 1)  # of the first digit; the sign is never set
GATHER = 1 << 20  # values; a bin with more is counted again


@dataclass(frozen=True, slots=True)
class Bin:
    """All values whose bits, shifted right by ``shift``, equal ``prefix``."""

    prefix: int
    shift: int


def count(gaps: Array) -> Array:
    """Return how many of ``gaps``, 1-D float64 ≥ 0, fall into each bin of the first digit, ``(BINS,)``."""
    return np.bincount(gaps.view(np.int64) >> TOP, minlength=BINS)


def of_values(values: Array, fractions: Sequence[float]) -> list[float]:
    """Return the percentiles of a 1-D float64 array that is held in memory; reorders it."""
    ranks = sorted(_ranks(values.size, fractions))
    values.partition(ranks)
    return _interpolate({r: float(values[r]) for r in ranks}, values.size, fractions)


def of_stream(histogram: Array, fractions: Sequence[float], scan: Scan) -> list[float]:
    """Return the percentiles of values that are too many to hold.

    Args:
        histogram: the values counted by `count`.
        fractions: in 0…1, as 0.5 for the median.
        scan: calls its argument on every stretch of |Δ| and yields what it returned, in order.
    """
    total = int(histogram.sum())
    found: dict[int, float] = {}
    wanted: dict[Bin, list[tuple[int, int]]] = {}  # bin: (rank, rank within the bin)
    held: dict[Bin, int] = {}
    _place(histogram, Bin(0, 64), [(r, r) for r in sorted(_ranks(total, fractions))], wanted, held)
    while wanted:
        gathered = _gather(wanted, held, scan)
        following: dict[Bin, list[tuple[int, int]]] = {}
        for place, ranks in wanted.items():
            if held[place] <= GATHER:
                values = np.sort(gathered[place])
                found.update({rank: float(values[inner]) for rank, inner in ranks})
            else:
                _place(gathered[place], place, ranks, following, held)
        wanted = {}
        for place, ranks in following.items():
            if place.shift == 0:  # every bit is known: all values of the bin are this one
                value = float(np.asarray([place.prefix], np.int64).view(np.float64)[0])
                found.update({rank: value for rank, _ in ranks})
            else:
                wanted[place] = ranks
    return _interpolate(found, total, fractions)


def _place(
    histogram: Array,
    parent: Bin,
    ranks: Sequence[tuple[int, int]],
    wanted: dict[Bin, list[tuple[int, int]]],
    held: dict[Bin, int],
) -> None:
    """Find in ``histogram``, the next digit of ``parent``, the bin of each rank."""
    upto = np.cumsum(histogram)
    for rank, inner in ranks:
        digit = int(np.searchsorted(upto, inner, side="right"))
        place = Bin((parent.prefix << DIGIT) | digit, parent.shift - DIGIT)
        held[place] = int(histogram[digit])
        wanted.setdefault(place, []).append((rank, inner - int(upto[digit]) + held[place]))


def _gather(wanted: dict[Bin, list[tuple[int, int]]], held: dict[Bin, int], scan: Scan) -> dict[Bin, Array]:
    """Return in one pass the values of each small bin, and the next digit's histogram of each large one."""

    def visit(gaps: Array) -> dict[Bin, Array]:
        bits = gaps.view(np.int64)
        shifted = {shift: bits >> shift for shift in {place.shift for place in wanted}}
        out = {}
        for place in wanted:
            mine = shifted[place.shift] == place.prefix
            if held[place] <= GATHER:
                out[place] = gaps[mine]
            else:
                digits = (bits[mine] >> (place.shift - DIGIT)) & ((1 << DIGIT) - 1)
                out[place] = np.bincount(digits, minlength=1 << DIGIT)
        return out

    parts: dict[Bin, list[Array]] = {place: [] for place in wanted}
    sums: dict[Bin, Array] = {}
    for part in scan(visit):
        for place, values in part.items():
            if held[place] <= GATHER:
                parts[place].append(values)
            else:
                sums[place] = sums[place] + values if place in sums else values
    return {p: np.concatenate(parts[p]) if held[p] <= GATHER else sums[p] for p in wanted}


def _ranks(total: int, fractions: Sequence[float]) -> set[int]:
    return {r for f in fractions for r in (floor(f * (total - 1)), ceil(f * (total - 1)))}


def _interpolate(values: dict[int, float], total: int, fractions: Sequence[float]) -> list[float]:
    out = []
    for fraction in fractions:
        position = fraction * (total - 1)
        low, high = values[floor(position)], values[ceil(position)]
        share = position - floor(position)
        out.append(low if low == high else low + (high - low) * share)
    return out
