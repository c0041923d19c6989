"""Dimensions in another order: an assignment search over what each dimension of the candidate looks like."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from parity.replay.causes.affine import CLEARLY, FEWEST, Fit, Pair, simplest
from parity.tensor import Array


def reordered(pair: Pair, among: Sequence[int], noise: Array) -> dict[int, Fit]:
    """Return which dimension of the reference each moved one of the candidate holds, with what else was done to it.

    Only cycles that explain all of their dimensions, clearly better than faults of the dimensions where they are, or
    as well with fewer parameters. Two searches: of equal values, then of equal shape (`linear_sum_assignment`).
    """
    if len(among) < 2 or pair.n < FEWEST:
        return {}
    for cost in _costs(pair, list(among)):
        found: dict[int, Fit] = {}
        for cycle in _cycles(_assigned(cost, list(among))):
            fitted = {d: simplest(pair, d, j, float(noise[d])) for d, j in cycle.items()}
            whole = {d: f for d, f in fitted.items() if f is not None}
            if len(whole) == len(cycle) and _better(pair, whole, noise):
                found |= whole
        if found:
            return found
    return {}


def _costs(pair: Pair, among: list[int]) -> list[Array]:
    at = np.ix_(among, among)
    var_r, var_c = np.diag(pair.rr)[among], np.diag(pair.cc)[among]
    apart = var_c[:, None] + var_r[None, :] - 2 * pair.rc[at].T
    apart = apart + (pair.mean_c[among][:, None] - pair.mean_r[among][None, :]) ** 2
    unit = np.maximum(var_c, 1e-300)[:, None]
    near = apart / (apart + unit)
    alike = 1.0 - np.abs(pair.correlation[at].T)
    return [near, alike]


def _assigned(cost: Array, among: list[int]) -> dict[int, int]:
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(cost - 1e-12 * np.eye(len(cost)))
    return {among[int(i)]: among[int(j)] for i, j in zip(rows, columns, strict=True)}


def _cycles(moved: dict[int, int]) -> list[dict[int, int]]:
    """Return the cycles of a permutation that are longer than one."""
    left, result = dict(moved), []
    while left:
        d, j = next(iter(left.items()))
        cycle = {}
        while d in left:
            cycle[d] = j = left.pop(d)
            d = j
        if len(cycle) > 1:
            result.append(cycle)
    return result


def _better(pair: Pair, moved: dict[int, Fit], noise: Array) -> bool:
    in_place = {d: simplest(pair, d, d, float(noise[d])) for d in moved}
    stay = [(d, f) for d, f in in_place.items() if f is not None]
    if len(stay) < len(moved):
        return True
    left, freedom = _summed(pair, moved.items())
    other_left, other_freedom = _summed(pair, stay)
    slack = float(sum(noise[d] / max(pair.apart[d], 1e-300) for d in moved))
    if left * CLEARLY <= other_left and other_left > slack:
        return True
    return left <= CLEARLY * max(other_left, slack) and freedom < other_freedom


def _summed(pair: Pair, fitted: Iterable[tuple[int, Fit]]) -> tuple[float, int]:
    """Return what fits leave of the differences, and how many parameters they have, all together."""
    known = list(fitted)
    return sum(f.left / max(float(pair.apart[d]), 1e-300) for d, f in known), sum(f.freedom for _, f in known)


def layout(moved: dict[int, Fit], unit_norm: Sequence[int]) -> str:
    """Return what the order is known as: a quaternion's, a rotation's six numbers, blocks swapped; "" where it is not.

    ``unit_norm`` are the first dimensions of groups of four of norm 1 in the reference.
    """
    source = {d: f.source for d, f in moved.items()}

    def is_order(start: int, order: Sequence[int]) -> bool:
        want = {start + i: start + j for i, j in enumerate(order) if i != j}
        return source == want

    for start in unit_norm:
        if is_order(start, (3, 0, 1, 2)):
            return "a quaternion as wxyz instead of xyzw"
        if is_order(start, (1, 2, 3, 0)):
            return "a quaternion as xyzw instead of wxyz"
    for start in range(max(source) + 1):
        if is_order(start, (0, 3, 1, 4, 2, 5)):
            return "a 6D rotation interleaved instead of contiguous"
        if is_order(start, (0, 2, 4, 1, 3, 5)):
            return "a 6D rotation contiguous instead of interleaved"
    apart = {source[d] - d for d in source}
    if len(apart) == 2 and sum(apart) == 0 and len(source) > 2:
        return f"blocks {max(apart)} apart are swapped"
    if len(source) > 2 and len({source[d] + d for d in source}) == 1:
        return "the order is reversed"
    return ""
