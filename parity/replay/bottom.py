"""A subsample of rows that does not hang on the order in which they come: those of the smallest hash."""

from __future__ import annotations

import numpy as np

from parity.cases.hashing import bits
from parity.replay.model import State
from parity.tensor import Array

_ODD = np.uint64(0x9E3779B97F4A7C15)  # spreads neighbouring rows apart before they are mixed


def first(row: Array, count: int) -> Array:
    """Return the positions of at most ``count`` rows, by hash of their number in the dataset, the smallest first."""
    mixed = bits((np.asarray(row, np.int64).view(np.uint64) + np.uint64(1)) * _ODD, ())  # type: ignore[arg-type]
    if len(mixed) > count:
        near = np.argpartition(mixed, count - 1)[:count]
        return np.asarray(near[np.argsort(mixed[near], kind="stable")])
    return np.argsort(mixed, kind="stable")


def both(earlier: State, later: State, names: tuple[str, ...], count: int) -> dict[str, Array]:
    """Return what is kept of two subsamples, whose arrays ``names`` have one entry for each of their ``row``."""
    parts = [s for s in (earlier, later) if len(s["row"])] or [later]
    if len(parts) == 1:
        return {name: parts[0][name] for name in names}
    kept = first(np.concatenate([s["row"] for s in parts]), count)
    return {name: np.concatenate([s[name] for s in parts])[kept] for name in names}
