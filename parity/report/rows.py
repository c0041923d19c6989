"""The table of comparisons: the worst rows as HTML, all of them as compact data for the page's script."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from parity.report.figures import ABSENT, number, show
from parity.report.text import clean
from parity.report.view import PROFILE_WORDS, Entry, limit_of, metric_units, place, ratio_of, values_of

if TYPE_CHECKING:
    from markupsafe import Markup

MAX_ROWS = 10_000  # that a browser is given; the rest is in report.json
SHOWN = 50  # that need no script, and that are printed
_TEXT = 1_500_000  # characters of all texts together, so that the page stays below 5 MB
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def table(ordered: Sequence[Entry], notes: Mapping[str, str]) -> dict[str, Any]:
    """Return what the template shows of the comparisons (worst first): rows, data, profiles, how many."""
    shown = ordered[:MAX_ROWS]
    profiles = sorted({str(c.get("profile")) for c in shown})
    return {
        "rows": [_row(c, notes) for c in ordered[:SHOWN]],
        "data": data(shown, notes) if len(shown) > 2 else None,
        "profiles": [(p, f"{p}: {PROFILE_WORDS[p]}" if p in PROFILE_WORDS else p) for p in profiles[:20]],
        "known": "; ".join(f"{p}: {PROFILE_WORDS[p]}" for p in profiles if p in PROFILE_WORDS),
        "total": f"{len(ordered):,}",
        "more": f"{len(ordered) - SHOWN:,}" if len(ordered) > SHOWN else "",
        "absent": f"{len(ordered) - MAX_ROWS:,}" if len(ordered) > MAX_ROWS else "",
    }


def _row(c: Entry, notes: Mapping[str, str]) -> dict[str, str]:
    values = values_of(c)
    return {
        "verdict": str(c.get("verdict")),
        "id": str(c.get("id")),
        "profile": str(c.get("profile") or ABSENT),
        "max_abs": f"{show(c.get('max_abs'))}{metric_units(c)}",
        "limit": show(limit_of(c)),
        "ratio": show(ratio_of(c), 2),
        "rel": show(c.get("rel")),
        "cosine": show(c.get("cosine_min"), 6),
        "where": place(c) or ABSENT,
        "values": " → ".join(values) if values else ABSENT,
        "note": notes.get(str(c.get("case")), ""),
        "reason": _reason(c),
    }


def _reason(c: Entry) -> str:
    # Going over budget, or keeping it, is what the numbers in the row say already.
    return "" if ratio_of(c) is not None else str(c.get("reason") or "")


def data(comparisons: Sequence[Entry], notes: Mapping[str, str]) -> Markup:
    """Return the rows as JSON that may stand inside a script element: texts once, numbers with 6 digits."""
    from markupsafe import Markup

    limit = max(40, min(2_000, _TEXT // max(3 * len(comparisons), 1)))
    texts: dict[str, int] = {}

    def text(value: str) -> int:
        return texts.setdefault(clean(value, limit), len(texts))

    rows = []
    for c in comparisons:
        r = _row(c, notes)
        rows.append(
            [
                text(r["verdict"]),
                text(r["profile"]),
                clean(r["id"], limit),
                _number(c.get("max_abs")),
                _number(limit_of(c)),
                _number(ratio_of(c)),
                _number(c.get("rel")),
                _number(c.get("cosine_min")),
                text(r["where"]),
                text(r["values"]),
                text(r["note"]),
                text(r["reason"]),
                text(metric_units(c).strip()),
            ]
        )
    document = json.dumps({"texts": list(texts), "rows": rows}, ensure_ascii=False, separators=(",", ":"))
    return Markup("".join(_ESCAPES.get(ch, ch) for ch in document))


def _number(value: Any) -> float | str | None:
    x = number(value)
    if x is None:
        return None
    if not math.isfinite(x):
        return "NaN" if math.isnan(x) else "Infinity" if x > 0 else "-Infinity"
    return int(value) if isinstance(value, int) and abs(x) < 1e15 else float(f"{x:.6g}")
