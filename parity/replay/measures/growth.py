"""Does the error depend on how long ago the policy was reset, or on the step of its chunk?

It only explains. A named cause is an error, as the difference that it explains is over a limit.
"""

from __future__ import annotations

import numpy as np

from parity.replay import kept
from parity.replay.causes.since_reset import AHEAD, Ages, along_chunk, growing, not_reset
from parity.replay.measure import Gates, added
from parity.replay.model import Context, Executed, Judged, Played, Row, State
from parity.replay.said import moving, over_limits
from parity.tensor import Array

ONE_BY_ONE = 16  # frames after a reset that have a bin of their own; later bins grow by a quarter each
EDGES = np.unique(np.concatenate([np.arange(ONE_BY_ONE), np.round(ONE_BY_ONE * 1.25 ** np.arange(40))])).astype(int)


class Growth:
    """Keeps errors by the number of frames since the episode began, and by the step of the chunk."""

    name = "growth"
    rank = 34
    gates: Gates = "never"

    def observe(self, played: Played) -> State:
        """Return errors, motion and level by age, errors by step, and an even choice of rows."""
        e = played.executed
        both = kept.compared(played)
        return {
            **kept.under("age", _by_age(e, both.sent)),
            **kept.under("start", _starts(e)),
            "steps": np.asarray(both.chunk.max(axis=0, initial=0.0)),
            **kept.under("rows", kept.chosen(_rows(e), e.at.row)),
            **kept.under("worst", both.worst),
            **kept.under("chunk", both.worst_chunk),
        }

    def merge(self, earlier: State, later: State) -> State:
        """Return what is kept of both."""
        merged: dict[str, Array] = {"steps": np.maximum(earlier["steps"], later["steps"])}
        peak = np.maximum(earlier["age.peak"], later["age.peak"])
        for name, join in (
            ("age", added),
            ("start", added),
            ("rows", kept.fewer),
            ("worst", kept.worse),
            ("chunk", kept.worse),
        ):
            merged |= kept.under(name, join(kept.of(earlier, name), kept.of(later, name)))
        return {**merged, "age.peak": peak}

    def judge(self, state: State, context: Context) -> Judged:
        """Return whether the error is one of the start, or one that grows, where it is over a limit."""
        age, place = kept.of(state, "age"), kept.of(state, "worst")
        n = int(age["n"].sum())
        if not n:
            return Judged((Row(self.name, None, "NOT_JUDGED", reason="no frames were executed"),))
        if context.sampled:
            why = "single actions are not compared: its noise could not be injected"
            return Judged((Row(self.name, None, "NOT_JUDGED", n=n, reason=why),))
        over = np.flatnonzero(over_limits(context, place) & moving(context)).tolist()
        ages = Ages(EDGES, age, state["rows.value"], kept.of(state, "start"))
        found = not_reset(ages, over, context, place)
        asked = state["steps"][min(context.timing[1].first, len(state["steps"]) - 1)]
        at_once = [d for d in over if not asked[d] <= context.limits[d]]  # else it is of the chunk, not of the state
        found = found or growing(ages, at_once, context, place)
        over_chunk = np.flatnonzero(over_limits(context, kept.of(state, "chunk")) & moving(context)).tolist()
        found += along_chunk(state["steps"], over_chunk, context, kept.of(state, "chunk"))
        named = [f for f in found if f.severity == "error"]
        reason = f"{named[0].title}; {named[0].detail}" if named else ""
        row = Row(self.name, ages.slope(over), "FAIL" if named else "PASS", n=n, reason=reason)
        return Judged((row,), tuple(found), {"error by age": ages.shown(context)})


def _by_age(e: Executed, off: Array) -> dict[str, Array]:
    """Return sums for each bin ``(B, ...)``: frames, squares of the error, its peak, motion to the next, level."""
    bins, dims = len(EDGES), off.shape[1]
    at = np.searchsorted(EDGES, e.at.frame, side="right") - 1
    order = np.argsort(at, kind="stable")
    present, begin = np.unique(at[order], return_index=True)
    peak = np.zeros((bins, dims))
    if len(present):
        peak[present] = np.maximum.reduceat(off[order], begin, axis=0)
    peak[np.isnan(peak)] = np.inf
    known = np.where(np.isfinite(off), off, 0.0)
    values = (
        known**2,
        np.nan_to_num(_moved(e, 1), posinf=0, neginf=0) ** 2,
        np.nan_to_num(e.reference, posinf=0, neginf=0),
    )
    rows = np.concatenate([*values, values[2] ** 2], axis=1)
    sums = np.zeros((bins, rows.shape[1]))
    if len(present):
        sums[present] = np.add.reduceat(rows[order], begin, axis=0)
    error, motion, level, square = np.split(sums, 4, axis=1)
    n = np.bincount(at, minlength=bins).astype(float)
    return {"n": n, "error": error, "motion": motion, "level": level, "square": square, "peak": peak}


def _moved(e: Executed, ahead: int) -> Array:
    """Return how far the reference moves to the frame so many ahead (or behind), or the last there of its run."""
    rows = np.arange(len(e.first))
    begin = np.maximum.accumulate(np.where(e.first, rows, 0))
    end = np.minimum.accumulate(np.where(np.append(e.first[1:], True), rows, len(rows))[::-1])[::-1]
    with np.errstate(invalid="ignore"):
        moved: Array = e.reference[np.clip(rows + ahead, begin, end)] - e.reference
    return moved


def _rows(e: Executed) -> Array:
    """Return of each chosen frame its age, pose, motion (`AHEAD`) and error, ``(F, 1 + 5D)`` in float32."""
    with np.errstate(invalid="ignore", over="ignore"):
        parts = [
            e.at.frame[:, None].astype(float),
            e.reference,
            *(_moved(e, k) for k in AHEAD),
            e.candidate - e.reference,
        ]
        return np.concatenate(parts, axis=1).astype(np.float32)


def _starts(e: Executed) -> dict[str, Array]:
    """Return, at starts of episodes that follow another one, how far the candidate is from its last action before and
    from the reference: sums of squares over dimensions in units of how the reference moves.
    """
    start = np.flatnonzero((e.at.frame == 0) & e.first)
    start = start[start > 0]
    unit = np.maximum(np.ptp(e.reference, axis=0), 1e-300) if len(e.reference) else np.ones(e.reference.shape[1])
    before = ((e.candidate[start] - e.candidate[start - 1]) / unit) ** 2
    away = ((e.candidate[start] - e.reference[start]) / unit) ** 2
    return {"n": np.array([float(len(start))]), "before": np.array([before.sum()]), "away": np.array([away.sum()])}


MEASURE = Growth()
