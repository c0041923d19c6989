"""Statistics that contradict each other whatever they are of: not finite, or in an order that no data has."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from parity.finding import Finding
from parity.stats.subject import EPS32, Entry, Subject, about

NOT_FINITE = "STATS010"
MIN_ABOVE_MAX = "STATS011"
QUANTILES_CROSS = "STATS012"
MEAN_OUTSIDE = "STATS013"
QUANTILE_OUTSIDE = "STATS014"
NEGATIVE = "STATS015"
EMPTY = "STATS019"

QUANTILES = ("q01", "q05", "q10", "q25", "q50", "q75", "q90", "q95", "q99")
BINS = 1e-3  # of the range: what a quantile that was read off a histogram may be off by (LeRobot: 5,000 bins)
ROUNDING = 1024 * EPS32  # of the largest value: a mean that was summed up in float32

_AGAIN = "compute the statistics again from the data that the policy was trained on"


def value_findings(subject: Subject) -> Iterator[Finding]:
    """Yield what is wrong with the values themselves, one finding for each feature and kind of fault."""
    for entry in subject.distinct():
        bad = [*_empty(entry), *_not_finite(entry)]
        yield from bad
        if not bad:
            yield from _order(entry)


def _empty(entry: Entry) -> Iterator[Finding]:
    names = [n for n, v in entry.stats.values.items() if np.size(v) == 0]
    if names or not entry.stats.values:
        yield Finding(
            EMPTY,
            entry.severity(*names) if names else "error",
            f"{entry.name}: {', '.join(names) or 'its statistics'} hold no number at all",
            where=entry.name,
            evidence={"named": entry.name, "feature": entry.stats.name, "statistics": names},
            remedy="save the policy again with its dataset's statistics",
        )


def _not_finite(entry: Entry) -> Iterator[Finding]:
    for name, values in entry.stats.values.items():
        array = np.asarray(values, np.float64)
        if not (finite := np.isfinite(array)).all():
            yield about(
                NOT_FINITE,
                entry.severity(name),
                entry,
                ~finite,
                f"{name} is {{{name}}}",
                shown={name: array},
                remedy="it was never set or is corrupt: save the policy again with its dataset's statistics",
                detail="LeRobot's legacy buffers are infinite until they are loaded." if np.isinf(array).any() else "",
            )


def _order(entry: Entry) -> Iterator[Finding]:
    if (std := entry.values("std")) and (bad := std[0] < 0).any():
        weight = entry.severity("std")
        yield about(NEGATIVE, weight, entry, bad, "std is {std}, below zero", shown={"std": std[0]}, remedy=_AGAIN)
    extremes = entry.values("min", "max")
    if extremes is not None:
        low, high = extremes
        if (bad := low > high).any():
            yield about(
                MIN_ABOVE_MAX,
                entry.severity("min", "max"),
                entry,
                bad,
                "min {min} lies above max {max}",
                worst=low - high,
                shown={"min": low, "max": high},
                remedy=_AGAIN,
            )
            return
        yield from _outside(entry)
    yield from _crossed(entry)


def _crossed(entry: Entry) -> Iterator[Finding]:
    there = [q for q in QUANTILES if q in entry.stats.values]
    for a, b in pairwise(there):
        pair = entry.values(a, b)
        if pair is None:
            continue
        low, high = pair
        spread = entry.values("min", "max")
        slack = BINS * (spread[1] - spread[0]) if spread is not None and spread[0].shape == low.shape else 0.0
        size = np.maximum(np.abs(low), np.abs(high))
        if (bad := low - high > slack + ROUNDING * size + 1e-9).any():
            yield about(
                QUANTILES_CROSS,
                entry.severity(a, b),
                entry,
                bad,
                f"{a} {{{a}}} lies above {b} {{{b}}}",
                worst=low - high,
                shown={a: low, b: high},
                remedy=_AGAIN,
            )


def _outside(entry: Entry) -> Iterator[Finding]:
    """Yield the mean, and quantiles, that lie outside of [min, max] by more than rounding explains."""
    for name in ("mean", *QUANTILES):
        found = entry.values("min", "max", name)
        if found is None or (name == "mean" and replaced_by_imagenet(entry)):
            continue
        low, high, value = found
        beyond = np.maximum(low - value, value - high)
        slack = BINS * (high - low) + ROUNDING * np.maximum(np.abs(low), np.abs(high)) + 1e-9
        if (bad := beyond > slack).any():
            yield about(
                MEAN_OUTSIDE if name == "mean" else QUANTILE_OUTSIDE,
                entry.severity("min", "max", name),
                entry,
                bad,
                f"{name} {{{name}}} lies outside of min {{min}} and max {{max}}",
                worst=beyond,
                shown={"min": low, "max": high, name: value},
                remedy="these statistics are not of the same data: take all of them from one source",
            )


IMAGENET = (np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]))
"""Mean and standard deviation of ImageNet's training images on 0 to 1, as torchvision documents them."""


def replaced_by_imagenet(entry: Entry) -> bool:
    """Whether mean and std are ImageNet's. LeRobot puts them in place of a camera's own and keeps min and max
    (``use_imagenet_stats``), so that the two say nothing about each other.
    """
    found = entry.values("mean", "std")
    return found is not None and all(
        a.size == 3 and bool(np.allclose(a.reshape(-1), b, atol=5e-4)) for a, b in zip(found, IMAGENET, strict=True)
    )
