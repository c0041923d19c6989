"""The layer at which two policies part: do its inputs agree, are its weights the same, what stands before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from parity.errors import ParityError
from parity.localize.align import Match
from parity.localize.graph import Graph, Value
from parity.localize.report import LayerDiff, WeightDiff

if TYPE_CHECKING:
    from parity.localize.sides import Side
    from parity.tensor import Array

    Arrays = Mapping[str, Array]


def misaligned(graph: Graph, rows: Sequence[LayerDiff]) -> set[int]:
    """Return the rows that differ, but whose difference reaches no end of the graph: they were never the same value.

    What is made from a difference differs too, down to an output. Where everything made from a value agrees again, the
    names or the order by which it was matched were wrong. What was matched by structure is believed. Nothing is told
    of a trace, which does not say what was made from what.
    """
    by_name = {r.reference: r for r in rows}
    consumers: dict[str, list[str]] = {}
    for v in graph.values:
        for name in v.inputs:
            consumers.setdefault(name, []).append(v.name)
    if not consumers:
        return set()
    reaches: dict[str, bool] = {}  # whether a difference in the value may reach an end of the graph
    for v in reversed(graph.values):
        row, after = by_name.get(v.name), consumers.get(v.name, [])
        agrees = row is not None and not row.over and row.limit > 0
        reaches[v.name] = not agrees and (not after or any(reaches[c] for c in after))
    return {i for i, r in enumerate(rows) if r.over and "structure" not in r.matched_by and not reaches[r.reference]}


def inputs_agree(graph: Graph, value: Value, rows: Mapping[str, LayerDiff]) -> float | None:
    """Return the largest relative difference of a value's inputs; None where one has no partner or none is known."""
    if not value.inputs:
        return None
    seen = [0.0 if n in graph.inputs else rows[n].rel if n in rows else None for n in value.inputs]
    known = [s for s in seen if s is not None]
    return max(known) if len(known) == len(seen) else None


def sentence(
    ref: Graph,
    cand: Graph,
    match: Match,
    row: LayerDiff,
    inputs_rel: float | None,
    weights: Sequence[WeightDiff],
    known_r: set[str],
    known_c: set[str],
) -> str:
    """Return in one line where two policies part and what is known of it."""
    parts = [f"{row.node}: first differs, {row.broken or f'rel {row.rel:.2g}'}"]
    only_r = _between(ref, match.reference, known_r)
    only_c = _between(cand, match.candidate, known_c) if match.reference.inputs else []  # a trace holds modules only
    if only_r:
        parts.append(f"only the reference computes {', '.join(only_r)} before it")
    if only_c:
        parts.append(f"only the candidate computes {', '.join(only_c)} before it")
    if inputs_rel is not None:
        parts.append("its inputs are the same" if inputs_rel == 0 else f"its inputs agree to {inputs_rel:.1g}")
    changed = [w for w in weights if not w.same]
    for w in changed[:3]:
        size = f" (rel {w.rel:.2g})" if w.rel is not None else f" ({w.note})"
        parts.append(f"its weight {w.reference} differs{size}")
    if weights and not changed:
        parts.append("its weights are the same")
    return "; ".join(parts)


def _between(graph: Graph, value: Value, known: set[str]) -> list[str]:
    """Return the operations without a partner that feed a value, nearest last (at most eight)."""
    found: list[str] = []
    waiting = list(value.inputs)
    seen: set[str] = set()
    while waiting and len(found) < 8:
        name = waiting.pop()
        made = graph.by_name.get(name)
        if made is None or name in known or name in seen:
            continue
        seen.add(name)
        if made.op != "LinearPart":
            found.append(made.node)
        waiting += made.inputs
    return found[::-1]


def compare_weights(ref: Side, cand: Side, match: Match) -> tuple[WeightDiff, ...]:
    """Return the stored tensors of one layer on both sides, paired by name's ending, else by place."""
    if match.reference.folded or match.candidate.folded:
        return ()  # they are others by design
    mine, other = _own(ref.graph, match.reference), _own(cand.graph, match.candidate)
    if not mine or len(mine) != len(other):
        return ()
    try:
        a, b = ref.weights(mine), cand.weights(other)
    except ParityError:
        return ()  # weights are further evidence; without them the layer is still the first
    return tuple(_weight(m, o, a.get(m), b.get(o)) for m, o in _paired(mine, other, a, b))


def _own(graph: Graph, value: Value) -> list[str]:
    """Return a layer's stored tensors, those of the product before a bias included."""
    made = [graph.by_name[n] for n in value.inputs if n in graph.by_name and graph.by_name[n].op == "LinearPart"]
    return [w for v in (*made, value) for w in v.weights]


def _paired(mine: list[str], other: list[str], a: Arrays, b: Arrays) -> list[tuple[str, str]]:
    """Pair by size, in order, so that a bias never meets a matrix."""
    left, pairs = list(other), []
    for m in mine:
        fits = [o for o in left if m in a and o in b and a[m].size == b[o].size] or left
        pairs.append((m, fits[0]))
        left.remove(fits[0])
    return pairs


def _weight(reference: str, candidate: str, a: Array | None, b: Array | None) -> WeightDiff:
    if a is None or b is None:
        return WeightDiff(reference, candidate, True, None, "not stored")
    if a.shape != b.shape and a.ndim == 2 and a.T.shape == b.shape:
        b = b.T
    if a.shape != b.shape:
        if a.size != b.size:
            return WeightDiff(reference, candidate, False, None, f"shapes {list(a.shape)} and {list(b.shape)}")
        b = b.reshape(a.shape)
    if a.shape == b.shape and a.ndim == 2 and a.shape[0] == a.shape[1] and not np.array_equal(a, b):
        b = b.T if np.array_equal(a, b.T) else b
    x, y = a.astype(np.float64), b.astype(np.float64)
    power = float((x * x).sum())
    rel = float(np.sqrt(((x - y) ** 2).sum() / power)) if power > 0 else None
    return WeightDiff(reference, candidate, bool(np.array_equal(x, y)), rel)
