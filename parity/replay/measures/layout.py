"""Was a history taken in another order, or a picture in another way: does the reference, shown it so, do the same?

It only explains: the difference that it names the cause of is over a limit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from parity.finding import Finding
from parity.replay import kept
from parity.replay.layouts import ORDERS
from parity.replay.measure import Gates
from parity.replay.model import Context, Judged, Played, State
from parity.replay.pictures import SEEN
from parity.replay.said import look_at, over_limits
from parity.tensor import Array

EXPLAINED = 0.98  # of the squared difference, so that a cause is named
BETWEEN = "\x1f"
PICTURE = "REPLAY085"


class Layout:
    """Keeps, for each feature and order, squared differences from the candidate, as it is and in that order."""

    name = "layout"
    rank = 37
    gates: Gates = "never"

    def observe(self, played: Played) -> State:
        """Return, for each feature and order, sums over the frames that were asked so, and the worst places."""
        state: dict[str, Array] = dict(kept.under("worst", kept.compared(played).worst))
        for layout in played.layouts:
            candidate = played.candidate[layout.asked]
            plain, turned = played.reference[layout.asked] - candidate, layout.reference - candidate
            squares = [np.where(np.isfinite(d), d**2, np.inf).sum() for d in (plain, turned)]
            state[f"order.{layout.feature}{BETWEEN}{layout.order}"] = np.array([*squares, float(len(candidate))])
        return state

    def merge(self, earlier: State, later: State) -> State:
        """Return what is kept of both."""
        names = dict.fromkeys(n for n in (*earlier, *later) if n.startswith("order."))
        none = np.zeros(3)
        merged: dict[str, Array] = {n: np.asarray(earlier.get(n, none) + later.get(n, none)) for n in names}
        worst = kept.worse(kept.of(earlier, "worst"), kept.of(later, "worst"))
        return {**merged, **kept.under("worst", worst)}

    def judge(self, state: State, context: Context) -> Judged:
        """Return the order that explains the difference, where one does and the candidate is over a limit."""
        place = kept.of(state, "worst")
        explained = {n: _explained(v) for n, v in kept.of(state, "order").items()}
        if not explained or not over_limits(context, place).any():
            return Judged(())
        best = max(explained, key=lambda n: explained[n])
        if explained[best] < EXPLAINED:
            return Judged(())
        feature, order = best.split(BETWEEN)
        evidence = {"explained": explained[best], "frames": int(state[f"order.{best}"][2])}
        worst = look_at(context, place, np.flatnonzero(over_limits(context, place)).tolist())
        return Judged((), (_named(feature, order, worst, evidence),))


def _named(feature: str, order: str, worst: str, evidence: dict[str, Any]) -> Finding:
    """Return what the candidate was shown otherwise: pictures, or a history."""
    detail = "The reference, shown it so, does what the candidate does: this explains "
    detail += f"{100 * evidence['explained']:.1f} % of the difference"
    if order in SEEN:
        return Finding(
            PICTURE,
            "error",
            f"the candidate sees {feature} {SEEN[order]}; {worst}",
            where=feature,
            detail=f"{detail}.",
            evidence={"way": order, **evidence},
            remedy="hand the picture over as in training: order of the colours, up and left, range, which camera",
        )
    return Finding(
        "REPLAY094",
        "error",
        f"the candidate takes {feature} in another order: {ORDERS[order]}",
        where=feature,
        detail=f"{detail}; {worst}.",
        evidence={"order": order, **evidence},
        remedy="stack the history in the order of training: which comes first, and whether frame by frame or term "
        "by term",
    )


def _explained(sums: Array) -> float:
    plain, turned = float(sums[0]), float(sums[1])
    return 1.0 - turned / plain if np.isfinite(turned) and np.isfinite(plain) and plain > 0 else 0.0


MEASURE = Layout()
