"""Builds measured comparisons for tests of judging."""

from __future__ import annotations

from typing import Any

import numpy as np

from parity.compare.floors import Floor, dimension_max
from parity.compare.metrics import diff
from parity.release.measure import _dims, floor_json, unequal
from parity.tensor import ArraySource


def measured(
    reference: Any,
    candidate: Any,
    *,
    case: str = "nominal-0000",
    profile: str = "nominal",
    name: str = "ort",
    output: str = "action",
    scale: Any = None,
) -> dict[str, Any]:
    """Return the measured comparison of two arrays whose floor is rounding alone."""
    a, b = np.asarray(reference), np.asarray(candidate)
    row: dict[str, Any] = {
        "id": f"{name}/graph/{case}/{output}",
        "level": "graph",
        "reference": "reference",
        "candidate": name,
        "stage": None,
        "profile": profile,
        "case": case,
        "output": output,
        "units": None,
        "verdict": "NOT_JUDGED",
        "reason": "",
        "budget": {},
        "problem": None,
        **diff(b, a).as_json(),
    }
    if a.shape != b.shape or a.size == 0:
        return {**row, "floor": {}, "dims": None}
    if a.dtype.kind != "f":
        return {**row, "floor": {}, "dims": {"unequal": unequal(ArraySource(a), ArraySource(b))}}
    floor = Floor(dimension_max(a) if scale is None else np.asarray(scale, dtype=float), None, None, 0, a.size)
    return {**row, "floor": floor_json(floor), "dims": _dims(a, b, None)}
