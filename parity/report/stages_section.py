"""The section of `report.html` on policies in stages: where an error enters, and how it grows in the loop."""

from __future__ import annotations

from typing import Any

from parity.report.draw_stages import draw_courses
from parity.report.figures import ABSENT, show
from parity.report.stages_view import Course, Stage, StagedCandidate, Way, ratio_shown, staged_of
from parity.report.view import Entry, limit_of

MAX_SHOWN, MAX_DRAWN, MAX_STAGES = 24, 8, 64


def stages_shown(report: Entry) -> dict[str, Any] | None:
    """Return what the template shows of candidates in stages; None where there is none."""
    found = staged_of(report)
    if not found:
        return None
    order = sorted(found, key=lambda c: ("FAIL", "NOT_JUDGED", "PASS").index(c.verdict))
    shown = order[:MAX_SHOWN]
    return {
        "candidates": [_candidate(c, f"g{i}", drawn=i < MAX_DRAWN) for i, c in enumerate(shown)],
        "more": len(order) - len(shown),
    }


def _candidate(c: StagedCandidate, key: str, *, drawn: bool) -> dict[str, Any]:
    clean = all(w.verdict == "PASS" for s in c.stages for w in (s.alone, s.chained) if w.verdict)
    said = list(c.said) or (["Each stage keeps its limits, alone and chained."] if clean and c.stages else [])
    return {
        "name": c.name,
        "verdict": c.verdict,
        "said": said,
        "rows": [_row(s) for s in c.stages[:MAX_STAGES]],
        "more": len(c.stages) - MAX_STAGES if len(c.stages) > MAX_STAGES else 0,
        "courses": [course.words for course in c.courses],
        "figure": _figure(c.name, c.courses, key) if drawn else None,
    }


def _row(stage: Stage) -> dict[str, Any]:
    return {"name": stage.name, "ways": [_way(stage.alone), _way(stage.chained)]}


def _way(way: Way) -> dict[str, str]:
    if way.worst is None:
        return {"verdict": "", "value": "", "case": "", "max_abs": ABSENT, "limit": ABSENT, "ratio": ABSENT}
    w = way.worst
    return {
        "verdict": way.verdict,
        "value": way.value,
        "case": str(w.get("case")),
        "max_abs": show(w.get("max_abs")),
        "limit": show(limit_of(w)),
        "ratio": ratio_shown(w),
    }


def _figure(name: str, courses: tuple[Course, ...], key: str) -> dict[str, Any] | None:
    svg = draw_courses(courses, key, f"Error by denoising step: {name}")
    return None if svg is None else {"title": "Error by denoising step", "svg": svg}
