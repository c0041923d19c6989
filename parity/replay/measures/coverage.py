"""Over which values of the observations parity was shown, and over which it was not: told, never judged.

A comparison says nothing of observations that were not in it. Held against are the range that the whole dataset visits
(where only some of its frames were asked) and the range that the policy was made for (its statistics).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from parity.finding import Finding
from parity.replay.extent import Extent, extent_of, extents, joined
from parity.replay.measure import Gates
from parity.replay.model import Context, Judged, Played, Row, State
from parity.replay.wider import Wider, outside, share, wider_ranges
from parity.tensor import Array

LITTLE, SOME = 0.25, 0.5  # of a wider range: a warning below the first, told below the second
BEYOND = 0.1  # of the policy's range: further out than that is told
NAMED = 4  # elements that a sentence names
VISITED, ALLOWED, CONSTANT, OUTSIDE, LOST = "REPLAY080", "REPLAY081", "REPLAY082", "REPLAY083", "REPLAY084"


class _Coverage:
    """Measure "coverage"."""

    name = "coverage"
    rank = 60
    gates: Gates = "never"

    def observe(self, played: Played) -> State:
        return extents(played)

    def merge(self, earlier: State, later: State) -> State:
        return joined(earlier, later)

    def judge(self, state: State, context: Context) -> Judged:
        found = extent_of(state)
        frames = int(state["frames"])
        rows, findings, table = [], [], []
        for extent in found:
            wider = wider_ranges(extent, context)
            rows += _row(extent, wider, frames, context)
            findings += _findings(extent, wider, context)
            table += _table(extent, wider, context)
        return Judged(tuple(rows), tuple(findings), {"coverage": {"frames": frames, "rows": table}} if table else {})


def _row(extent: Extent, wider: tuple[Wider, ...], frames: int, context: Context) -> list[Row]:
    """Return the smallest share of a known range that was shown; nothing where none is known, or nothing was finite."""
    shares = [(w, s) for w in wider if np.isfinite(s := share(extent, w)).any()]
    if not shares:
        return []
    least = np.fmin.reduce([s for _, s in shares])
    at = int(np.nanargmin(least))
    of = next(w for w, s in shares if s[at] == least[at])
    reason = _shown_only(extent, of, at, context)
    return [Row(f"coverage of {extent.feature}", float(least[at]), "PASS", n=frames, reason=reason)]


def _findings(extent: Extent, wider: tuple[Wider, ...], context: Context) -> list[Finding]:
    found = [f for w in wider for f in (_little(extent, w, context), _outside(extent, w, context)) if f]
    spoken = {d for w in wider for d in np.flatnonzero(share(extent, w) < SOME).tolist()}
    silent = [int(d) for d in np.flatnonzero(extent.constant) if d not in spoken]
    if silent:
        found.append(_constant(extent, silent, context))
    if extent.lost.any():
        found.append(_lost(extent, context))
    return found


def _little(extent: Extent, wider: Wider, context: Context) -> Finding | None:
    shares = share(extent, wider)
    few = np.flatnonzero(shares < SOME)
    if not few.size:
        return None
    few = few[np.argsort(shares[few], kind="stable")]
    worst = int(few[0])
    detail = "; ".join(_shown_only(extent, wider, int(d), context) for d in few[1:NAMED])
    more = f"; and {len(few) - NAMED} more" if len(few) > NAMED else ""
    return Finding(
        VISITED if wider.visited else ALLOWED,
        "warning" if wider.visited or (shares[worst] < LITTLE and not wider.spread) else "info",
        _shown_only(extent, wider, worst, context) + ".",
        where=element(extent, worst, context),
        detail=f"Likewise: {detail}{more}." if detail else "",
        evidence={
            "elements": few.tolist(),
            "share": [float(s) for s in shares[few]],
            "low": [float(v) for v in extent.low[few]],
            "high": [float(v) for v in extent.high[few]],
            "of": wider.source,
        },
        remedy="replay more episodes, such as `episodes` of all tasks; beyond what was shown the verdict says nothing",
    )


def _outside(extent: Extent, wider: Wider, context: Context) -> Finding | None:
    far = outside(extent, wider)
    beyond = np.flatnonzero(far > BEYOND)
    if wider.visited or not wider.hard or not beyond.size:
        return None
    worst = int(beyond[np.argmax(far[beyond])])
    seen = _between(extent.low[worst], extent.high[worst], context, extent)
    return Finding(
        OUTSIDE,
        "warning",
        f"{element(extent, worst, context)} goes from {seen}, beyond the {wider.words} "
        f"{_between(wider.low[worst], wider.high[worst], context, extent)}.",
        where=element(extent, worst, context),
        evidence={"elements": beyond.tolist(), "share_outside": [float(f) for f in far[beyond]], "of": wider.source},
        remedy="make sure that the statistics are those of this robot and dataset (`parity stats`)",
    )


def _constant(extent: Extent, silent: list[int], context: Context) -> Finding:
    named = ", ".join(f"{element(extent, d, context)} = {extent.low[d]:.4g}" for d in silent[:NAMED])
    more = f" and {len(silent) - NAMED} more" if len(silent) > NAMED else ""
    return Finding(
        CONSTANT,
        "info",
        f"The same value at all frames: {named}{more}. Nothing is shown of other values.",
        where=extent.feature,
        evidence={"elements": silent},
        remedy="nothing, where the robot never changes it",
    )


def _lost(extent: Extent, context: Context) -> Finding:
    dims = np.flatnonzero(extent.lost)
    episode, frame = extent.lost_at
    return Finding(
        LOST,
        "warning",
        f"The dataset's {element(extent, int(dims[0]), context)} is NaN or infinite, first in episode {episode}, frame "
        f"{frame}.",
        where=extent.feature,
        evidence={"elements": dims.tolist(), "values": [int(v) for v in extent.lost[dims]]},
        remedy="find out whether the robot really sends this, or leave these episodes out",
    )


def element(extent: Extent, at: int, context: Context) -> str:
    """Return an element of a feature as ``observation.state[6] (wrist)``."""
    names = (context.options.get("elements") or {}).get(extent.feature) or ()
    called = f" ({names[at]})" if len(names) == len(extent.low) else ""
    return f"{extent.feature}[{at}]{called}" if len(extent.low) > 1 else extent.feature


def _shown_only(extent: Extent, wider: Wider, at: int, context: Context) -> str:
    if extent.constant[at]:
        seen = f"was shown only at {_number(extent.low[at], context, extent)}"
    else:
        seen = f"was shown only between {extent.low[at]:.4g} and {_number(extent.high[at], context, extent)}"
    name = element(extent, at, context)
    return f"{name} {seen} of the {wider.words} {_between(wider.low[at], wider.high[at], context, extent)}"


def _between(low: float, high: float, context: Context, extent: Extent) -> str:
    return f"{low:.4g} to {_number(high, context, extent)}"


def _number(value: float, context: Context, extent: Extent) -> str:
    units = (context.options.get("observation_units") or {}).get(extent.feature)
    return f"{value:.4g} {units}" if units else f"{value:.4g}"


def _table(extent: Extent, wider: tuple[Wider, ...], context: Context) -> list[dict[str, Any]]:
    known = [(w, share(extent, w)) for w in wider]
    return [
        {
            "feature": extent.feature,
            "element": element(extent, d, context),
            "low": _finite(extent.low[d]),
            "high": _finite(extent.high[d]),
            "quantiles": [_finite(q) for q in extent.quantiles[:, d]],
            "constant": bool(extent.constant[d]),
            "of": [
                {"words": w.words, "low": _finite(w.low[d]), "high": _finite(w.high[d]), "share": _finite(s[d])}
                for w, s in known
            ],
        }
        for d in range(len(extent.low))
    ]


def _finite(value: Array | float) -> float | None:
    return float(value) if np.isfinite(value) else None


MEASURE = _Coverage()
