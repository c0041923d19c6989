"""How far two sources' statistics of one feature are apart, in units of the feature's range.

Each statistic is measured in the range of its own kind: min and max in ``max - min``, quantiles in the span of the
outermost pair, a mean in ``4·std`` (the span of mean ± 2 std, about what q01 and q99 hold of a normal variable), a std
in half of that, as twice itself moves an end of the span. The range is the larger one of the two sources: where one
says that a dimension is constant and the other that it moves, that is a gap and no division by zero.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from parity.stats.model import FeatureStats

if TYPE_CHECKING:
    from parity.tensor import Array

# Which statistics a normalization mode uses; the others are shown and decide nothing.
USED: Mapping[str, tuple[str, ...]] = {
    "MEAN_STD": ("mean", "std"),
    "MIN_MAX": ("min", "max"),
    "QUANTILES": ("q01", "q99"),
    "QUANTILE10": ("q10", "q90"),
    "LINEAR": ("low", "high"),
    "IDENTITY": (),
}
# Measured on the corpus: statistics recomputed on a slightly other dataset are at most 0.0065 apart, on 90 % of a real
# dataset's episodes mean and std 0.03; those of other settings or another run 0.095 to 0.95 (docs/statistics.md).
SAME_GAP = 1e-4
CONFLICT_GAP = 0.05
ROUNDING = 2.0**-22  # of the value: two roundings to float32 and a little
FAINT = 1e-4  # of the feature's median range: a dimension that moves less is measured in this instead
QUANTILE = re.compile(r"q(\d\d+)$")
PADDING = (-1.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Gap:
    """The widest gap between two sources: in which statistic and where, its two values, and |Δ| / range."""

    statistic: str
    index: tuple[int, ...]
    a: float
    b: float
    gap: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sources' statistics of one feature.

    Attributes:
        verdict: ``SAME``, ``DRIFT`` or ``CONFLICT``; None where nothing can be said (``reason`` says why).
        worst: the widest gap among the statistics that decide; None where they cannot be measured.
        judged: which statistics decided: those that the mode uses, where one is known.
        unused: the widest gap among the others, None where there is none.
        equal: ``bits`` where every statistic that both have is equal, ``float32`` where it is after rounding, else "".
        reason: why there is no verdict, or no gap.
    """

    verdict: str | None
    worst: Gap | None = None
    judged: tuple[str, ...] = ()
    unused: Gap | None = None
    equal: str = ""
    reason: str = ""

    @property
    def max_gap(self) -> float | None:
        return None if self.worst is None else self.worst.gap


def compare(a: FeatureStats, b: FeatureStats, modes: tuple[str | None, str | None] = (None, None)) -> Comparison:
    """Return how far two sources are apart in one feature.

    Args:
        a: the feature of one source.
        b: the feature of the other.
        modes: how each source's policy normalizes it, None where it does not tell.
    """
    one, two = flat(a), flat(b)
    shared = [n for n in one if n in two]
    equal = _equal(one, two, [n for n in shared if n not in ("low", "high")])
    if a.eps is not None and b.eps is not None and a.eps != b.eps:  # an exporter may have added it to the std for good
        one, two = _with_eps(one, a.eps), _with_eps(two, b.eps)
    known = [m for m in modes if m is not None]
    if known and all(m == "IDENTITY" for m in known):
        return Comparison(None, equal=equal, reason="not normalized: its statistics are not used")
    ends = (interval(one, str(modes[0])), interval(two, str(modes[1]))) if len(set(known)) > 1 else ({}, {})
    if all(ends):
        (one, two), shared = ends, ["low", "high"]
    if not shared:
        return Comparison(None, reason="they have no statistic in common")
    why = _other_shape(one, two, shared)
    if why:
        return Comparison(None if "chunk step" in why else "CONFLICT", judged=tuple(shared), reason=why)
    one, two = _without_padding(one, two, shared)
    used = [n for n in shared if n in USED.get(known[0], ())] if known and len(set(known)) == 1 else shared
    missing = f"without {', '.join(USED.get(known[0], ()))}, which {known[0]} uses" if known and not used else ""
    return _judged(one, two, used or shared, shared, equal, missing)


def _judged(
    one: Mapping[str, Array], two: Mapping[str, Array], used: list[str], shared: list[str], equal: str, reason: str
) -> Comparison:
    gaps = {name: _gap(name, one, two) for name in shared}
    if any(gaps[n] is None for n in used):
        return Comparison(
            "CONFLICT", judged=tuple(used), equal=equal, reason="not finite in one of them, finite in the other"
        )
    worst = max((g for n in used if (g := gaps[n])), key=lambda g: g.gap)
    others = [g for n in shared if n not in used and (g := gaps[n])]
    verdict = "SAME" if worst.gap <= SAME_GAP else "DRIFT" if worst.gap <= CONFLICT_GAP else "CONFLICT"
    return Comparison(verdict, worst, tuple(used), max(others, key=lambda g: g.gap, default=None), equal, reason)


def interval(values: Mapping[str, Array], mode: str) -> dict[str, Array]:
    """Return what normalization by ``mode`` maps to -1 and 1, as ``low`` and ``high``; empty where it cannot be told.

    Two modes are compared by it: where min and max are used in place of q01 and q99, the gain is off by the ratio.
    """
    names = USED.get(mode)
    if mode == "IDENTITY":
        some = next(iter(values.values()))
        return {"low": -np.ones_like(some), "high": np.ones_like(some)}
    if not names or any(n not in values for n in names):
        return {}
    first, second = (values[n] for n in names)
    return {"low": first - second, "high": first + second} if mode == "MEAN_STD" else {"low": first, "high": second}


def span(values: Mapping[str, Array], name: str) -> Array | None:
    """Return the range that ``name`` is measured in, of one source; None where the source cannot tell."""
    if name in ("mean", "std"):
        return 4.0 * values["std"] if "std" in values else _ends(values)
    if name in ("min", "max"):
        pair = ("min", "max")
    elif name in ("low", "high"):
        pair = ("low", "high")
    else:
        levels = sorted((n for n in values if QUANTILE.match(n)), key=lambda n: float(f"0.{n[1:]}"))
        pair = (levels[0], levels[-1])
    return _width(values, *pair) if all(n in values for n in pair) else _ends(values)


def _width(values: Mapping[str, Array], low: str, high: str) -> Array | None:
    if values[low].shape != values[high].shape:
        return None
    with np.errstate(invalid="ignore"):  # inf - inf
        return values[high] - values[low]


def _ends(values: Mapping[str, Array]) -> Array | None:
    """Return a range from whatever there is."""
    for low, high in (("q01", "q99"), ("min", "max")):
        if low in values and high in values:
            return _width(values, low, high)
    return 4.0 * values["std"] if "std" in values else None


def _gap(name: str, one: Mapping[str, Array], two: Mapping[str, Array]) -> Gap | None:
    """Return the widest gap of one statistic over the dimensions; None where one side alone is not finite."""
    a, b = one[name], two[name]
    finite = np.isfinite(a) & np.isfinite(b)
    if not np.all(finite | (a == b) | (np.isnan(a) & np.isnan(b))):
        return None
    a, b = np.where(finite, a, 0.0), np.where(finite, b, 0.0)
    delta, size = np.abs(a - b), np.maximum(np.abs(a), np.abs(b))
    ranges = [s for v in (one, two) if (s := span(v, name)) is not None and s.shape == a.shape]
    spans = [np.where(np.isfinite(s), np.abs(s), 0.0) for s in ranges]
    unit = np.maximum.reduce([*spans, ROUNDING * size])
    moving = unit[unit > 0]
    unit = np.maximum(unit, FAINT * float(np.median(moving))) if moving.size else unit
    gaps = np.where(delta <= ROUNDING * size, 0.0, delta / np.where(unit > 0, unit, 1.0))
    gaps = 2.0 * gaps if name == "std" else gaps
    at = np.unravel_index(int(np.argmax(gaps)), gaps.shape)
    place = tuple(int(i) for i in at)
    return Gap(name, place, float(one[name][at]), float(two[name][at]), float(gaps[at]))


def flat(stats: FeatureStats) -> dict[str, Array]:
    """Return the statistics without axes of length 1, float64, and the range that ``scale`` and ``offset`` stand for.

    Channels are stored as ``(C, 1, 1)`` by one source and ``(C,)`` by another.
    """
    found = {n: _squeezed(np.asarray(v, dtype=np.float64)) for n, v in stats.values.items()}
    found = {n: v for n, v in found.items() if v.size and not np.all(np.isinf(v))}  # LeRobot's buffers start as inf
    scale, offset = found.pop("scale", None), found.pop("offset", None)
    if scale is not None and offset is not None and scale.shape == offset.shape:
        with np.errstate(all="ignore"):
            ends = ((-1.0 - offset) / scale, (1.0 - offset) / scale)
        found["low"], found["high"] = np.minimum(*ends), np.maximum(*ends)
    return found


def _with_eps(values: Mapping[str, Array], eps: float) -> dict[str, Array]:
    """Return the statistics with what is divided by in place of the std."""
    return {n: v + eps if n == "std" else v for n, v in values.items()}


def _squeezed(array: Array) -> Array:
    return array.reshape(-1) if sum(n > 1 for n in array.shape) <= 1 else np.squeeze(array)


def _equal(one: Mapping[str, Array], two: Mapping[str, Array], names: list[str]) -> str:
    pairs = [(one[n], two[n]) for n in names]
    if not pairs or any(a.shape != b.shape for a, b in pairs):
        return ""
    if all(np.array_equal(a, b, equal_nan=True) for a, b in pairs):
        return "bits"
    with np.errstate(over="ignore"):
        short = [(a.astype(np.float32), b.astype(np.float32)) for a, b in pairs]
    return "float32" if all(np.array_equal(a, b, equal_nan=True) for a, b in short) else ""


def _other_shape(one: Mapping[str, Array], two: Mapping[str, Array], names: list[str]) -> str:
    """Return why the shapes cannot be compared, "" where they can."""
    for name in names:
        a, b = one[name].shape, two[name].shape
        if a == b or (len(a) == len(b) == 1 and _padded(one, two, names)):
            continue
        if len(a) != len(b) and a[-1:] == b[-1:]:
            return f"{name} is given per chunk step in one of them: {list(a)} against {list(b)}"
        return f"{name} has shape {list(a)} in one of them and {list(b)} in the other"
    return ""


def _padded(one: Mapping[str, Array], two: Mapping[str, Array], names: list[str]) -> bool:
    """Whether what the longer side has more is padding: zeros or ones throughout, in each statistic."""
    for name in names:
        short, long = sorted((one[name], two[name]), key=lambda v: v.size)
        tail = long[short.size :]
        if tail.size and not any(np.all(tail == v) for v in PADDING):
            return False
    return True


def _without_padding(
    one: Mapping[str, Array], two: Mapping[str, Array], names: list[str]
) -> tuple[dict[str, Array], dict[str, Array]]:
    pairs = dict(_cut(one, two, names))
    return {n: p[0] for n, p in pairs.items()}, {n: p[1] for n, p in pairs.items()}


def _cut(
    one: Mapping[str, Array], two: Mapping[str, Array], names: list[str]
) -> Iterator[tuple[str, tuple[Array, Array]]]:
    for name in names:
        a, b = one[name], two[name]
        n = min(a.size, b.size)
        yield name, (a, b) if a.shape == b.shape else (a[:n], b[:n])
