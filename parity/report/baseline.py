"""What moved since the last signed-off report, in words, for every kind of file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parity.report.figures import ABSENT, show, times
from parity.report.view import Entry

_MAX = 20  # lines of a kind


def baseline_lines(report: Entry, *, tabled: bool = False) -> list[str]:
    """Return the report's ``baseline`` section as sentences; none where there is no baseline.

    With ``tabled`` the outputs that moved are left to `baseline_table`.
    """
    baseline = report.get("baseline")
    if not isinstance(baseline, Mapping) or not baseline:
        return []
    name = baseline.get("name") or ABSENT
    lines = [f"baseline {name} of {baseline.get('created') or ABSENT}: {baseline.get('verdict') or ABSENT}"]
    if "same_bytes" in baseline:
        same = "the same bytes were tested" if baseline["same_bytes"] else "other bytes were tested"
        lines.append(same)
    moved = _entries(baseline, "moved")
    lines += [] if tabled else _some([_moved(m) for m in moved], "outputs moved")
    lines += _some([f"new finding {_said(f)}" for f in _entries(baseline, "new_findings")], "new findings")
    lines += _some([f"gone finding {_said(f)}" for f in _entries(baseline, "gone_findings")], "gone findings")
    lost = baseline.get("no_longer_judged")
    lines += _some([f"no longer judged: {i}" for i in lost] if isinstance(lost, list) else [], "are no longer judged")
    return lines if len(lines) > 2 or moved else [*lines, "nothing moved"]


def baseline_table(report: Entry) -> list[tuple[str, str, str]]:
    """Return each output that moved, how it stood in the baseline and how it stands now; at most 200."""
    baseline = report.get("baseline")
    moved = _entries(baseline, "moved") if isinstance(baseline, Mapping) else []
    return [
        (f"{m.get('candidate')}/{m.get('output')}", _state(m.get("before")), _state(m.get("after")))
        for m in moved[:200]
    ]


def _entries(baseline: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = baseline.get(key)
    return [e for e in found if isinstance(e, Mapping)] if isinstance(found, list) else []


def _some(lines: list[str], what: str) -> list[str]:
    return [*lines[:_MAX], f"… and {len(lines) - _MAX} more {what}"] if len(lines) > _MAX else lines


def _said(finding: Mapping[str, Any]) -> str:
    place = ", ".join(str(finding[k]) for k in ("candidate", "where") if finding.get(k))
    return f"{finding.get('code')}{f' ({place})' if place else ''}: {finding.get('title')}"


def _moved(entry: Mapping[str, Any]) -> str:
    before, after = _state(entry.get("before")), _state(entry.get("after"))
    return f"{entry.get('candidate')}/{entry.get('output')}: {before} → {after}"


def _state(state: Any) -> str:
    """Return a verdict with its margin: ``PASS at 0.26 × the limit``."""
    if not isinstance(state, Mapping):
        return "not there"
    margin = times(state.get("limit_ratio")) or f"max|Δ| {show(state.get('max_abs'))}"
    return f"{state.get('verdict')} at {margin}"
