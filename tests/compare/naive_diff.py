"""The definitions of the metrics, written down as plainly as can be, to test the fast ones against."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

WIDE = np.longdouble


@np.errstate(all="ignore")
def naive(candidate: np.ndarray, reference: np.ndarray) -> dict[str, Any]:
    """Return the metrics of two arrays of one shape, in extended precision, element by element."""
    a, b = candidate.astype(WIDE), reference.astype(WIDE)
    finite = np.isfinite(a) & np.isfinite(b)
    nan = np.isnan(a) | np.isnan(b)
    inf = ~finite & ~nan & ~(a == b)
    out: dict[str, Any] = {"compared": int(finite.sum()), "nan": int(nan.sum()), "inf": int(inf.sum())}
    if not finite.any():
        return out
    x, y = a[finite], b[finite]
    gap = np.abs(x - y)
    out |= {"max_abs": gap.max(), "mean_abs": gap.mean(), "rmse": np.sqrt((gap**2).mean())}
    top = np.abs(y).max()
    out["rel"] = gap.max() / top if top > 0 else (0.0 if gap.max() == 0 else np.inf)
    some = np.abs(y) > 0
    ratio = gap[some] / np.abs(y[some])
    out["max_rel"] = ratio.max() if ratio.size else None
    out["mean_rel"] = ratio.mean() if ratio.size else None
    plain = gap.astype(np.float64)
    out["p50_abs"], out["p99_abs"] = percentile(plain, 0.5), percentile(plain, 0.99)
    out["gaps"] = np.where(finite, np.abs(a - b), -1)
    rows = cosines(a, b, finite)
    out["cosine_min"], out["cosine_mean"], out["cosine_max"] = (
        (min(rows), sum(rows) / len(rows), max(rows)) if rows else (None, None, None)
    )
    return out


def percentile(values: np.ndarray, fraction: float) -> float:
    """Return NumPy's linear percentile in exact arithmetic on the position."""
    ordered = np.sort(values)
    position = Fraction(fraction).limit_denominator(100) * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    if ordered[low] == ordered[high]:
        return float(ordered[low])
    return float(WIDE(ordered[low]) + (WIDE(ordered[high]) - WIDE(ordered[low])) * WIDE(float(position - low)))


def cosines(a: np.ndarray, b: np.ndarray, finite: np.ndarray) -> list[float]:
    """Return the cosine of every row of the last axis that has an element finite on both sides."""
    if a.ndim == 0 or a.shape[-1] == 1:
        return []
    out = []
    for x, y, kept in zip(*(v.reshape(-1, a.shape[-1]) for v in (a, b, finite)), strict=True):
        if kept.any():
            p, q = x[kept], y[kept]
            zero = int(not p.any()) + int(not q.any())
            out.append(float(p @ q / (np.sqrt(p @ p) * np.sqrt(q @ q))) if zero == 0 else float(zero == 2))
    return out


def ulp_distance(a: np.ndarray, b: np.ndarray) -> int:
    """Return the largest distance in representable float16 or float32 numbers, by `int` arithmetic."""
    bits = {2: np.uint16, 4: np.uint32, 8: np.uint64}[a.dtype.itemsize]
    sign = 1 << (8 * a.dtype.itemsize - 1)

    def ordinal(value: int) -> int:
        return -(value - sign) if value >= sign else value

    pairs = zip(a.reshape(-1).view(bits).tolist(), b.reshape(-1).view(bits).tolist(), strict=True)
    return max(abs(ordinal(p) - ordinal(q)) for p, q in pairs)
