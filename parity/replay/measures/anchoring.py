"""Are the candidate's actions relative to something else than the reference's: deltas, sums, the state?

It only explains. A named cause is an error, as the difference that it explains is over a limit.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from parity.finding import Finding
from parity.replay import kept
from parity.replay.causes.anchored import best, claims, share, sums
from parity.replay.measure import Gates, added
from parity.replay.model import Context, Judged, Played, Row, State
from parity.replay.said import called, look_at, moving, over_limits, several
from parity.tensor import Array

CHUNKS = 64  # of a shard that are looked at, at most
SAME = 1e-6  # recorded actions are the state where they differ by less than this share of how they move

SAID: Mapping[str, tuple[str, str]] = {
    "delta": ("REPLAY035", "gives the change since the action before, where the reference gives the action"),
    "delta_next": ("REPLAY035", "gives the change to the next action, where the reference gives the action"),
    "summed": ("REPLAY035", "sums up actions, where the reference gives each as it is"),
    "chunk_delta": (
        "REPLAY035",
        "gives the change since the chunk's step before, where the reference gives the action",
    ),
    "from_first": ("REPLAY035", "gives the change since the chunk's first step, where the reference gives the action"),
    "chunk_summed": ("REPLAY035", "sums up the steps of the chunk, where the reference gives each as it is"),
    "minus": ("REPLAY036", "is the reference's action minus {}: relative where the reference is absolute"),
    "plus": ("REPLAY036", "is the reference's action plus {}: added to the state once too often"),
    "anchored": ("REPLAY036", "is anchored to {} at every step, not at the step when the chunk was made"),
    "is": ("REPLAY037", "gives back {}: the robot would not move"),
}
REMEDY = {
    "REPLAY035": "find out whether the policy was trained on absolute or on delta actions, and convert once",
    "REPLAY036": "add the state to relative actions once, as it was when the chunk was made",
    "REPLAY037": "look at what the output is taken from: the action, not the proprioception",
}


class Anchoring:
    """Holds the candidate against the reference's actions made relative, absolute, or anchored elsewhere."""

    name = "anchoring"
    rank = 33
    gates: Gates = "never"

    def observe(self, played: Played) -> State:
        """Return the sums of every claim, and the worst places. A shard that only rounds adds nothing."""
        both = kept.compared(played)
        state = {
            "frames": np.array([np.isfinite(both.sent).all(axis=1).sum()]),
            **kept.under("worst", both.worst_chunk),
            **kept.under("sent", both.worst),
            **_demo(played),
        }
        some = np.unique(np.linspace(0, max(len(played.at) - 1, 0), min(CHUNKS, len(played.at))).astype(np.int64))
        nothing = {"n": np.zeros(1), **dict.fromkeys(PARTS, np.zeros(played.reference.shape[-1]))}
        for name, claim in claims(played, some):
            with np.errstate(invalid="ignore"):
                state |= kept.under(f"claim.{name}", nothing if both.same else sums(claim()))
        return state

    def merge(self, earlier: State, later: State) -> State:
        """Return what is kept of both."""
        placed = ("worst.", "sent.")
        plain = {k: v for k, v in earlier.items() if not k.startswith(placed)}
        merged: dict[str, Array] = dict(added(plain, later))
        for name in ("worst", "sent"):
            merged |= kept.under(name, kept.worse(kept.of(earlier, name), kept.of(later, name)))
        return merged

    def judge(self, state: State, context: Context) -> Judged:
        """Return what the candidate's actions are relative to, where that explains a difference over a limit."""
        n = int(state["frames"][0])
        findings = _recorded(state, context)
        place, sent = kept.of(state, "worst"), kept.of(state, "sent")
        if not n:
            return Judged((Row(self.name, None, "NOT_JUDGED", reason="no frame at which both sides are finite"),))
        if context.sampled:
            why = "single actions are not compared: its noise could not be injected"
            return Judged((Row(self.name, None, "NOT_JUDGED", n=n, reason=why),), tuple(findings))
        over_chunk, over = over_limits(context, place), over_limits(context, sent)
        among = np.flatnonzero((over_chunk | over) & moving(context)).tolist()
        names = [
            k.removeprefix("claim.").removesuffix(".n") for k in state if k.startswith("claim.") and k.endswith(".n")
        ]
        shares = {name: share(kept.of(state, f"claim.{name}")) for name in names}
        found = best(shares, among)
        told = [
            _told(name, dims, float(shares[name][dims].max()), context, place if over_chunk[dims].any() else sent)
            for name, dims in found.items()
        ]
        if not told:
            return Judged((Row(self.name, 0.0, "PASS", n=n),), tuple(findings))
        explained = 1.0 - max(float(shares[k][d].max()) for k, d in found.items())
        reason = told[0].title + "; " + told[0].detail
        return Judged((Row(self.name, explained, "FAIL", n=n, reason=reason),), (*told, *findings))


PARTS = ("left", "whole", "sum", "squares")


def _told(name: str, dims: list[int], left: float, context: Context, place: State) -> Finding:
    kind, _, feature = name.partition(" ")
    code, text = SAID[kind]
    return Finding(
        code,
        "error",
        f"in {several(context, dims)} the candidate {text.format(feature)}",
        where=called(context, dims[0]) if len(dims) == 1 else context.output,
        detail=f"This explains {100 * (1 - left):.2f} % of the difference; {look_at(context, place, dims)}.",
        evidence={"dimensions": dims, "explained": 1 - left, "how": kind, "feature": feature},
        remedy=REMEDY[code],
    )


def _demo(played: Played) -> dict[str, Array]:
    """Return how far the recorded actions are from each observation that is as wide, and how they move."""
    state: dict[str, Array] = {}
    dims = played.reference.shape[-1]
    recorded = None if played.recorded is None else played.recorded[:, 0]
    for name, values in sorted(played.observations.items()):
        if values.ndim == 2 and values.shape[1] == dims and recorded is not None:
            good = np.isfinite(recorded).all(axis=1)
            a, s = recorded[good], values[good].astype(np.float64)
            moved = np.diff(a, axis=0)
            state[f"demo.{name}"] = np.array([len(a), ((a - s) ** 2).sum(), (moved**2).sum()])
    return state


def _recorded(state: State, context: Context) -> list[Finding]:
    """Return a warning where the recorded actions are the state at the same frame: nothing to be learned from."""
    found = []
    for name, (n, apart, moved) in ((k[5:], v) for k, v in state.items() if k.startswith("demo.")):
        if n >= 100 and moved > 0 and apart <= SAME * moved:
            title = f"the recorded actions are {name} of the same frame: a policy trained on them learns to stand still"
            remedy = "shift the recorded actions by the delay between command and motion, and train again"
            evidence = {"feature": name, "frames": int(n), "apart": float(apart), "moved": float(moved)}
            found.append(Finding("REPLAY038", "warning", title, context.output, evidence=evidence, remedy=remedy))
    return found


MEASURE = Anchoring()
