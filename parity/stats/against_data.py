"""Stored statistics against those that the frames give: how far off each is, and how much of the data they cover.

Differences are in units of the range of the data's dimension. The limits were measured on the real v2.1 set of the
corpus (35,965 frames, 2 × 26 dimensions): its statistics, pooled from float32 per episode, are off by 6e-7 of the range
(mean), 3e-6 of themselves (std) and not at all (min, max).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.finding import Finding
from parity.stats.against_findings import findings_of
from parity.stats.gap import PADDING
from parity.stats.model import FeatureStats, NormStats
from parity.stats.names import by_name, names_of
from parity.stats.recompute import Recomputed, Record
from parity.stats.summary import Summary

if TYPE_CHECKING:
    from parity.tensor import Array

FLOAT32 = 2.0**-24
UNTOUCHED = "STATS049"
ENDS = (("q01", "q99"), ("min", "max"))
EXPECTED: Mapping[str, float] = {"q01": 0.02, "min": 0.0}  # of the values lie outside of ends of that name


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which share of each dimension's values a stored range puts outside of [-1, 1], ``(D,)``.

    It is at least ``low`` and at most ``high``; the two are equal where every distinct value was kept. ``ends`` names
    what becomes -1 and 1, ``expected`` is the share that lies outside of such ends by definition.
    """

    ends: tuple[str, str]
    low: Array
    high: Array
    expected: float


@dataclass(frozen=True, slots=True)
class FeatureAgainst:
    """One feature, stored against recomputed.

    Attributes:
        name: its canonical name.
        stored: what is stored, by statistic, float64, in the shape of the data's.
        again: the same, recomputed.
        gaps: for each statistic that both have |stored - recomputed| in units of the range of the dimension; infinite
            where the data is constant and the stored value another one.
        ratio: stored std over recomputed std; NaN where both are 0 or none is stored.
        coverage: of the quantiles and of min and max, where both ends are stored.
        per_chunk: whether the stored statistics are per position of a chunk, and were compared so.
        span: the range of each dimension of the data.
        scale: the largest absolute value of each dimension, of which float32 resolves 6e-8.
        record: how the data's statistics came about.
    """

    name: str
    stored: Mapping[str, Array]
    again: Mapping[str, Array]
    gaps: Mapping[str, Array]
    ratio: Array
    coverage: tuple[Coverage, ...]
    per_chunk: bool
    span: Array
    scale: Array
    record: Record | None


@dataclass(frozen=True, slots=True)
class AgainstData:
    """One source against a dataset: the features that both have, and what is wrong."""

    features: Mapping[str, FeatureAgainst]
    findings: tuple[Finding, ...]


def against_data(stored: NormStats, data: Recomputed, averaged: NormStats | None = None) -> AgainstData:
    """Return how stored statistics compare with those of a dataset's frames.

    Args:
        stored: of any source; features are matched by their canonical names.
        data: see `recompute`; with a chunk where ``stored`` has statistics per chunk position.
        averaged: the statistics of the dataset's episodes, pooled, quantiles as weighted means, as read from
            ``episodes_stats.jsonl`` or the tables of episodes; it tells averaged quantiles for what they are.
    """
    names = names_of(data.stats)
    again, summaries = by_name(data.stats), {names[n]: s for n, s in data.summaries.items()}
    records = {names[n]: r for n, r in data.records.items()}
    chunked = by_name(data.chunks) if data.chunks else {}
    chunk_sums = {names_of(data.chunks)[n]: s for n, s in data.chunk_summaries.items()} if data.chunks else {}
    means = by_name(averaged) if averaged is not None else {}
    found: dict[str, FeatureAgainst] = {}
    findings: list[Finding] = []
    for name, feature in by_name(stored).items():
        one = None
        if name in chunked:
            one = _compared(name, feature, chunked[name], chunk_sums[name], None, per_chunk=True)
        if one is None and name in again:
            one = _compared(name, feature, again[name], summaries[name], records[name], per_chunk=False)
        if one is not None:
            found[name] = one
            findings += findings_of(one, feature, stored.label, means.get(name))
        elif name in again:
            findings.append(_other_shape(name, feature, again[name], stored.label))
    if not found and not findings:
        findings.append(_nothing(stored, data.stats))
    return AgainstData(found, (*findings, *_not_finite(data)))


def _compared(
    name: str,
    feature: FeatureStats,
    data: FeatureStats,
    summary: Summary,
    record: Record | None,
    *,
    per_chunk: bool,
) -> FeatureAgainst | None:
    """Return the comparison; None where no statistic that both have is of one shape."""
    again = {n: v for n, v in data.values.items() if n in feature.values}
    stored = {n: s for n, v in again.items() if (s := _fitted(feature.values[n], v)) is not None}
    if not stored:
        return None
    again = {n: again[n] for n in stored}
    low, high = data.values["min"], data.values["max"]
    scale = np.maximum(np.abs(low), np.abs(high))
    gaps = {n: _in_ranges(stored[n] - again[n], high - low) for n in stored}
    with np.errstate(all="ignore"):
        ratio = stored["std"] / again["std"] if "std" in stored else np.full(low.shape, np.nan)
    covered = tuple(
        c
        for a, b in ENDS
        if a in stored and b in stored and (c := _coverage((a, b), stored, scale, summary)) is not None
    )
    return FeatureAgainst(name, stored, again, gaps, ratio, covered, per_chunk, high - low, scale, record)


def _fitted(stored: Array, data: Array) -> Array | None:
    """Return a stored array in the shape of the data's, where it has as many elements and no other order of axes.

    What openpi pads to its model's width, with zeros or ones throughout, is left out.
    """
    if stored.ndim == data.ndim == 1 and stored.size > data.size:
        rest = stored[data.size :]
        stored = stored[: data.size] if any(np.all(rest == v) for v in PADDING) else stored
    kept = [n for n in np.shape(stored) if n != 1]
    if kept != [n for n in data.shape if n != 1]:
        return None
    fitted: Array = np.asarray(stored, np.float64).reshape(data.shape)
    return fitted


def _in_ranges(gap: Array, span: Array) -> Array:
    """Return |gap| in units of the range; where the range is 0, 0 for no gap and infinity for any."""
    size = np.abs(gap)
    with np.errstate(all="ignore"):
        result: Array = np.where(size == 0, 0.0, np.where(span > 0, size / np.where(span > 0, span, 1.0), np.inf))
    return result


def _coverage(ends: tuple[str, str], stored: Mapping[str, Array], scale: Array, summary: Summary) -> Coverage | None:
    """Return what lies outside of stored ends; a float32's rounding beyond them still lies inside."""
    slack = 4 * FLOAT32 * scale
    low, high = stored[ends[0]] - slack, stored[ends[1]] + slack
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return None
    count = np.maximum(summary.count, 1)
    shares = summary.outside(low.reshape(-1), high.reshape(-1))
    at_least, at_most = (np.asarray([getattr(s, side) for s in shares]) / count for side in ("low", "high"))
    return Coverage(ends, at_least.reshape(low.shape), at_most.reshape(low.shape), EXPECTED[ends[0]])


def _other_shape(name: str, feature: FeatureStats, data: FeatureStats, label: str) -> Finding:
    found = {n: list(np.shape(v)) for n, v in feature.values.items()}
    first = next(iter(found.values()), [])
    return Finding(
        "STATS047",
        "error",
        f"{label}: statistics of {name} have shape {first}, the data's have {list(data.values['mean'].shape)}",
        where=name,
        evidence={"stored": found, "data": list(data.values["mean"].shape)},
        remedy="give the dataset that the statistics are of, or, for those of each chunk position, the chunk's length",
    )


def _nothing(stored: NormStats, data: NormStats) -> Finding:
    return Finding(
        UNTOUCHED,
        "error",
        f"{stored.label}: none of its features is in the dataset, so none was compared with its frames",
        where=stored.label,
        evidence={"stored": sorted(stored.features)[:64], "dataset": sorted(data.features)[:64]},
        remedy="give the dataset that the policy was trained on",
    )


def _not_finite(data: Recomputed) -> Iterator[Finding]:
    for name, record in data.records.items():
        if record.nan or record.inf:
            said = f"{record.nan:,} values are NaN and {record.inf:,} infinite"
            yield Finding(
                "STATS048",
                "warning",
                f"{name}: {said} in the dataset; they are left out of its statistics",
                where=name,
                evidence={"nan": record.nan, "inf": record.inf, "frames": record.frames},
                remedy="find out where they come from: whoever computes statistics over them gets NaN",
            )


def as_json(found: AgainstData) -> dict[str, Any]:
    """Return the features of a comparison as plain data: the largest gap of each statistic, and the coverage."""
    return {
        name: {
            "per_chunk": one.per_chunk,
            "gaps": {n: float(np.max(v, initial=0.0)) for n, v in one.gaps.items()},
            "coverage": [
                {
                    "ends": list(c.ends),
                    "outside": [float(x) for x in c.low.reshape(-1)],
                    "outside_at_most": [float(x) for x in c.high.reshape(-1)],
                    "expected": c.expected,
                }
                for c in one.coverage
            ],
            "record": one.record.as_json() if one.record else None,
        }
        for name, one in found.features.items()
    }
