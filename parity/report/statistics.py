"""The section of `report.html` on normalization statistics: who agrees with whom, and stored against the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from parity.report.draw_coverage import draw_coverage
from parity.report.figures import ABSENT, number, show
from parity.report.view import Entry

WORDS = {"SAME": "same", "DRIFT": "drift", "CONFLICT": "conflict"}
RANK = ("SAME", "DRIFT", "CONFLICT")
MAX_SOURCES, MAX_PAIRS, MAX_ROWS, MAX_DRAWN, MAX_LINES = 24, 100, 40, 8, 64


def statistics_shown(report: Entry) -> dict[str, Any] | None:
    """Return what the template shows of the report's ``stats``; None where statistics were not asked for."""
    stats = report.get("stats")
    if not isinstance(stats, Mapping):
        return None
    sources, pairs = _list(stats, "sources"), _list(stats, "agreement")
    rows = _list(stats, "recomputed")
    return {
        "sources": [_source(i, s) for i, s in enumerate(sources, 1)],
        "matrix": _matrix(sources, stats.get("matrix"), pairs),
        "words": _words(sources, pairs),
        "pairs": [_pair(p) for p in _worst_first(pairs)[:MAX_PAIRS]],
        "more_pairs": max(len(pairs) - MAX_PAIRS, 0),
        "stored": [
            _stored(r, f"s{i}" if i < MAX_DRAWN else "") for i, r in enumerate(_uncovered_first(rows)[:MAX_ROWS])
        ],
        "more_stored": max(len(rows) - MAX_ROWS, 0),
    }


def _list(table: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = table.get(key)
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list) else []


def _source(place: int, s: Entry) -> dict[str, Any]:
    taken = s.get("taken_from")
    how = {"bits": "bit for bit", "float32": "rounded to float32"}
    features = _list(s, "features")
    modes = sorted({str(f["mode"]) for f in features if f.get("mode")})
    return {
        "number": place,
        "label": str(s.get("label")),
        "kind": str(s.get("kind")),
        "sha256": str(s.get("sha256") or "")[:12],
        "features": len(features),
        "modes": ", ".join(modes) or ABSENT,
        "taken": f"those of {taken.get('source')}, {how.get(str(taken.get('equal')), '')}"
        if isinstance(taken, Mapping)
        else "",
        "odd": ", ".join(map(str, s["odd_in"])) if s.get("odd_in") else "",
    }


def _gap(pair: Entry) -> float:
    gap = number(pair.get("max_gap"))
    return float("inf") if gap is None else gap


def _worst_first(pairs: Sequence[Entry]) -> list[Entry]:
    return sorted(
        pairs, key=lambda p: (-RANK.index(str(p.get("verdict"))) if p.get("verdict") in RANK else 1, -_gap(p))
    )


def _matrix(sources: Sequence[Entry], matrix: Any, pairs: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return a row for each source: its label, and for each source before it the worst verdict and gap of the two."""
    n = min(len(sources), MAX_SOURCES)
    if n < 2 or not isinstance(matrix, list):
        return []
    gaps: dict[frozenset[str], float] = {}
    for p in pairs:
        key = frozenset((str(p.get("a")), str(p.get("b"))))
        gaps[key] = max(gaps.get(key, 0.0), _gap(p))
    labels = [str(s.get("label")) for s in sources]
    rows = []
    for i in range(n):
        cells = []
        for j in range(n):
            verdict = _at(matrix, i, j)
            gap = gaps.get(frozenset((labels[i], labels[j])))
            cells.append(
                {
                    "word": _cell_word(verdict, same=i == j),
                    "kind": WORDS.get(str(verdict), "none"),
                    "gap": _of_range(gap) if verdict and gap is not None else "",
                }
            )
        rows.append({"number": i + 1, "label": labels[i], "cells": cells})
    return rows


def _at(matrix: list[Any], i: int, j: int) -> Any:
    row = matrix[i] if i < len(matrix) else None
    return row[j] if isinstance(row, list) and j < len(row) else None


def _cell_word(verdict: Any, *, same: bool) -> str:
    return "" if same else WORDS.get(str(verdict), "nothing in common")


def _of_range(gap: float) -> str:
    return (
        "cannot be measured" if gap == float("inf") else f"{show(100 * gap, 2)} %" if gap < 10 else f"{show(gap, 2)} ×"
    )


def _words(sources: Sequence[Entry], pairs: Sequence[Entry]) -> str:
    features = {str(p.get("feature")) for p in pairs}
    counts = {v: len({str(p.get("feature")) for p in pairs if p.get("verdict") == v}) for v in RANK}
    if not pairs:
        return "Nothing was compared: the sources have no feature in common." if len(sources) > 1 else ""
    odd = [str(s.get("label")) for s in sources if s.get("odd_in")]
    told = f"{len(sources)} sources, {len(features)} feature{'' if len(features) == 1 else 's'} compared"
    told += f": {counts['CONFLICT']} in conflict" if counts["CONFLICT"] else ": none in conflict"
    told += f", {counts['DRIFT']} drifted" if counts["DRIFT"] else ""
    return f"{told}.{f' The odd one out is {odd[0]}.' if len(odd) == 1 else ''}"


def _pair(p: Entry) -> dict[str, str]:
    values, index = p.get("values"), p.get("index")
    where = (
        f"{p.get('statistic')}[{', '.join(map(show, index))}]" if isinstance(index, list) and p.get("statistic") else ""
    )
    told = " and ".join(show(v, 5) for v in values) if isinstance(values, list) else str(p.get("reason") or "")
    return {
        "verdict": str(p.get("verdict")),
        "kind": WORDS.get(str(p.get("verdict")), "none"),
        "feature": str(p.get("feature")),
        "a": str(p.get("a")),
        "b": str(p.get("b")),
        "gap": _of_range(_gap(p)),
        "where": where,
        "values": told,
    }


def _outside(r: Entry) -> list[float]:
    shares = r.get("outside")
    return [number(s) or 0.0 for s in shares] if isinstance(shares, list) else []


def _uncovered_first(rows: Sequence[Entry]) -> list[Entry]:
    return sorted(rows, key=lambda r: -(max(_outside(r), default=0.0) - (number(r.get("expected")) or 0.0)))


def _stored(r: Entry, key: str) -> dict[str, Any]:
    outside, ends = _outside(r), r.get("ends")
    low, high = (str(e) for e in ends[:2]) if isinstance(ends, list) and len(ends) > 1 else ("", "")
    expected = number(r.get("expected")) or 0.0
    worst = max(range(len(outside)), key=lambda i: outside[i]) if outside else 0
    words = (
        f"{low} to {high} becomes -1 to 1; {outside[worst]:.2%} of the values of dimension {worst} lie outside, "
        f"the most of all; {expected:.0%} should."
        if outside
        else "How much of the data the stored range covers cannot be told."
    )
    return {
        "source": str(r.get("source")),
        "feature": str(r.get("feature")),
        "mode": str(r.get("mode") or ""),
        "words": words,
        "figure": draw_coverage(r, outside, key, words) if key else None,
        "lines": _lines(r, outside),
    }


def _lines(r: Entry, outside: Sequence[float]) -> dict[str, Any]:
    """Return the table of a feature: a line for each dimension, a pair of columns for each statistic."""
    names = [str(n) for n in r["statistics"]] if isinstance(r.get("statistics"), list) else []
    stored, again = r.get("stored"), r.get("recomputed")
    columns = (
        list(zip(names, stored, again, strict=False)) if isinstance(stored, list) and isinstance(again, list) else []
    )
    columns = [c for c in columns if isinstance(c[1], list) and isinstance(c[2], list)]
    depth = min(max((len(c[1]) for c in columns), default=0), MAX_LINES)
    lines = [
        [
            show(i),
            *(show(v[i], 5) if i < len(v) else "" for _, s, a in columns for v in (s, a)),
            f"{outside[i]:.2%}" if i < len(outside) else ABSENT,
        ]
        for i in range(depth)
    ]
    return {"names": [c[0] for c in columns], "rows": lines}
