"""Measures the floor terms of the reference: its float64 result and the spread over legitimate variants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from parity.errors import ParityError
from parity.release.facts import Facts
from parity.runner.base import RunResult, Session, Variant
from parity.tensor import Array, Block
from parity.trace import Trace

if TYPE_CHECKING:
    from pathlib import Path

Terms = dict[str, dict[str, Array]]  # output -> term -> absolute differences, shaped as the output, (N, ...)

_SPREAD: tuple[Variant, ...] = ("no_optimization", "one_thread")


def measure_terms(session: Session, facts: Facts, block: Block, base: RunResult) -> Terms:
    """Return the element-wise floor terms of ``base``, the reference's result for ``block``.

    A variant that fails, or gives other shapes, leaves its term out; the facts say which variants applied.
    """
    terms: Terms = {}
    if base.failure is None:
        if "float64" in session.info.variants:
            _add(terms, "float64", base, _run(session, facts, block, "float64"), facts, "float64")
        for variant in _SPREAD:
            if variant in session.info.variants:
                _add(terms, "variants", base, _run(session, facts, block, variant), facts, variant)
        for direction, name in ((np.inf, "inputs + 1 ulp"), (-np.inf, "inputs - 1 ulp")):
            shifted = nudged(block, direction)
            if shifted is not None:
                _add(terms, "variants", base, _run(session, facts, shifted, "base"), facts, name)
    return terms


def nudged(block: Block, direction: float) -> Block | None:
    """Return the block with every float input moved by one unit in the last place; None if it has no such input."""
    inputs: dict[str, Array] = {}
    moved = False
    for name, array in block.inputs.items():
        if array.dtype in (np.float16, np.float32, np.float64):
            inputs[name] = np.nextafter(array, np.asarray(direction, dtype=array.dtype))
            moved = True
        else:
            inputs[name] = array
    return replace(block, inputs=inputs) if moved else None


def recorded_terms(path: Path, block: Block) -> Terms:
    """Return the floor terms that a recorded trace holds for the cases of ``block``; empty where it holds none."""
    terms: Terms = {}
    with Trace.open(path) as trace:
        outputs = {name for i in block.ids for name in trace.output_names(i)}
        for output in sorted(outputs):
            floors = [trace.floor(i, output) for i in block.ids]
            for term in sorted(set.intersection(*(set(f) for f in floors))):
                terms.setdefault(output, {})[term] = np.stack([f[term] for f in floors])
    return terms


def _run(session: Session, facts: Facts, block: Block, variant: Variant) -> RunResult | None:
    try:
        result = session.run(block, variant)
    except ParityError:
        return None
    facts.calls += len(result.seconds)
    facts.seconds["calls"] = facts.seconds.get("calls", 0.0) + sum(result.seconds)
    return result if result.failure is None and result.completed == len(block) else None


def _add(terms: Terms, term: str, base: RunResult, other: RunResult | None, facts: Facts, name: str) -> None:
    """Raise ``term`` of every output to the difference between ``base`` and ``other``."""
    if other is None:
        return
    if name not in facts.variants:
        facts.variants.append(name)
    for output, values in base.outputs.items():
        changed = other.outputs.get(output)
        if isinstance(values, list) or isinstance(changed, list) or changed is None or changed.shape != values.shape:
            continue
        if not _is_float(values):
            continue
        gap = absolute_difference(values, changed)
        held = terms.setdefault(output, {}).get(term)
        terms[output][term] = gap if held is None else np.maximum(held, gap)


def _is_float(values: Array) -> bool:
    return values.dtype.kind == "f" or values.dtype.name == "bfloat16"


def absolute_difference(a: Array, b: Array) -> Array:
    """Return |a − b| in float64; 0 where both are the same infinity or both NaN (that is judged elsewhere)."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        gap: Array = np.abs(x - y)
    return np.where((x == y) | (np.isnan(x) & np.isnan(y)), 0.0, gap)


def scale_of(outputs: Mapping[str, Array]) -> dict[str, float]:
    """Return the largest finite magnitude of each output."""
    found: dict[str, float] = {}
    for name, values in outputs.items():
        finite = values[np.isfinite(values)] if _is_float(values) else values
        found[name] = float(np.abs(finite.astype(np.float64)).max(initial=0.0))
    return found
