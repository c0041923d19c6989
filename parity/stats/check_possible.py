"""Statistics that no data has together: a spread too large or too small for its range, a quantile that is none.

Every bound holds for any distribution, and for means of them over episodes, so that what breaks one was not computed
from the data that the rest describes, or was computed with too little precision:

- variance at most ``(max - mean)(mean - min) n / (n - 1)`` (Bhatia and Davis, 2000; n / (n - 1) for a sample);
- variance at least ``(max - min)² / 2n`` (two of n samples lie at the extremes), and at least
  ``p (mean - q_p)²`` for the p-quantile below the mean, likewise above (the mass that lies beyond it);
- ``mean - q_p`` at most ``std √((1 - p) / p)`` (Cantelli's inequality).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import TYPE_CHECKING

import numpy as np

from parity.finding import Finding
from parity.stats.check_values import BINS, replaced_by_imagenet
from parity.stats.subject import EPS32, Entry, Subject, about

if TYPE_CHECKING:
    from parity.tensor import Array

STD_TOO_LARGE = "STATS016"
STD_TOO_SMALL = "STATS017"
NO_QUANTILE = "STATS018"

SLACK = 1.01  # of a standard deviation: rounding of everything else
CANCELLED = 1024.0  # × 2⁻²³ × mean²: what E[x²] - E[x]² in float32 may be off by (measured on real files: up to 33)
HISTOGRAM = 1.5  # of Cantelli's bound: quantiles are read off histograms
TINY = 1e-9
_INNER = {"q10": 0.1, "q25": 0.25, "q75": 0.75, "q90": 0.9}
_OUTER = {"q01": 0.01, "q05": 0.05, "q95": 0.95, "q99": 0.99}


def possible_findings(subject: Subject, contradictory: Set[str] = frozenset()) -> Iterator[Finding]:
    """Yield every feature whose standard deviation or quantiles no data with its other statistics can have.

    Args:
        subject: the statistics.
        contradictory: names of features of which more than that is known to be wrong; they are left out.
    """
    for entry in subject.distinct():
        if entry.name in contradictory or entry.is_metadata or replaced_by_imagenet(entry):
            continue  # counters are no features; ImageNet's mean and std are of other data by intent
        yield from _too_large(entry)
        small = list(_too_small(entry))
        yield from small
        if not small:  # the same inequality: where inner quantiles contradict std, outer ones do too
            yield from _no_quantile(entry)


def _usable(entry: Entry, *names: str) -> tuple[Array, ...] | None:
    found = entry.values(*names)
    return found if found is not None and all(np.isfinite(a).all() for a in found) else None


def _too_large(entry: Entry) -> Iterator[Finding]:
    found = _usable(entry, "min", "max", "mean", "std")
    if found is None:
        return
    low, high, mean, std = found
    size = np.maximum(np.abs(low), np.abs(high))
    rounding = 64 * EPS32 * size
    above, below = np.maximum(high - mean, 0.0) + rounding, np.maximum(mean - low, 0.0) + rounding
    n = entry.stats.count
    sample = 2.0 if n is None or n < 2 else n / (n - 1)  # without a count it may be of two samples
    most = SLACK * np.sqrt(above * below * sample) + TINY
    explained = np.sqrt(most**2 + CANCELLED * EPS32 * size**2)
    bad = std > most
    if not bad.any():
        return
    other = bool((std > explained).any())
    yield about(
        STD_TOO_LARGE,
        entry.severity("std") if other else "warning",
        entry,
        bad,
        "std {std} is impossible between min {min} and max {max}: at most {possible}",
        worst=std / most,
        shown={"std": std, "possible": most, "min": low, "max": high, "mean": mean},
        detail="No rounding explains it: std is of other data."
        if other
        else "The error is of the size that E[x²] - E[x]² has in float32 where the mean is large and the spread small. "
        "A policy that was trained with it must run with it.",
        remedy="take all statistics from one source"
        if other
        else "compute the statistics with a stable formula before the next training",
    )


def _too_small(entry: Entry) -> Iterator[Finding]:
    found = _usable(entry, "mean", "std")
    if found is None:
        return
    mean, std = found
    away = _distances(entry, _INNER)
    parts = [np.sqrt(min(p, 1 - p)) * np.maximum(d, 0.0) for p, d in away.values()]
    extremes = _usable(entry, "min", "max")
    if extremes is not None and extremes[0].shape == mean.shape:
        spread = extremes[1] - extremes[0]
        parts = [np.maximum(part - BINS * spread, 0.0) for part in parts]
        if (n := entry.stats.count) and mean.ndim < 3:  # of a camera the count is that of images, not of pixels
            parts.append(spread / np.sqrt(2.0 * n))
    least = np.max(parts, axis=0) if parts else np.zeros_like(std)
    lost = np.sqrt(64 * EPS32) * np.abs(mean)  # cancellation may leave nothing of a small spread
    if (bad := std * SLACK + lost + TINY < least).any():
        yield about(
            STD_TOO_SMALL,
            "warning",
            entry,
            bad,
            "std {std} is impossible with its quantiles or extremes: at least {possible}",
            worst=least - std,
            shown={"std": std, "possible": least, "mean": mean},
            detail="Normalized with it, values are larger than they should be by the ratio of the two. A policy that "
            "was trained with it must run with it.",
            remedy="compute the statistics again before the next training; for cameras, ImageNet's are usual",
        )


def _distances(entry: Entry, tails: Mapping[str, float]) -> dict[str, tuple[float, Array]]:
    """Return for each of these quantiles its p, and how far it lies from the mean on its own side."""
    found = _usable(entry, "mean")
    if found is None:
        return {}
    mean = found[0]
    away: dict[str, tuple[float, Array]] = {}
    for name, p in tails.items():
        quantile = _usable(entry, name)
        if quantile is not None and quantile[0].shape == mean.shape:
            away[name] = p, (mean - quantile[0] if p < 0.5 else quantile[0] - mean)
    return away


def _no_quantile(entry: Entry) -> Iterator[Finding]:
    found = _usable(entry, "mean", "std")
    if found is None:
        return
    mean, std = found
    for name, (p, away) in _distances(entry, _OUTER).items():
        tail = min(p, 1 - p)
        most = HISTOGRAM * std * np.sqrt((1 - tail) / tail) + 1024 * EPS32 * np.abs(mean) + TINY
        if (bad := away > most).any():
            used = entry.mode is not None and entry.severity(name) == "error"
            quantile = mean - away if p < 0.5 else mean + away
            yield about(
                NO_QUANTILE,
                "error" if used else "warning",
                entry,
                bad,
                f"{name} {{{name}}} is no {p:.0%} quantile: mean {{mean}} and std {{std}} leave it at most {{most}} "
                "from the mean",
                worst=away / most,
                shown={name: quantile, "mean": mean, "std": std, "most": most},
                detail="It is rather the smallest or largest value, or it is of other data.",
                remedy="take the quantiles that the policy was trained with, or compute them again from its data",
            )
