"""What a budget set by the user is sure to notice: without it a budget that lets everything through would pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from parity.compare.budget import Budget
from parity.tensor import Array

PRECISION = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}  # one ULP of 1
IN_UNITS = ("mean_abs", "rmse", "p99_abs")


def bound_of(budget: Budget, row: Mapping[str, Any], dimensions: int) -> Array:
    """Return the |Δ| that every element may have without breaking ``budget``, in the graph's numbers, ``(D,)``.

    It is what an action dimension must move by, several times over, to be informative. A cosine c lets a vector turn by
    √(2(1 − c)) of its length.
    """
    gain = budget.gain(dimensions)
    scale = np.asarray(row["floor"]["scale"], dtype=np.float64)
    largest = float(scale.max(initial=0.0))
    bounds: list[Array] = []
    limit = budget.limit(dimensions)
    if limit is not None:
        bounds.append(limit / gain)
    bounds += [value / gain for name in IN_UNITS if (value := getattr(budget, name)) is not None]
    if budget.rel is not None:
        bounds.append(np.full(dimensions, budget.rel * largest))
    if budget.max_ulp is not None:
        ulp = max(PRECISION.get(row[key], 0.0) for key in ("dtype", "candidate_dtype"))
        bounds.append(budget.max_ulp * ulp * np.broadcast_to(scale, (dimensions,)))
    if budget.cosine_min is not None:
        bounds.append(np.full(dimensions, np.sqrt(2.0 * (1.0 - budget.cosine_min)) * largest))
    smallest: Array = np.min(bounds, axis=0)
    return smallest


def in_units(budget: Budget, row: Mapping[str, Any], dimensions: int) -> dict[str, Any]:
    """Return ``row`` with the metrics that a ``scale`` turns into physical units, by the largest gain of any dimension.

    With one gain for all dimensions that is exact, else it is never less than the true figure.
    """
    gain = float(budget.gain(dimensions).max(initial=0.0))
    return {**row, **{name: row[name] * gain for name in IN_UNITS if isinstance(row.get(name), int | float)}}
