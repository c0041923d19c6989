"""The table on an output that is a class: which frames flip, how often each side is right, how sure it says it is."""

from __future__ import annotations

from typing import Any

from parity.report.figures import ABSENT, number, show
from parity.report.replay_view import Track, mapping, sequence

LISTED = 5


def classes_of(t: Track) -> dict[str, Any] | None:
    """Return the table of a track whose output is a class, None of another."""
    shown = t.exhibit("classifier", "classes")
    if not shown:
        return None
    sides = [(name, mapping(shown.get(name))) for name in ("reference", "candidate")]
    rows = [[name, _share(side.get("accuracy")), show(side.get("ece"))] for name, side in sides]
    words = f"The class is the same in {_share(shown.get('agreement'))} of {show(shown.get('frames'))} frames; "
    words += f"{show(shown.get('flips beyond rounding'))} flip by more than rounding. "
    words += f"{show(shown.get('labelled'))} frames have a recorded class."
    examples = [sequence(e) for e in sequence(shown.get("examples"))[:LISTED]]
    if examples:
        words += (
            " Clearest: " + "; ".join(f"{e[0]} ({show(e[1])} → {show(e[2])})" for e in examples if len(e) == 3) + "."
        )
    header = ["side", "right about the recorded class", "calibration error"]
    return {"title": "Classes", "words": words, "header": header, "rows": rows, "text": 1}


def _share(value: Any) -> str:
    known = number(value)
    return ABSENT if known is None else f"{100 * known:.1f} %"
