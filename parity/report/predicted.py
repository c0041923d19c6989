"""The section of `report.html` on what is predicted of float16: marked as such, apart from what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from parity.report.figures import ABSENT, show
from parity.report.view import Entry

FAMILY = "PRED"  # findings that are no evidence
WORD = "PREDICTED"
MAX_SHOWN, MAX_ROWS = 24, 40
KINDS = {
    "overflow": "overflows",
    "lost": "loses precision",
    "whole": "whole numbers run together",
    "vanishes": "vanishes",
    "subnormal": "loses digits: too small",
    "constant_overflow": "constant overflows",
    "constant_vanishes": "constant becomes 0",
}


def is_predicted(finding: Entry) -> bool:
    """Whether a finding is a prediction, and not evidence."""
    return str(finding.get("code")).startswith(FAMILY)


def measured_only(findings: Iterable[Entry]) -> list[Entry]:
    """Return the findings that are no predictions."""
    return [f for f in findings if not is_predicted(f)]


def predicted_only(findings: Iterable[Entry]) -> list[Entry]:
    """Return the findings that are predictions."""
    return [f for f in findings if is_predicted(f)]


def predictions_shown(report: Entry) -> list[dict[str, Any]]:
    """Return what the template shows of the report's ``predicted``, one entry for each candidate."""
    return [_prediction(p) for p in _list(report, "predicted")[:MAX_SHOWN]]


def _list(table: Entry, key: str) -> list[Entry]:
    value = table.get(key)
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list) else []


def _words(table: Entry, key: str) -> list[str]:
    value = table.get(key)
    return [str(v) for v in value] if isinstance(value, list) else []


def _prediction(p: Entry) -> dict[str, Any]:
    hazards, cases = _list(p, "hazards"), _words(p, "cases")
    return {
        "candidate": str(p.get("candidate") or ABSENT),
        "source": str(p.get("source")),
        "basis": str(p.get("basis")),
        "survives": "outputs survive" if p.get("survives") else "outputs do not survive",
        "words": f"{show(p.get('values'))} values, {len(cases)} cases ({', '.join(cases[:4])}"
        f"{', …' if len(cases) > 4 else ''})",
        "outputs": [_output(o) for o in _list(p, "outputs")[:MAX_ROWS]],
        "hazards": [_hazard(h) for h in hazards[:MAX_ROWS]],
        "more": max(len(hazards) - MAX_ROWS, 0),
        "keep": _words(p, "keep")[:MAX_ROWS],
    }


def _output(o: Entry) -> dict[str, str]:
    broken = f"{show(o.get('broken'))} elements NaN or infinite" if o.get("broken") else ""
    return {
        "name": str(o.get("output")),
        "max_abs": ABSENT if broken else show(o.get("max_abs")),
        "ratio": ABSENT if broken else show(o.get("ratio"), 2),
        "dimension": ABSENT if broken else show(o.get("dimension")),
        "case": str(o.get("case") or ABSENT),
        "said": broken or ("survives" if o.get("survives") else "does not survive"),
    }


def _hazard(h: Entry) -> dict[str, str]:
    return {
        "kind": KINDS.get(str(h.get("kind")), str(h.get("kind"))),
        "node": str(h.get("node")),
        "value": str(h.get("value")),
        "seen": show(h.get("seen")),
        "case": str(h.get("case") or ABSENT),
        "words": str(h.get("in_float16")),
    }
