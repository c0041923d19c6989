"""What a comparison of distributions says: rows, findings, and what the report draws.

Where it decides, a statistic fails if its p-value is below `OF_DISTRIBUTION`, corrected for all of them, and it is over
its margin. Where single actions are compared, all rows pass: they are evidence.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import numpy as np

from parity.finding import Finding
from parity.replay.limits import covered
from parity.replay.margin import VARIANCE, tolerance
from parity.replay.marginal import (
    LEAST_GROUPS,
    Compared,
    Marginal,
    Sums,
    energy_by_group,
    further,
    marginal,
    swapped,
    wasserstein,
)
from parity.replay.measure import block_of
from parity.replay.model import Context, Row, State
from parity.replay.permutation import OF_DISTRIBUTION
from parity.replay.said import called
from parity.replay.telling import amount
from parity.tensor import Array

MOVED = 0.02  # of the reference's standard deviation over all frames: a smaller shift is of no concern
QUANTILES = 21  # that the report draws


class Told:
    """A comparison and how it is told."""

    def __init__(self, state: State, context: Context, sums: Sums) -> None:
        """Take what was summed up, at least one frame, and what it is judged by."""
        self.state, self.context, self.sums = state, context, sums
        self.frames = int(sums.count.sum())
        self.rounding = tolerance(context, np.sqrt(sums.reference_square.sum(axis=0) / self.frames))
        self.counts = covered(self.rounding, context.scale)
        self.deviation = sums.deviation()
        self.margin = np.maximum(self.rounding, MOVED * self.deviation[0])
        self.spread = np.where(self.counts, np.hypot(self.deviation[0], self.rounding), 0.0)
        self.group = np.searchsorted(np.flatnonzero(state["count"]), block_of(state["episode"]))

    @cached_property
    def test(self) -> Marginal:
        """The comparison of candidate and reference."""
        pair = self.state["reference"], self.state["candidate"]
        return marginal(self.sums, pair, self.group, self.spread, self.margin, self.rounding, self.context.seed)

    @property
    def groups(self) -> int:
        """Groups of whole episodes."""
        return len(self.sums.count)

    def rows(self) -> tuple[Row, ...]:
        """Return three rows for each dimension that counts or fails, and one of all jointly."""
        rows = [row for d in range(len(self.margin)) for row in self._dimension(d)]
        over = self.test.energy.effect > self.test.energy_margin
        return (*rows, self._row("energy distance", self.test.energy, 0, over, self.test.energy_margin, None))

    def findings(self) -> tuple[Finding, ...]:
        """Return what blocks, where this decides, and whether the candidate left the recorded actions."""
        failed = [row for row in self.rows() if row.verdict == "FAIL"]
        out = []
        if failed:
            places = [called(self.context, d) for d in sorted({r.dimension for r in failed if r.dimension is not None})]
            out.append(
                Finding(
                    "REPLAY050",
                    "error",
                    f"Executed actions are not distributed like the reference's: {failed[0].reason}.",
                    where=", ".join(places) or self.context.output,
                    evidence={"failed": [row.reason for row in failed], "episodes": self.groups},
                    remedy="See what `samples` says of single observations, then how chunks are executed.",
                )
            )
        return (*out, *self._left())

    def shown(self) -> dict[str, Any]:
        """Return figures and quantiles of all sides, JSON-able."""
        kinds = {
            "mean_shift": self.test.mean,
            "variance_ratio": self.test.ratio,
            "wasserstein": self.test.wasserstein,
            "energy": self.test.energy,
        }
        at = np.linspace(0, 1, QUANTILES)
        sides = {"reference": self.state["reference"], "candidate": self.state["candidate"]}
        data = self.data
        if data:
            sides["recorded"] = self.state["recorded"][self._known()]
        return {
            "distribution": {
                "frames": self.frames,
                "episodes": self.groups,
                "subsample": len(self.group),
                "alpha": OF_DISTRIBUTION,
                "decides": self.context.sampled,
                "not_covered": [called(self.context, int(d)) for d in np.flatnonzero(~self.counts)],
                "quantiles": {name: np.quantile(v, at, axis=0).T.tolist() for name, v in sides.items()},
                "dataset": data,
                **{kind: {"value": f.effect.tolist(), "p": f.p.tolist()} for kind, f in kinds.items()},
            }
        }

    def _dimension(self, d: int) -> list[Row]:
        margin, ratio = float(self.margin[d]), float(self.test.ratio.effect[d])
        rows = [
            self._row("mean shift", self.test.mean, d, abs(self.test.mean.effect[d]) > margin, margin, d),
            self._row("variance ratio", self.test.ratio, d, max(ratio, 1 / ratio) > VARIANCE, VARIANCE, d),
            self._row("wasserstein", self.test.wasserstein, d, self.test.wasserstein.effect[d] > margin, margin, d),
        ]
        return [row for row in rows if self.counts[d] or row.verdict == "FAIL"]

    def _row(self, name: str, kind: Compared, at: int, over: Any, limit: float, dimension: int | None) -> Row:
        failed = self.context.sampled and bool(over) and bool(kind.p[at] <= OF_DISTRIBUTION)
        verdict: Literal["PASS", "FAIL"] = "FAIL" if failed else "PASS"
        value = float(kind.effect[at])
        interval = (float(kind.low[at]), float(kind.high[at])) if np.isfinite(kind.low[at]) else None
        units = self.context.units[dimension] if dimension is not None and name != "variance ratio" else None
        reason = ""
        if self.context.sampled and over:
            what = "all dimensions together" if dimension is None else called(self.context, dimension)
            reason = f"{what}: {name} {amount(value, units)}, where {amount(limit, units)} is allowed"
            reason += f" (p = {kind.p[at]:.2g}); furthest at {self._furthest(dimension)}"
            reason += "" if failed else "; no more than chance does between episodes"
        decided = float(limit) if self.context.sampled else None
        return Row(name, value, verdict, decided, interval, units, self.frames, dimension, reason)

    def _furthest(self, dimension: int | None) -> str:
        gap = np.abs(self.state["candidate"] - self.state["reference"])
        if dimension is None:
            some = self.spread > 0
            gap = (gap[:, some] / self.spread[some]).max(axis=1, keepdims=True)
        at = int(np.argmax(gap[:, dimension or 0]))
        return f"episode {self.state['episode'][at]}, frame {self.state['frame'][at]}"

    def _known(self) -> Array:
        return np.asarray(np.isfinite(self.state["recorded"]).all(axis=1))

    @cached_property
    def data(self) -> dict[str, Any]:
        """Return how far each side is from the recorded actions, {} where there are none."""
        known = self._known()
        if not known.any():
            return {}
        recorded, group = self.state["recorded"][known], self.group[known]
        sides = {name: self.state[name][known] for name in ("reference", "candidate")}
        some = self.spread > 0
        scaled = {name: v[:, some] / self.spread[some] for name, v in {**sides, "recorded": recorded}.items()}
        out: dict[str, Any] = {"frames": len(group)}
        for name, actions in sides.items():
            terms = energy_by_group(scaled[name], scaled["recorded"], group, self.groups)
            effect, p = swapped(terms, len(group), self.context.seed)
            out[name] = {"wasserstein": wasserstein(actions, recorded).tolist(), "energy": effect, "p": p}
        pair = scaled["reference"], scaled["candidate"]
        effect, p = further(pair, scaled["recorded"], group, self.groups, self.context.seed)
        return {**out, "further": {"energy": effect, "p": p}}

    def _left(self) -> tuple[Finding, ...]:
        """Return a warning where the candidate is further from the recorded actions than the reference."""
        data = self.data
        if not data or self.groups < LEAST_GROUPS or data["further"]["p"] > OF_DISTRIBUTION / 4:
            return ()
        one, other = (np.array(data[name]["wasserstein"]) for name in ("reference", "candidate"))
        share = np.where(self.counts, (other - one) / np.where(self.margin > 0, self.margin, np.inf), 0.0)
        worst = int(np.argmax(share))
        if share[worst] <= 1:
            return ()
        near, far = (amount(float(side[worst]), self.context.units[worst]) for side in (one, other))
        return (
            Finding(
                "REPLAY051",
                "warning",
                f"The candidate is further from the recorded actions than the reference: {far} instead of {near} in "
                f"{called(self.context, worst)} (Wasserstein distance).",
                where=called(self.context, worst),
                evidence={"reference": one.tolist(), "candidate": other.tolist(), "p": data["further"]["p"]},
                remedy="Look at what else differs between candidate and reference in this dimension.",
            ),
        )
