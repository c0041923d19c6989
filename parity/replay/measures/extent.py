"""Does the candidate reach as far: constant or clipped dimensions, and episodes that are all alike.

It only explains. A named cause is an error, as the difference that it explains is over a limit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from parity.finding import Finding
from parity.replay import kept
from parity.replay.causes.reach import Ends, clipped, constant, end_state, reaching
from parity.replay.measure import Gates
from parity.replay.model import Context, Executed, Judged, Played, Row, State
from parity.replay.said import look_at, moving, over_limits, several
from parity.tensor import Array

PHASES = 16  # parts of an episode, in which episodes are held against each other
COLLAPSED = 0.25  # of the reference's variance between episodes
AS_BEFORE = 0.5  # of its variance along an episode, at least, or the candidate moves less altogether
FEWEST_EPISODES = 5


class Extent:
    """Keeps ends, how often they are reached, and how episodes spread at each phase."""

    name = "extent"
    rank = 35
    gates: Gates = "never"

    def observe(self, played: Played) -> State:
        """Return the ends of both sides, spread by phase, an even choice of rows, and the worst places."""
        e = played.executed
        both = np.concatenate([e.reference, e.candidate], axis=1)
        return {
            **kept.under("reference", end_state(e.reference)),
            **kept.under("candidate", end_state(e.candidate)),
            **kept.under("phase", _phases(e, both)),
            **kept.under("rows", kept.chosen(both, e.at.row)),
            **kept.under("worst", kept.compared(played).worst),
        }

    def merge(self, earlier: State, later: State) -> State:
        """Return what is kept of both."""
        merged: dict[str, Array] = {k: np.asarray(earlier[k] + later[k]) for k in earlier if k.startswith("phase.")}
        for name, join in (
            ("reference", reaching),
            ("candidate", reaching),
            ("rows", kept.fewer),
            ("worst", kept.worse),
        ):
            merged |= kept.under(name, join(kept.of(earlier, name), kept.of(later, name)))
        return merged

    def judge(self, state: State, context: Context) -> Judged:
        """Return constant and clipped dimensions and collapsed modes, where the candidate is over a limit."""
        r, c = (Ends.of(kept.of(state, k)) for k in ("reference", "candidate"))
        place = kept.of(state, "worst")
        if not c.n or not r.n:
            return Judged((Row(self.name, None, "NOT_JUDGED", reason="no action that was sent is finite"),))
        share = float(_ratio(c.high - c.low, r.high - r.low)[moving(context)].min(initial=1.0))
        over = over_limits(context, place) & moving(context)
        dims = np.flatnonzero(over).tolist()
        if context.sampled:
            dims = np.flatnonzero(moving(context)).tolist()
        findings = constant(r, c, dims, context)
        dead = {d for f in findings for d in f.evidence["dimensions"]}
        dims = [d for d in dims if d not in dead]
        if not context.sampled:
            findings += clipped(r, c, state["rows.value"], dims, context, place)
        findings += _collapsed(kept.of(state, "phase"), dims, context, place)
        named = [f for f in findings if f.severity == "error"]
        reason = f"{named[0].title}; {named[0].detail}" if named else ""
        row = Row(self.name, share, "FAIL" if named else "PASS", n=c.n, units="of the reference's range", reason=reason)
        return Judged((row,), tuple(findings), {"ends": _shown(r, c, context)})


def _shown(r: Ends, c: Ends, context: Context) -> dict[str, Any]:
    """Return how far both sides go, and in which share of frames they are exactly at an end."""
    table: dict[str, Any] = {"dimension": list(context.names)}
    for name, side in (("reference", r), ("candidate", c)):
        table |= {
            f"{name} low": side.low.tolist(),
            f"{name} high": side.high.tolist(),
            f"{name} at low": (side.at_low / side.n).tolist(),
            f"{name} at high": (side.at_high / side.n).tolist(),
        }
    return table


def _ratio(a: Array, b: Array) -> Array:
    result: Array = np.divide(a, b, out=np.ones_like(a), where=b > 0)
    return result


def _phases(e: Executed, both: Array) -> dict[str, Array]:
    """Return frames, sums and sums of squares in each part of an episode, and how many episodes there are."""
    phase = np.minimum(e.at.frame * PHASES // np.maximum(e.at.length, 1), PHASES - 1)
    good = np.isfinite(both).all(axis=1)
    at, values = phase[good], both[good]
    where = (at[None, :] == np.arange(PHASES)[:, None]).astype(float)
    return {
        "n": where.sum(axis=1),
        "sum": where @ values,
        "square": where @ values**2,
        "episodes": np.array([(1.0 / np.maximum(e.at.length, 1)).sum()]),
    }


def _collapsed(phase: State, dims: list[int], context: Context, place: State) -> list[Finding]:
    """Return a sign where episodes differ much less from each other than the reference's, at the same phase."""
    n = phase["n"][:, None]
    if phase["episodes"][0] < FEWEST_EPISODES or phase["n"].min() < FEWEST_EPISODES or not dims:
        return []
    mean = phase["sum"] / n
    between = (phase["square"] / n - mean**2).mean(axis=0)
    along = mean.var(axis=0)
    width = len(context.names)
    spread, path = (
        between[width:] / np.maximum(between[:width], 1e-300),
        along[width:] / np.maximum(along[:width], 1e-300),
    )
    fewer = [
        d for d in dims if spread[d] < COLLAPSED and path[d] > AS_BEFORE and between[d] > 4 * context.limits[d] ** 2
    ]
    if not fewer:
        return []
    return [
        Finding(
            "REPLAY046",
            "warning",
            f"episodes are much more alike than the reference's in {several(context, fewer)}: "
            f"{100 * float(spread[fewer].min()):.0f} % of its variance at the same phase",
            where=context.output,
            detail=f"It does the same whatever it sees: modes collapsed. {look_at(context, place, fewer).capitalize()}."
            if not context.sampled
            else "It does the same whatever it sees: modes collapsed.",
            evidence={"dimensions": fewer, "share": spread[fewer].tolist()},
            remedy="look at whether observations reach the policy, at its noise, and at averaging of samples",
        )
    ]


MEASURE = Extent()
