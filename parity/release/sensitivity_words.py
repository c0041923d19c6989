"""What the limits would have caught, in at most six sentences, most useful first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from parity.compare.sensitivity import Caught

MOST = 6
_LISTED = 3
_NAME = 60  # characters of a joint's name

Dimensions = Sequence[Mapping[str, Any]]


def sentences(dimensions: Dimensions, caught: Caught, units: str | None, noun: str, aside: Sequence[str]) -> list[str]:
    """Return the sentences.

    Args:
        dimensions: figures of every action dimension, as in the report.
        caught: what they were made from.
        units: of the output, where known.
        noun: ``joint`` or ``dimension``.
        aside: sentences about how this was worked out; they come last.
    """
    found = [
        _amount(dimensions, "offset", "a bias above {}", lambda x: f"{above(x)} {units}" if units else above(x), noun),
        _sign(dimensions, noun),
        _swap(dimensions, noun),
        _shift(caught),
        _amount(dimensions, "gain", "a gain off by more than {}", lambda x: f"{above(100 * x)} %", noun),
        _still(dimensions, noun),
    ]
    kept = [s for s in found if s]
    return [*kept[: MOST - len(aside)], *aside]


def above(x: float) -> str:
    """Return ``x`` with two digits, rounded up: what is said of it stays true."""
    if x <= 0:
        return "0"
    step = 10.0 ** (math.floor(math.log10(x)) - 1)
    return f"{math.ceil(x / step * (1 - 1e-9)) * step:.2g}"


def label(dimension: Mapping[str, Any], noun: str) -> str:
    """Return ``joint 3 (left_knee)``, or ``joint 3`` where it has no name."""
    name = dimension["name"]
    if name is None:
        return f"{noun} {dimension['dimension']}"
    short = name if len(name) <= _NAME else name[: _NAME - 1] + "…"
    return f"{noun} {dimension['dimension']} ({short})"


def _some(dimensions: Dimensions, noun: str) -> str:
    more = len(dimensions) - _LISTED
    told = ", ".join(label(d, noun) for d in dimensions[:_LISTED])
    return f"{told} and {more} more" if more > 0 else told


def _except(dimensions: Dimensions, noun: str) -> str:
    return f", except on {_some(dimensions, noun)}" if dimensions else ""


def _amount(dimensions: Dimensions, key: str, fault: str, told: Any, noun: str) -> str:
    seen = [d for d in dimensions if isinstance(d[key], int | float)]
    if not seen:
        return f"{fault.split(' ', 2)[0]} {fault.split(' ', 2)[1]} would not have failed, however large"
    least = max(seen, key=lambda d: d[key])
    text = fault.format(told(least[key]))
    if len(dimensions) == 1:
        return f"{text} would have failed"
    unseen = [d for d in dimensions if d not in seen]
    worst = f"; the least sensitive is {label(least, noun)}"
    return f"{text} on any one {noun} would have failed{_except(unseen, noun)}{worst}"


def _sign(dimensions: Dimensions, noun: str) -> str:
    missed = [d for d in dimensions if not d["sign"]["caught"]]
    if len(missed) == len(dimensions):
        return "no flipped sign would have failed" if len(dimensions) > 1 else "a flipped sign would not have failed"
    return f"{'any one sign' if len(dimensions) > 1 else 'a sign'} flipped would have failed{_except(missed, noun)}"


def _swap(dimensions: Dimensions, noun: str) -> str:
    if any(d["swap"] is None for d in dimensions):
        return ""
    missed = [(d["dimension"], j) for d in dimensions for j in d["swap"]["missed"] if j > d["dimension"]]
    if len(missed) == len(dimensions) * (len(dimensions) - 1) // 2:
        return f"no swap of two {noun}s would have failed"
    told = ", ".join(f"{a} with {b}" for a, b in missed[:_LISTED])
    more = f" and {len(missed) - _LISTED} more" if len(missed) > _LISTED else ""
    return f"every swap of two {noun}s would have failed" + (f", except {told}{more}" if missed else "")


def _shift(caught: Caught) -> str:
    if caught.chunk is None:
        return ""
    steps, ratio = caught.chunk
    of = f"{steps} step{'s' if steps != 1 else ''}"
    if not ratio > 1.0:
        return f"a chunk shifted by {of} would not have failed"
    not_by = f", by {steps // 2} not" if steps > 1 else ""
    return f"a chunk shifted by {of} would have failed{not_by}"


def _still(dimensions: Dimensions, noun: str) -> str:
    """Name the dimensions that hardly moved, with what would have failed on them; those with the same list together."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for d in dimensions:
        if not d["informative"]:
            groups.setdefault(_only(d, len(dimensions)), []).append(d)
    if not groups:
        return ""
    what, who = max(groups.items(), key=lambda item: len(item[1]))
    return f"{_some(who, noun)} moved by less than 4 limits: {what}"


def _only(d: Mapping[str, Any], width: int) -> str:
    told = ["an offset"] * (d["offset"] is not None) + ["a gain"] * (d["gain"] is not None)
    told += ["a flipped sign"] * d["sign"]["caught"]
    told += ["a swap"] * bool(d["swap"] and len(d["swap"]["missed"]) < width - 1)
    told += ["a shift"] * bool(d["shift"] and d["shift"]["caught"])
    if not told:
        return "nothing on it would have failed"
    if len(told) == 1:
        return f"nothing on it but {told[0]} would have failed"
    return f"on it only {', '.join(told[:-1])} or {told[-1]} would have failed"
