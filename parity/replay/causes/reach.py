"""How far each side reaches, and how often it is at its ends: constant and clipped dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from parity.finding import Finding
from parity.replay.model import Context, State
from parity.replay.said import SMALLEST, amount, called, look_at, several
from parity.tensor import Array

DEAD = 1e-3  # of the reference's range: a dimension that moves less is constant
OFTEN = 0.005  # of all frames, and
FEWEST = 5  # frames at least: a side that is so often exactly at its end is held there
EXPLAINS = 0.9
ENOUGH = 32  # frames below which a dimension may rest by chance


@dataclass(frozen=True, slots=True)
class Ends:
    """Lowest and highest action of a side, ``(D,)``, and at how many of ``n`` frames it is exactly there."""

    n: int
    low: Array
    high: Array
    at_low: Array
    at_high: Array

    @staticmethod
    def of(state: State) -> Ends:
        """Return what was kept of a side."""
        return Ends(int(state["n"][0]), state["low"], state["high"], state["at_low"], state["at_high"])

    def held(self, upper: bool) -> Array:
        """Return which dimensions are often exactly at an end, ``(D,)``."""
        count = self.at_high if upper else self.at_low
        held: Array = (count >= FEWEST) & (count >= OFTEN * self.n)
        return held


def end_state(values: Array) -> dict[str, Array]:
    """Return the ends of ``(F, D)`` and how often they are reached; rows that are not finite are left out."""
    good = np.isfinite(values).all(axis=1)
    known = values if good.all() else values[good]
    low, high = known.min(axis=0, initial=np.inf), known.max(axis=0, initial=-np.inf)
    return {
        "n": np.array([float(len(known))]),
        "low": low,
        "high": high,
        "at_low": (known == low).sum(axis=0).astype(float),
        "at_high": (known == high).sum(axis=0).astype(float),
    }


def reaching(a: State, b: State) -> dict[str, Array]:
    """Return the ends of both, with how often each is reached."""
    low, high = np.minimum(a["low"], b["low"]), np.maximum(a["high"], b["high"])
    return {
        "n": np.asarray(a["n"] + b["n"]),
        "low": low,
        "high": high,
        "at_low": sum((np.where(s["low"] == low, s["at_low"], 0.0) for s in (a, b)), np.zeros_like(low)),
        "at_high": sum((np.where(s["high"] == high, s["at_high"], 0.0) for s in (a, b)), np.zeros_like(high)),
    }


def constant(r: Ends, c: Ends, among: Sequence[int], context: Context) -> list[Finding]:
    """Return a finding of the dimensions in which the candidate does not move and the reference does."""
    moved, by = r.high - r.low, c.high - c.low
    dead = [d for d in among if by[d] <= DEAD * moved[d] and moved[d] > 0]
    if not dead or c.n < ENOUGH:
        return []
    d = dead[0]
    reference = f"{amount(context, d, float(r.low[d]))} to {amount(context, d, float(r.high[d]))}"
    is_at = amount(context, d, float(c.low[d]))
    return [
        Finding(
            "REPLAY045",
            "error",
            f"constant in {several(context, dead)}, where the reference moves: {is_at} in {called(context, d)}",
            where=called(context, d) if len(dead) == 1 else context.output,
            detail=f"The reference goes from {reference} in {called(context, d)}.",
            evidence={"dimensions": dead, "value": c.low[dead].tolist()},
            remedy="look for an output that is disconnected, saturated, or never written",
        )
    ]


def clipped(r: Ends, c: Ends, rows: Array, among: Sequence[int], context: Context, place: State) -> list[Finding]:
    """Return findings of dimensions in which one side is held at an end that the other one passes.

    The counterfactual: the side that goes further, clipped at those ends, is the other one. ``rows`` are ``[R, C]``.
    """
    found = []
    width = len(context.names)
    for d in among:
        pair = rows[:, d], rows[:, width + d]
        for name, held, free in (("candidate", c, r), ("reference", r, c)):
            ends = _ends(held, free, d, float(context.limits[d]))
            if not np.isfinite(ends).any():
                continue
            share = _explained(*(pair if name == "candidate" else pair[::-1]), ends)
            if share is None:  # no chosen row is beyond: the largest difference must be what lies beyond
                beyond = max(ends[0] - free.low[d], free.high[d] - ends[1])
                share = 1.0 - abs(float(place["value"][d]) / beyond - 1.0)
            if share >= EXPLAINS:
                found.append(_told(d, name, held, free, ends, share, context, place))
                break
    return found


def _ends(held: Ends, free: Ends, d: int, limit: float) -> tuple[float, float]:
    """Return the ends at which a side is held and that the other one passes; infinite where there is none."""
    limit = max(limit, SMALLEST)
    low = held.held(False)[d] and held.low[d] - free.low[d] > limit
    high = held.held(True)[d] and free.high[d] - held.high[d] > limit
    return float(held.low[d]) if low else -np.inf, float(held.high[d]) if high else np.inf


def _explained(free: Array, held: Array, ends: tuple[float, float]) -> float | None:
    """Return the share of the difference that clipping explains; None where no row is beyond an end."""
    good = np.isfinite(free) & np.isfinite(held)
    free, held = free[good], held[good]
    clip = np.clip(free, *ends)
    whole = float(((free - held) ** 2).sum())
    if not (clip != free).any() or whole <= 0:
        return None
    return 1.0 - float(((clip - held) ** 2).sum()) / whole


def _told(
    d: int, name: str, held: Ends, free: Ends, ends: tuple[float, float], share: float, context: Context, place: State
) -> Finding:
    low, high = np.isfinite(ends)
    count = float((held.at_low[d] * low + held.at_high[d] * high) / held.n)
    at = " and ".join(amount(context, d, end) for end, there in zip(ends, (low, high), strict=True) if there)
    goes = " and ".join(
        amount(context, d, float(end)) for end, there in ((free.low[d], low), (free.high[d], high)) if there
    )
    other = "reference" if name == "candidate" else "candidate"
    return Finding(
        "REPLAY044",
        "error",
        f"{called(context, d)}: the {name} is clipped at {at} ({100 * count:.1f} % of frames), "
        f"the {other} goes to {goes}",
        where=called(context, d),
        detail=f"This explains {100 * share:.1f} % of the difference; {look_at(context, place, [d])}.",
        evidence={
            "dimensions": [d],
            "ends": [e if np.isfinite(e) else None for e in ends],
            "share": count,
            "explained": share,
        },
        remedy="compare the limits that actions are clipped to on both sides, and in which units",
    )
