"""Rotations written in another way: quaternions of the other sign, angles a turn apart, Euler angles and axis-angle."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from parity.replay.causes.affine import FEWEST, LEFT
from parity.tensor import Array

EULER = ("xyz", "XYZ", "zyx", "ZYX")


@dataclass(frozen=True, slots=True)
class Rotated:
    """A group of dimensions that are explained: what it is, and the share of the difference that is left."""

    dims: tuple[int, ...]
    text: str
    share: float


def unit_groups(reference: Array) -> tuple[int, ...]:
    """Return the first dimensions of groups of four of norm 1 in all rows ``(M, D)``: quaternions."""
    dims = reference.shape[1]
    starts = range(dims - 3) if len(reference) else range(0)
    return tuple(s for s in starts if np.abs((reference[:, s : s + 4] ** 2).sum(axis=1) - 1.0).max() < 1e-2)


def rotations(reference: Array, candidate: Array, among: Sequence[int]) -> list[Rotated]:
    """Return groups of dimensions that hold the same rotations as the reference, written in another way, ``(M, D)``."""
    if len(reference) < FEWEST:
        return []
    found: list[Rotated] = []
    taken: set[int] = set()
    for dims, text, change in _tried(reference, set(among)):
        if taken & set(dims) or not set(dims) & set(among):
            continue
        r, c = reference[:, list(dims)], candidate[:, list(dims)]
        differs = float(((r - c) ** 2).sum())
        left = float((_nearer(r, change(r), c)).sum())
        motion = float(((r - r.mean(axis=0)) ** 2).sum())
        share = left / min(differs, motion) if min(differs, motion) > 0 else np.inf
        if share <= LEFT:
            found.append(Rotated(dims, text, left / differs))
            taken |= set(dims)
    return found


def _nearer(plain: Array, changed: Array, c: Array) -> Array:
    """A convention may differ in some rows only: each row is held against the nearer of both."""
    a, b = ((plain - c) ** 2).sum(axis=1), ((changed - c) ** 2).sum(axis=1)
    result: Array = np.minimum(a, np.where(np.isnan(b), np.inf, b))
    return result


def _tried(reference: Array, among: set[int]) -> Iterator[tuple[tuple[int, ...], str, Callable[[Array], Array]]]:
    dims = reference.shape[1]
    for s in unit_groups(reference):
        yield tuple(range(s, s + 4)), "quaternions of the other sign (q and -q are the same rotation)", np.negative
    for d in sorted(among):
        for turn, of in ((2 * np.pi, "2 pi"), (360.0, "360 degrees")):
            for sign in (1.0, -1.0):
                yield (d,), f"angles that are a whole turn ({of}) apart", _added(sign * turn)
    for s in range(dims - 2):
        group = tuple(range(s, s + 3))
        if not set(group) <= among or np.abs(reference[:, s : s + 3]).max() > 2 * np.pi + 1e-3:
            continue
        yield group, "axis-angle vectors the other way around (a turn of 2 pi minus the angle)", _other_way
        for order in EULER:
            yield group, f"Euler angles ({order}) instead of axis-angle", _as_euler(order)
            yield group, f"axis-angle instead of Euler angles ({order})", _from_euler(order)


def _added(turn: float) -> Callable[[Array], Array]:
    return lambda r: r + turn


def _other_way(r: Array) -> Array:
    angle = np.maximum(np.linalg.norm(r, axis=1, keepdims=True), 1e-12)
    result: Array = r * (1.0 - 2 * np.pi / angle)
    return result


def _as_euler(order: str) -> Callable[[Array], Array]:
    def change(r: Array) -> Array:
        from scipy.spatial.transform import Rotation

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of gimbal lock
            result: Array = Rotation.from_rotvec(r).as_euler(order)
        return result

    return change


def _from_euler(order: str) -> Callable[[Array], Array]:
    def change(r: Array) -> Array:
        from scipy.spatial.transform import Rotation

        result: Array = Rotation.from_euler(order, r).as_rotvec()
        return result

    return change
