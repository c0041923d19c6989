"""Where a search looks: stratified designs that no slab escapes, and moves around the best points found.

All numbers come from `parity.cases.hashing`, so a search with the same seed makes the same points everywhere.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from parity.cases import hashing

Floats = npt.NDArray[np.float64]

LATTICE_DIMS = 6  # up to here an additive recurrence fills space better than independent permutations do
_FEW = 3


def stratified(seed: int, count: int, dims: int, turn: int = 0) -> Floats:
    """Return ``(count, dims)`` points of the unit cube that hold, in every coordinate, each (i + ½) / count once.

    So a slab wider than 1 / count in any one coordinate holds a point, whatever the other coordinates do. The order in
    each coordinate is that of an additive recurrence with powers of the generalized golden ratio (Roberts, "The
    unreasonable effectiveness of quasirandom sequences", 2018) in few dimensions, and a Latin hypercube's (McKay,
    Beckman, Conover 1979) in many.
    """
    if dims <= LATTICE_DIMS:
        shift = hashing.uniform(_random(seed, "shift", turn, dims))
        order = (shift + np.arange(count)[:, None] * _steps(dims)) % 1.0
    else:
        order = hashing.uniform(_random(seed, "order", turn, dims, count)).T
    rank = np.argsort(np.argsort(order, axis=0, kind="stable"), axis=0, kind="stable")
    return (rank + 0.5) / count


def corners(seed: int, count: int, dims: int) -> Floats:
    """Return up to ``count`` corners of the cube: all of them where there are no more, else some, with opposites."""
    if dims <= 12 and 2**dims <= count:
        return ((np.arange(2**dims)[:, None] >> np.arange(dims)) & 1).astype(np.float64)
    half = np.round(hashing.uniform(_random(seed, "corner", 0, (count + 1) // 2, dims)))
    return np.stack([half, 1.0 - half], axis=1).reshape(-1, dims)[:count]


def moves(seed: int, generation: int, parents: Floats, count: int, step: float) -> Floats:
    """Return ``count`` children ``(count, dims)`` of the parents, the best of which come first, by turns.

    One half moves all coordinates by N(0, step), the other only a few of them, further, or to an end of the box.
    """
    dims = parents.shape[1]
    children = parents[np.arange(count) % len(parents)].copy()
    z = hashing.normal(_random(seed, "move", generation, count, dims))
    u = hashing.uniform(_random(seed, "which", generation, count, dims))
    jump = hashing.uniform(_random(seed, "jump", generation, count))
    few = np.arange(count) // max(1, len(parents)) % 2 == 1
    chance = min(1.0, _FEW / dims)
    chosen = np.where(few[:, None], u < chance, True)
    chosen[np.arange(count), u.argmin(axis=1)] = True
    children += np.where(chosen, np.where(few[:, None], 2.0, 1.0) * step * z, 0.0)
    ends = few & (jump < 0.25)
    at_end = chosen & ends[:, None]
    children[at_end] = np.round(u / chance)[at_end].clip(0.0, 1.0) if dims > _FEW else (z > 0)[at_end]
    return np.clip(children, 0.0, 1.0)


def _steps(dims: int) -> Floats:
    """Powers 1 … dims of 1 / x, where x is the root above 1 of x^(dims+1) = x + 1, by Newton's rule."""
    x = 1.5
    for _ in range(64):
        power = 1.0
        for _ in range(dims):
            power *= x
        x -= (power * x - x - 1.0) / ((dims + 1) * power - 1.0)
    steps, value = [], 1.0
    for _ in range(dims):
        value /= x
        steps.append(value)
    return np.array(steps)


def _random(seed: int, what: str, turn: int, *shape: int) -> hashing.Bits:
    return hashing.bits([hashing.key(seed, "worst", turn, 0, what)], shape).reshape(shape)
