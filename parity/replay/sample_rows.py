"""What a two-sample test of repeated samples says, as rows of the report.

A statistic fails where its p-value is below `OF_SAMPLES`, corrected for all of them, **and** it is over its margin: the
first keeps right candidates from failing by chance, the second keeps many samples from failing what is of no concern.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from parity.replay.margin import VARIANCE
from parity.replay.model import Context, Row, State
from parity.replay.permutation import OF_SAMPLES
from parity.replay.said import called
from parity.replay.telling import amount, plain
from parity.replay.two_sample import Family, TwoSample
from parity.tensor import Array


@dataclass(frozen=True, slots=True)
class Result:
    """A test, and what is needed to tell of it.

    Attributes:
        test: of all observations that are kept.
        state: with the ``row``, ``episode`` and ``frame`` of each, and the ``steps`` of the chunk that are kept.
        context: names, units.
        margin: of the mean, in units, ``(D,)``.
        counts: which dimensions the reference moves in, ``(D,)`` bool.
    """

    test: TwoSample
    state: State
    context: Context
    margin: Array
    counts: Array

    @property
    def n(self) -> int:
        """Samples of each side."""
        return int(np.prod(self.state["reference"].shape[:2]))

    def mean_at(self, dimension: int) -> int:
        """Return the position in `TwoSample.mean` of what is told of a dimension: the worst, if any fails."""
        width = len(self.margin)
        mine = np.arange(dimension, len(self.test.mean.p), width)
        failing = mine[self.fails_mean()[mine]]
        return int(failing[np.argmax(np.abs(self.test.mean.effect[failing]))]) if failing.size else dimension

    def fails_mean(self) -> Array:
        """Return which statistics of the mean fail, ``(F,)`` bool."""
        mean = self.test.mean
        margin = np.resize(self.margin, len(mean.p))  # by dimension, again and again for each step
        return np.asarray((mean.p <= OF_SAMPLES) & (np.abs(mean.effect) > margin))

    def fails_spread(self) -> Array:
        """Return which ratios of variances fail, ``(D + 1,)`` bool."""
        ratio = self.test.spread.effect
        return np.asarray((self.test.spread.p <= OF_SAMPLES) & ((ratio > VARIANCE) | (ratio * VARIANCE < 1)))

    def fails_energy(self) -> Array:
        """Return which energy distances fail, ``(D + 1,)`` bool."""
        energy = self.test.energy
        return np.asarray((energy.p <= OF_SAMPLES) & (energy.effect > self.test.energy_margin))

    def rows(self) -> tuple[Row, ...]:
        """Return one row for each dimension and kind that counts or fails, then those of all dimensions jointly."""
        width = len(self.margin)
        rows = []
        for d in range(width):
            rows += [r for r in (self._mean(d), self._spread(d), self._energy(d)) if self.counts[d] or _failed(r)]
        return (*rows, self._spread(width), self._energy(width))

    def worst(self, contribution: Array) -> str:
        """Return where ``contribution``, ``(M,)``, is largest, in words."""
        at = int(np.argmax(contribution))
        return f"episode {self.state['episode'][at]}, frame {self.state['frame'][at]}"

    def mean_words(self, dimension: int) -> str:
        """Return how far the mean of a dimension is off, in a sentence."""
        at, width = self.mean_at(dimension), len(self.margin)
        units = self.context.units[dimension]
        effect = float(self.test.mean.effect[at])
        step = f" at step {self.state['steps'][at // width - 1]} of the chunk" if at >= width else ""
        shift = self.test.shift[:, dimension]
        most = int(np.argmax(shift * np.sign(effect)))
        return (
            f"{called(self.context, dimension)}: the mean of the samples is off by {amount(effect, units)}{step}, "
            f"where {amount(float(self.margin[dimension]), units)} is allowed; most at "
            f"{self.worst(shift * np.sign(effect))}: {amount(float(shift[most]), units)}"
        )

    def spread_words(self, dimension: int) -> str:
        """Return how the spread of a dimension differs, in a sentence."""
        ratio = float(self.test.spread.effect[dimension])
        if dimension == len(self.margin):
            return f"all dimensions together: samples have {ratio:.3g} times the reference's variance"
        trusted, tested = (amount(float(v), self.context.units[dimension]) for v in self.test.deviation[:, dimension])
        gap = (self.test.variance[1] - self.test.variance[0])[:, dimension] * (1 if ratio > 1 else -1)
        return (
            f"{called(self.context, dimension)}: samples spread by {tested}, the reference's by {trusted} "
            f"({ratio:.3g} times the variance); most at {self.worst(gap)}"
        )

    def shown(self) -> dict[str, Any]:
        """Return all figures, JSON-able."""
        trusted = self.state["reference"]
        kinds = {"mean": self.test.mean, "variance_ratio": self.test.spread, "energy": self.test.energy}
        return {
            "samples": {
                "observations": int(trusted.shape[0]),
                "samples": int(trusted.shape[1]),
                "permutations": self.test.rounds,
                "alpha": OF_SAMPLES,
                "not_covered": [called(self.context, int(d)) for d in np.flatnonzero(~self.counts)],
                "spread": {"reference": _plain(self.test.deviation[0]), "candidate": _plain(self.test.deviation[1])},
                "uncovered": {"reference": self.test.uncovered[0], "candidate": self.test.uncovered[1]},
                **{kind: {"value": _plain(f.effect), "p": _plain(f.p)} for kind, f in kinds.items()},
            }
        }

    def _mean(self, d: int) -> Row:
        at, failed = self.mean_at(d), bool(self.fails_mean()[self.mean_at(d)])
        reason = f"{self.mean_words(d)} (p = {self.test.mean.p[at]:.2g})" if failed else ""
        units = self.context.units[d]
        return _row("sample mean", self.test.mean, at, failed, float(self.margin[d]), units, self.n, d, reason)

    def _spread(self, d: int) -> Row:
        failed = bool(self.fails_spread()[d])
        reason = f"{self.spread_words(d)} (p = {self.test.spread.p[d]:.2g})" if failed else ""
        place = d if d < len(self.margin) else None
        return _row("sample variance ratio", self.test.spread, d, failed, VARIANCE, None, self.n, place, reason)

    def _energy(self, d: int) -> Row:
        failed, limit = bool(self.fails_energy()[d]), float(self.test.energy_margin[d])
        place = d if d < len(self.margin) else None
        what = "all dimensions together" if place is None else called(self.context, d)
        reason = (
            f"{what}: samples are {self.test.energy.effect[d]:.2g} spreads of energy distance from the "
            f"reference's, where {limit:.2g} is allowed (p = {self.test.energy.p[d]:.2g})"
        )
        return _row("sample energy", self.test.energy, d, failed, limit, None, self.n, place, reason if failed else "")


def _row(
    name: str,
    family: Family,
    at: int,
    failed: bool,
    limit: float,
    units: str | None,
    n: int,
    dimension: int | None,
    reason: str,
) -> Row:
    ends = float(family.low[at]), float(family.high[at])
    interval = ends if np.isfinite(ends).all() else None
    verdict = "FAIL" if failed else "PASS"
    return Row(name, float(family.effect[at]), verdict, limit, interval, units, n, dimension, reason)  # type: ignore[arg-type]


def _failed(row: Row) -> bool:
    return row.verdict == "FAIL"


def _plain(values: Array) -> list[float | None]:
    return [plain(v) for v in values]
