"""An output that is a class, not an action: do both sides name the same one, and how far may they be believed?

It speaks of outputs that ``[replay.classes]`` declares, and of no other. Where labels are recorded, accuracy and
calibration of both sides are shown. Source of the calibration error: Guo et al., On Calibration of Modern Neural
Networks, ICML 2017, equation 3, with their 15 bins.
"""

from __future__ import annotations

import numpy as np

from parity.compare.budget import INT8_RMS_RATIO
from parity.replay.bins import counted
from parity.replay.classes import MOST, clearest, of_frames, rounding_of
from parity.replay.classes_said import findings_of, flips_of, shown_of
from parity.replay.measure import Gates
from parity.replay.model import Context, Judged, Played, Row, State

KEPT = 16  # flips that are kept: those that lie furthest from the border
SIGMAS = 4.0  # of an int8 error, within which a flip is put down to rounding


class Classifier:
    """The measure "classifier": judges where an output is declared to be a class, and is silent elsewhere."""

    name = "classifier"
    rank = 15
    gates: Gates = "never"

    def observe(self, played: Played) -> State:
        """Return counts of flips by how far the reference is from the border, and of calibration against labels."""
        if played.border is None:
            return {"frames": np.array([0])}
        named = of_frames(played)
        flipped = named.reference != named.candidate
        margin = named.margin[flipped].reshape(-1, 1, 1)
        worst = clearest(named, flipped, KEPT)
        return {
            "frames": np.array([len(named.reference)]),
            "flips": np.array([int(flipped.sum())]),
            "seen": np.bincount(named.reference, minlength=MOST),
            "square": np.array([named.square]),
            "margins": counted(margin.copy())[0],
            "apart": named.apart,
            "labels": np.bincount(named.label[named.label >= 0], minlength=MOST),
            "bins": named.bins,
            **worst,
        }

    def merge(self, earlier: State, later: State) -> State:
        """Return the sums of both, and the clearest flips of both."""
        if not earlier["frames"][0] or not later["frames"][0]:
            return earlier if earlier["frames"][0] else later
        merged = {n: np.asarray(earlier[n] + later[n]) for n in earlier if not n.startswith("worst") and n != "apart"}
        merged["apart"] = np.fmax(earlier["apart"], later["apart"])
        margin, at, pair = (np.concatenate([earlier[n], later[n]]) for n in ("worst", "worst_at", "worst_pair"))
        order = np.lexsort((at[:, 0], -margin))[:KEPT]
        return {**merged, "worst": margin[order], "worst_at": at[order], "worst_pair": pair[order]}

    def judge(self, state: State, context: Context) -> Judged:
        """Return whether classes flip that rounding cannot flip; nothing where the output is not declared a class."""
        declared = context.options.get("classes", {}).get(context.output)
        if declared is None:
            return Judged(())
        frames = int(state["frames"][0])
        if not frames:
            return Judged((Row("flips", None, "NOT_JUDGED", reason=f"{context.output}: no frame has a class"),))
        allowed, beyond = float(declared["flips"]), flips_of(state, _reach(state, context))
        if context.sampled:  # its noise could not be injected: that classes differ frame by frame says nothing
            return Judged((), tuple(findings_of(state, context, declared, 0, failed=False)), shown_of(state, beyond))
        share = beyond / frames
        failed = share > allowed
        found = findings_of(state, context, declared, beyond, failed=failed)
        reason = found[0].title if failed else ""
        row = Row("flips", share, "FAIL" if failed else "PASS", allowed, n=frames, reason=reason)
        return Judged((row,), tuple(found), shown_of(state, beyond))


def _reach(state: State, context: Context) -> float:
    """Return how far from the border a class may flip by rounding: the limits of a single number."""
    limits = context.limits
    if np.isfinite(limits).all():
        return rounding_of(limits)
    ratio = INT8_RMS_RATIO * np.sqrt(state["square"][0] / max(int(state["frames"][0]), 1))
    return rounding_of(np.full(len(limits), SIGMAS * ratio))


MEASURE = Classifier()
