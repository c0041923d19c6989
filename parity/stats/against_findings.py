"""What is wrong with stored statistics where the data says otherwise, and the cause where it can be told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.finding import Finding, Severity
from parity.stats.model import FeatureStats

if TYPE_CHECKING:
    from parity.stats.against_data import FeatureAgainst
    from parity.tensor import Array

CANCELLED = "STATS040"
MEAN_STD = "STATS041"
NARROW = "STATS042"
WIDE = "STATS043"
AVERAGED = "STATS044"
QUANTILE = "STATS045"
COUNT = "STATS046"

FLOAT32 = 2.0**-24
ROUNDING = 64 * FLOAT32  # of the largest value: what sums in float32 lose, 2 to 5 of these on real sets
SOME, MUCH = 1e-3, 0.05  # of the range: other data; another dataset
STD_SOME, STD_MUCH = 0.01, 0.5  # of the std itself
CANCELLATION = 64 * FLOAT32  # of the mean square: a variance as a difference of float32 means was off by up to 40
QUANTILE_SOME = 0.01  # of the range: sketches of 5000 bins, as LeRobot's, are off by 2e-4
SAME_MEAN = 1e-3  # of the range: a quantile that is the weighted mean of the episodes' and not the data's
OUTSIDE = 0.01  # of the values
SAMPLED = 5.0  # times the limits where only some pictures are looked at, here and in the source
SHOWN = 16

Place = tuple[int, ...]


def findings_of(
    one: FeatureAgainst, feature: FeatureStats, label: str, averaged: FeatureStats | None
) -> Iterator[Finding]:
    """Yield what is wrong with one feature."""
    yield from _count(one, feature, label)
    cancelled = _cancelled(one)
    if cancelled.any():
        yield _std_cancelled(one, label, cancelled)
    yield from _moments(one, label, cancelled)
    yield from _extremes(one, label)
    yield from _quantiles(one, label, averaged)


def _slack(one: FeatureAgainst) -> float:
    return SAMPLED if one.record is not None and one.record.used < one.record.frames else 1.0


def _count(one: FeatureAgainst, feature: FeatureStats, label: str) -> Iterator[Finding]:
    record = one.record
    if feature.count is None or record is None or record.used < record.frames or feature.count == record.frames:
        return
    if len(one.scale.shape) == 3:  # of pictures LeRobot counts those that it sampled
        return
    yield Finding(
        COUNT,
        "warning",
        f"{label}: statistics of {one.name} are of {feature.count:,} frames, the dataset has {record.frames:,}",
        where=one.name,
        evidence={"stored": feature.count, "frames": record.frames},
        remedy="compute them again if the dataset grew since; else give the dataset that they are of",
    )


def _cancelled(one: FeatureAgainst) -> Array:
    """Return in which dimensions the std is wrong, and just as wrong as E[x²] − E[x]² in float32 may make it.

    Both means are rounded to 2**-24 of themselves, so their difference is off by a few 2**-24 of the mean square, which
    is more than the variance itself where that is a millionth of it: a joint parked far from 0. Where a mean is that of
    other data, the std is, too, and nothing was lost.
    """
    if "std" not in one.stored or (np.abs(one.gaps.get("mean", np.zeros(()))) > MUCH).any():
        return np.zeros(one.scale.shape, bool)
    stored, true = one.stored["std"], one.again["std"]
    with np.errstate(all="ignore"):
        off = np.abs(stored - true) > STD_SOME * _slack(one) * true
        rounding = np.abs(stored**2 - true**2) <= CANCELLATION * _mean_square(one)
        result: Array = off & rounding & (true < 1e-2 * one.scale)
    return result


def _mean_square(one: FeatureAgainst) -> Array:
    """Return the mean square of each dimension, or where no mean is known what it is at most."""
    square: Array = one.again["mean"] ** 2 + one.again["std"] ** 2 if "mean" in one.again else one.scale**2
    return square


def _std_cancelled(one: FeatureAgainst, label: str, where: Array) -> Finding:
    place = _worst(np.where(where, np.abs(np.log(np.maximum(one.ratio, 1e-30))), 0.0))
    stored, true, ratio = one.stored["std"][place], one.again["std"][place], one.ratio[place]
    times = f"{ratio:.3g} times" if ratio > 0 else "0 instead of"
    severity: Severity = "error" if _far(one.ratio[where]).any() else "warning"
    return Finding(
        CANCELLED,
        severity,
        f"{label}: the std of {one.name}{list(place)} is {times} the data's {true:.3g}: it was lost in float32, "
        f"as a difference of two means near {one.scale[place] ** 2:.3g}",
        where=f"{one.name}{list(place)}",
        detail=f"Stored: {stored:.6g}. Values lie near {one.scale[place]:.6g} and hardly move."
        + _others(int(where.sum())),
        evidence=_evidence(one, "std", where),
        remedy="compute the std again in float64, or as deviations from the mean, and train again with it",
    )


def _far(ratio: Array) -> Array:
    far: Array = ~((ratio > 1 / (1 + STD_MUCH)) & (ratio < 1 + STD_MUCH))
    return far


def _moments(one: FeatureAgainst, label: str, cancelled: Array) -> Iterator[Finding]:
    """Yield that mean or std are not those of the data, by no cause that is known here."""
    slack, span = _slack(one), one.span
    with np.errstate(all="ignore"):
        mean = np.abs(_difference(one, "mean")) - ROUNDING * one.scale
        std = np.abs(_difference(one, "std")) - ROUNDING * one.scale
        true = one.again.get("std", span)
        off_mean, off_std = mean > SOME * slack * span, (std > STD_SOME * slack * true) & ~cancelled
    for name, off, much in (
        ("mean", off_mean, mean > MUCH * slack * span),
        ("std", off_std, _far(one.ratio) & off_std),
    ):
        if name in one.stored and off.any():
            place = _worst(np.where(off, one.gaps[name], 0.0))
            yield Finding(
                MEAN_STD,
                "error" if (off & much).any() else "warning",
                f"{label}: the {name} of {one.name}{list(place)} is {one.stored[name][place]:.6g}, that of the data "
                f"{one.again[name][place]:.6g} ({one.gaps[name][place]:.2g} of the range)",
                where=f"{one.name}{list(place)}",
                detail=_others(int(off.sum())).strip(),
                evidence=_evidence(one, name, off),
                remedy="give the dataset that they are of, or compute them again from these frames and train again",
            )


def _extremes(one: FeatureAgainst, label: str) -> Iterator[Finding]:
    """Yield that the data leaves the stored min and max, or that these are much wider than the data."""
    if not {"min", "max"} <= one.stored.keys():
        return
    span = one.span
    room = ROUNDING * one.scale
    below = one.stored["min"] - one.again["min"]  # > 0: the data goes further
    above = one.again["max"] - one.stored["max"]
    beyond = np.maximum(below, above)
    narrow = beyond > SOME * _slack(one) * span + room
    if narrow.any():
        place = _worst(np.where(narrow, beyond / np.where(span > 0, span, 1.0), -np.inf))
        share = next((c for c in one.coverage if c.ends == ("min", "max")), None)
        outside = float(share.low[place]) if share else 0.0
        much = bool((beyond > MUCH * span + room)[narrow].any()) or bool(share and (share.low[narrow] > OUTSIDE).any())
        yield Finding(
            NARROW,
            "error" if much else "warning",
            f"{label}: {one.name}{list(place)} is stored as {one.stored['min'][place]:.6g} to "
            f"{one.stored['max'][place]:.6g}, the data goes from {one.again['min'][place]:.6g} to "
            f"{one.again['max'][place]:.6g}: {outside:.2%} of it is outside of [-1, 1]",
            where=f"{one.name}{list(place)}",
            detail=_others(int(narrow.sum())).strip(),
            evidence=_evidence(one, "min", narrow) | {"max": _evidence(one, "max", narrow), "outside": outside},
            remedy="compute min and max again from all frames that the policy is trained on, and train again",
        )
    wide = (np.minimum(-below, -above) >= -room) & (np.maximum(-below, -above) > MUCH * span + room)
    if wide.any():
        place = _worst(np.where(wide, np.maximum(-below, -above), -np.inf))
        yield Finding(
            WIDE,
            "warning",
            f"{label}: {one.name}{list(place)} is stored as {one.stored['min'][place]:.6g} to "
            f"{one.stored['max'][place]:.6g}, the data only goes from {one.again['min'][place]:.6g} to "
            f"{one.again['max'][place]:.6g}",
            where=f"{one.name}{list(place)}",
            detail=_others(int(wide.sum())).strip(),
            evidence=_evidence(one, "min", wide) | {"max": _evidence(one, "max", wide)},
            remedy="nothing, if they are those of more data or of a robot's limits; else compute them again",
        )


def _quantiles(one: FeatureAgainst, label: str, averaged: FeatureStats | None) -> Iterator[Finding]:
    """Yield quantiles that are none: weighted means of the episodes' quantiles, and those that cannot be explained."""
    span, slack = one.span, _slack(one)
    bound = (one.record.bound if one.record else 0.0) * span
    mean: dict[str, Array] = {}
    other: dict[str, Array] = {}
    for name in (n for n in one.stored if n[:1] == "q" and n[1:].isdigit()):
        off = np.abs(_difference(one, name)) > QUANTILE_SOME * slack * span + bound + ROUNDING * one.scale
        if not off.any():
            continue
        means = averaged.values.get(name) if averaged is not None else None
        is_mean = np.zeros(off.shape, bool)
        if means is not None and means.size == off.size:
            gap = np.abs(one.stored[name] - np.asarray(means, np.float64).reshape(off.shape))
            is_mean = gap <= SAME_MEAN * span + ROUNDING * one.scale
        mean |= {name: off & is_mean} if (off & is_mean).any() else {}
        other |= {name: off & ~is_mean} if (off & ~is_mean).any() else {}
    if mean:
        yield _quantile(one, label, mean, AVERAGED)
    if other:
        yield _quantile(one, label, other, QUANTILE)


def _quantile(one: FeatureAgainst, label: str, off: Mapping[str, Array], code: str) -> Finding:
    def gap(name: str) -> Array:
        return np.where(off[name], np.where(np.isfinite(one.gaps[name]), one.gaps[name], 1e9), 0.0)

    name = max(off, key=lambda n: float(gap(n).max()))
    place = _worst(gap(name))
    cover = next((c for c in one.coverage if c.ends == ("q01", "q99")), None)
    out = "" if cover is None else f"; {cover.low[place]:.0%} of the values lie outside of q01 to q99, 2 % should"
    why = (
        ": it is the mean of the episodes' quantiles, weighted by their lengths, which is no quantile"
        if code == AVERAGED
        else ""
    )
    much = float(gap(name).max()) > MUCH
    return Finding(
        code,
        "error" if much else "warning",
        f"{label}: {name} of {one.name}{list(place)} is stored as {one.stored[name][place]:.6g}, that of the data is "
        f"{one.again[name][place]:.6g} ({one.gaps[name][place]:.0%} of the range){why}{out}",
        where=f"{one.name}{list(place)}",
        detail=f"{', '.join(off)} are off by more than {QUANTILE_SOME:.0%} of the range.",
        evidence={n: _evidence(one, n, places) for n, places in off.items()},
        remedy="compute the quantiles again over all frames together, and train again with them"
        if code == AVERAGED
        else "give the dataset that they are of, or compute them again from these frames and train again",
    )


def _difference(one: FeatureAgainst, name: str) -> Array:
    if name not in one.stored:
        return np.zeros(one.scale.shape)
    gap: Array = one.stored[name] - one.again[name]
    return gap


def _worst(size: Array) -> Place:
    """Return where the largest is."""
    at = int(np.argmax(np.nan_to_num(size, nan=-np.inf, posinf=1e300)))
    return tuple(int(i) for i in np.unravel_index(at, size.shape))


def _others(count: int) -> str:
    return f" It is so in {count} dimensions." if count > 1 else ""


def _evidence(one: FeatureAgainst, name: str, where: Array) -> dict[str, Any]:
    places = [tuple(int(i) for i in p) for p in np.argwhere(where)[:SHOWN]]
    return {
        "statistic": name,
        "dimensions": int(where.sum()),
        "stored": {str(list(p)): float(one.stored[name][p]) for p in places},
        "data": {str(list(p)): float(one.again[name][p]) for p in places},
    }
