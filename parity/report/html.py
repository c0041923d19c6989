"""`report.html`: the whole report in one file that asks for nothing outside itself.

It can be opened from a mail, a USB stick or a CI service's artifacts. Its one script sorts and filters the table of
comparisons; the page's own policy allows it by its hash, and no other. Without it all but the table's controls is
there.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.report.atomic import replace_file
from parity.report.baseline import baseline_lines, baseline_table
from parity.report.figures import ABSENT, pairs, short, show, times
from parity.report.first_screen import sides_of
from parity.report.glance import glances, outputs_of
from parity.report.measures import measures_shown
from parity.report.pictures import outputs_shown
from parity.report.predicted import measured_only, predicted_only, predictions_shown
from parity.report.replay_section import replay_shown
from parity.report.rows import table
from parity.report.stages_section import stages_shown
from parity.report.statistics import statistics_shown
from parity.report.text import clean
from parity.report.view import (
    VERDICT_WORDS,
    Entry,
    case_notes,
    compared_words,
    findings_of,
    headline,
    off_where,
    other_reasons,
    ratio_of,
    reproduce,
    tally_words,
    untold,
    worst_first,
)
from parity.stages import called

if TYPE_CHECKING:
    from markupsafe import Markup

MAX_BUDGETS = 200
MAX_REASONS = 16
MAX_TERMS = 100  # lines of one finding's evidence, or of the environment
MAX_TEXT = 2_000  # characters of one text: a tensor's name may be a megabyte
_FLOOR_WORDS = {
    "total": "floor",
    "scale": "scale of the dimension",
    "float64": "|float32 − float64|",
    "variants": "spread over variants",
    "terms": "terms that applied",
    "unstable": "unstable elements, left out",
    "elements": "elements",
}
_BUDGET_WORDS = {"source": "limit set by", "precision": "precision class", "rule": "limit"}


def html(report: Mapping[str, Any]) -> str:
    """Return the report as one HTML document. Every text from the report is escaped, hidden characters spelled out."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("parity.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    return environment.get_template("report.html.j2").render(page(report))


def write_html(report: Mapping[str, Any], path: Path) -> None:
    """Write `html` of ``report`` to ``path``, complete or not at all.

    Raises:
        OutputError: the folder cannot be written or the disk is full.
    """
    replace_file(path, html(report).encode("utf-8"))


def _visible(value: Any) -> Any:
    from markupsafe import Markup

    return value if isinstance(value, Markup) else clean(value, MAX_TEXT)


def page(report: Entry) -> dict[str, Any]:
    """Return all that the template shows, as plain strings and lists."""
    release = report["release"]
    scope = release.get("scope") or {}
    comparisons = report["comparisons"]
    ordered = worst_first(comparisons)
    notes = case_notes(report)
    script = _script()
    return {
        "verdict": str(report["verdict"]),
        "meaning": VERDICT_WORDS.get(str(report["verdict"]), ""),
        "headline": headline(report),
        "reasons": _reasons(report),
        "worst": _worst_words(ordered, notes),
        "name": release.get("name"),
        "created": str(release.get("created") or ABSENT).replace("T", " ").replace("+00:00", " UTC"),
        "seed": show(release.get("seed")) if release.get("seed") is not None else ABSENT,
        "scope": _scope(scope),
        "tally": compared_words(report),
        "sides": sides_of(report),
        "artifacts": [_artifact(a) for a in report["artifacts"]],
        "candidates": [_candidate(report, g) for g in glances(report)],
        "findings": [_finding(f) for f in measured_only(findings_of(report))],
        "predictions": predictions_shown(report),
        "predicted_findings": [_finding(f) for f in predicted_only(findings_of(report))],
        "waived": [_finding(f) for f in findings_of(report, waived=True)],
        "exhibits": outputs_shown(report),
        "stages": stages_shown(report),
        "replay": replay_shown(report),
        "statistics": statistics_shown(report),
        "table": table(ordered, notes),
        "script": script,
        "script_hash": f"sha256-{b64encode(sha256(script.encode()).digest()).decode()}",
        "measures": measures_shown(report["measures"]),
        "baseline": baseline_lines(report, tabled=True),
        "moved": baseline_table(report),
        "budgets": _budgets(report),
        "environment": _terms(release.get("environment")),
        "commands": reproduce(report),
    }


def _reasons(report: Entry) -> list[str]:
    found = other_reasons(report)
    left = len(found) - MAX_REASONS
    return [*found[:MAX_REASONS], f"… and {left:,} more: see Findings"] if left > 0 else found


def _script() -> Markup:
    """Return the page's script. It is parity's own text: nothing of a report is ever put into it."""
    from markupsafe import Markup

    text = files("parity.report").joinpath("templates", "report.js").read_text(encoding="utf-8")
    return Markup(text)


def _terms(value: Any) -> list[tuple[str, str]]:
    """Return nested plain data as lines of key and value, bounded."""
    found = [(k, v) for k, v in pairs(value or {}) if k]
    left = len(found) - MAX_TERMS
    return [*found[:MAX_TERMS], ("…", f"{left} more in report.json")] if left > 0 else found


def _worst_words(ordered: Sequence[Entry], notes: Mapping[str, str]) -> str:
    if not ordered:
        return ""
    c = ordered[0]
    note = f" ({notes[case]})" if (case := str(c.get("case"))) in notes else ""
    return f"{c.get('candidate')}/{called(str(c.get('output')), c.get('stage'))} in {case}{note}: {off_where(c)}"


def _scope(scope: Mapping[str, Any]) -> str:
    planned, selected = show(scope.get("planned")), show(scope.get("selected"))
    return "" if planned == selected else f"only {selected} of {planned} planned comparisons were selected"


def _artifact(a: Entry) -> dict[str, str]:
    return {
        "side": str(a.get("side") or ABSENT),
        "path": str(a.get("path")),
        "kind": str(a.get("kind")),
        "sha256": str(a.get("sha256") or "no hash: nothing to read"),
        "bytes": show(a.get("bytes")),
    }


def _candidate(report: Entry, g: Any) -> dict[str, Any]:
    return {
        "name": g.name,
        "runner": g.runner,
        "precision": g.precision,
        "verdict": g.verdict,
        "reasons": untold(g.reasons, report),
        "tally": g.tally,
        "worst": g.words,
        "outputs": [
            {
                "level": level,
                "name": output,
                "tally": tally_words(counts),
                "max_abs": show(worst.get("max_abs")),
                "ratio": show(ratio_of(worst), 2),
                "verdict": "FAIL" if counts["FAIL"] else "NOT_JUDGED" if counts["NOT_JUDGED"] else "PASS",
            }
            for level, output, counts, worst in outputs_of(report, g.name)
        ],
    }


def _finding(f: Entry) -> dict[str, Any]:
    return {
        "code": str(f.get("code")),
        "severity": str(f.get("severity")),
        "place": ", ".join(dict.fromkeys(str(f[k]) for k in ("candidate", "where") if f.get(k))),
        "title": str(f.get("title")),
        "detail": str(f.get("detail") or ""),
        "remedy": str(f.get("remedy") or ""),
        "waived": short(f["waived"]) if f.get("waived") else "",
        "evidence": _terms(f.get("evidence")),
        "evidence_of": str(f.get("evidence_of") or ""),
    }


def _budgets(report: Entry) -> list[dict[str, Any]]:
    """Return how the limit of each output was derived, shown at its worst comparison."""
    out = []
    for g in glances(report):
        for level, output, _, worst in outputs_of(report, g.name, stages=True):
            terms = [(_FLOOR_WORDS.get(k, f"floor: {k}"), v) for k, v in pairs(worst.get("floor") or {}) if k]
            terms += [(_BUDGET_WORDS.get(k, f"budget: {k}"), v) for k, v in pairs(worst.get("budget") or {}) if k]
            if worst.get("limit"):
                terms.append(("limit on |Δ|", short(worst["limit"])))
            name = f"{g.name} / {level} / {output}"
            out.append({"name": name, "case": str(worst.get("case")), "terms": terms, "ratio": times(ratio_of(worst))})
    return out[:MAX_BUDGETS]
