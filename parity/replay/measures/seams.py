"""How smooth is what is sent to the robot: velocity, acceleration, jerk, and jumps where a new chunk begins.

It shows and never passes or fails a candidate by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from parity.finding import Finding
from parity.replay import kept
from parity.replay.measure import Gates, added
from parity.replay.model import Context, Executed, Judged, Played, Row, State
from parity.replay.said import SMALLEST, amount, called, look_at, moving, over_limits, several
from parity.tensor import Array

SIDES = ("reference", "candidate", "recorded")
ORDERS = ("velocity", "acceleration", "jerk")
JUMPIER = 2.0  # jumps at seams that are this many times the reference's
ROUGHER = 2.0  # jerk against velocity that is this many times the reference's
FEWEST = 32


class Seams:
    """Keeps sums of squared differences of what is executed, and of its steps at seams and inside chunks."""

    name = "seams"
    rank = 32
    gates: Gates = "never"

    def observe(self, played: Played) -> State:
        """Return the sums of each side, and where the candidate jumps most above the reference."""
        e = played.executed
        state: dict[str, Array] = {"frames": np.array([np.isfinite(e.candidate).all(axis=1).sum()])}
        recorded = np.full_like(e.reference, np.nan) if e.recorded is None else e.recorded
        steps = []
        for side, values in zip(SIDES, (e.reference, e.candidate, recorded), strict=True):
            sums, step = _differences(values, e)
            state |= kept.under(side, sums)
            steps.append(step)
        at_seam = _inside(e.first) & (e.step == 0)
        with np.errstate(invalid="ignore"):
            excess = np.where(at_seam[:, None], np.abs(steps[1]) - np.abs(steps[0]), 0.0)
        state |= kept.under("jump", kept.worst(np.maximum(excess, 0.0), e.at))
        state |= kept.under("worst", kept.compared(played).worst)
        return state

    def merge(self, earlier: State, later: State) -> State:
        """Return what is kept of both."""
        placed = ("jump.", "worst.")
        merged: dict[str, Array] = dict(added({k: v for k, v in earlier.items() if not k.startswith(placed)}, later))
        for name in ("jump", "worst"):
            merged |= kept.under(name, kept.worse(kept.of(earlier, name), kept.of(later, name)))
        return merged

    def judge(self, state: State, context: Context) -> Judged:
        """Return jerk and jumps of both sides, and signs where the candidate is over a limit and is less smooth."""
        n = int(state["frames"][0])
        if not n:
            return Judged((Row(self.name, None, "NOT_JUDGED", reason="no action that was sent is finite"),))
        sides = [Smooth.of(kept.of(state, side)) for side in SIDES]
        shown = {"smoothness": _shown(sides, context)}
        ratio = _ratio(sides[1].jumps, sides[0].jumps)
        moves = moving(context) & (sides[0].moves > 0)
        worst = float(ratio[moves].max()) if moves.any() else 1.0
        row = Row(self.name, worst, "PASS", n=n, units="times the reference's jump where a chunk begins")
        over = over_limits(context, kept.of(state, "worst")) & moves
        if not over.any():
            return Judged((row,), (), shown)
        findings = [*_jumps(sides, over, context, kept.of(state, "jump"))]
        findings += _rough(sides, over, context, kept.of(state, "worst"), {f.where for f in findings})
        return Judged((row,), tuple(findings), shown)


@dataclass(frozen=True, slots=True)
class Smooth:
    """Root mean squares of one side, ``(D,)`` each, in units per frame to the power of the order."""

    orders: tuple[Array, ...]
    jumps: Array
    moves: Array
    seams: int

    @staticmethod
    def of(sums: State) -> Smooth:
        """Return what the sums of one side say."""

        def rms(name: str) -> Array:
            return np.asarray(np.sqrt(sums[name] / max(float(sums[f"{name}.n"][0]), 1.0)))

        return Smooth(tuple(rms(o) for o in ORDERS), rms("seam"), rms("inside"), int(sums["seam.n"][0]))


def _inside(first: Array) -> Array:
    """Return which rows follow another one of their run."""
    inside: Array = ~first
    return inside


def _differences(values: Array, e: Executed) -> tuple[dict[str, Array], Array]:
    """Return the sums of squares of each order, and the steps ``(F, D)``, NaN at the first row of a run."""
    step = np.full_like(values, np.nan)
    with np.errstate(invalid="ignore"):
        step[1:] = np.diff(values, axis=0)
    step[e.first] = np.nan
    state: dict[str, Array] = {}
    difference = step
    for order in ORDERS:
        state |= _squares(order, difference)
        with np.errstate(invalid="ignore"):
            difference = np.diff(difference, axis=0)
    seam = e.step == 0
    return state | _squares("seam", step[seam]) | _squares("inside", step[~seam]), step


def _squares(name: str, values: Array) -> dict[str, Array]:
    good = np.isfinite(values).all(axis=1)
    kept_rows = values if good.all() else values[good]
    return {name: np.einsum("td,td->d", kept_rows, kept_rows), f"{name}.n": np.array([float(good.sum())])}


def _ratio(a: Array, b: Array) -> Array:
    result: Array = np.divide(a, b, out=np.ones_like(a), where=b > 0)
    return result


def _jumps(sides: Sequence[Smooth], over: Array, context: Context, place: State) -> list[Finding]:
    r, c = sides[0], sides[1]
    if min(r.seams, c.seams) < FEWEST:
        return []
    inside = _ratio(c.moves, r.moves)
    jumps = over & (c.jumps > JUMPIER * r.jumps * np.maximum(inside, 1.0)) & (c.jumps - r.jumps > context.limits)
    dims = np.flatnonzero(jumps).tolist()
    if not dims:
        return []
    d = max(dims, key=lambda d: float(c.jumps[d] / max(r.jumps[d], SMALLEST)))
    here = f"episode {int(place['episode'][d])}, frame {int(place['frame'][d])}"
    title = (
        f"it jumps where a chunk begins, in {several(context, dims)}: {amount(context, d, float(c.jumps[d]))} in "
        f"{called(context, d)}, reference {amount(context, d, float(r.jumps[d]))}"
    )
    return [
        Finding(
            "REPLAY042",
            "warning",
            title,
            where=context.output,
            detail=f"Inside chunks it moves {inside[d]:.2f} times as much. The largest jump is at {here}.",
            evidence={"dimensions": dims, "candidate": c.jumps[dims].tolist(), "reference": r.jumps[dims].tolist()},
            remedy="look at what is left of the chunk before, what chunks are relative to, and at ensembling",
        )
    ]


def _rough(sides: Sequence[Smooth], over: Array, context: Context, place: State, told: set[str]) -> list[Finding]:
    if told:
        return []
    r, c = sides[0], sides[1]
    shaky = _ratio(c.orders[2], r.orders[2]) / np.maximum(_ratio(c.orders[0], r.orders[0]), SMALLEST)
    noise = np.where(np.isfinite(context.limits), context.limits, 0.0) * np.sqrt(20.0)  # jerk of white noise
    found = []
    for word, dims in (
        ("rougher", np.flatnonzero(over & (shaky > ROUGHER) & (c.orders[2] > np.maximum(noise, r.orders[2]))).tolist()),
        (
            "smoother",
            np.flatnonzero(
                over & (shaky < 1 / ROUGHER) & (r.orders[2] > np.maximum(noise, c.orders[2])) & (c.orders[0] > 0)
            ).tolist(),
        ),
    ):
        if dims:
            d = dims[int(np.abs(np.log(np.maximum(shaky[dims], SMALLEST))).argmax())]
            jerk, reference = (_per(context, d, float(s.orders[2][d]), 3) for s in (c, r))
            told_of = f"jerk {jerk} in {called(context, d)}, reference {reference}"
            found.append(
                Finding(
                    "REPLAY043",
                    "warning",
                    f"it is {word} than the reference in {several(context, dims)}: {told_of}",
                    where=context.output,
                    detail=f"{look_at(context, place, dims).capitalize()}.",
                    evidence={"dimensions": dims, "times": shaky[dims].tolist()},
                    remedy="look for noise, a missing or another filter, or interpolation between actions",
                )
            )
    return found


def _per(context: Context, d: int, value: float, order: int) -> str:
    """Return a difference of some order in units per second, where the rate is known."""
    if context.fps:
        return amount(context, d, value * context.fps**order, f"/s^{order}")
    return amount(context, d, value, f"/frame^{order}")


def _shown(sides: Sequence[Smooth], context: Context) -> dict[str, Any]:
    factor = context.fps or 1.0
    table: dict[str, Any] = {"dimension": list(context.names), "per": "second" if context.fps else "frame"}
    for name, side in zip(SIDES, sides, strict=True):
        for order, values in enumerate(side.orders, start=1):
            table[f"{name} {ORDERS[order - 1]}"] = (values * factor**order).tolist()
        table[f"{name} jump where a chunk begins"] = side.jumps.tolist()
        table[f"{name} step inside chunks"] = side.moves.tolist()
    return table


MEASURE = Seams()
