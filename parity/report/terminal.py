"""The report as people read it in a terminal, and as plain lines in a log.

The first line is the verdict and its likely cause; then how far off and where; then each candidate and output; then
the findings with what to do. Text from artifacts is never read as markup and cannot move the cursor.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from parity.report.baseline import baseline_lines
from parity.report.figures import ABSENT, show, times
from parity.report.glance import Glance, glances, outputs_of
from parity.report.predicted import is_predicted
from parity.report.replay_view import replayed_of
from parity.report.stages_view import staged_of
from parity.report.terminal_replay import (
    candidate_columns,
    candidate_rows,
    causes_of,
    dimension_columns,
    dimension_row,
    replay_lines,
    replay_words,
    table_of,
    worst_lines,
)
from parity.report.terminal_stages import stage_lines, stage_table
from parity.report.text import annotation, annotation_property, clean, log_line
from parity.report.view import (
    Entry,
    case_notes,
    compared_words,
    far_off,
    findings_of,
    headline,
    limit_of,
    other_reasons,
    place,
    ratio_of,
    said,
    tally_words,
    untold,
    worst_first,
)
from parity.stages import called

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

_STYLE = {"PASS": "bold green", "FAIL": "bold red", "NOT_JUDGED": "bold yellow"}
_SEVERITY = {"error": "bold red", "warning": "yellow", "info": "dim"}
_PREDICTED = "magenta"  # no evidence: a colour of its own
_MAX_ROWS = 24
_MAX_FINDINGS = 30
_MAX_SINCE = 12
_MAX_WORDS = 500  # of one sentence: a tensor's name may be a megabyte
_WIDE = 100
_MAX_ANNOTATIONS = 10  # GitHub shows ten of a kind for a step


def print_report(report: Mapping[str, Any], stream: TextIO | None = None, *, width: int | None = None) -> None:
    """Print ``report`` to ``stream`` (default: stdout): tables on a terminal, plain lines elsewhere.

    ``width`` in columns overrides the terminal's own (and 60 is enough). ``NO_COLOR`` is honoured. Under GitHub Actions
    the verdict and the errors are given as annotations too.
    """
    stream = sys.stdout if stream is None else stream
    if stream.isatty():
        console = _console(stream, width)
        for part in _parts(report, console.width):
            console.print(part, highlight=False, emoji=False, markup=False)
    else:
        for line in plain_lines(report):
            print(log_line(line), file=stream)
    for line in github_annotations(report):
        print(line, file=stream)


def _console(stream: TextIO, width: int | None) -> Console:
    from rich.console import Console

    # An empty NO_COLOR does not count (https://no-color.org). "No colour" is taken to mean no bold either.
    plain = bool(os.environ.get("NO_COLOR"))
    return Console(file=stream, width=width, color_system=None if plain else "auto", legacy_windows=False)


# --- on a terminal -------------------------------------------------------------------------------------------------


def _parts(report: Entry, width: int) -> Iterator[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    verdict = str(report["verdict"])
    style = _STYLE.get(verdict, "bold")
    yield Text.assemble((clean(verdict), style), "  ", (clean(headline(report), _MAX_WORDS), "bold"))
    story = Table.grid(padding=(0, 2))
    for label, words in _story(report):
        story.add_row(Text(label, style="dim"), Text(clean(words, _MAX_WORDS)))
    yield story
    findings = findings_of(report)
    causes = causes_of(replayed_of(report), findings)
    if causes:
        yield Text("")
    for f in causes:
        yield from _finding_part(report, f)
    yield from _tables(report, width)
    yield from _finding_parts(report, [f for f in findings if f not in causes])
    for line in _since(report):
        yield Text(clean(line, _MAX_WORDS), style="dim")


def _tables(report: Entry, width: int) -> Iterator[RenderableType]:
    from rich.text import Text

    found, replayed, wide = glances(report), replayed_of(report), width >= _WIDE
    if found and (report.get("comparisons") or replayed is None):
        yield Text("")
        yield _candidate_table(found, width)
        outputs = [(g, *o) for g in found for o in outputs_of(report, g.name)]
        if len(outputs) > len(found):
            yield Text("")
            yield _output_table(outputs[:_MAX_ROWS], width)
            if len(outputs) > _MAX_ROWS:
                yield Text(f"… and {len(outputs) - _MAX_ROWS} more outputs in report.json", style="dim")
    staged = staged_of(report)
    if staged:
        yield Text("")
        yield stage_table(staged, _STYLE)
    if found and replayed is not None:
        yield Text("")
        yield table_of(candidate_columns(wide), candidate_rows(report)[:_MAX_ROWS], _STYLE)
        lines = worst_lines(replayed)
        if lines:
            yield Text("")
            yield table_of(dimension_columns(wide), [dimension_row(*one) for one in lines], _STYLE)


def _story(report: Entry) -> list[tuple[str, str]]:
    """Return the lines under the verdict: other reasons, the worst comparison, how much was compared."""
    out = [("why", r) for r in other_reasons(report, told=True)[:6]]
    comparisons = report.get("comparisons") or []
    if comparisons:
        worst = worst_first(comparisons)[0]
        note = case_notes(report).get(str(worst.get("case")))
        at = (f" ({note})" if note else "") + (f", {place(worst)}" if place(worst) else "")
        out.append(("off by", far_off(worst)))
        what = called(str(worst.get("output")), worst.get("stage"))
        out.append(("where", f"{worst.get('candidate')}/{what}, case {worst.get('case')}{at}"))
    scope = report["release"].get("scope") or {}
    partly = scope.get("planned") != scope.get("selected")
    some = (
        f" (only {show(scope.get('selected'))} of {show(scope.get('planned'))} planned were selected)" if partly else ""
    )
    replayed = replayed_of(report)
    if compared := compared_words(report):
        out.append(("compared", compared + some))
    if replayed is not None:
        out.append(("replayed", replay_words(report, replayed)))
    return out


def _candidate_table(found: Sequence[Glance], width: int) -> Table:
    wide = width >= _WIDE
    table = _table(
        ("candidate", {"ratio": 3}),
        *((("runner", {"ratio": 2}), ("precision", {"ratio": 2})) if wide else ()),
        ("verdict", {"no_wrap": True}),
        ("worst output", {"ratio": 3}),
        *((("max|Δ|", _RIGHT), ("limit", _RIGHT)) if wide else ()),
        ("÷ limit", _RIGHT),
    )
    for g in found:
        w: Entry = g.worst or {}
        numbers = [show(w.get("max_abs")), show(limit_of(w))] if wide else []
        output = called(str(w["output"]), w.get("stage")) if w.get("output") else ABSENT
        row = [g.name, *([g.runner, g.precision] if wide else []), g.verdict, output, *numbers]
        _add(table, [*row, show(ratio_of(w), 2)], g.verdict)
    return table


def _output_table(outputs: Sequence[tuple[Glance, str, str, Mapping[str, int], Entry]], width: int) -> Table:
    wide = width >= _WIDE
    table = _table(
        ("candidate", {"ratio": 2}),
        ("output", {"ratio": 3}),
        *((("compared", {"ratio": 3}), ("worst case", {"ratio": 3}), ("max|Δ|", _RIGHT)) if wide else ()),
        ("verdict", {"no_wrap": True}),
        ("÷ limit", _RIGHT),
    )
    for g, _, output, counts, worst in outputs:
        more = [tally_words(counts), worst.get("case"), show(worst.get("max_abs"))] if wide else []
        verdict = _overall(counts)
        _add(table, [g.name, output, *more, verdict, show(ratio_of(worst), 2)], verdict)
    return table


def _overall(counts: Mapping[str, int]) -> str:
    return "FAIL" if counts.get("FAIL") else "NOT_JUDGED" if counts.get("NOT_JUDGED") else "PASS"


_RIGHT: dict[str, Any] = {"justify": "right", "no_wrap": True}


def _table(*columns: tuple[str, Mapping[str, Any]]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1), collapse_padding=True)
    for name, options in columns:
        table.add_column(name, overflow="fold", **options)
    return table


def _add(table: Table, cells: Sequence[Any], verdict: str) -> None:
    from rich.text import Text

    table.add_row(*(Text(clean(c, 120), style=_STYLE.get(verdict, "") if c == verdict else "") for c in cells))


def _finding_part(report: Entry, f: Entry) -> Iterator[RenderableType]:
    from rich.padding import Padding
    from rich.text import Text

    severity = str(f.get("severity"))
    style = _PREDICTED if is_predicted(f) else _SEVERITY.get(severity, "")
    code = (clean(f"{severity} {f.get('code')}"), style)
    yield Text.assemble(code, "  ", clean(said(f, report), _MAX_WORDS))
    if f.get("remedy"):
        yield Padding(Text(clean(f"what to do: {f['remedy']}", _MAX_WORDS), style="dim"), (0, 0, 0, 2), expand=False)


def _finding_parts(report: Entry, found: Sequence[Entry]) -> Iterator[RenderableType]:
    from rich.text import Text

    waived = findings_of(report, waived=True)
    if found or waived:
        yield Text("")
    for f in found[:_MAX_FINDINGS]:
        yield from _finding_part(report, f)
    if len(found) > _MAX_FINDINGS:
        yield Text(f"… and {len(found) - _MAX_FINDINGS} more findings in report.json", style="dim")
    for f in waived[:_MAX_FINDINGS]:
        yield Text(clean(f"waived {f.get('code')}  {said(f, report)} ({f['waived']})"), style="dim")


def _since(report: Entry) -> list[str]:
    """Return what moved since the baseline, in a few lines."""
    lines = baseline_lines(report)
    return lines if len(lines) <= _MAX_SINCE else [*lines[:_MAX_SINCE], f"… and {len(lines) - _MAX_SINCE} more lines"]


# --- in a log ------------------------------------------------------------------------------------------------------


def plain_lines(report: Entry) -> list[str]:
    """Return the report as lines for a log: no colour, no box, no wrapping, one fact a line."""
    lines = [f"{clean(report['verdict'])}  {clean(headline(report), _MAX_WORDS)}"]
    lines += [f"{label}: {clean(words, _MAX_WORDS)}" for label, words in _story(report)]
    found = findings_of(report)
    replayed = replayed_of(report)
    causes = causes_of(replayed, found)
    lines += [line for f in causes for line in _finding_lines(report, f)]
    staged = {c.name: c for c in staged_of(report)}
    for g in glances(report):
        own = untold(g.reasons, report)
        why = f" ({clean('; '.join(own), _MAX_WORDS)})" if own else ""
        lines.append(f"candidate {clean(g.name)}: {clean(g.verdict)}, {clean(g.runner)}, {clean(g.precision)}{why}")
        outputs = outputs_of(report, g.name)
        for _, output, counts, worst in outputs[:_MAX_ROWS]:
            ratio = times(ratio_of(worst)) or f"max|Δ| {show(worst.get('max_abs'))}"
            case = clean(worst.get("case"))
            lines.append(
                f"  output {clean(output)}: {_overall(counts)}, {tally_words(counts)}, worst {ratio} in {case}"
            )
        if len(outputs) > _MAX_ROWS:
            lines.append(f"  … and {len(outputs) - _MAX_ROWS} more outputs in report.json")
        lines += stage_lines(staged[g.name]) if g.name in staged else []
    if replayed is not None:
        lines += replay_lines(report, replayed)
    found = [f for f in found if f not in causes]
    lines += [line for f in found[:_MAX_FINDINGS] for line in _finding_lines(report, f)]
    if len(found) > _MAX_FINDINGS:
        lines.append(f"… and {len(found) - _MAX_FINDINGS} more findings in report.json")
    for f in findings_of(report, waived=True):
        lines.append(f"waived {clean(f.get('code'))}: {clean(said(f, report), _MAX_WORDS)} ({clean(f['waived'])})")
    return [*lines, *(clean(line, _MAX_WORDS) for line in _since(report))]


def _finding_lines(report: Entry, f: Entry) -> list[str]:
    told = [f"{clean(f.get('severity'))} {clean(f.get('code'))}: {clean(said(f, report), _MAX_WORDS)}"]
    return [*told, f"  what to do: {clean(f['remedy'], _MAX_WORDS)}"] if f.get("remedy") else told


def github_annotations(report: Entry) -> list[str]:
    """Return GitHub's workflow commands for the verdict and the error findings; none outside GitHub Actions."""
    if os.environ.get("GITHUB_ACTIONS") != "true" or report["verdict"] == "PASS":
        return []
    name = annotation_property(f"parity: {report['verdict']}")
    lines = [f"::error title={name}::{annotation(headline(report))}"]
    for f in findings_of(report):
        if f.get("severity") == "error":
            lines.append(f"::error title={annotation_property(f.get('code'))}::{annotation(said(f, report))}")
    return lines[:_MAX_ANNOTATIONS]
