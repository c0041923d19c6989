"""The exhibits of a saved report that is judged again: what followed from limits that have changed is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def still_true(exhibits: Sequence[Row], before: Sequence[Row], after: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the exhibits as they hold for the comparisons ``after``: the outputs are the same, limits may not be.

    Where an output's limits or verdicts are not those of ``before``, its sensitivity, ratios and limits are None.
    """
    old = {r["id"]: _judged(r) for r in before}
    changed = {(r["candidate"], r["output"]) for r in after if old.get(r["id"]) != _judged(r)}
    verdicts = {r["id"]: r["verdict"] for r in after}
    return [_one(e, (e["candidate"], e["output"]) in changed, verdicts) for e in exhibits]


def _judged(row: Row) -> tuple[Any, ...]:
    return row["verdict"], row.get("limit"), row["budget"]


def _one(exhibit: Row, changed: bool, verdicts: Mapping[str, str]) -> dict[str, Any]:
    if not changed:
        return dict(exhibit)
    distribution = exhibit["distribution"]
    worst = [{**w, "verdict": verdicts.get(w["comparison"], w["verdict"]), "limit": None} for w in exhibit["worst"]]
    return {
        **exhibit,
        "by_step": {**exhibit["by_step"], "ratio": None},
        "distribution": None if distribution is None else {**distribution, "limit": None},
        "worst": worst,
        "sensitivity": None,
    }
