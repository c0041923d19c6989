"""Does a fault of structure explain the difference: sign, gain, offset, units, order, range, normalization?

It only explains. A named cause is an error, as the difference that it explains is over a limit.
"""

from __future__ import annotations

import numpy as np

from parity.replay import kept
from parity.replay.causes.affine import Pair, pair_of
from parity.replay.causes.normalization import Statistics
from parity.replay.causes.recorded_structure import against_recorded
from parity.replay.causes.structural import Suspect, explain
from parity.replay.causes.tell_structure import told
from parity.replay.measure import Gates
from parity.replay.model import Context, Judged, Played, Row, State
from parity.replay.said import SMALLEST, look_at, over_limits
from parity.tensor import Array

STEPS = 3  # steps of a chunk that are looked at, the first and the last among them


class Structure:
    """Regresses the candidate's actions on the reference's, and the reference's on what was recorded."""

    name = "structure"
    rank = 30
    gates: Gates = "never"

    def observe(self, played: Played) -> State:
        """Return moments of both sides, the worst places, and an even choice of rows."""
        r, c = played.reference, played.candidate
        horizon, dims = r.shape[1:]
        steps = np.unique(np.linspace(0, horizon - 1, min(STEPS, horizon)).round().astype(int))
        rows = np.concatenate([r[:, steps], c[:, steps]], axis=2).reshape(-1, 2 * dims)
        first = np.concatenate([r[:, 0], c[:, 0]], axis=1)
        recorded = np.full_like(r[:, 0], np.nan) if played.recorded is None else played.recorded[:, 0]
        return {
            **kept.under("pair", kept.comoments(rows)),
            **kept.under("demo", kept.comoments(np.concatenate([recorded, r[:, 0]], axis=1))),
            **kept.under("worst", kept.compared(played).worst_chunk),
            **kept.under("rows", kept.chosen(first, played.at.row)),
            **_ends("demo_ends", recorded),
            **_ends("ends", r[:, 0]),
        }

    def merge(self, earlier: State, later: State) -> State:
        """Return what is kept of both."""
        merged: dict[str, Array] = {}
        for name, join in (
            ("pair", kept.joined),
            ("demo", kept.joined),
            ("worst", kept.worse),
            ("rows", kept.fewer),
            ("demo_ends", _wider),
            ("ends", _wider),
        ):
            merged |= kept.under(name, join(kept.of(earlier, name), kept.of(later, name)))
        return merged

    def judge(self, state: State, context: Context) -> Judged:
        """Return the causes that explain at least 98 % of a difference that is over a limit."""
        moments, place = kept.of(state, "pair"), kept.of(state, "worst")
        pair = pair_of(moments)
        lost = int(moments["lost"][0])
        findings = against_recorded(pair_of(kept.of(state, "demo")), context)
        over = np.flatnonzero(over_limits(context, place))
        if not pair.n:
            why = f"no action of both sides is finite ({lost} are not)" if lost else "no frames"
            return Judged((Row(self.name, None, "NOT_JUDGED", reason=why),), tuple(findings))
        if not over.size:
            return Judged((_passed(pair, context),), tuple(findings))
        suspects = explain(pair, kept.of(state, "rows")["value"], over.tolist(), context, _statistics(state, pair))
        named = [told(s, context, place, pair) for s in suspects]
        return Judged((_row(pair, over, suspects, context, place),), (*named, *findings), _shown(pair, context))


def _ends(name: str, values: Array) -> dict[str, Array]:
    low, high = np.where(np.isfinite(values), values, np.inf), np.where(np.isfinite(values), values, -np.inf)
    return {f"{name}.low": low.min(axis=0, initial=np.inf), f"{name}.high": high.max(axis=0, initial=-np.inf)}


def _wider(a: State, b: State) -> dict[str, Array]:
    return {"low": np.minimum(a["low"], b["low"]), "high": np.maximum(a["high"], b["high"])}


def _statistics(state: State, pair: Pair) -> list[Statistics]:
    """Return the statistics of what was recorded, where there is any, and of the reference."""
    found = []
    demo = pair_of(kept.of(state, "demo"))
    for moments, ends in (((demo.n, demo.mean_r, demo.rr), "demo_ends"), ((pair.n, pair.mean_r, pair.rr), "ends")):
        n, mean, square = moments
        if n > 1:
            low, high = state[f"{ends}.low"], state[f"{ends}.high"]
            found.append(Statistics(mean, np.sqrt(np.diag(square)), low, high))
    return found


def _passed(pair: Pair, context: Context) -> Row:
    why = "single actions are not compared: its noise could not be injected" if context.sampled else ""
    return Row("structure", 0.0, "NOT_JUDGED" if context.sampled else "PASS", n=pair.n, reason=why)


def _row(pair: Pair, over: Array, suspects: list[Suspect], context: Context, place: State) -> Row:
    """Return the share of the difference that all named causes explain together, pooled in units of the limits."""
    weight = 1.0 / np.maximum(context.limits[over], SMALLEST) ** 2
    whole = float((pair.apart[over] * weight).sum())
    left = pair.apart.copy()
    for s in suspects:
        for d, value in s.left.items():
            left[d] = min(left[d], value)
    share = 1.0 - float((left[over] * weight).sum()) / whole if whole > 0 else 0.0
    why = (
        f"faults of structure explain {100 * share:.2f} % of the difference; {look_at(context, place, over.tolist())}"
        if suspects
        else "no fault of structure explains the difference"
    )
    return Row("structure", share, "FAIL" if suspects else "PASS", n=pair.n, reason=why)


def _shown(pair: Pair, context: Context) -> dict[str, object]:
    """Return the regression of each dimension: slope, offset, correlation."""
    vr, cov = np.diag(pair.rr), np.diag(pair.rc)
    slope = np.divide(cov, vr, out=np.zeros_like(cov), where=vr > 0)
    rows = {
        "dimension": list(context.names),
        "gain": slope.tolist(),
        "offset": (pair.mean_c - slope * pair.mean_r).tolist(),
        "correlation": np.diag(pair.correlation).tolist(),
    }
    return {"regression": rows}


MEASURE = Structure()
