"""The `edge` profile: inputs at and beyond the ends of what is known, and one feature at a time.

Numbers 0 to 15 are kept for whole cases (a number whose case says nothing about a policy is left out, the others stay):

==  ==============================================  ==  ==========================================
 0  zeros                                            6  the constant 1
 1  every element at its centre                      7  the constant −1
 2  every element at the low end of its range        8  denormals (1e-40)
 3  every element at the high end                    9  images black, all else at its centre
 4  10 % of the range below the low end             10  images saturated, all else at its centre
 5  10 % of the range above the high end            11  recurrent state within ±1, all else at its centre
==  ==============================================  ==  ==========================================

From 16 on, each element of the state-like inputs alone is at its upper end (1 above its centre where no range is known,
or the range has no width), all else at its centre: in the order of the inputs, then of the elements.
Masks are all valid but in number 2 (one valid element); integers never leave their range.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from parity.cases import hashing
from parity.cases.dtypes import FLOATS, cast, denormal
from parity.cases.layout import Layout
from parity.cases.spread import Floats, Spread
from parity.finding import Finding

if TYPE_CHECKING:
    from parity.tensor import Array

FIRST_FEATURE = 16
MAX_FEATURES = 256
OUTSIDE = 0.1

_STATE_LIKE = ("state", "environment_state", "action", None)


@dataclass(frozen=True, slots=True)
class Edge:
    """One edge row: its number, what it is in words, and the row of each input ``(*row_shape)``."""

    number: int
    note: str
    rows: Mapping[str, Array]


Inputs = Sequence[tuple[Layout, Spread]]


def edges(inputs: Inputs, seed: int) -> tuple[list[Edge], list[Finding]]:
    """Return the edge rows, none twice, and a finding where features had to be left out (CASE003)."""
    centre = {x.name: _row(x, s, "centre") for x, s in inputs}
    made = list(_whole(inputs, centre, seed))
    features, findings = _chosen_features(inputs)
    for number, (position, flat) in features:
        layout, spread = inputs[position]
        row, note = _single(layout, spread, centre[layout.name], flat)
        made.append(Edge(number, note, {**centre, layout.name: row}))
    return list(_distinct(made)), findings


def _whole(inputs: Inputs, centre: dict[str, Array], seed: int) -> Iterator[Edge]:
    words = {
        "zero": "every element zero",
        "centre": "every element at its centre",
        "low": "every element at the low end of its range",
        "high": "every element at the high end of its range",
        "below": "every element 10 % of its range below the low end",
        "above": "every element 10 % of its range above the high end",
        "one": "every element 1",
        "minus one": "every element −1",
        "denormal": "every element denormal",
    }
    for number, (what, note) in enumerate(words.items()):
        yield Edge(number, note, centre if what == "centre" else {x.name: _row(x, s, what) for x, s in inputs})
    images = [(x, s) for x, s in inputs if x.role == "image"]
    for number, what, word in ((9, "black", "black"), (10, "white", "saturated")):
        if images:
            note = f"images {word}, all else at its centre"
            yield Edge(number, note, centre | {x.name: _row(x, s, what) for x, s in images})
    hidden = [(x, s) for x, s in inputs if x.role == "hidden_state" and x.dtype in FLOATS]
    if hidden:
        drawn = {x.name: _drawn_hidden(x, s, seed) for x, s in hidden}
        yield Edge(11, "recurrent state within its range, all else at its centre", centre | drawn)


def _row(layout: Layout, spread: Spread, what: str) -> Array:
    """Return one row of one input, ``(*row_shape)``."""
    return cast(np.array(np.broadcast_to(_level(layout, spread, what), layout.row_shape)), layout.dtype)


def _level(layout: Layout, spread: Spread, what: str) -> Floats:
    if spread.kind == "mask":
        prefix = np.ones(layout.row_shape)
        if what == "low" and layout.row_shape:
            prefix[..., 1:] = 0.0
        return prefix
    width = spread.high - spread.low
    levels = {
        "centre": spread.centre,
        "low": spread.low,
        "high": spread.high,
        "below": spread.low - OUTSIDE * width,
        "above": spread.high + OUTSIDE * width,
        "black": np.minimum(spread.low, 0.0),
        "white": np.maximum(spread.high, 255.0 if float(spread.high.max()) > 2.0 else 1.0),
    }
    fixed = {"zero": 0.0, "one": 1.0, "minus one": -1.0, "denormal": denormal(layout.dtype)}
    level: Floats = levels[what] if what in levels else np.asarray(fixed[what])
    if layout.dtype in FLOATS and layout.role not in ("tokens", "timestep"):
        return level
    whole = np.trunc(level) if spread.kind == "integers" else level
    return np.asarray(np.clip(whole, spread.low, spread.high))


def _drawn_hidden(layout: Layout, spread: Spread, seed: int) -> Array:
    keys = [hashing.key(seed, "edge", 11, 0, layout.name)]
    u = hashing.uniform(hashing.bits(keys, layout.row_shape))[0]
    return cast(np.asarray(spread.low + u * (spread.high - spread.low)), layout.dtype)


def _chosen_features(inputs: Inputs) -> tuple[list[tuple[int, tuple[int, int]]], list[Finding]]:
    """Return (number, (which input, which element)) of at most ``MAX_FEATURES`` elements, evenly chosen."""
    sizes = [int(np.prod(x.row_shape, dtype=np.int64)) if _state_like(x, s) else 0 for x, s in inputs]
    total = sum(sizes)
    count = min(total, MAX_FEATURES)
    starts = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
    features = []
    for k in range(count):
        at = k * total // count
        position = next(i for i in range(len(sizes)) if starts[i] <= at < starts[i + 1])
        features.append((FIRST_FEATURE + k, (position, at - starts[position])))
    if total <= MAX_FEATURES:
        return features, []
    title = f"one feature at a time: {MAX_FEATURES} of {total} elements, evenly chosen, get a case of their own"
    evidence = {"elements": total, "cases": MAX_FEATURES}
    return features, [Finding("CASE003", "info", title, evidence=evidence)]


def _state_like(layout: Layout, spread: Spread) -> bool:
    return layout.role in _STATE_LIKE and spread.kind != "mask"


def _single(layout: Layout, spread: Spread, centre: Array, flat: int) -> tuple[Array, str]:
    at = np.unravel_index(flat, layout.row_shape) if layout.row_shape else ()
    shape = layout.row_shape
    low, high, middle = (float(np.broadcast_to(v, shape)[at]) for v in (spread.low, spread.high, spread.centre))
    ends = spread.known and high > max(low, middle)
    value = high if ends else middle + 1.0
    row = centre.copy()
    row[at] = cast(np.array(value), layout.dtype)
    names = layout.spec.elements
    named = f" ({names[at[-1]]})" if names and at and len(names) == shape[-1] else ""
    place = f"{layout.name}[{', '.join(str(int(i)) for i in at)}]{named}" if at else layout.name
    return row, f"{place} at {'its upper end' if ends else 'its centre + 1:'} {value:g}, all else at its centre"


def _distinct(made: Sequence[Edge]) -> Iterator[Edge]:
    """Leave out a case that has the same bytes as an earlier one (zeros and centres, where no range is known)."""
    seen: set[tuple[bytes, ...]] = set()
    cache: dict[int, bytes] = {}
    for edge in made:
        parts = tuple(cache.setdefault(id(r), _digest(r)) for r in edge.rows.values())
        if parts not in seen:
            seen.add(parts)
            yield edge


def _digest(row: Array) -> bytes:
    import hashlib

    return hashlib.sha256(row.tobytes()).digest()
