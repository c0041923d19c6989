"""Numbers and plain data of a report, in the words and figures that people read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

ABSENT = "–"
_ITEMS = 8  # of a list that are shown


def number(value: Any) -> float | None:
    """Return a number of the report, the strings of numbers that are not finite included; None where it is none."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        return {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}.get(value)
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def show(value: Any, digits: int = 3) -> str:
    """Return a number as people read it: ``1.2e-05``, ``0.41``, ``12,800``, ``NaN``; a dash where there is none."""
    x = number(value)
    if x is None:
        return ABSENT
    if not math.isfinite(x):
        return "NaN" if math.isnan(x) else "∞" if x > 0 else "-∞"
    if isinstance(value, int) and abs(x) < 1e15:
        return f"{value:,}"
    if abs(x) >= 1000 and abs(x) < 1e6:
        return f"{x:,.0f}"
    text = f"{x:.{digits}g}"
    return f"{x:,.0f}" if "e+" in text and abs(x) < 1e6 else text  # 740, not 7.4e+02


def times(ratio: Any) -> str:
    """Return how many limits a difference is: ``0.26 × the limit``, ``34,000 × the limit``."""
    x = number(ratio)
    return "" if x is None else f"{show(x, 2)} × the limit"


def pairs(value: Any, prefix: str = "", depth: int = 0) -> list[tuple[str, str]]:
    """Return nested plain data as lines of (dotted key, short value), for evidence, environment and budgets."""
    if isinstance(value, Mapping) and depth < 4:
        return [p for k, v in value.items() for p in pairs(v, f"{prefix}.{k}" if prefix else str(k), depth + 1)]
    if isinstance(value, list | tuple) and value and all(isinstance(v, Mapping) for v in value):
        more = [(prefix, f"… {len(value) - _ITEMS} more")] if len(value) > _ITEMS else []
        return [*((f"{prefix}[{i}]", short(v)) for i, v in enumerate(value[:_ITEMS])), *more]
    return [(prefix, short(value))]


def short(value: Any, items: int = _ITEMS) -> str:
    """Return a JSON value as a few words: long lists end in how many more there are."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return show(value, 4)
    if isinstance(value, Sequence) and not isinstance(value, str):
        more = f" … {len(value) - items} more" if len(value) > items else ""
        return ", ".join(short(v) for v in value[:items]) + more
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {short(v)}" for k, v in list(value.items())[:items])
    return ABSENT if value is None else str(value)
