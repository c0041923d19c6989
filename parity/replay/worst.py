"""The frames where one action dimension is furthest off: the same ones whatever the order of the shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from parity.replay.model import Played, State
    from parity.tensor import Array

WORST = 16  # frames that are kept of each dimension
GAP, AT, PAIR = "worst_gap", "worst_at", "worst_pair"


def worst_of(played: Played, highest: Array) -> dict[str, Array]:
    """Return the worst frames of a shard, worst first and of equal ones the first row.

    Args:
        played: the shard.
        highest: largest finite |Δ| of each frame over its chunk, ``(N, D)``; a frame with 0 is none.

    By name: ``worst_gap`` ``(D, 16)``, -1 where there are fewer; ``worst_at`` ``(D, 16, 4)``: row, episode, frame and
    step of the chunk; ``worst_pair`` ``(D, 16, 2)``: reference and candidate there.
    """
    width = highest.shape[1]
    gap, at, pair = np.full((width, WORST), -1.0), np.full((width, WORST, 4), -1, np.int64), np.zeros((width, WORST, 2))
    frames = played.at
    for d in range(width):
        chosen = _largest(highest[:, d], frames.row)
        if not (found := len(chosen)):
            continue
        reference, candidate = played.reference[chosen, :, d], played.candidate[chosen, :, d]
        with np.errstate(all="ignore"):
            apart = np.abs(candidate - reference)
        apart[~np.isfinite(apart)] = -1.0
        step = apart.argmax(axis=1)
        rows = np.arange(found)
        gap[d, :found] = apart[rows, step]
        at[d, :found] = np.stack([frames.row[chosen], frames.episode[chosen], frames.frame[chosen], step], axis=1)
        pair[d, :found] = np.stack([reference[rows, step], candidate[rows, step]], axis=1)
    return {GAP: gap, AT: at, PAIR: pair}


def _largest(highest: Array, row: Array) -> Array:
    """Return positions of the `WORST` largest values above 0, largest first, of equal ones the lower row."""
    if len(highest) > WORST:
        bound = np.partition(highest, len(highest) - WORST)[len(highest) - WORST]
        places = np.flatnonzero((highest >= bound) & (highest > 0))
    else:
        places = np.flatnonzero(highest > 0)
    return np.asarray(places[np.lexsort((row[places], -highest[places]))][:WORST])


def joined(earlier: State, later: State) -> dict[str, Array]:
    """Return the worst frames of both."""
    gap, at, pair = (np.concatenate([earlier[name], later[name]], axis=1) for name in (GAP, AT, PAIR))
    order = np.lexsort((at[:, :, 0], -gap), axis=1)[:, :WORST]
    deep = order[:, :, None]
    return {
        GAP: np.take_along_axis(gap, order, axis=1),
        AT: np.take_along_axis(at, deep, axis=1),
        PAIR: np.take_along_axis(pair, deep, axis=1),
    }
