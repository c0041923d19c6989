"""Disagreements about inputs and outputs: which there are, names, order, shapes, element types, ranges, elements."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from parity.contract.disagreement import Disagreement, Kind, Sides
from parity.contract.matching import Match, align, dims_agree, is_generated, kind_of, match_tensors
from parity.contract.model import Contract
from parity.finding import Severity
from parity.tensor import Dim, Range, Shape, TensorSpec


def tensor_disagreements(sides: Sides) -> Iterator[Disagreement]:
    """Yield the disagreements about inputs, then outputs."""
    for kind, a, b in (
        ("input", sides.a.inputs, sides.b.inputs),
        ("output", sides.a.outputs, sides.b.outputs),
    ):
        if not a or not b:
            continue  # one of them knows nothing about them
        matching = match_tensors(a, b)
        yield from _missing(sides, kind, matching.only_a, matching.only_b)  # type: ignore[arg-type]
        for match in matching.pairs:
            yield from _pair(sides, match)
        yield from _order(sides, kind, matching.pairs, b)
        yield from _symbols(sides, kind, matching.pairs)


def show(shape: Shape | None) -> str:
    """Return a shape as people write it: ``(batch, 16, 2)``, ``?`` for what is unknown."""
    if shape is None:
        return "unknown"
    return "(" + ", ".join("?" if d is None else str(d) for d in shape) + ("," if len(shape) == 1 else "") + ")"


def _names(specs: Sequence[TensorSpec]) -> list[str]:
    return [t.name for t in specs]


def _missing(
    sides: Sides, kind: Kind, only_a: Sequence[TensorSpec], only_b: Sequence[TensorSpec]
) -> Iterator[Disagreement]:
    a, b = sides.names
    verb = "takes" if kind == "input" else "gives"
    lengths = _split(only_a, only_b)
    for spec in only_a:
        severity = _severity(spec, kind, sides.b.complete)
        text = f"{a} {verb} {spec.name!r} {show(spec.shape)}, {b} does not{lengths}"
        yield sides.disagree(kind, spec.name, list(spec.shape or ()), None, text, severity)
    for spec in only_b:
        severity = _severity(spec, kind, sides.a.complete)
        text = f"{b} {verb} {spec.name!r} {show(spec.shape)}, {a} does not{lengths}"
        yield sides.disagree(kind, spec.name, None, list(spec.shape or ()), text, severity)


def _severity(spec: TensorSpec, kind: Kind, complete: bool) -> Severity:
    """Return how bad it is that ``spec`` is on one side only; a sampler may draw its noise inside or be given it."""
    if spec.role == "noise":
        return "warning"
    return "error" if complete or kind == "input" else "warning"


def _split(only_a: Sequence[TensorSpec], only_b: Sequence[TensorSpec]) -> str:
    """Return a hint where one side's vectors are as long, together, as the single vector of the other."""
    for few, many in ((only_a, only_b), (only_b, only_a)):
        if len(few) == 1 and len(many) > 1:
            sizes = [t.shape[-1] if t.shape else None for t in (*few, *many)]
            if all(isinstance(s, int) for s in sizes) and sizes[0] == sum(s for s in sizes[1:] if isinstance(s, int)):
                return f" ({few[0].name!r} has the length of {', '.join(map(repr, _names(many)))} together)"
    return ""


def _pair(sides: Sides, match: Match) -> Iterator[Disagreement]:
    a, b = match.a, match.b
    left, right = sides.names
    if a.name != b.name:
        generated = is_generated(a.name) or is_generated(b.name)
        text = f"the same tensor is {a.name!r} in {left} and {b.name!r} in {right}"
        yield sides.disagree("name", a.name, a.name, b.name, text, "info" if generated else "warning")
    yield from _shapes(sides, a, b)
    if a.dtype and b.dtype and a.dtype != b.dtype:
        floats = kind_of(a.dtype) == kind_of(b.dtype) == "float"
        text = f"{a.name}: {a.dtype} in {left}, {b.dtype} in {right}"
        yield sides.disagree("dtype", a.name, a.dtype, b.dtype, text, "warning" if floats else "error")
    if a.units and b.units and a.units != b.units:
        text = f"{a.name}: in {a.units} in {left}, in {b.units} in {right}"
        yield sides.disagree("units", a.name, a.units, b.units, text)
    if a.range and b.range:
        yield from _ranges(sides, a.name, a.range, b.range)
    if a.elements and b.elements and a.elements != b.elements:
        yield elements(sides, a.name, a.elements, b.elements)


def _shapes(sides: Sides, a: TensorSpec, b: TensorSpec) -> Iterator[Disagreement]:
    if a.shape is None or b.shape is None:
        return
    left, right = sides.names
    lead_a, lead_b, trailing = align(a, b)
    both = f"{show(a.shape)} in {left}, {show(b.shape)} in {right}"
    if not all(dims_agree(x, y) for x, y in trailing):
        note = _layout([x for x, _ in trailing], [y for _, y in trailing])
        yield sides.disagree("shape", a.name, list(a.shape), list(b.shape), f"{a.name}: {both}{note}")
    elif a.batched and b.batched and len(a.shape) != len(b.shape):
        text = f"{a.name}: {both}: {len(a.shape)} axes against {len(b.shape)}"
        yield sides.disagree("shape", a.name, list(a.shape), list(b.shape), text)
    elif not a.batched and not b.batched and len(a.shape) != len(b.shape):
        yield sides.disagree("shape", a.name, list(a.shape), list(b.shape), f"{a.name}: {both}")
    elif a.batched != b.batched and a.shape != b.shape and not (lead_a if a.batched else lead_b):
        text = f"{a.name}: {both}: no axis is left for the batch"
        yield sides.disagree("shape", a.name, list(a.shape), list(b.shape), text)
    if a.batched and b.batched and a.shape and b.shape and a.shape[0] != b.shape[0]:
        yield from _batch(sides, a.name, a.shape[0], b.shape[0])


def _batch(sides: Sides, name: str, a: Dim, b: Dim) -> Iterator[Disagreement]:
    left, right = sides.names
    if isinstance(a, int) and isinstance(b, int):
        yield sides.disagree("batch", name, a, b, f"{name}: batch size {a} in {left}, {b} in {right}")
    elif isinstance(a, int) or isinstance(b, int):
        fixed, free, size = (left, right, a) if isinstance(a, int) else (right, left, b)
        recorded = (sides.a if isinstance(a, int) else sides.b).kind == "trace"  # of one size, whatever it would take
        if (b if isinstance(a, int) else a) is not None and not recorded:
            text = f"{name}: {fixed} takes batches of {size} only, {free} any"
            yield sides.disagree("batch", name, a, b, text, "info")


def _layout(a: list[Dim], b: list[Dim]) -> str:
    """Return a note where two image shapes differ only in where the channels are."""
    if len(a) >= 3 and len(b) >= 3 and a != b and a[-3:] == [b[-1], b[-3], b[-2]]:
        return " (channels first against channels last)"
    if len(a) >= 3 and len(b) >= 3 and a != b and b[-3:] == [a[-1], a[-3], a[-2]]:
        return " (channels last against channels first)"
    return ""


def _order(sides: Sides, kind: str, pairs: Sequence[Match], b: Sequence[TensorSpec]) -> Iterator[Disagreement]:
    """Yield one disagreement where two graphs name the same tensors in another order; a config has no order."""
    if not all(m.a.batched and m.b.batched for m in pairs):
        return
    position = {id(t): i for i, t in enumerate(b)}
    order = [position[id(m.b)] for m in pairs]
    if order != sorted(order):
        left, right = sides.names
        ours = [m.a.name for m in pairs]
        theirs = [m.a.name for m in sorted(pairs, key=lambda m: position[id(m.b)])]
        text = f"{kind}s in another order: {', '.join(ours)} in {left}, {', '.join(theirs)} in {right}"
        yield sides.disagree("order", f"{kind}s", ours, theirs, text, "warning")


def _symbols(sides: Sides, kind: str, pairs: Sequence[Match]) -> Iterator[Disagreement]:
    """Yield where one symbolic dimension would have to be two sizes at once."""
    for label, of in ((sides.names[0], 0), (sides.names[1], 1)):
        sizes: dict[str, dict[int, str]] = {}
        for m in pairs:
            if m.a.shape is None or m.b.shape is None or len(m.a.shape) != len(m.b.shape):
                continue
            for x, y in zip(m.a.shape, m.b.shape, strict=True):
                symbol, size = (x, y) if of == 0 else (y, x)
                if isinstance(symbol, str) and isinstance(size, int):
                    sizes.setdefault(symbol, {}).setdefault(size, m.a.name)
        for symbol, seen in sizes.items():
            if len(seen) > 1:
                text = f"{kind}s: {symbol!r} of {label} would have to be " + " and ".join(
                    f"{size} (in {name})" for size, name in sorted(seen.items())
                )
                values = sorted(seen)
                yield sides.disagree(
                    "shape", symbol, symbol if of == 0 else values, values if of == 0 else symbol, text
                )


def _ranges(sides: Sides, name: str, a: Range, b: Range) -> Iterator[Disagreement]:
    """Yield one disagreement where both know the statistics and they differ by more than float32 rounding."""
    if a.kind != b.kind:
        return  # quantiles against mean and std: neither contradicts the other
    n = max(len(a.first), len(b.first))
    if any(len(v) not in (1, n) for v in (a.first, a.second, b.first, b.second)):
        text = f"{name}: statistics of {len(a.first)} elements ({a.source}) against {len(b.first)} ({b.source})"
        yield sides.disagree("range", name, len(a.first), len(b.first), text)
        return
    worst, where = 0.0, 0
    for i in range(n):
        a1, a2, b1, b2 = (v[i if len(v) > 1 else 0] for v in (a.first, a.second, b.first, b.second))
        width = abs(a2) if a.kind == "mean_std" else abs(a2 - a1)
        gap = max(abs(a1 - b1), abs(a2 - b2)) / max(width, 1e-6)
        gap = math.inf if math.isnan(gap) else gap
        if gap > worst:
            worst, where = gap, i
    if worst > 1e-4:
        ours, theirs = ([v[where if len(v) > 1 else 0] for v in (r.first, r.second)] for r in (a, b))
        unit = "std" if a.kind == "mean_std" else "range"
        left, right = sides.names
        here, there = source_of(sides.a, a), source_of(sides.b, b)
        told = f"{_pairs(ours)} in {left} ({here}), {_pairs(theirs)} in {right} ({there})"
        text = f"{name}[{where}]: {a.kind.replace('_', ' and ')} {told} ({worst:.2g} of the feature's {unit})"
        yield sides.disagree("range", f"{name}[{where}]", ours, theirs, text, "error" if worst > 0.01 else "warning")


def source_of(contract: Contract, found: Range) -> str:
    """Return who told a range, without the path of the artifact itself."""
    return found.source.removeprefix(f"{contract.path}: ")


def _pairs(values: list[float]) -> str:
    return " … ".join(f"{v:.6g}" for v in values)


def elements(sides: Sides, where: str, a: Sequence[str], b: Sequence[str]) -> Disagreement:
    """Return the disagreement of two lists of element names: other names, or another order of the same."""
    left, right = sides.names
    if sorted(a) == sorted(b):
        first = next(i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y)
        text = f"{where}: same elements, another order: [{first}] is {a[first]!r} in {left}, {b[first]!r} in {right}"
        moved = sum(x != y for x, y in zip(a, b, strict=True))
        return sides.disagree("elements", where, list(a), list(b), f"{text}; {moved} of {len(a)} moved")
    gone, new = [x for x in a if x not in set(b)], [x for x in b if x not in set(a)]
    parts = [f"only {s}: {', '.join(v[:4])}{', …' if len(v) > 4 else ''}" for s, v in ((left, gone), (right, new)) if v]
    text = f"{where}: {len(a)} elements in {left}, {len(b)} in {right}; {'; '.join(parts)}"
    return sides.disagree("elements", where, list(a), list(b), text)
