"""Joints in another order: an assignment search over all pairs of dimensions (Hungarian method, scipy)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.diagnose.faults.elementwise import listed

if TYPE_CHECKING:
    from parity.diagnose.pair import Pair
    from parity.tensor import Array

MAX_SEPARATE_SWAPS = 3  # more than this is one new order, not that many swaps


def orders(pair: Pair, r: Array, c: Array) -> list[tuple[int, ...]]:
    """Return the candidate orders worth trying: ``order[d]`` is the reference's dimension that candidate's ``d`` holds.

    Args:
        r, c: rows of reference and candidate, ``(M, D)``.

    Two costs are tried over the dimensions that differ: the plain distance, and the part of the variance that no gain
    and offset explain (so that an order is found although a sign is flipped as well). The identity is left out.
    """
    from scipy.optimize import linear_sum_assignment

    members = np.flatnonzero(pair.differs)
    if len(members) < 2:
        return []
    found: list[tuple[int, ...]] = []
    for cost in (_distances(r[:, members], c[:, members]), _unexplained(r[:, members], c[:, members])):
        stay = np.eye(len(members), dtype=bool)
        rows, columns = linear_sum_assignment(np.where(stay, cost, cost + 1e-12))
        order = np.arange(r.shape[1])
        order[members[rows]] = members[columns]
        candidate = tuple(int(i) for i in order)
        if candidate != tuple(range(r.shape[1])) and candidate not in found and not _ambiguous(pair, r, c, candidate):
            found.append(candidate)
    return found


def cycles(order: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the cycles of an order that move something, each beginning with its lowest dimension."""
    seen: set[int] = set()
    result: list[tuple[int, ...]] = []
    for start in range(len(order)):
        cycle: list[int] = []
        at = start
        while at not in seen:
            seen.add(at)
            cycle.append(at)
            at = order[at]
        if len(cycle) > 1:
            result.append(tuple(cycle))
    return result


def describe(
    order: Sequence[int], names: Sequence[str], noun: str
) -> list[tuple[str, str, tuple[int, ...], dict[str, Any]]]:
    """Return (kind, sentence, dimensions, parameters) of each swap, or of the new order as a whole."""
    moved = cycles(order)
    if len(moved) <= MAX_SEPARATE_SWAPS and all(len(c) == 2 for c in moved):
        return [
            ("swap", f"{listed([names[i] for i in c], noun)} are swapped", c, {"order": list(order)}) for c in moved
        ]
    where = tuple(sorted(i for c in moved for i in c))
    shown = ", ".join(str(order[i]) for i in where[:16]) + (", …" if len(where) > 16 else "")
    at = ", ".join(str(i) for i in where[:16]) + (", …" if len(where) > 16 else "")
    sentence = f"the {noun}s are in another order: candidate's {at} hold the reference's {shown}"
    return [("permutation", sentence, where, {"order": list(order)})]


def _distances(r: Array, c: Array) -> Array:
    """Mean squared distance of every candidate column from every reference column, in the candidate's spread."""
    power = (c * c).mean(axis=0)[:, None] + (r * r).mean(axis=0)[None, :] - 2 * (c.T @ r) / len(r)
    spread = c.var(axis=0)[:, None]
    result: Array = np.full_like(power, 1e6)  # a still column is far from everything but what equals it
    np.divide(power, spread, out=result, where=spread > 1e-6 * power)
    return np.where((spread == 0) & (power <= 0), 0.0, np.maximum(result, 0.0))


def _unexplained(r: Array, c: Array) -> Array:
    """One minus the squared correlation of every candidate column with every reference column; 1 where one is still."""
    dr, dc = r - r.mean(axis=0), c - c.mean(axis=0)
    scale = np.sqrt(np.outer((dc * dc).sum(axis=0), (dr * dr).sum(axis=0)))
    corr = np.divide(dc.T @ dr, scale, out=np.zeros_like(scale), where=scale > 0)
    result: Array = 1.0 - corr**2
    return result


def _ambiguous(pair: Pair, r: Array, c: Array, order: Sequence[int]) -> bool:
    """Whether a moved dimension could as well have come from another one, or a cycle moves only still dimensions."""
    if any(pair.still[list(cycle)].all() for cycle in cycles(order)):
        return True
    for d, source in enumerate(order):
        if d == source:
            continue
        away = np.sqrt(((r - r[:, [source]]) ** 2).mean(axis=0))
        twins = (away <= pair.noise) & pair.differs
        twins[source] = False
        if twins.any():
            return True
    return False
