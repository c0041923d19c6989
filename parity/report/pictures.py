"""The section of `report.html` that shows each output: errors, their distribution, the worst cases, the sensitivity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from parity.report import draw_error, draw_worst
from parity.report.exhibit import Exhibit, Input, Worst, exhibits_of
from parity.report.figures import ABSENT, number, show
from parity.report.glance import profiles_of
from parity.report.view import Entry

if TYPE_CHECKING:
    from markupsafe import Markup

MAX_OUTPUTS = 12  # that are drawn: each takes about a second
_MAX_INPUTS = 24
_MAX_DIMENSIONS = 256


def outputs_shown(report: Entry) -> dict[str, Any]:
    """Return the exhibits as the template shows them: the worst outputs where there are too many to draw."""
    found = exhibits_of(report)
    chosen = sorted(sorted(range(len(found)), key=lambda i: -_off(found[i]))[:MAX_OUTPUTS])
    return {
        "outputs": [_output(report, found[i], f"p{n}") for n, i in enumerate(chosen)],
        "more": len(found) - len(chosen),
    }


def _off(e: Exhibit) -> float:
    grid = e.ratios or e.errors
    return max((v for v, _, _ in grid.cells()), default=0.0) if grid else 0.0


def _output(report: Entry, e: Exhibit, key: str) -> dict[str, Any]:
    grid = e.ratios or e.errors
    figures = [
        _figure(draw_error.draw_errors(e, f"{key}e"), draw_error.title_of(e), _how_to_read(e)),
        _figure(
            draw_error.draw_distribution(e, f"{key}d"),
            "Errors against floors and limits",
            "A pass keeps its errors left of the limits. Errors near the floor are rounding and nothing else.",
        ),
    ]
    return {
        "name": " / ".join(p for p in (e.candidate, e.stage, e.output) if p),
        "shape": f"{e.cases:,} cases, {_of(e.steps, 'time step')}, {_of(e.dimensions, 'dimension')}"
        + (f", in {e.units}" if e.units else ""),
        "words": draw_error.error_words(e, grid) if grid is not None and grid.cells() else "",
        "figures": [f for f in figures if f],
        "profiles": profiles_of(report, e.candidate, e.level, e.stage, e.output),
        "worst": [_worst(e, w, f"{key}w{i}") for i, w in enumerate(e.worst[:3])],
        "sensitivity": _sensitivity(e.sensitivity),
    }


def _of(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _figure(svg: Markup | None, title: str, note: str) -> dict[str, Any] | None:
    return {"svg": svg, "title": title, "note": note} if svg is not None else None


def _how_to_read(e: Exhibit) -> str:
    if e.ratios is None:
        return "No limit was set for this output element by element: the differences themselves are shown."
    if e.steps == 1:
        return "The line at 1 is the limit. A bar that crosses it is hatched."
    return "Brighter is worse; 1 is the limit. Cells over it have a black and white outline."


def _worst(e: Exhibit, w: Worst, key: str) -> dict[str, Any]:
    return {
        "case": w.case,
        "note": w.note,
        "verdict": w.verdict,
        "figure": _figure(draw_worst.draw_worst(e, w, key), draw_worst.title_of(e), ""),
        "words": draw_worst.worst_words(e, w, draw_worst.worst_dimensions(w)[:1]),
        "inputs": [_input(i) for i in w.inputs[:_MAX_INPUTS]],
        "more": max(len(w.inputs) - _MAX_INPUTS, 0),
    }


def _input(i: Input) -> dict[str, Any]:
    low, high = show(i.minimum, 4), show(i.maximum, 4)
    reach = f"constant {low}" if i.constant else "" if low == high == ABSENT else f"from {low} to {high}"
    values = ", ".join(_value(v) for v in i.values)
    return {
        "name": i.name,
        "what": ", ".join(p for p in (i.what, reach) if p),
        "values": values if i.values and not i.pictures and not i.constant else "",
        "pictures": [
            {
                "source": f"data:image/png;base64,{p.png}",
                "alt": f"{p.label}: input of this case, {p.width} × {p.height} pixels, values {low} to {high}",
                "label": p.label,
                "width": p.width,
                "height": p.height,
            }
            for p in i.pictures
        ],
    }


def _value(value: Any) -> str:
    return (
        str(value).lower() if isinstance(value, bool) else show(value, 4) if number(value) is not None else str(value)
    )


def _sensitivity(s: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if s is None:
        return None
    dimensions, sentences = s.get("dimensions"), s.get("sentences")
    rows = [_caught(d) for d in dimensions if isinstance(d, Mapping)] if isinstance(dimensions, list) else []
    return {
        "sentences": [str(x) for x in sentences[:50]] if isinstance(sentences, Sequence) else [],
        "not_computed": str(s.get("not_computed") or ""),
        "rows": rows[:_MAX_DIMENSIONS],
        "more": max(len(rows) - _MAX_DIMENSIONS, 0),
    }


def _caught(d: Mapping[str, Any]) -> dict[str, str]:
    informative = bool(d.get("informative"))
    return {
        "dimension": f"{show(d.get('dimension'))}{' ' + str(d['name']) if d.get('name') else ''}",
        "informative": "yes" if informative else "no: constant here",
        "offset": _smallest(d.get("offset")),
        "gain": _smallest(d.get("gain")),
        "sign": _fault(d.get("sign")),
        "swap": _fault(d.get("swap"), "with"),
        "shift": _fault(d.get("shift"), "steps"),
    }


def _smallest(value: Any) -> str:
    return "none" if number(value) is None else show(value)


def _fault(fault: Any, key: str = "") -> str:
    if not isinstance(fault, Mapping):
        return ABSENT
    told = {"with": "with {}", "steps": "by {}"}.get(key, "{}").format(show(fault.get(key))) if key in fault else ""
    missed = fault.get("missed")
    if isinstance(missed, list) and missed:
        told += f"; not with {', '.join(show(m) for m in missed[:8])}{', …' if len(missed) > 8 else ''}"
    ratio = f"{show(fault.get('ratio'), 2)} × the limit"
    return f"{'yes' if fault.get('caught') else 'NO'}: {ratio}{f' ({told})' if told else ''}"
