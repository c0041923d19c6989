"""What a terminal and a log are told of a replay: how much of it there was, each candidate, the worst dimensions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from parity.report.figures import ABSENT, show, times
from parity.report.replay_view import (
    Line,
    Replayed,
    Track,
    badness,
    in_units,
    measure_ratio,
    measured_at,
    measures_of,
    tally_of,
)
from parity.report.text import clean

if TYPE_CHECKING:
    from rich.table import Table

Entry = Mapping[str, Any]
Row = Sequence[str]

MAX_CAUSES = 8  # sentences that stand before the tables
MAX_LINES = 12  # dimensions of all candidates together
EACH = 3  # and at least so many of each that fails
_RIGHT: dict[str, Any] = {"justify": "right", "no_wrap": True}


def replay_words(report: Entry, replayed: Replayed) -> str:
    """Return how much was replayed and how it ended: ``7,000 frames of 20 episodes; 54 measures, 2 fail``."""
    return f"{replayed.words}; {tally_of(measures_of(report))}"


def causes_of(replayed: Replayed | None, findings: Sequence[Entry]) -> list[Entry]:
    """Return of each candidate that does not pass the finding that says why, from among ``findings``."""
    first = [next(iter(t.findings), None) for t in (replayed.tracks if replayed else ()) if t.verdict != "PASS"]
    wanted = {id(f) for f in first if f is not None and f.get("severity") == "error"}
    return [f for f in findings if id(f) in wanted][:MAX_CAUSES]


def candidate_rows(report: Entry) -> list[dict[str, str]]:
    """Return every candidate with the worst of its measures."""
    by_name: dict[str, list[Entry]] = {}
    for m in measures_of(report):
        by_name.setdefault(str(m.get("candidate")), []).append(m)
    rows = []
    for c in report.get("candidates") or []:
        own = by_name.get(str(c.get("name")), [])
        worst = min(own, key=badness, default=None)
        units = str((worst or {}).get("units") or "")
        rows.append(
            {
                "candidate": str(c.get("name") or ""),
                "runner": str(c.get("runner") or ABSENT),
                "precision": str(c.get("precision") or ABSENT),
                "verdict": str(c.get("verdict") or "NOT_JUDGED"),
                "measures": tally_of(own),
                "tally": tally_of(own).replace(" measures", "").replace(" measure", ""),
                "worst": measured_at(worst) if worst else ABSENT,
                "value": in_units((worst or {}).get("value"), units),
                "limit": show((worst or {}).get("limit")),
                "ratio": show(measure_ratio(worst), 2) if worst else ABSENT,
            }
        )
    return rows


def worst_lines(replayed: Replayed) -> list[tuple[Track, Line]]:
    """Return the worst dimensions of candidates that do not pass: about `MAX_LINES`, and `EACH` of each at least."""
    bad = [t for t in replayed.tracks if t.verdict != "PASS" and not t.sampled]
    each = max(EACH, MAX_LINES // max(len(bad), 1))
    return [(t, line) for t in bad[:MAX_LINES] for line in _failing(t)[:each]]


def _failing(track: Track) -> list[Line]:
    failing = [line for line in track.lines if line.verdict not in ("PASS", "")]
    return failing or list(track.lines[:1])


def dimension_row(track: Track, line: Line) -> dict[str, str]:
    """Return a dimension as short texts, in its units."""
    figures = line.figures
    return {
        "candidate": track.candidate,
        "dimension": line.name,
        "RMS": show(figures.get("rmse")),
        "p99": show(figures.get("p99_abs")),
        "max": in_units(figures.get("max_abs"), line.units),
        "bias": show(figures.get("bias")),
        "limit": show(figures.get("limit")),
        "ratio": show(line.ratio, 2),
        "worst": line.worst,
        "verdict": line.verdict or ABSENT,
    }


def candidate_columns(wide: bool) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Return key, title and options of the columns of the table of candidates."""
    more = [("runner", "runner", {"ratio": 2}), ("precision", "precision", {"ratio": 2})] if wide else []
    numbers = [("value", "value", _RIGHT), ("limit", "limit", _RIGHT)] if wide else []
    return [
        ("candidate", "candidate", {"ratio": 2}),
        *more,
        ("verdict", "verdict", {"no_wrap": True}),
        ("tally", "measures", {"ratio": 2}),
        ("worst", "worst", {"ratio": 3}),
        *numbers,
        ("ratio", "÷ limit", _RIGHT),
    ]


def dimension_columns(wide: bool) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Return key, title and options of the columns of the table of the worst dimensions."""
    some = [(k, k, _RIGHT) for k in ("RMS", "p99")] if wide else []
    more = [("bias", "bias", _RIGHT), ("limit", "limit", _RIGHT)] if wide else []
    place = [("worst", "furthest off at", {"ratio": 4})] if wide else []
    return [
        ("candidate", "candidate", {"ratio": 2}),
        ("dimension", "worst dimensions", {"ratio": 3}),
        *some,
        ("max", "max|Δ|", _RIGHT),
        *more,
        ("ratio", "÷ limit", _RIGHT),
        *place,
    ]


def replay_lines(report: Entry, replayed: Replayed) -> Iterator[str]:
    """Yield the lines for a log: each candidate's measures, and its worst dimensions."""
    dims = worst_lines(replayed)
    for row in candidate_rows(report):
        words = f"  replayed {clean(row['candidate'])}: {row['measures']}"
        if row["worst"] != ABSENT:
            ratio = f", {row['ratio']} × the limit" if row["ratio"] != ABSENT else ""
            words += f", worst {clean(row['worst'])}: {clean(row['value'])}{ratio}"
        yield words
        for track, line in dims:
            if track.candidate == row["candidate"]:
                yield f"    {clean(line.name)}: {_told(line)}"


def _told(line: Line) -> str:
    figures = line.figures
    parts = [f"{k} {in_units(figures.get(f), line.units)}" for k, f in (("RMS", "rmse"), ("max", "max_abs"))]
    parts += [f"bias {in_units(figures.get('bias'), line.units)}", times(line.ratio), f"at {line.worst}"]
    return clean(", ".join(p for p in parts if p), 300)


def table_of(
    columns: Sequence[tuple[str, str, Mapping[str, Any]]], rows: Sequence[Mapping[str, str]], style: Mapping[str, str]
) -> Table:
    """Return rows as a table of the terminal; ``style`` is that of the verdicts."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1), collapse_padding=True)
    for _, title, options in columns:
        table.add_column(title, overflow="fold", **options)
    for row in rows:
        cells = [(k, row[k]) for k, _, _ in columns]
        table.add_row(*(Text(clean(c, 120), style=style.get(c, "") if k == "verdict" else "") for k, c in cells))
    return table
