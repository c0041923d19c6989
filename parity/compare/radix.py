"""Exact order statistics of a stream of |Δ| by radix selection over the bits of float64.

The bits of a float64 that is not negative, read as an integer, order as the number does. One pass counts how many
values share their top 16 bits; the bin that holds a wanted rank is gathered and sorted if it is small, else counted
again by its next 16 bits. So at most five passes find any rank, in bounded memory, whatever the values are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from parity.tensor import Array

    Found = dict["Bin", Array]
    Scan = Callable[[Callable[[Array], Found]], Iterator[Found]]

DIGIT = 16  # bits that one pass resolves
GATHER = 1 << 20  # values; a bin with more is counted again


@dataclass(frozen=True, slots=True)
class Bin:
    """All values whose bits, shifted right by ``shift``, equal ``prefix``; ``held`` of them, or -1 where not known."""

    prefix: int
    shift: int
    held: int = -1

    @property
    def small(self) -> bool:
        return 0 <= self.held <= GATHER


Wanted = dict[Bin, list[tuple[int, int]]]  # bin: (rank, rank within the bin)


def order_statistics(ranks: Sequence[int], scan: Scan) -> dict[int, float]:
    """Return the values at ``ranks`` (from 0) of the stream, by rank.

    Args:
        ranks: each less than the number of values.
        scan: calls its argument on every stretch of the stream (1-D float64, ≥ 0) and yields what it returned.
    """
    found: dict[int, float] = {}
    wanted: Wanted = {Bin(0, 64): [(rank, rank) for rank in ranks]}
    while wanted:
        gathered = _gather(tuple(wanted), scan)
        following: Wanted = {}
        for place, inner_ranks in wanted.items():
            if place.small:
                values = np.sort(gathered[place])
                found.update({rank: float(values[inner]) for rank, inner in inner_ranks})
            else:
                _descend(place, gathered[place], inner_ranks, following)
        wanted = {}
        for place, inner_ranks in following.items():
            if place.shift == 0:  # every bit is known: all values of the bin are this one
                value = float(np.asarray([place.prefix], np.int64).view(np.float64)[0])
                found.update({rank: value for rank, _ in inner_ranks})
            else:
                wanted[place] = inner_ranks
    return found


def _descend(parent: Bin, histogram: Array, ranks: Sequence[tuple[int, int]], wanted: Wanted) -> None:
    """Find in ``histogram``, the next digit of ``parent``, the bin of each rank."""
    upto = np.cumsum(histogram)
    for rank, inner in ranks:
        digit = int(np.searchsorted(upto, inner, side="right"))
        held = int(histogram[digit])
        place = Bin((parent.prefix << DIGIT) | digit, parent.shift - DIGIT, held)
        wanted.setdefault(place, []).append((rank, inner - int(upto[digit]) + held))


def _gather(places: Sequence[Bin], scan: Scan) -> Found:
    """Return in one pass the values of each small bin, and the next digit's histogram of each large one."""

    def visit(values: Array) -> Found:
        bits = values.view(np.int64)
        return {place: _visit(place, values, bits) for place in places}

    small: dict[Bin, list[Array]] = {place: [] for place in places if place.small}
    counts: Found = {}
    for part in scan(visit):
        for place, values in part.items():
            if place.small:
                small[place].append(values)
            else:
                counts[place] = counts[place] + values if place in counts else values
    return counts | {place: np.concatenate(parts) for place, parts in small.items()}


def _visit(place: Bin, values: Array, bits: Array) -> Array:
    if place.shift == 64:
        return np.bincount(bits >> (64 - DIGIT), minlength=1 << DIGIT)
    mine = (bits >> place.shift) == place.prefix
    if place.small:
        gathered: Array = values[mine]
        return gathered
    return np.bincount((bits[mine] >> (place.shift - DIGIT)) & ((1 << DIGIT) - 1), minlength=1 << DIGIT)
