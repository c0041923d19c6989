"""What was executed, side by side: the part of an episode that is furthest off, and the first one as a typical one.

It judges nothing: it is what a reader looks at to see how a policy is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from parity.replay.measure import Gates
from parity.replay.model import Context, Executed, Judged, Played, State
from parity.tensor import Array

FRAMES = 600  # that are kept of an episode
TYPICAL = 300  # and of the typical one
FAINT = 1e-3  # of its size: a dimension that moves less in an episode is held against its size
WORST_DIMENSIONS, TYPICAL_DIMENSIONS = 6, 3  # that are shown
DIGITS = 5  # of a number that is shown: more cannot be seen
SIDES = ("reference", "candidate", "recorded")
_KEPT = ("key", "episode", "frame", "seam", *SIDES)


class Overlay:
    """The measure "overlay": sequences of executed actions, for the eye."""

    name = "overlay"
    rank = 70
    gates: Gates = "never"

    def observe(self, played: Played) -> State:
        """Return the worst part of an episode and the first one of a shard.

        By name, for ``worst`` and ``typical``, with F frames and D dimensions: ``key`` (2,), the error and the row of
        the dataset; ``episode`` (); ``frame`` (F,); ``seam`` (F,), where a new chunk begins; and, in float32,
        ``reference``, ``candidate`` and ``recorded`` (F, D), the last one NaN where nothing is recorded.
        """
        sent = played.executed
        if not len(sent.at):
            nothing = _kept(sent, 0.0, slice(0, 0))
            return _named("worst", nothing) | _named("typical", nothing)
        starts = np.flatnonzero(sent.first)
        starts = starts if len(starts) and starts[0] == 0 else np.concatenate([[0], starts])
        ends = np.append(starts[1:], len(sent.at))
        error = _error(sent, starts, ends)
        highest = np.maximum.reduceat(error, starts)
        at, first = int(np.argmax(highest)), int(np.argmin(sent.at.row[starts]))
        worst = int(starts[at] + np.argmax(error[starts[at] : ends[at]]))
        begin = max(int(starts[at]), min(worst - FRAMES // 2, int(ends[at]) - FRAMES))
        around = slice(begin, min(begin + FRAMES, int(ends[at])))
        typical = slice(int(starts[first]), min(int(starts[first]) + TYPICAL, int(ends[first])))
        return _named("worst", _kept(sent, float(highest[at]), around)) | _named("typical", _kept(sent, 0.0, typical))

    def merge(self, earlier: State, later: State) -> State:
        """Return the worse of both, of equal ones the first in the dataset; and the first of both."""
        chosen = {name: min((earlier, later), key=lambda s: _order(s, name)) for name in ("worst", "typical")}
        return {f"{name}.{k}": state[f"{name}.{k}"] for name, state in chosen.items() for k in _KEPT}

    def judge(self, state: State, context: Context) -> Judged:
        """Return what is shown: the dimensions that are furthest off, in the units of each."""
        parts = {name: {k: state[f"{name}.{k}"] for k in _KEPT} for name in ("worst", "typical")}
        if not len(parts["worst"]["frame"]):
            return Judged(())
        dims = _furthest(parts["worst"], context)
        shown: dict[str, Any] = {"worst": _shown(parts["worst"], context, dims[:WORST_DIMENSIONS])}
        if parts["typical"]["key"][1] != parts["worst"]["key"][1]:
            shown["typical"] = _shown(parts["typical"], context, dims[:TYPICAL_DIMENSIONS])
        return Judged((), shown={"overlay": shown})


def _error(sent: Executed, starts: Array, ends: Array) -> Array:
    """Return how far off each frame is, ``(F,)``: largest |Δ| over how far that dimension moves in that episode.

    Infinite where only one side is finite.
    """
    with np.errstate(all="ignore"):
        low, high = np.fmin.reduceat(sent.reference, starts), np.fmax.reduceat(sent.reference, starts)
        size = np.nan_to_num(np.maximum(np.abs(low), np.abs(high)))
        moves = np.nan_to_num(high - low)
        unit = np.where(moves > FAINT * size, moves, size)
        widest = np.max(unit, axis=1, keepdims=True, initial=0.0)
        unit = np.where(unit > 0, unit, np.where(widest > 0, widest, 1.0))
        error = np.abs(sent.candidate - sent.reference)
        error /= np.repeat(unit, ends - starts, axis=0)
        whole = error.max(axis=1, initial=0.0)
    bad = np.flatnonzero(~np.isfinite(whole))
    if len(bad):
        missing = np.isfinite(sent.reference[bad]) != np.isfinite(sent.candidate[bad])
        rest = np.nan_to_num(error[bad], nan=0.0, posinf=0.0).max(axis=1, initial=0.0)
        whole[bad] = np.where(missing.any(axis=1), np.inf, rest)
    return np.asarray(whole)


def _kept(sent: Executed, error: float, span: slice) -> dict[str, Array]:
    row = int(sent.at.row[span][0]) if len(sent.at.row[span]) else -1
    recorded = np.full_like(sent.reference, np.nan) if sent.recorded is None else sent.recorded
    sides = (sent.reference, sent.candidate, recorded)
    with np.errstate(over="ignore"):
        values = {name: side[span].astype(np.float32) for name, side in zip(SIDES, sides, strict=True)}
    return {
        "key": np.asarray([error, row], np.float64),
        "episode": np.asarray(sent.at.episode[span][0] if row >= 0 else -1, np.int64),
        "frame": np.asarray(sent.at.frame[span], np.int64),
        "seam": np.asarray(sent.step[span] == 0),
        **values,
    }


def _named(name: str, part: dict[str, Array]) -> dict[str, Array]:
    return {f"{name}.{key}": array for key, array in part.items()}


def _order(state: State, name: str) -> tuple[bool, float, float]:
    error, row = (float(v) for v in state[f"{name}.key"])
    return row < 0, -error, row


def _gap(part: State) -> Array:
    """Return the largest finite |Δ| of each dimension, ``(D,)``, infinite where only one side is finite."""
    reference, candidate = (np.asarray(part[s], np.float64) for s in SIDES[:2])
    with np.errstate(invalid="ignore"):
        gap = np.abs(candidate - reference)
    missing = np.isfinite(reference) != np.isfinite(candidate)
    gap = np.where(missing, np.inf, np.where(np.isfinite(gap), gap, 0.0))
    return np.asarray(gap.max(axis=0, initial=0.0))


def _furthest(part: State, context: Context) -> list[int]:
    """Return all dimensions: those over their limit first, then by |Δ| over how far the reference moves."""
    gap = _gap(part)
    limits, scale = np.asarray(context.limits, np.float64), np.asarray(context.scale, np.float64)
    unit = np.where(scale > 0, scale, np.where(np.isfinite(limits) & (limits > 0), limits, 1.0))
    over = ~(gap <= limits)
    return [int(d) for d in np.lexsort((np.arange(len(gap)), -gap / unit, ~over))]


def _shown(part: State, context: Context, dims: Sequence[int]) -> dict[str, Any]:
    gap, frame = _gap(part), part["frame"]
    return {
        "episode": int(part["episode"]),
        "first": int(frame[0]),
        "frames": len(frame),
        "seams": [int(f) for f in frame[part["seam"]]],
        "dimensions": [
            {
                "dimension": d,
                "name": context.names[d],
                "units": context.units[d],
                "max_abs": _number(float(gap[d])),
                "limit": _number(float(context.limits[d])),
                **{side: _numbers(part[side][:, d]) for side in SIDES},
            }
            for d in dims
        ],
    }


def _number(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None


def _numbers(values: Array) -> list[float | None] | None:
    """Return a sequence for JSON, None where nothing of it is finite."""
    finite = np.isfinite(values)
    return [_number(float(v)) for v in values] if finite.any() else None


MEASURE = Overlay()
