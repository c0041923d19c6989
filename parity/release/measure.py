"""Measures one plan entry from the traces: the metrics, and the floor of its case. Judges nothing.

A measured comparison is plain, JSON-able data, so that a verdict can be made again from a saved report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from parity.compare.floors import Floor, by_dimension, floor_of
from parity.compare.metrics import Diff, diff
from parity.errors import ParityError
from parity.release.extent import Extent, extent_of
from parity.release.plan import Entry, Plan
from parity.stages import ALONE
from parity.tensor import Array, TensorSource
from parity.trace import Trace

IN_MEMORY = 1 << 24  # elements; a larger output is compared in blocks, with the rounding term alone as its floor

Measured = dict[str, Any]


class Evidence:
    """The traces of one run, opened once, and the extent of each output over each profile."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.plan = plan
        self._exits = ExitStack()
        self._traces: dict[str, Trace | None] = {}
        self._extents: dict[tuple[str, str], Extent] = {}
        self._cases: dict[str, frozenset[str]] = {}
        for side in {"reference", *(e.candidate for e in plan.entries)}:
            path = folder / f"{side}.h5"
            try:
                self._traces[side] = self._exits.enter_context(Trace.open(path)) if path.is_file() else None
            except ParityError:
                self._traces[side] = None
            trace = self._traces[side]
            self._cases[side] = frozenset(c.id for c in trace.cases) if trace else frozenset()

    def __enter__(self) -> Evidence:
        return self

    def __exit__(self, *exc: object) -> None:
        self._exits.close()

    def output(self, side: str, case: str, name: str) -> TensorSource | None:
        """Return what ``side`` gave for ``name`` in ``case``, or None where it gave nothing."""
        trace = self._traces[side]
        if trace is None or case not in self._cases[side] or name not in trace.output_names(case):
            return None
        return trace.output(case, name)

    def outputs_of(self, side: str, case: str) -> tuple[str, ...]:
        """Return the names of the outputs that ``side`` gave in ``case``."""
        trace = self._traces[side]
        return tuple(trace.output_names(case)) if trace and case in self._cases[side] else ()

    def inputs(self, case: str) -> Mapping[str, Array]:
        """Return what the reference was fed in ``case``, by name; empty where it did not run it."""
        trace = self._traces["reference"]
        return trace.inputs(case) if trace and case in self._cases["reference"] else {}

    def has(self, side: str, case: str) -> bool:
        """Whether ``side`` ran ``case``."""
        return case in self._cases[side]

    def terms(self, case: str, name: str) -> Mapping[str, Array]:
        """Return the element-wise floor terms of the reference."""
        trace = self._traces["reference"]
        return trace.floor(case, name) if trace else {}

    def extent(self, name: str, profile: str) -> Extent:
        """Return how far the reference's output ``name`` reaches over the cases of ``profile``."""
        key = (name, profile)
        if key not in self._extents:
            trace = self._traces["reference"]
            ids = [c.id for c in trace.cases if c.profile == profile] if trace else []
            found = (self.output("reference", case, name) for case in ids)
            self._extents[key] = extent_of(source for source in found if source is not None)
        return self._extents[key]


def measure(evidence: Evidence, entry: Entry) -> Measured:
    """Return the measured comparison of one plan entry, with verdict NOT_JUDGED.

    ``problem`` says why there is nothing to judge (``not_run``, ``no_reference``, ``missing_output``), else None.
    """
    reference = evidence.output("reference", entry.case, entry.output)
    candidate = evidence.output(entry.candidate, entry.case, entry.output)
    base = _header(entry)
    if reference is None or candidate is None:
        return {**base, **_nothing(), "problem": _problem(evidence, entry, reference)}
    found = diff(candidate, reference)
    base |= {"problem": None, **found.as_json()}
    floor, dims = _floor_and_dims(evidence, entry, reference, candidate, found)
    return {**base, "floor": floor, "dims": dims}


def _header(entry: Entry) -> Measured:
    return {
        "id": entry.id,
        "level": entry.level,
        "reference": "reference",
        "candidate": entry.candidate,
        "stage": entry.stage,
        "profile": entry.profile,
        "case": entry.case,
        "output": entry.output,
        "units": None,
        "verdict": "NOT_JUDGED",
        "reason": "planned, not measured",
        "budget": {},
    }


def unmeasured(entry: Entry) -> Measured:
    """Return the row of an entry that was planned and selected, but never measured."""
    problem = {"kind": "not_run", "message": "planned, but never measured: the run was cut short"}
    return {**_header(entry), **_nothing(), "problem": problem}


def _nothing() -> Measured:
    """Return the metric fields of a comparison with nothing on one side."""
    counts = dict.fromkeys(("nan_mismatches", "inf_mismatches", "nan_both", "inf_both"), 0)
    return {**dict.fromkeys(METRICS), **counts, "floor": {}, "dims": None}


METRICS = (
    "shape", "dtype", "candidate_shape", "candidate_dtype", "max_abs", "mean_abs", "rmse", "rel", "max_rel", "mean_rel",
    "p50_abs", "p99_abs", "cosine_min", "cosine_mean", "cosine_max", "max_ulp", "nan_mismatches", "inf_mismatches",
    "worst_index", "worst_values",
)  # fmt: skip


def _problem(evidence: Evidence, entry: Entry, reference: TensorSource | None) -> dict[str, str]:
    if reference is None:
        if evidence.has("reference", entry.case):
            return {"kind": "no_reference", "message": f"the reference gave no output called {entry.output!r}"}
        return {"kind": "no_reference", "message": "the reference did not run this case"}
    if evidence.has(entry.candidate, entry.case) and entry.output.startswith(ALONE):
        return {"kind": "not_run", "message": f"stage {entry.stage!r} was not run alone"}
    if evidence.has(entry.candidate, entry.case):
        given = ", ".join(evidence.outputs_of(entry.candidate, entry.case)) or "none"
        return {
            "kind": "missing_output",
            "message": f"the candidate gave no output called {entry.output!r} (it gave: {given})",
        }
    return {"kind": "not_run", "message": "the candidate did not run this case"}


def _floor_and_dims(
    evidence: Evidence, entry: Entry, reference: TensorSource, candidate: TensorSource, found: Diff
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return the floor as JSON and the sums per action dimension that judging needs; None where shapes differ."""
    if reference.shape != candidate.shape:
        return {}, None
    size = int(np.prod(reference.shape, dtype=np.int64))
    if size == 0:
        return {}, None
    extent = evidence.extent(entry.output, entry.profile)
    moves = {} if extent.span is None else {"span": extent.span.tolist()}
    if reference.dtype.kind not in "fV":
        return {}, {"unequal": unequal(reference, candidate), **moves}
    if extent.scale is None:
        return {}, None
    if size > IN_MEMORY:
        floor = Floor(extent.scale, None, None, 0, size)
        return floor_json(floor), {**_streamed_dims(found, extent.scale.size), **moves}
    ref = reference.read(0, size).reshape(reference.shape)
    cand = candidate.read(0, size).reshape(candidate.shape)
    floor, bad = floor_of(extent.scale, evidence.terms(entry.case, entry.output), size)
    return floor_json(floor), {**_dims(ref, cand, bad), **moves}


def unequal(reference: TensorSource, candidate: TensorSource) -> int:
    """Return how many elements are not exactly equal: a difference of 1 at 2⁶⁰ is one, and would vanish in float64."""
    size, step, count = int(np.prod(reference.shape, dtype=np.int64)), 1 << 22, 0
    for start in range(0, size, step):
        stop = min(start + step, size)
        count += int(np.count_nonzero(reference.read(start, stop) != candidate.read(start, stop)))
    return count


def _streamed_dims(found: Diff, width: int) -> dict[str, Any]:
    """Return what `_dims` returns, from the streaming diff of a large output."""
    parts = (found.dim_max_abs, found.dim_ref_min, found.dim_ref_max, found.dim_sum_sq_diff, found.dim_sum_sq_ref)
    count = found.compared // max(width, 1)
    names = ("max_abs", "ref_min", "ref_max", "sum_sq_diff", "sum_sq_ref")
    if any(p is None for p in parts):  # a last axis too long for figures of its own
        whole = float("inf") if found.max_abs is None else found.max_abs
        none: dict[str, Any] = {key: [None] for key in names[1:3]}
        return {"max_abs": [whole], "max_abs_all": [whole], **none, "n": count}
    arrays = [np.asarray(p, dtype=np.float64) for p in parts]
    if width == 1:
        folds: tuple[Callable[..., Any], ...] = (np.max, np.min, np.max, np.sum, np.sum)
        arrays = [np.asarray([fold(a)]) for fold, a in zip(folds, arrays, strict=True)]
    dims: dict[str, Any] = {
        name: [float(v) if np.isfinite(v) else None for v in a] for name, a in zip(names, arrays, strict=True)
    }
    return {**dims, "max_abs_all": dims["max_abs"], "n": count}


def _dims(reference: Array, candidate: Array, left_out: Array | None) -> dict[str, Any]:
    """Return what judging needs per action dimension.

    ``max_abs`` is over the stable elements, ``max_abs_all`` over all; extremes and sums of squares are over all finite.
    """
    a, b = by_dimension(reference).astype(np.float64), by_dimension(candidate).astype(np.float64)
    finite = np.isfinite(a) & np.isfinite(b)
    kept = finite if left_out is None else finite & ~left_out
    with np.errstate(invalid="ignore", over="ignore"):
        every = np.where(finite, np.abs(b - a), 0.0)
        gap = np.where(kept, every, 0.0)
        squares = np.where(finite, (b - a) ** 2, 0.0).sum(axis=0)
        reference_squares = np.where(finite, a * a, 0.0).sum(axis=0)
    low = np.where(np.isfinite(a), a, np.inf).min(axis=0)
    high = np.where(np.isfinite(a), a, -np.inf).max(axis=0)
    return {
        "max_abs": gap.max(axis=0).tolist(),
        "max_abs_all": every.max(axis=0).tolist(),
        "ref_min": [float(v) if np.isfinite(v) else None for v in low],
        "ref_max": [float(v) if np.isfinite(v) else None for v in high],
        "sum_sq_diff": squares.tolist(),
        "sum_sq_ref": reference_squares.tolist(),
        "n": int(a.shape[0]),
    }


def floor_json(floor: Floor) -> dict[str, Any]:
    """Return a floor as the report's ``floor`` field: each term and their maximum, per action dimension."""
    applied = [t for t in ("float64", "variants") if getattr(floor, t) is not None]
    return {
        "total": floor.total.tolist(),
        "scale": floor.scale.tolist(),
        "float64": None if floor.float64 is None else floor.float64.tolist(),
        "variants": None if floor.variants is None else floor.variants.tolist(),
        "terms": [*applied, "rounding"],
        "unstable": floor.unstable,
        "elements": floor.elements,
    }


__all__ = ["METRICS", "Evidence", "Measured", "floor_json", "measure"]
