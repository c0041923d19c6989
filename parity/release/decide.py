"""Decides: measured comparisons against budgets. Plain data in, verdicts out; nothing is run or read from disk.

So the same saved report can be decided again with other budgets (`parity run --from report.json`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from parity.compare.budget import (
    INT8_DIMENSION,
    INT8_FAINT,
    INT8_RMS_RATIO,
    Budget,
    derived_limit,
    over,
    rms_ratio,
)
from parity.compare.floors import TINY, UNSTABLE_SHARE
from parity.release.bound import bound_of, in_units
from parity.release.measure import Measured
from parity.release.physical import in_physical_units
from parity.tensor import Array
from parity.verdict import Verdict

POOLED = ("nominal", "dataset")  # the profiles on which int8 is judged


@dataclass(frozen=True, slots=True)
class Terms:
    """How one candidate is to be judged: its precision class, and the budgets the user set, by output.

    ``stages``: the class of those outputs of its stages that are judged in a finer one.
    """

    precision: str
    budgets: Mapping[str, Budget]
    stages: Mapping[str, str] = field(default_factory=dict)


def decide(measured: Sequence[Measured], terms: Mapping[str, Terms]) -> tuple[list[Measured], list[dict[str, Any]]]:
    """Return the comparisons with verdict, reason, budget and limit filled in, and the pooled measures.

    Args:
        measured: comparisons as `parity.release.measure.measure` returns them.
        terms: by candidate name.
    """
    groups: dict[tuple[str, str], list[Measured]] = defaultdict(list)
    for row in measured:
        groups[row["candidate"], row["output"]].append(dict(row))
    decided: dict[str, Measured] = {}
    measures: list[dict[str, Any]] = []
    for (candidate, output), rows in groups.items():
        how = terms[candidate]
        budget, precision = how.budgets.get(output), how.stages.get(output, how.precision)
        pooled = _pooled(rows, candidate, output) if precision == "int8" and not _limits(budget) else None
        if pooled:
            measures.append(pooled)
        for row in rows:
            decided[row["id"]] = judge_one(row, precision, budget, pooled)
    return [decided[row["id"]] for row in measured], measures


def judge_one(row: Measured, precision: str, budget: Budget | None, pooled: Mapping[str, Any] | None) -> Measured:
    """Return one comparison with its verdict. What cannot be shown to be right is not passed."""
    if row.get("problem"):
        kind, message = row["problem"]["kind"], row["problem"]["message"]
        verdict = Verdict.FAIL if kind == "missing_output" else Verdict.NOT_JUDGED
        return {**row, "verdict": verdict.value, "reason": message, "fault": kind}
    fault, broken = _broken_structure(row, precision, budget)
    if broken:
        return {**row, "verdict": "FAIL", "reason": broken, "fault": fault}
    if row["dims"] is None:
        return {**row, "verdict": "NOT_JUDGED", "reason": "the output has no elements: a comparison of nothing"}
    if not row["floor"]:
        return _judge_exact(row)
    return _judge_float(row, precision, budget, pooled)


def _broken_structure(row: Measured, precision: str, budget: Budget | None) -> tuple[str, str | None]:
    """Return the kind of fault and why the tensors cannot be the same, whatever the limits: shape, dtype, NaN, Inf."""
    if row["shape"] != row["candidate_shape"]:
        return "shape", f"shape {row['candidate_shape']}, expected {row['shape']}"
    if not _same_dtype(row["dtype"], row["candidate_dtype"], precision):
        return "dtype", f"dtype {row['candidate_dtype']}, expected {row['dtype']}"
    both = row["nan_both"] if budget is not None and budget.allow_nan else 0
    if row["nan_mismatches"] != both:
        return "nan", f"{row['nan_mismatches']} elements are NaN"
    if row["inf_mismatches"]:
        return "inf", f"{row['inf_mismatches']} elements are infinite on one side"
    if row["inf_both"] and not (budget is not None and budget.allow_nan):
        return "inf", f"{row['inf_both']} elements are infinite on both sides: they cannot be compared"
    return "", None


def _same_dtype(reference: str, candidate: str, precision: str) -> bool:
    """Whether the dtypes agree: equal, or a float output that is narrower as the declared class says it is."""
    if reference == candidate:
        return True
    narrower = {"float16": {"float16"}, "bfloat16": {"bfloat16"}, "int8": {"float16", "bfloat16"}}
    return reference in ("float32", "float64") and candidate in narrower.get(precision, set())


def _judge_exact(row: Measured) -> Measured:
    """Integer, token and mask outputs are exact."""
    different = row["dims"]["unequal"]
    verdict, fault = ("PASS", None) if different == 0 else ("FAIL", "budget")
    reason = "exactly equal" if different == 0 else f"{different} elements are not equal, and these must be exact"
    return {
        **row,
        "budget": {"exact": True},
        "verdict": verdict,
        "reason": reason,
        "limit": [0.0],
        "bound": [0.0],
        "fault": fault,
    }


def _judge_float(row: Measured, precision: str, budget: Budget | None, pooled: Mapping[str, Any] | None) -> Measured:
    floor, gaps = row["floor"], np.asarray(row["dims"]["max_abs"], dtype=np.float64)
    share = floor["unstable"] / floor["elements"] if floor["elements"] else 0.0
    if share > UNSTABLE_SHARE:
        reason = (
            f"the reference is not stable here: {floor['unstable']} of {floor['elements']} elements move by more than "
            "1e-3 of their scale under rounding alone"
        )
        return {**row, "verdict": "NOT_JUDGED", "reason": reason}
    if not _limits(budget):
        budget = None  # it allows NaN to match NaN, and sets no limit: the derived ones apply
    if precision == "int8" and budget is None:
        return _judge_pooled(row, pooled)
    if budget is not None:
        gaps = np.asarray(row["dims"].get("max_abs_all", row["dims"]["max_abs"]), dtype=np.float64)
    limit, gain, described = _limit(row, precision, budget, gaps.size)
    broken = over(budget, in_units(budget, row, gaps.size)) if budget else []
    bound = bound_of(budget, row, gaps.size) if budget else limit
    row = {**row, "bound": None if bound is None else bound.tolist()}
    if limit is not None:
        ratio = gain * gaps / np.maximum(limit, TINY)
        worst = int(np.argmax(ratio))
        row |= {"limit": limit.tolist(), "limit_ratio": float(ratio[worst]), "worst_dimension": worst}
        if not (ratio[worst] <= 1.0):
            broken.insert(0, f"|Δ| {gain[worst] * gaps[worst]:.3g} > {limit[worst]:.3g} in dimension {worst}")
    left = f" ({floor['unstable']} unstable elements left out)" if floor["unstable"] else ""
    reason = "; ".join(broken) if broken else f"within budget{left}"
    if budget is not None and (budget.units or budget.scale):  # else they are those of the graph's own numbers
        row = {**in_physical_units(row, budget, gaps.size), "units": budget.units}
    verdict, fault = ("FAIL", "budget") if broken else ("PASS", None)
    return {**row, "budget": described, "verdict": verdict, "reason": reason, "fault": fault}


def _limits(budget: Budget | None) -> bool:
    """Whether a budget limits anything."""
    return budget is not None and bool(budget.judged)


def _limit(
    row: Measured, precision: str, budget: Budget | None, dimensions: int
) -> tuple[Array | None, Array, dict[str, Any]]:
    """Return the limit on |Δ| per action dimension, the gain into its units, and its description for the report."""
    if budget is not None:
        return budget.limit(dimensions), budget.gain(dimensions), {"source": "parity.toml", **budget.as_json()}
    floor, scale = np.asarray(row["floor"]["total"]), np.asarray(row["floor"]["scale"])
    limit = derived_limit(precision, floor, scale)
    rule = {
        "float32": "32 × floor",
        "float64": "32 × floor",
        "float16": "32 u of the scale",
        "bfloat16": "16 u of the scale",
    }
    return limit, np.ones(dimensions), {"source": "derived", "precision": precision, "rule": rule.get(precision, "")}


def _pooled(rows: Sequence[Measured], candidate: str, output: str) -> dict[str, Any] | None:
    """Return the measure on which an int8 candidate is judged: RMS(Δ) / RMS(reference) over the pooled cases."""
    used = [r for r in rows if r["profile"] in POOLED and r.get("dims") and r["dims"].get("sum_sq_ref")]
    if not used or any(r.get("problem") or not r["floor"] for r in used):
        return None
    ratio = rms_ratio([_sums(r, "sum_sq_diff").sum() for r in used], [_sums(r, "sum_sq_ref").sum() for r in used])
    worst, of_worst = _worst_dimension(used)
    good = ratio <= INT8_RMS_RATIO and of_worst <= INT8_DIMENSION
    drowned = (
        "" if of_worst <= INT8_DIMENSION else f"; dimension {worst} alone {of_worst:.3g}, limit {INT8_DIMENSION:.2g}"
    )
    return {
        "id": f"{candidate}/{used[0]['level']}/pooled/{output}/rms_ratio",
        "level": used[0]["level"],
        "candidate": candidate,
        "output": output,
        "name": "rms_ratio",
        "value": ratio if np.isfinite(ratio) else "Infinity",
        "interval": None,
        "limit": INT8_RMS_RATIO,
        "units": None,
        "n": len(used),
        "verdict": "PASS" if good else "FAIL",
        "reason": f"RMS(Δ) / RMS(reference) {ratio:.3g} over {len(used)} cases, limit {INT8_RMS_RATIO}{drowned}",
    }


def _sums(row: Measured, key: str) -> Array:
    """Return the sums of one kind per action dimension; NaN where one is beyond float64."""
    return np.asarray(row["dims"][key], dtype=np.float64)


def _worst_dimension(rows: Sequence[Measured]) -> tuple[int, float]:
    """Return the action dimension that is furthest off over the pooled cases, and RMS(Δ) / RMS(reference) of it.

    Over all dimensions at once, a joint that moves little may be wrong altogether.
    """
    width = len(rows[0]["dims"]["sum_sq_ref"])
    same = [r for r in rows if len(r["dims"]["sum_sq_ref"]) == width]
    gap, reference = (np.sum([_sums(r, k) for r in same], axis=0) for k in ("sum_sq_diff", "sum_sq_ref"))
    heard = reference > INT8_FAINT**2 * reference.max(initial=0.0)
    ratios = np.sqrt(np.where(heard, gap, 0.0) / np.where(heard, reference, 1.0))
    worst = int(np.argmax(ratios))
    return worst, float(ratios[worst])


def _judge_pooled(row: Measured, pooled: Mapping[str, Any] | None) -> Measured:
    """An int8 case passes or fails with the pool; edge and worst cases are reported, not judged."""
    if pooled is None:
        return {
            **row,
            "verdict": "NOT_JUDGED",
            "reason": "int8 is judged on pooled nominal or dataset cases: none here",
        }
    budget = {"source": "derived", "precision": "int8", "rule": f"pooled RMS ratio ≤ {INT8_RMS_RATIO}"}
    if row["profile"] in POOLED:
        fault = "budget" if pooled["verdict"] == "FAIL" else None
        reason = f"judged pooled: {pooled['reason']}"
        return {**row, "budget": budget, "verdict": pooled["verdict"], "reason": reason, "fault": fault}
    return {
        **row,
        "budget": budget,
        "verdict": "PASS",
        "reason": "reported, not judged: int8 is judged on pooled cases",
    }
