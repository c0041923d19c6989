"""Policies in stages on a terminal and in a log: each stage alone and chained, the error along the loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from parity.report.figures import ABSENT, show, times
from parity.report.stages_view import Course, StagedCandidate, Way, not_finite, ratio_shown
from parity.report.text import clean
from parity.report.view import ratio_of

if TYPE_CHECKING:
    from rich.table import Table

MAX_ROWS = 24
MAX_WORDS = 300


def stage_lines(c: StagedCandidate) -> list[str]:
    """Return one candidate's stages and loop as lines for a log."""
    lines = [
        f"  stage {clean(s.name)}: {_way_words('alone', s.alone)}; {_way_words('chained', s.chained)}"
        for s in c.stages[:MAX_ROWS]
    ]
    lines += [f"  loop {clean(course.words, MAX_WORDS)}" for course in c.courses[:MAX_ROWS]]
    return lines


def _way_words(way: str, found: Way) -> str:
    if found.worst is None:
        return f"{way} not compared"
    ratio = "NaN" if not_finite(found.worst) else times(ratio_of(found.worst))
    why = f"worst {ratio}" if ratio else str(found.worst.get("reason") or "no limit")
    return f"{way} {found.verdict}, {clean(why, MAX_WORDS)} ({clean(found.value, 60)})"


def stage_table(found: Sequence[StagedCandidate], styles: dict[str, str]) -> Table:
    """Return a table of all candidates' stages: how each ends alone and chained, and its worst over the limit."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1), collapse_padding=True)
    for name, ratio in (("candidate", 2), ("stage", 3)):
        table.add_column(name, overflow="fold", ratio=ratio)
    for name in ("alone", "chained"):
        table.add_column(f"{name}, ÷ limit", overflow="fold", ratio=3)
    rows = [row for c in found for row in _rows(c)]
    for name, stage, ways in rows[:MAX_ROWS]:
        cells = [Text(clean(name, 120)), Text(clean(stage, 120))]
        cells += [Text.assemble((verdict, styles.get(verdict, "")), f" {words}") for verdict, words in ways]
        table.add_row(*cells)
    if len(rows) > MAX_ROWS:
        table.add_row("…", f"{len(rows) - MAX_ROWS} more in report.json", "", "")
    return table


def _rows(c: StagedCandidate) -> list[tuple[str, str, list[tuple[str, str]]]]:
    rows: list[tuple[str, str, list[tuple[str, str]]]] = [
        (c.name, s.name, [_cell(s.alone), _cell(s.chained)]) for s in c.stages
    ]
    return [*rows, *((c.name, f"loop: {course.state}", [("", ""), _last(course)]) for course in c.courses)]


def _cell(way: Way) -> tuple[str, str]:
    return way.verdict or ABSENT, "" if way.worst is None else ratio_shown(way.worst)


def _last(course: Course) -> tuple[str, str]:
    """Return the verdict over all steps, the ratio of the last one, and from which step on it is over."""
    verdicts = {s.way.verdict for s in course.steps}
    verdict = "FAIL" if "FAIL" in verdicts else "NOT_JUDGED" if "NOT_JUDGED" in verdicts else "PASS"
    last = course.steps[-1]
    over = "" if course.over_from is None else f", from step {course.over_from}"
    return verdict, f"{show(last.ratio, 2)} at step {last.step}{over}"
