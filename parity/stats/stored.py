"""Stored statistics against those computed again from the data: row by row, and how much of the data they cover."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from parity.finding import Finding
from parity.stats.agree import Source
from parity.stats.gap import ROUNDING, USED, flat

if TYPE_CHECKING:
    from parity.tensor import Array

UNCOVERED = "STATS082"
EXPECTED: Mapping[str, float] = {"q01": 0.02, "q10": 0.2}  # what lies outside by definition, by the lower end
MORE = 0.05  # of the values; real quantiles of a real set leave 2 % outside, averaged ones were seen to leave 40 %
WIDE = 4.0  # std on either side of the mean, where a mode has no ends of its own
SHOWN = ("min", "q01", "q99", "max")
LISTED = 64  # dimensions of a row


class Shares(Protocol):
    """What was summed up of a feature; see `parity.stats.summary`."""

    @property
    def count(self) -> Array:
        """How many values each column has, ``(D,)``."""
        ...

    def outside(self, low: Array, high: Array) -> Sequence[Any]:
        """Return for each column how many values lie outside: ``low`` at least, ``high`` at most."""
        ...


def rows(sources: Sequence[Source], data: Source, shares: Mapping[str, Shares]) -> Iterator[dict[str, Any]]:
    """Yield what each source stores of each feature beside the same computed from the data, as JSON.

    Args:
        sources: those that the data is held against.
        data: the statistics computed from it.
        shares: what they were read from, by canonical name.
    """
    for source in sources:
        for name, stats in source.features.items():
            if source is data or name not in data.features or source.modes[name] == "IDENTITY":
                continue
            stored, again = flat(stats), flat(data.features[name])
            both = [n for n in stored if n in again and stored[n].shape == again[n].shape]
            if both:
                yield {
                    "source": source.label,
                    "feature": name,
                    "mode": source.modes[name],
                    "statistics": both,
                    "stored": [_listed(stored[n]) for n in both],
                    "recomputed": [_listed(again[n]) for n in both],
                    **_covered(stored, again, source.modes[name], shares.get(name)),
                }


def _covered(
    stored: Mapping[str, Array], again: Mapping[str, Array], mode: str | None, share: Shares | None
) -> dict[str, Any]:
    """Return how a source's range covers the data.

    ``ends`` names what becomes -1 and 1, ``range`` is where they lie, ``outside`` the share of the values that lies
    outside and ``expected`` what should, ``normalized`` where the data's own statistics come to lie.
    """
    named = ends_of(stored, mode)
    empty = {"ends": None, "range": None, "outside": None, "expected": None, "normalized": None}
    if named is None or share is None:
        return empty
    names, low, high = named
    count = np.asarray(share.count).reshape(-1)
    if low.ndim != 1 or low.shape != high.shape or low.shape != count.shape:
        return empty
    slack = ROUNDING * np.maximum(np.abs(low), np.abs(high))
    found = share.outside(low - slack, high + slack)
    parts = [s.low / n if n else 0.0 for s, n in zip(found, count.tolist(), strict=True)]
    return {
        "ends": list(names),
        "range": [_listed(low), _listed(high)],
        "outside": parts[:LISTED],
        "expected": EXPECTED.get(names[0], 0.0),
        "normalized": _normalized(again, low, high),
    }


def _normalized(again: Mapping[str, Array], low: Array, high: Array) -> dict[str, list[Any]]:
    with np.errstate(all="ignore"):
        found = {
            n: 2.0 * (again[n] - low) / (high - low) - 1.0 for n in SHOWN if again.get(n, low[:0]).shape == low.shape
        }
    return {n: _listed(v) for n, v in found.items()}


def ends_of(stored: Mapping[str, Array], mode: str | None) -> tuple[tuple[str, str], Array, Array] | None:
    """Return what normalization maps to -1 and 1, with the names of both; mean ± 4 std where a mode has no such ends.

    None where it cannot be told. Where the mode is not known, quantiles come first, then min and max.
    """
    known = USED.get(mode or "", ())
    pairs = [known] if known and mode != "MEAN_STD" else [] if known else [("q01", "q99"), ("min", "max")]
    for low, high in pairs:
        if low in stored and high in stored:
            return (low, high), stored[low], stored[high]
    if (not known or mode == "MEAN_STD") and {"mean", "std"} <= stored.keys():
        mean, wide = stored["mean"], WIDE * stored["std"]
        if mean.shape == wide.shape:
            return ("mean - 4 std", "mean + 4 std"), mean - wide, mean + wide
    return None


def coverage_findings(found: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    """Yield a finding for each source and feature whose range leaves out more of the data than it says."""
    for row in found:
        outside = row["outside"]
        if not outside:
            continue
        worst = max(range(len(outside)), key=lambda i: outside[i])
        if outside[worst] > row["expected"] + MORE:
            low, high = row["ends"]
            more = sum(s > row["expected"] + MORE for s in outside) - 1
            others = f", and {more} more dimensions" if more else ""
            yield Finding(
                UNCOVERED,
                "warning",
                f"{outside[worst]:.0%} of the values of {row['feature']}[{worst}] lie outside of {low} to {high} as "
                f"{row['source']} stores them, where {row['expected']:.0%} should{others}.",
                where=f"{row['feature']}[{worst}]",
                evidence={k: row[k] for k in ("source", "feature", "ends", "range", "outside", "expected")},
                remedy="compute the statistics again from the frames that the policy is trained on",
            )


def _listed(values: Array) -> list[Any]:
    return [_number(float(v)) for v in np.asarray(values).reshape(-1)[:LISTED]]


def _number(value: float) -> float | str:
    if np.isfinite(value):
        return value
    return "NaN" if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"
