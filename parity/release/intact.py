"""Checks that a saved report still holds what it was judged on, before it is judged again.

Nothing here proves that a report was not forged (only a signature could): it refuses what lacks comparisons, or whose
numbers contradict each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from parity.errors import ArtifactError
from parity.release.batches import is_batch
from parity.release.physical import in_graph_numbers
from parity.runner.composed import GRAPH
from parity.stages import is_of_stages

CLOSE = 1e-6  # relative; the same number worked out in two ways


def check_intact(report: Mapping[str, Any]) -> None:
    """Raise `ArtifactError` where comparisons are missing, told twice, or contradict themselves.

    Raises:
        ArtifactError: so, or something is not of the form that parity writes.
    """
    rows = report["comparisons"]
    scope = report["release"]["scope"]
    planned, selected = int(scope["planned"]), int(scope["selected"])
    if not 0 <= selected == len(rows) <= planned:
        _refuse(f"{selected} of {planned} comparisons were judged, but it holds {len(rows)}")
    if len({r["id"] for r in rows}) != len(rows):
        _refuse("it holds the same comparison twice")
    strangers = {r["candidate"] for r in rows} - {c["name"] for c in report["candidates"]}
    if strangers:
        _refuse(f"it compares {', '.join(sorted(strangers))}, which is none of its candidates")
    if selected == planned:
        _check_complete(report, rows)
    for row in rows:
        _check_row(in_graph_numbers(row))


def _check_complete(report: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    given = {(r["candidate"], r["case"], r["output"]) for r in rows}
    compared = {c["name"]: {r["output"] for r in rows if r["candidate"] == c["name"]} for c in report["candidates"]}
    looked = {(r["candidate"], r["case"]) for r in rows if r.get("stage")}
    missing = [
        f"{candidate['name']}/{case['id']}/{output}"
        for candidate in report["candidates"]
        for case in report["cases"]
        for output in report["outputs"]
        if output in compared[candidate["name"]] or not (output.startswith(GRAPH) or is_of_stages(output))
        if (candidate["name"], case["id"], output) not in given and not is_batch(case["id"])
        if not is_of_stages(output) or (candidate["name"], case["id"]) in looked
    ]
    if missing:
        _refuse(f"{len(missing)} of its comparisons are gone, such as {missing[0]}")


def _check_row(row: Mapping[str, Any]) -> None:
    """Refuse a comparison whose figures per action dimension are not those of its own metrics."""
    dims, floor = row["dims"], row["floor"]
    if dims is None:
        return
    if not floor:
        if int(dims["unequal"]) < 0 or (dims["unequal"] == 0) != (row["max_abs"] == 0):
            _refuse(f"the figures of {row['id']} contradict each other")
        return
    every, stable = [float(v) for v in dims["max_abs_all"]], [float(v) for v in dims["max_abs"]]
    widths = {len(every), len(stable), len(floor["total"]), len(floor["scale"])}
    if len(widths) != 1 or widths == {0} or not all(float(v) >= 0 for v in (*floor["total"], *floor["scale"])):
        _refuse(f"the figures of {row['id']} do not fit each other")
    largest = row["max_abs"]
    if largest is not None and not abs(max(every) - float(largest)) <= CLOSE * float(largest):
        _refuse(f"the figures of {row['id']} contradict each other")
    if int(floor["unstable"]) == 0 and stable != every:
        _refuse(f"the figures of {row['id']} contradict each other")


def _refuse(why: str) -> None:
    raise ArtifactError(
        f"this report cannot be judged again: {why}",
        remedy="it was edited or damaged: run the release again",
    )
