"""What the stored outputs show beyond the verdict: where they differ, the worst cases, what would have failed.

For every candidate and float output one entry, plain data for `report["exhibits"]`. Nothing is run and nothing is
judged; what cannot be shown is left out.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from parity.errors import ParityError
from parity.release.exhibit_pairs import LARGEST, Pair, number, pair_of
from parity.release.exhibit_sensitivity import sensitivity_of
from parity.release.exhibit_worst import inputs_of, severity, side_by_side
from parity.release.measure import Evidence
from parity.release.prepare import Prepared
from parity.tensor import Array, TensorSpec

POOLED = 1 << 26  # elements of one output that are looked at over all cases
ROWS, COLUMNS = 256, 128
WORST = 3
BINS = 48
LEFT_OUT = (ParityError, ValueError, OSError, LookupError, ArithmeticError, TypeError, MemoryError)

Row = Mapping[str, Any]


def exhibits(prepared: Prepared, folder: Path, report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the exhibits of a judged release, in the order of its comparisons.

    One that cannot be made is left out: an exhibit never changes a verdict.

    Args:
        prepared: the release.
        folder: its evidence.
        report: the judged release.
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in (r for r in report["comparisons"] if not r.get("stage")):
        groups.setdefault((row["candidate"], row["output"]), []).append(row)
    found: list[dict[str, Any]] = []
    with contextlib.suppress(*LEFT_OUT), Evidence(folder, prepared.plan) as evidence:
        for (candidate, output), rows in groups.items():
            with contextlib.suppress(*LEFT_OUT):
                one = _exhibit(evidence, prepared, candidate, rows, prepared.output(output))
                found += [one] if one is not None else []
    return found


def _exhibit(
    evidence: Evidence, prepared: Prepared, candidate: str, rows: Sequence[Row], spec: TensorSpec | None
) -> dict[str, Any] | None:
    ranked = sorted((r for r in rows if r.get("floor")), key=severity, reverse=True)
    worst: list[dict[str, Any]] = []
    pool: _Pool | None = None
    kept: dict[str, Pair] = {}
    for row, pair in _pairs(evidence, [*ranked[:WORST], *_others(rows, ranked[:WORST])]):
        if pool is None:
            pool = _Pool(pair.steps, pair.dimensions)
        if (pair.steps, pair.dimensions) != (pool.steps, pool.dimensions):
            continue
        if pool.elements + pair.reference.size > POOLED and pool.cases:
            break
        pool.add(pair)
        if pool.elements <= LARGEST:
            kept[row["id"]] = pair
        if len(worst) < WORST and any(row is r for r in ranked[:WORST]):
            worst.append({**side_by_side(row, pair), "note": _note(prepared, row["case"])})
            worst[-1]["inputs"] = inputs_of(evidence, prepared, candidate, row["case"])
    if pool is None:
        return None
    names = spec.elements if spec and spec.elements and len(spec.elements) == pool.dimensions else None
    units = next((r["units"] for r in rows if r.get("floor") and r["units"]), None)
    return {
        "candidate": candidate,
        "level": rows[0]["level"],
        "stage": rows[0]["stage"],
        "output": rows[0]["output"],
        "units": units,
        "steps": pool.steps,
        "dimensions": pool.dimensions,
        "elements": None if names is None else list(names),
        "cases": pool.cases,
        "by_step": pool.by_step(),
        "distribution": pool.distribution(),
        "worst": worst,
        "sensitivity": sensitivity_of(
            lambda row: kept.get(row["id"]) or pair_of(evidence, row), rows, spec, units, (pool.steps, pool.dimensions)
        ),
    }


def _others(rows: Sequence[Row], first: Sequence[Row]) -> list[Row]:
    return [r for r in rows if r.get("floor") and not any(r is f for f in first)]


def _pairs(evidence: Evidence, rows: Sequence[Row]) -> Iterator[tuple[Row, Pair]]:
    for row in rows:
        pair = pair_of(evidence, row)
        if pair is not None:
            yield row, pair


def _note(prepared: Prepared, case: str) -> str:
    return next((c.note for c in prepared.plan.cases if c.id == case), "")


class _Pool:
    """The worst figures of each step and dimension over cases, and one of each kind for each case and dimension."""

    def __init__(self, steps: int, dimensions: int) -> None:
        self.steps, self.dimensions = steps, dimensions
        self.cases = self.elements = 0
        self._gap = np.full((steps, dimensions), -np.inf)
        self._ratio = np.full((steps, dimensions), -np.inf)
        self._limited = False
        self._parts: dict[str, list[Array]] = {"error": [], "floor": [], "limit": []}

    def add(self, pair: Pair) -> None:
        """Take in one comparison."""
        self.cases += 1
        self.elements += pair.reference.size
        gap = pair.gap()
        np.maximum(self._gap, gap.max(axis=0), out=self._gap)
        judged = gap if pair.kept is None else np.where(pair.kept, gap, -np.inf)
        if pair.limit is not None:
            self._limited = True
            with np.errstate(invalid="ignore"):
                np.maximum(self._ratio, judged.max(axis=0) / pair.limit, out=self._ratio)
            self._parts["limit"].append(pair.limit)
        self._parts["error"].append(judged.max(axis=(0, 1)))
        self._parts["floor"].append(pair.floor)

    def by_step(self) -> dict[str, Any]:
        """Return the worst figures of each step and dimension, neighbours pooled where there are many."""
        strides = -(-self.steps // ROWS), -(-self.dimensions // COLUMNS)
        return {
            "max_abs": table(_pooled(self._gap, *strides)),
            "ratio": table(_pooled(self._ratio, *strides)) if self._limited else None,
            "step_stride": strides[0],
            "dimension_stride": strides[1],
        }

    def distribution(self) -> dict[str, Any] | None:
        """Return how many cases and dimensions have an error, a floor, a limit of each size; None where all are zero.

        A floor or limit at the smallest normal number (of a dimension that is always zero) is not counted.
        """
        values = {k: np.concatenate(v) if v else np.zeros(0) for k, v in self._parts.items()}
        values = {k: v[np.isfinite(v)] for k, v in values.items()}
        zero = int(np.count_nonzero(values["error"] == 0.0))
        least = {"error": 0.0, "floor": 1e-36, "limit": 1e-36}
        logs = {k: np.log10(v[v > least[k]]) for k, v in values.items()}
        every = np.concatenate(list(logs.values()))
        if every.size == 0:
            return None
        low, high = math.floor(every.min()), math.floor(every.max()) + 1
        per = next((n for n in (4, 2, 1) if n * (high - low) <= BINS), 1)
        low = max(low, high - BINS) if per == 1 else low  # what is smaller still is counted in the first bin
        edges = np.arange(per * low, per * high + 1) / per
        counts = {k: np.histogram(np.maximum(v, edges[0]), edges)[0].tolist() for k, v in logs.items()}
        return {"edges": edges.tolist(), **counts, "zero": zero}


def _pooled(values: Array, rows: int, columns: int) -> Array:
    down = np.maximum.reduceat(values, np.arange(0, values.shape[0], rows), axis=0)
    found: Array = np.maximum.reduceat(down, np.arange(0, values.shape[1], columns), axis=1)
    return found


def table(values: Array) -> list[list[Any]]:
    """Return a matrix as rows of numbers of six digits; -inf, which nothing was pooled into, as None."""
    return [[None if v == -np.inf else number(v) for v in row] for row in values.tolist()]
