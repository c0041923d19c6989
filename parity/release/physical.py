"""The metrics of a comparison in the physical units of its budget, where the budget's ``scale`` leads there.

What the graph gave is kept under ``graph``, so that the comparison can be judged again with another scale or none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from parity.compare.budget import Budget
from parity.release.measure import Measured
from parity.tensor import Array

TURNED = ("max_abs", "mean_abs", "rmse", "p50_abs", "p99_abs", "worst_values")  # what has units


def in_physical_units(row: Measured, budget: Budget, dimensions: int) -> Measured:
    """Return a measured comparison with its metrics in the units that ``budget.scale`` turns the graph's numbers into.

    Exact where the scale is one number. Where it differs between action dimensions, the mean and the percentiles of all
    elements do not follow from what was measured and are None; ``worst_index`` stays that of the largest difference
    in the graph's numbers. Ratios, cosines and ULP are of the graph's numbers always.
    """
    if budget.scale is None:
        return row
    gain = budget.gain(dimensions)
    told: dict[str, Any] = {name: _times(row[name], float(gain[0])) for name in TURNED[:-1]}
    if np.ptp(gain) > 0:
        told |= {"mean_abs": None, "p50_abs": None, "p99_abs": None, **_by_dimension(row, gain)}
    told["worst_values"] = _values(row, budget.scale, dimensions)
    return {**row, **told, "graph": {name: row[name] for name in TURNED}}


def in_graph_numbers(row: Mapping[str, Any]) -> Measured:
    """Return a judged comparison with the metrics that were measured: the inverse of `in_physical_units`."""
    kept = {k: v for k, v in row.items() if k != "graph"}
    graph = row.get("graph") or {}
    return {**kept, **{name: graph[name] for name in TURNED if name in graph}}


def _by_dimension(row: Measured, gain: Array) -> dict[str, Any]:
    """Return ``max_abs`` and ``rmse`` from the figures of each action dimension; None where these are not known."""
    dims = row["dims"]
    gaps = np.asarray(dims.get("max_abs_all", dims["max_abs"]), dtype=np.float64)
    known = isinstance(row["max_abs"], int | float) and gaps.size == gain.size
    squares = np.asarray(dims.get("sum_sq_diff", [np.nan]), dtype=np.float64)
    total = float(squares.sum())
    share = float((gain**2 * squares).sum()) / total if squares.size == gain.size and total > 0 else 1.0
    sure = squares.size == gain.size and np.isfinite(share)
    return {
        "max_abs": float((gain * gaps).max()) if known else None,
        "rmse": _times(row["rmse"], float(np.sqrt(share))) if sure else None,
    }


def _values(row: Measured, scale: tuple[float, ...], dimensions: int) -> Any:
    """Return both values at the worst element, each times the scale of its action dimension."""
    values, index = row["worst_values"], row["worst_index"]
    if not values or not index:
        return values
    at = index[-1] if len(scale) == dimensions > 1 else 0
    return [_times(v, scale[at]) for v in values]


def _times(value: Any, factor: float) -> Any:
    return value * factor if isinstance(value, int | float) and not isinstance(value, bool) else value
