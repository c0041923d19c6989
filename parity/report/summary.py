"""`summary.md`: the report as a comment on a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from parity.report.atomic import replace_file
from parity.report.baseline import baseline_lines
from parity.report.figures import ABSENT, pairs, show, times
from parity.report.glance import glances
from parity.report.predicted import is_predicted, measured_only, predicted_only
from parity.report.replay_view import Replayed, replayed_of
from parity.report.terminal_replay import candidate_rows, dimension_row, replay_words, worst_lines
from parity.report.text import markdown, markdown_code
from parity.report.view import (
    Entry,
    compared_words,
    findings_of,
    headline,
    limit_of,
    off_where,
    other_reasons,
    ratio_of,
    worst_first,
)
from parity.stages import called

MAX_BYTES = 60_000  # GitHub takes 65,536 characters; bytes are the stricter count, and a bot may add a line
_ROWS = 50
_MARK = {"PASS": "✅", "FAIL": "❌", "NOT_JUDGED": "⚠️", "error": "❌", "warning": "⚠️", "info": "ℹ️"}
_SHORTENED = "_Shortened to fit a comment: everything is in `report.html` and `report.json`._\n"


def summary(report: Entry) -> str:
    """Return the report as Markdown of at most 60,000 bytes. Text from artifacts is escaped; nobody is mentioned."""
    sections = [
        _head(report),
        _candidates(report),
        _worst(report),
        _replayed(report),
        _findings("Findings", measured_only(findings_of(report))),
        _findings("Predicted, not measured", predicted_only(findings_of(report))),
        _findings("Waived findings", findings_of(report, waived=True)),
        _baseline(report),
        _tested(report),
        _environment(report),
    ]
    return _bounded([s for s in sections if s])


def write_summary(report: Entry, path: Path) -> None:
    """Write `summary` of ``report`` to ``path``, complete or not at all.

    Raises:
        OutputError: the folder cannot be written or the disk is full.
    """
    replace_file(path, summary(report).encode("utf-8"))


def _bounded(sections: Sequence[str]) -> str:
    """Return the sections, leaving out those that no longer fit (never the first) and saying so."""
    room = MAX_BYTES - len(_SHORTENED.encode()) - 2
    kept: list[str] = []
    for section in sections:
        size = len(section.encode("utf-8")) + 1
        if kept and size > room:
            return "\n".join([*kept, _SHORTENED])
        kept.append(section)
        room -= size
    return "\n".join(kept)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def _more(total: int, shown: int) -> str:
    return f"\n… and {total - shown:,} more in `report.json`.\n" if total > shown else ""


def _head(report: Entry) -> str:
    verdict, release = str(report["verdict"]), report["release"]
    lines = [f"## {_MARK.get(verdict, '')} {markdown(verdict)}: {markdown(release.get('name'))}", ""]
    lines += [f"**{markdown(headline(report), 500)}**", ""]
    reasons = other_reasons(report, told=True)
    lines += [f"- {markdown(r)}" for r in reasons[:10]]
    if len(reasons) > 10:
        lines.append(f"- … and {len(reasons) - 10} more reasons")
    scope = release.get("scope") or {}
    if scope.get("selected") != scope.get("planned"):
        lines.append(
            f"- only {show(scope.get('selected'))} of {show(scope.get('planned'))} planned comparisons were selected"
        )
    replayed = replayed_of(report)
    if replayed is not None:
        lines.append(f"- replayed: {markdown(replay_words(report, replayed))}")
    compared = compared_words(report)
    lines.append(f"- {compared}{'; ' if compared else ''}seed {show(release.get('seed'))}")
    return "\n".join(lines) + "\n"


def _candidates(report: Entry) -> str:
    if not report["comparisons"] and replayed_of(report) is not None:
        return ""  # told with the replay
    found = glances(report)
    rows = []
    for g in found[:_ROWS]:
        w: Mapping[str, Any] = g.worst or {}
        limit = f"{show(w.get('max_abs'))} / {show(limit_of(w))}"
        ratio = times(ratio_of(w))
        rows.append(
            [
                markdown_code(g.name),
                markdown(g.runner),
                markdown(g.precision),
                f"{_MARK.get(g.verdict, '')} {markdown(g.verdict)}",
                markdown_code(called(str(w.get("output")), w.get("stage"))) if w else ABSENT,
                f"{limit} ({ratio})" if ratio else limit,
            ]
        )
    header = ["candidate", "runner", "precision", "verdict", "worst output", "max\\|Δ\\| / limit"]
    body = _table(header, rows) if rows else "No candidate was judged.\n"
    return "### Candidates\n\n" + body + _more(len(found), _ROWS)


def _worst(report: Entry) -> str:
    ordered = worst_first(report["comparisons"])[:10]
    rows = [[markdown_code(c.get("id")), markdown(c.get("verdict")), markdown(off_where(c))] for c in ordered]
    if not rows:
        return ""
    title = f"### The {len(rows)} worst of {len(report['comparisons']):,} comparisons"
    return f"{title}\n\n" + _table(["comparison", "verdict", "how far off"], rows)


def _replayed(report: Entry) -> str:
    """Return the candidates of a replay, and the dimensions that are furthest off, in units."""
    replayed = replayed_of(report)
    if replayed is None:
        return ""
    found = candidate_rows(report)
    keys = ("runner", "precision")
    rows = [
        [
            markdown_code(r["candidate"]),
            *(markdown(r[k]) for k in keys),
            f"{_MARK.get(r['verdict'], '')} {markdown(r['verdict'])}",
            markdown(r["measures"]),
            f"{markdown(r['worst'])}: {markdown(r['value'])} / {r['limit']} ({r['ratio']} ×)",
        ]
        for r in found[:_ROWS]
    ]
    header = ["candidate", *keys, "verdict", "measures", "worst: value / limit"]
    body = _table(header, rows) + _more(len(found), _ROWS) if rows else "No candidate was judged.\n"
    return "### Recorded data\n\n" + body + _dimensions(replayed)


def _dimensions(replayed: Replayed) -> str:
    lines = [dimension_row(*one) for one in worst_lines(replayed)][:_ROWS]
    if not lines:
        return ""
    figures = ("RMS", "p99", "max", "bias", "limit")
    rows = []
    for r in lines:
        names, values = [markdown_code(r[k]) for k in ("candidate", "dimension")], [markdown(r[k]) for k in figures]
        rows.append([*names, *values, r["ratio"], markdown(r["worst"])])
    header = [
        "candidate",
        "worst dimensions",
        "RMS",
        "p99",
        "max\\|Δ\\|",
        "bias",
        "limit",
        "÷ limit",
        "furthest off at",
    ]
    return "\n" + _table(header, rows)


def _findings(title: str, found: Sequence[Entry]) -> str:
    if not found:
        return ""
    lines = [f"### {title}", ""]
    for f in found[:_ROWS]:
        place = " ".join(markdown_code(f[k]) for k in ("candidate", "where") if f.get(k))
        mark = "🔮" if is_predicted(f) else _MARK.get(str(f.get("severity")), "")
        lines.append(
            f"- {mark} **{markdown(f.get('code'))}** {place}: {markdown(f.get('title'), 500)}".replace("  ", " ")
        )
        if f.get("remedy"):
            lines.append(f"  - what to do: {markdown(f['remedy'], 500)}")
        if f.get("waived"):
            lines.append(f"  - waived: {markdown(f['waived'], 500)}")
    return "\n".join(lines) + "\n" + _more(len(found), _ROWS)


def _baseline(report: Entry) -> str:
    lines = [f"- {markdown(line)}" for line in baseline_lines(report)]
    return "### Against the baseline\n\n" + "\n".join(lines) + "\n" if lines else ""


def _tested(report: Entry) -> str:
    artifacts = report.get("artifacts") or []
    rows = [
        [
            markdown(a.get("side") or ABSENT),
            markdown_code(a.get("path")),
            markdown(a.get("kind")),
            markdown_code(a.get("sha256")) or ABSENT,
            show(a.get("bytes")),
        ]
        for a in artifacts[:_ROWS]
    ]
    if not rows:
        return ""
    body = _table(["side", "artifact", "kind", "SHA-256", "bytes"], rows)
    return "### What was tested\n\n" + body + _more(len(artifacts), _ROWS)


def _environment(report: Entry) -> str:
    found = pairs(report["release"].get("environment") or {})
    rows = [[markdown_code(k), markdown(v)] for k, v in found[:_ROWS] if k]
    if not rows:
        return ""
    body = _table(["", "value"], rows)
    return f"<details><summary>Environment</summary>\n\n{body}\n</details>\n"
