"""The table of measures in `report.html`: what does not pass first, the rest folded, all of it in `report.json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parity.report.figures import ABSENT, number, show
from parity.report.replay_view import Entry, badness, tally_of

MAX_MEASURES, MAX_BAD_MEASURES = 300, 40  # in all, and of those that do not pass before the rest is folded
FEW = 8  # that are shown where all pass


def measures_shown(measures: Sequence[Entry]) -> dict[str, Any]:
    """Return the measures, worst first: those that do not pass, and folded the others, as far as there is room."""
    ordered = sorted(measures, key=badness)
    bad = sum(m.get("verdict") != "PASS" for m in ordered)
    few = len(ordered) <= MAX_BAD_MEASURES
    first = ordered if few else ordered[: min(max(bad, FEW), MAX_BAD_MEASURES)]
    folded = ordered[len(first) : MAX_MEASURES]
    left = len(ordered) - len(first) - len(folded)
    more = f" {left:,} of them are in report.json only." if left > 0 else ""
    return {
        "words": f"{tally_of(measures)}, worst first.{more}",
        "rows": [_measure(m) for m in first],
        "folded": [_measure(m) for m in folded],
    }


def _measure(m: Entry) -> dict[str, str]:
    low, high = (m.get("interval") or [None, None])[:2]
    units = f" {m['units']}" if m.get("units") else ""
    return {
        "verdict": str(m.get("verdict")),
        "id": str(m.get("id")),
        "value": show(m.get("value")) + units,
        "interval": ABSENT if number(low) is None else f"{show(low)} … {show(high)}",
        "limit": show(m.get("limit")),
        "n": show(m.get("n")),
        "reason": str(m.get("reason") or ""),
    }
