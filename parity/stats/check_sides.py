"""The way in against the way out: the same statistics, the same mode, and a round trip that comes back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

from parity.errors import ParityError
from parity.finding import Finding
from parity.stats.model import FeatureStats
from parity.stats.subject import EPS32, READ, Entry, Subject, about

if TYPE_CHECKING:
    from parity.tensor import Array

TWO_SIDES = "STATS030"
ROUND_TRIP = "STATS031"

ROUNDING = 32 * EPS32


class Formula(Protocol):
    """How one framework and era normalizes, see `parity.stats.formula`."""

    @property
    def modes(self) -> frozenset[str]:
        """Return the modes that exist there."""
        ...

    def forward(self, x: Array, stats: FeatureStats, mode: str) -> Array:
        """Return ``x`` normalized, float32 as the framework computes."""
        ...

    def backward(self, y: Array, stats: FeatureStats, mode: str) -> Array:
        """Return ``y`` unnormalized, likewise."""
        ...

    def loss(self, stats: FeatureStats, mode: str) -> Array:
        """Return what the pair itself loses, as a share of the distance from its anchor (mean, or lower end)."""
        ...


def side_findings(subject: Subject, formulas: Mapping[str, Formula]) -> Iterator[Finding]:
    """Yield outputs that are normalized with other statistics than they are unnormalized, or do not come back.

    Args:
        subject: the statistics.
        formulas: by era; an era that is not there is not tried.
    """
    ways_in = {e.name: e for e in subject.entries() if not _way_out(subject, e)}
    ways_out = {e.name: e for e in subject.entries() if _way_out(subject, e)}
    for name, after in ways_out.items():
        before = ways_in.get(name)
        found = None if before is None else _differ(before, after)
        if found is not None:
            yield found
        else:
            yield from _round_trip(before or after, after, formulas)
    for name, entry in ways_in.items():
        if entry.output and name not in ways_out and not subject.stats.outputs:
            yield from _round_trip(entry, entry, formulas)


def _way_out(subject: Subject, entry: Entry) -> bool:
    return subject.stats.outputs.get(entry.stats.name) is entry.stats


def _differ(before: Entry, after: Entry) -> Finding | None:
    a, b = before.stats.values, after.stats.values
    read = set(READ.get(before.mode or "", ())) | set(READ.get(after.mode or "", ()))
    names = sorted(s for s in a.keys() & b.keys() if not np.array_equal(a[s], b[s], equal_nan=True))
    modes = before.mode != after.mode and None not in (before.mode, after.mode)
    if not names and not modes:
        return None
    weighs = modes or not read or bool(read & set(names))
    what = f"by {before.mode} and {after.mode}" if modes else f"with different statistics ({', '.join(names)})"
    return Finding(
        TWO_SIDES,
        "error" if weighs else "warning",
        f"{after.name} is normalized and unnormalized {what}",
        where=after.name,
        evidence={
            "statistics": names,
            "modes": [before.mode, after.mode],
            "before": sorted(set(before.stats.sources.values())),
            "after": sorted(set(after.stats.sources.values())),
        },
        remedy="take both from one training run",
    )


def _round_trip(before: Entry, after: Entry, formulas: Mapping[str, Formula]) -> Iterator[Finding]:
    """Yield a finding where what was normalized and unnormalized again is not what it was.

    Tried on the range of the data and on half of it, as one chunk each, so that a formula that looks at the chunk
    itself (pi0-FAST of LeRobot 0.3) is seen. Off by rounding and by what the pair itself loses, eps / (divisor + eps),
    is as it should be. What cannot be computed at all is left to the checks that say why.
    """
    formula = formulas.get(after.era or "")
    mode = after.mode
    if formula is None or mode is None or not READ.get(mode):
        return
    span = _span(after, mode)
    if span is None or not all(np.isfinite(a).all() for a in span) or not (span[1] >= span[0]).all():
        return
    low, high = span
    worst = np.zeros(low.shape)
    try:
        allowed = formula.loss(after.stats, mode) * (high - low) * 1.01
        for share in (1.0, 0.5):
            steps = np.linspace(0.0, share, 9).reshape(-1, *([1] * low.ndim))
            x = (low + steps * (high - low)).astype(np.float32)
            back = formula.backward(np.asarray(formula.forward(x, before.stats, mode)), after.stats, mode)
            error = np.abs(np.asarray(back, np.float64) - x)
            worst = np.maximum(worst, np.where(np.isfinite(error), error, np.inf).max(axis=0))
    except ParityError:
        return
    allowed = np.broadcast_to(allowed + ROUNDING * (np.maximum(np.abs(low), np.abs(high)) + (high - low)), low.shape)
    if (bad := (high > low) & (worst > allowed)).any():
        yield about(
            ROUND_TRIP,
            "error",
            after,
            bad,
            "normalized and unnormalized again, a value is off by {error}; rounding and eps explain {allowed}",
            worst=worst / np.maximum(allowed, np.finfo(float).tiny),
            shown={"error": worst, "allowed": allowed, "low": low, "high": high},
            remedy="undo with the same statistics and formula that were applied",
        )


def _span(entry: Entry, mode: str) -> tuple[Array, Array] | None:
    """Return the range on which a mode's normalization is meant to be undone: ±3 std, or what it maps to [-1, 1]."""
    if mode == "MEAN_STD":
        found = entry.values("mean", "std")
        return None if found is None else (found[0] - 3 * found[1], found[0] + 3 * found[1])
    if mode == "LINEAR":
        found = entry.values("min", "max")
    else:
        found = entry.values(*READ[mode])
    return None if found is None else (found[0], found[1])
