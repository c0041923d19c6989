"""A made-up report of a policy in stages: the ratio to the limit of each stage and of each step of the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Build = Callable[..., dict[str, Any]]


def staged_report(
    build: Build,
    entry: Build,
    ratios: Mapping[str, tuple[float | None, float | None]],
    steps: Sequence[float | None],
    *,
    candidate: str = "ort",
    state: str = "x_t",
    **changes: Any,
) -> dict[str, Any]:
    """Return a report with rows of stages: ``ratios`` are (alone, chained) by stage, ``steps`` of the loop's state."""
    report = build(changes.pop("verdict", "FAIL"), **changes)
    rows = [
        _row(entry, candidate, stage, f"{way}:{stage}_out", ratio, case)
        for stage, pair in ratios.items()
        for way, ratio in zip(("alone", "chained"), pair, strict=True)
        for case in ("nominal-0000", "edge-0001")
    ]
    last = list(ratios)[-1] if ratios else "expert"
    rows += [
        _row(entry, candidate, last, f"step-{k:04d}:{state}", ratio, case)
        for k, ratio in enumerate(steps, 1)
        for case in ("nominal-0000", "edge-0001")
    ]
    report["comparisons"] += rows
    for own in report["candidates"]:
        own["name"] = candidate
    return report


def _row(entry: Build, candidate: str, stage: str, output: str, ratio: float | None, case: str) -> dict[str, Any]:
    """Return one comparison; the edge case is half as far off. None: it was not judged."""
    made = entry(candidate, case, output, stage=stage, id=f"{candidate}/graph/{stage}/{case}/{output}")
    if ratio is None:
        gone = {"verdict": "NOT_JUDGED", "max_abs": None, "limit_ratio": None, "budget": {}, "reason": "not run"}
        return {**made, **gone}
    if ratio != ratio:
        return {**made, "verdict": "FAIL", "nan_mismatches": 3, "max_abs": 0.0, "limit_ratio": None, "fault": "nan"}
    share = ratio if case.startswith("nominal") else ratio / 2
    verdict = "PASS" if share <= 1 else "FAIL"
    return {**made, "max_abs": 1e-5 * share, "limit": [1e-5], "limit_ratio": share, "verdict": verdict}
