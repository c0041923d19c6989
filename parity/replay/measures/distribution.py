"""How executed actions are distributed: candidate against reference, and both against the recorded ones.

Where noise is injected single actions are compared, and this only adds evidence; where the candidate samples by itself
(`Context.sampled`) this and `samples` decide. See `parity.replay.marginal` for the test.
"""

from __future__ import annotations

import numpy as np

from parity.replay import bottom
from parity.replay.distribution_rows import Told
from parity.replay.marginal import LEAST_GROUPS, Sums
from parity.replay.measure import BLOCKS, Gates, block_of
from parity.replay.model import Context, Judged, Played, Row, State
from parity.replay.said import called
from parity.tensor import Array

SUBSAMPLE = 1024  # frames, by hash of their row: for Wasserstein and energy distances
_SUMS = ("reference_sum", "candidate_sum", "reference_square", "candidate_square")
_ARRAYS = ("row", "episode", "frame", "reference", "candidate", "recorded")


class Distribution:
    """Distributions of executed actions over all frames."""

    name = "distribution"
    rank = 40
    gates: Gates = "sampled"

    def observe(self, played: Played) -> State:
        """Sum up by groups of episodes, keep `SUBSAMPLE` frames. Frames where neither side acts are left out."""
        sent = played.executed
        finite = [np.isfinite(side) for side in (sent.reference, sent.candidate)]
        usable = np.flatnonzero((finite[0] & finite[1]).all(axis=1))
        sides = [side[usable] for side in (sent.reference, sent.candidate)]
        block = block_of(sent.at.episode[usable])
        kept = usable[bottom.first(sent.at.row[usable], SUBSAMPLE)]
        recorded = np.full(sent.reference.shape, np.nan) if sent.recorded is None else sent.recorded
        arrays = (sent.at.row, sent.at.episode, sent.at.frame, sent.reference, sent.candidate, recorded)
        return {
            "count": np.bincount(block, minlength=BLOCKS).astype(np.int64),
            **dict(zip(_SUMS, (_by_block(v, block) for v in (*sides, *(s**2 for s in sides))), strict=True)),
            **{name: np.asarray(a[kept]) for name, a in zip(_ARRAYS, arrays, strict=True)},
            **_holes(played, finite),
        }

    def merge(self, earlier: State, later: State) -> State:
        """Add what is summed, and keep the frames of the smallest hashes."""
        added = {name: np.asarray(earlier[name] + later[name]) for name in ("count", *_SUMS, "holes")}
        first = min((earlier, later), key=lambda s: int(s["first_hole"][0]))["first_hole"]
        return {**added, **bottom.both(earlier, later, _ARRAYS, SUBSAMPLE), "first_hole": first}

    def judge(self, state: State, context: Context) -> Judged:
        """Return rows of mean, variance and Wasserstein distance by dimension, and of the joint energy distance."""
        frames, groups = int(state["count"].sum()), int((state["count"] > 0).sum())
        bad = _bad(state, context)
        if frames == 0:
            return Judged((*bad, _not_judged("no frame at which both reference and candidate act")))
        told = Told(state, context, _sums(state))
        if not told.counts.any():
            return Judged((*bad, _not_judged("the reference moves in no dimension: nothing is covered", frames)))
        rows = (*bad, *told.rows())
        if context.sampled and groups < LEAST_GROUPS:
            few = (
                f"too few episodes: {groups}, at least {LEAST_GROUPS} are needed, as frames of an episode hang together"
            )
            rows = (_not_judged(few, frames), *rows)
        return Judged(rows, told.findings(), told.shown())


def _by_block(values: Array, block: Array) -> Array:
    """Return the sums of each block, ``(BLOCKS, D)``: run by run, as frames of an episode are together."""
    out = np.zeros((BLOCKS, values.shape[1]))
    if len(block):
        starts = np.flatnonzero(np.diff(block, prepend=-1))
        np.add.at(out, block[starts], np.add.reduceat(values, starts, axis=0))
    return out


def _holes(played: Played, finite: list[Array]) -> dict[str, Array]:
    """Return how often an action is not finite that should be, ``(D,)``, and at which row, episode and frame first."""
    whole = np.isfinite(played.reference) & np.isfinite(played.candidate)
    chunks = np.asarray(~whole.all(axis=1))  # (N, D)
    uneven: Array = finite[0] != finite[1]  # one side acts and the other does not
    found = [pair for pair in ((chunks, played.at), (uneven, played.executed.at)) if pair[0].any()]
    places = []
    for part, at in found:
        rows = np.flatnonzero(part.any(axis=1))
        i = rows[np.argmin(at.row[rows])]
        places.append((int(at.row[i]), int(at.episode[i]), int(at.frame[i])))
    first = min(places, default=(np.iinfo(np.int64).max,) * 3)
    return {"holes": np.asarray(chunks.sum(axis=0) + uneven.sum(axis=0)), "first_hole": np.array(first, np.int64)}


def _bad(state: State, context: Context) -> tuple[Row, ...]:
    if not state["holes"].any():
        return ()
    count, (_, episode, frame) = int(state["holes"].sum()), state["first_hole"].tolist()
    names = ", ".join(called(context, int(d)) for d in np.flatnonzero(state["holes"]))
    reason = f"{names}: {count} actions are NaN, infinite or missing, first at episode {episode}, frame {frame}"
    return (Row("distribution", float(count), "FAIL", 0.0, n=count, reason=reason),)


def _sums(state: State) -> Sums:
    some = state["count"] > 0
    return Sums(state["count"][some], *(state[name][some] for name in _SUMS))


def _not_judged(reason: str, count: int = 0) -> Row:
    return Row("distribution", None, "NOT_JUDGED", n=count, reason=reason)


MEASURE = Distribution()
