"""Where float16 fails in a graph: the first node of each kind of trouble on every path, with its value and case."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from parity.localize.graph import Graph, Value
from parity.localize.onnx_graph import OnnxFile
from parity.predict.constants import Constant
from parity.predict.seen import LARGEST, NORMAL, SMALLEST, Seen

Kind = Literal["overflow", "lost", "whole", "vanishes", "subnormal", "constant_overflow", "constant_vanishes"]
LOST = 2.0**-4  # rms(Δ) / rms(x): fewer than four bits are right; a rounded value is off by 2⁻¹² at most
FROM = 4.0  # a node loses precision where it is that many times worse than what it takes


@dataclass(frozen=True, slots=True)
class Hazard:
    """One node, or constant, at which float16 fails.

    Attributes:
        value: the name of the value, or constant.
        node: that makes it (uses it), for people; ``name`` is the node's own name.
        seen: the number that says so: the largest |x|, the constant, or rms(Δ) / rms(x).
        case: in which.
        words: what happens, after "in float16".
    """

    kind: Kind
    value: str
    node: str
    name: str
    seen: float
    case: str
    words: str

    def as_json(self) -> dict[str, object]:
        """Return it as evidence."""
        told = {"node": self.node, "value": self.value, "seen": float(f"{self.seen:.6g}")}
        return {**told, "case": self.case or None, "in_float16": self.words}


def hazards(file: OnnxFile, values: Mapping[str, Seen], constants: Sequence[Constant]) -> list[Hazard]:
    """Return what float16 does to the values and constants of a graph, in the order of computation, kind by kind."""
    graph = file.graph
    masked = {o for c in constants if not c.vanishes for o in c.feeds}
    rules: tuple[Callable[[], Iterator[Hazard]], ...] = (
        lambda: _first(graph, values, _overflow, masked),
        lambda: _losing(graph, values),
        lambda: _first(graph, values, _whole, set()),
        lambda: _first(graph, values, _small, set()),
    )
    return [h for rule in rules for h in rule()] + [_of_constant(c) for c in constants]


def _first(
    graph: Graph, values: Mapping[str, Seen], rule: Callable[[Value, Seen], Hazard | None], beyond: set[str]
) -> Iterator[Hazard]:
    """Yield the hazards of values that are made from none with the same hazard; those ``beyond`` count as having it."""
    having = set(beyond)
    for v in graph.values:
        seen = values.get(v.name)
        hazard = None if seen is None else rule(v, seen)
        if hazard is None:
            if seen is None and any(n in having for n in v.inputs):
                having.add(v.name)  # it was not looked at: what goes on behind it is of the same path
            continue
        if v.name not in having and not any(n in having for n in v.inputs):
            yield hazard
        having.add(v.name)


def _overflow(v: Value, seen: Seen) -> Hazard | None:
    words = f"{seen.over:,} elements beyond {LARGEST:.0f} become infinite"
    return _hazard("overflow", v, seen.largest, seen.at, words) if seen.over else None


def _whole(v: Value, seen: Seen) -> Hazard | None:
    words = "whole numbers beyond 2048 are no longer told apart"
    return _hazard("whole", v, seen.largest, seen.moved_at, words) if seen.whole and seen.moved else None


def _small(v: Value, seen: Seen) -> Hazard | None:
    """Return the hazard of a value that is small in every case: in a single one it may be a residue of rounding."""
    if 0.0 < seen.largest <= SMALLEST / 2:
        return _hazard("vanishes", v, seen.largest, seen.at, "all of it becomes 0")
    if 0.0 < seen.largest < NORMAL:
        return _hazard("subnormal", v, seen.largest, seen.at, "all of it is below 6.1e-5 and loses digits")
    return None


def _losing(graph: Graph, values: Mapping[str, Seen]) -> Iterator[Hazard]:
    """Yield the nodes that lose precision, or turn finite into NaN or infinity, while what they take is right."""
    for v in graph.values:
        seen = values.get(v.name)
        if seen is None or seen.over or not (seen.rel > LOST or seen.broken):
            continue
        before = [values[n] for n in v.inputs if n in values]
        if any(b.broken or b.over for b in before):
            continue
        if not seen.broken and (seen.largest <= SMALLEST / 2 or any(b.rel * FROM > seen.rel for b in before)):
            continue  # it vanishes, or what it takes was wrong already
        if seen.broken:
            words = f"{seen.broken:,} elements become NaN or infinite"
            yield _hazard("lost", v, seen.largest, seen.broken_at, words)
        else:
            right = max((b.rel for b in before), default=0.0)
            words = f"it is off by {seen.rel:.2g} of its size, made from values that are off by {right:.1g}"
            yield _hazard("lost", v, seen.rel, seen.worst_at, words)


def _hazard(kind: Kind, v: Value, number: float, case: str, words: str) -> Hazard:
    return Hazard(kind, v.name, v.node, v.node.partition(" ")[2], number, case, words)


def _of_constant(c: Constant) -> Hazard:
    words = "it becomes 0" if c.vanishes else "it becomes infinite"
    kind: Kind = "constant_vanishes" if c.vanishes else "constant_overflow"
    return Hazard(kind, c.name, c.node, c.node.partition(" ")[2], c.value, "", words)
