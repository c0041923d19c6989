"""What the limits of an output that passed would have caught, from its stored outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from parity.compare.budget import INFORMATIVE, INT8_DIMENSION, INT8_FAINT, INT8_RMS_RATIO
from parity.compare.sensitivity import Limits, Pool, Rule, as_json, sensitivity
from parity.release.decide import POOLED
from parity.release.exhibit_pairs import Pair, number
from parity.release.gate import spans
from parity.release.sensitivity_words import sentences
from parity.tensor import Array, TensorSpec

LARGEST = 1 << 22  # elements that are looked at, the first cases of the plan
WORK = 1 << 28  # elements of all swaps of two dimensions
WIDEST = 256

Row = Mapping[str, Any]


def sensitivity_of(
    load: Callable[[Row], Pair | None],
    rows: Sequence[Row],
    spec: TensorSpec | None,
    units: str | None,
    shape: tuple[int, int],
) -> dict[str, Any] | None:
    """Return what would have failed; None unless every comparison of the output passed.

    Args:
        load: gives the outputs of a comparison.
        rows: every judged comparison of one candidate's output.
        spec: the output as declared.
        units: of its limits.
        shape: (T, D).
    """
    if not all(r["verdict"] == "PASS" for r in rows):
        return None
    pairs, why = _gathered(load, rows, shape)
    rule = None if why else _rule(rows, pairs)
    if rule is None:
        return _nothing(why or "there is nothing that a fault could be measured by")
    if isinstance(rule, str):
        return _nothing(rule)
    caught = sensitivity(rule)
    span, bound = spans([dict(r) for r in rows])
    moved = np.zeros(shape[1], bool) if span is None else np.broadcast_to(span > INFORMATIVE * bound, (shape[1],))
    names = spec.elements if spec and spec.elements and len(spec.elements) == shape[1] else None
    dimensions = as_json(caught, names, moved, number)
    aside, count = [], sum(bool(r.get("floor")) for r in rows)
    if len(pairs) < count and isinstance(rule, Limits):  # a pool is never worked out from a part of it
        aside.append(f"this is from the first {len(pairs)} of {count} cases; the others can only catch more")
    others = _other_limits(rows)
    noun = "joint" if spec is None or spec.role in (None, "action") else "dimension"
    return {
        "dimensions": dimensions,
        "sentences": sentences(dimensions, caught, units, noun, aside),
        "not_computed": f"what {others} would have noticed before max_abs does" if others else None,
    }


def _nothing(why: str) -> dict[str, Any]:
    return {"dimensions": [], "sentences": [], "not_computed": why}


def _gathered(
    load: Callable[[Row], Pair | None], rows: Sequence[Row], shape: tuple[int, int]
) -> tuple[list[tuple[Row, Pair]], str]:
    """Return the first cases that fit, or why there is nothing to work on."""
    if shape[1] > WIDEST:
        return [], f"what would have failed on more than {WIDEST} dimensions"
    found: list[tuple[Row, Pair]] = []
    held = 0
    for row in rows:
        pair = load(row)
        if pair is None or (pair.steps, pair.dimensions) != shape:
            continue
        held += pair.reference.size
        if found and (held > LARGEST or held * shape[1] > WORK):
            break
        if not pair.finite:
            return [], "what would have failed where a number is NaN or infinite"
        found.append((row, pair))
    return found, ""


def _rule(rows: Sequence[Row], pairs: Sequence[tuple[Row, Pair]]) -> Rule | str:
    """Return by what the output was judged, or a sentence that says why nothing can be worked out."""
    if all(p.limit is not None for _, p in pairs):
        return _limits([p for _, p in pairs])
    first = rows[0]["budget"]
    if first.get("source") == "parity.toml":
        return f"what would have failed: the budget limits {_other_limits(rows)}, not max_abs"
    pooled = [p for r, p in pairs if r["profile"] in POOLED]
    if len(pooled) < sum(r["profile"] in POOLED for r in rows) or not pooled:
        return "what would have failed: the outputs are too large to be pooled again"
    return _pool(pooled)


def _limits(pairs: Sequence[Pair]) -> Rule:
    limit = np.concatenate(
        [np.broadcast_to(p.limit, (len(p.reference), p.dimensions)) for p in pairs if p.limit is not None]
    )
    masks = [np.ones(p.reference.shape, bool) if p.kept is None else p.kept for p in pairs]
    kept = np.concatenate(masks) if any(p.kept is not None for p in pairs) else None
    return Limits(_joined(pairs, "reference"), _joined(pairs, "candidate"), limit, kept)


def _pool(pairs: Sequence[Pair]) -> Rule | str:
    reference = _joined(pairs, "reference")
    squares = (reference**2).sum(axis=(0, 1))
    if not 0.0 < squares.sum() < np.inf:
        return "what would have failed: the reference is zero in every case, or too large to be squared"
    heard = squares > INT8_FAINT**2 * squares.max()
    each = np.where(heard, INT8_DIMENSION**2 * squares, np.inf)
    return Pool(reference, _joined(pairs, "candidate"), float(INT8_RMS_RATIO**2 * squares.sum()), each)


def _joined(pairs: Sequence[Pair], side: str) -> Array:
    return np.concatenate([getattr(p, side) for p in pairs])


def _other_limits(rows: Sequence[Row]) -> str:
    aside = {"source", "units", "scale", "allow_nan", "max_abs", "precision", "rule"}
    return ", ".join(sorted({k for r in rows for k in r["budget"] if k not in aside}))
