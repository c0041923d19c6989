"""The report's ``exhibits``, read as values that can be drawn; what is missing or malformed is absent."""

from __future__ import annotations

import binascii
import math
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from parity.report.figures import number

_PNG = b"\x89PNG\r\n\x1a\n"
_MAX_PICTURE = 400_000  # characters of one input picture


@dataclass(frozen=True, slots=True)
class Grid:
    """Numbers by time step and action dimension, NaN where there is none; a stride > 1 pooled neighbours."""

    rows: tuple[tuple[float, ...], ...]
    step_stride: int
    dimension_stride: int

    def cells(self) -> list[tuple[float, int, int]]:
        """Return (value, row, column) of every cell that has a number."""
        return [(v, t, d) for t, row in enumerate(self.rows) for d, v in enumerate(row) if not math.isnan(v)]


@dataclass(frozen=True, slots=True)
class Distribution:
    """Counts of errors, floors and limits in bins whose edges are powers of ten; ``zero`` errors are exactly 0."""

    edges: tuple[float, ...]
    error: tuple[float, ...]
    floor: tuple[float, ...]
    limit: tuple[float, ...]
    zero: int


@dataclass(frozen=True, slots=True)
class Picture:
    png: str
    width: int
    height: int
    label: str


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a case: what it is, its range, its first values, and pictures of it where it is one."""

    name: str
    what: str
    minimum: Any
    maximum: Any
    constant: bool
    values: tuple[Any, ...]
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class Worst:
    """One of the worst cases: both outputs as `Grid`, the limit of each dimension, the inputs."""

    comparison: str
    case: str
    note: str
    verdict: str
    reference: Grid
    candidate: Grid
    limit: tuple[float, ...] | None
    inputs: tuple[Input, ...]


@dataclass(frozen=True, slots=True)
class Exhibit:
    """What can be shown of one output of one candidate."""

    candidate: str
    level: str
    stage: str
    output: str
    units: str
    steps: int
    dimensions: int
    names: tuple[str, ...]
    cases: int
    errors: Grid | None
    ratios: Grid | None
    distribution: Distribution | None
    worst: tuple[Worst, ...]
    sensitivity: Mapping[str, Any] | None

    def axis(self, index: int, stride: int = 1) -> str:
        """Return a column as the label of an axis: its name or else its index, ``4–7`` where several were pooled."""
        if stride > 1:
            return f"{index * stride}–{min((index + 1) * stride, self.dimensions) - 1}"
        return self.names[index] if index < len(self.names) else str(index)

    def dimension(self, index: int, stride: int = 1) -> str:
        """Return a column in words: ``dimension 3 (left_knee)``, ``dimensions 4–7`` where several were pooled."""
        label = self.axis(index, stride)
        if stride > 1:
            return f"dimensions {label}"
        return f"dimension {index} ({label})" if index < len(self.names) else f"dimension {index}"


def exhibits_of(report: Mapping[str, Any]) -> list[Exhibit]:
    """Return the exhibits of a report that can be read, in its order."""
    entries = report.get("exhibits")
    found = [_exhibit(e) for e in entries if isinstance(e, Mapping)] if isinstance(entries, list) else []
    return [e for e in found if e is not None]


def _exhibit(e: Mapping[str, Any]) -> Exhibit | None:
    steps, dimensions = _count(e.get("steps")), _count(e.get("dimensions"))
    if not steps or not dimensions:
        return None
    by_step = e.get("by_step") if isinstance(e.get("by_step"), Mapping) else {}
    assert isinstance(by_step, Mapping)
    worst = [_worst(w) for w in _list(e.get("worst")) if isinstance(w, Mapping)]
    sensitivity = e.get("sensitivity")
    return Exhibit(
        candidate=str(e.get("candidate")),
        level=str(e.get("level")),
        stage=str(e.get("stage") or ""),
        output=str(e.get("output")),
        units=str(e.get("units") or ""),
        steps=steps,
        dimensions=dimensions,
        names=tuple(map(str, _list(e.get("elements")))),
        cases=_count(e.get("cases")),
        errors=_grid(by_step.get("max_abs"), by_step),
        ratios=_grid(by_step.get("ratio"), by_step),
        distribution=_distribution(e.get("distribution")),
        worst=tuple(w for w in worst if w is not None),
        sensitivity=sensitivity if isinstance(sensitivity, Mapping) else None,
    )


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _value(value: Any) -> float:
    x = number(value)
    return math.nan if x is None else x


def _grid(value: Any, strides: Mapping[str, Any]) -> Grid | None:
    rows = tuple(tuple(map(_value, _list(row))) for row in _list(value))
    if not rows or not rows[0] or len({len(row) for row in rows}) != 1 or len(rows) * len(rows[0]) > 1 << 17:
        return None
    return Grid(rows, _count(strides.get("step_stride")) or 1, _count(strides.get("dimension_stride")) or 1)


def _distribution(value: Any) -> Distribution | None:
    if not isinstance(value, Mapping):
        return None
    edges = tuple(map(_value, _list(value.get("edges"))))
    error, floor, limit = kinds = [tuple(map(_value, _list(value.get(k)))) for k in ("error", "floor", "limit")]
    whole = all(map(math.isfinite, (*edges, *(n for kind in kinds for n in kind))))
    rising = all(a < b for a, b in pairwise(edges))
    if not 2 <= len(edges) <= 1000 or not whole or not rising or any(len(k) != len(edges) - 1 for k in kinds):
        return None
    return Distribution(edges, error, floor, limit, _count(value.get("zero")))


def _worst(w: Mapping[str, Any]) -> Worst | None:
    reference, candidate = _grid(w.get("reference"), w), _grid(w.get("candidate"), w)
    if reference is None or candidate is None:
        return None
    columns = len(reference.rows[0])
    if len(reference.rows) != len(candidate.rows) or columns != len(candidate.rows[0]):
        return None
    limit = tuple(map(_value, _list(w.get("limit"))))
    return Worst(
        comparison=str(w.get("comparison")),
        case=str(w.get("case")),
        note=str(w.get("note") or ""),
        verdict=str(w.get("verdict")),
        reference=reference,
        candidate=candidate,
        limit=limit if len(limit) == columns else None,
        inputs=tuple(_input(i) for i in _list(w.get("inputs")) if isinstance(i, Mapping)),
    )


def _input(i: Mapping[str, Any]) -> Input:
    pictures = [_picture(p) for p in _list(i.get("pictures")) if isinstance(p, Mapping)]
    shape = " × ".join(str(n) for n in _list(i.get("shape"))[:8])
    role = f"{i['role']}, " if i.get("role") else ""
    return Input(
        name=str(i.get("name")),
        what=f"{role}{i.get('dtype')} {shape}".strip(),
        minimum=i.get("minimum"),
        maximum=i.get("maximum"),
        constant=bool(i.get("constant")),
        values=tuple(_list(i.get("values"))[:64]),
        pictures=tuple(p for p in pictures if p is not None),
    )


def _picture(p: Mapping[str, Any]) -> Picture | None:
    png, width, height = p.get("png"), _count(p.get("width")), _count(p.get("height"))
    if not isinstance(png, str) or len(png) > _MAX_PICTURE or not 0 < width <= 4096 or not 0 < height <= 4096:
        return None
    try:  # a browser is given what is a PNG and nothing else
        if not b64decode(png, validate=True).startswith(_PNG):
            return None
    except (binascii.Error, ValueError):
        return None
    return Picture(png, width, height, str(p.get("label") or "input"))
