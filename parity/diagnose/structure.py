"""Names the structural fault that turns a reference's outputs into a candidate's, from stored outputs alone.

The counterfactual: apply a suspected fault to the reference and ask how much of the difference it accounts for,
``explained = 1 - ||R∘fault - C||² / ||R - C||²``, pooled over cases in units of each dimension's spread. A cause is
named only when nothing simpler and nothing else does as well:

1. It explains at least 0.99 of the difference.
2. No hypothesis with more parameters explains it clearly better (ten times less left, rounding allowed for).
3. No other hypothesis with as few parameters explains it about as well. Parameters are counted per dimension: a flipped
   sign, a swap and a change of units have none, an offset, a gain or a constant one, gain and offset two, a shift one.
4. So few cases could not have agreed by chance, and the dimensions concerned move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from parity.diagnose.explanation import Explanation
from parity.diagnose.faults import constant, lag, permutation, unnormalization
from parity.diagnose.faults.elementwise import Fit
from parity.diagnose.faults.unnormalization import Statistics
from parity.diagnose.hypothesis import ENOUGH, FAMILIES, NONE, Base, Hypothesis, lucky, select, test_base
from parity.diagnose.pair import Pair, as_cases, prepare

if TYPE_CHECKING:
    from parity.tensor import Array


def fit_structure(
    reference: Array,
    candidate: Array,
    *,
    floor: Array | None = None,
    elements: Sequence[str] | None = None,
    chunked: bool = False,
    statistics: Sequence[Statistics] = (),
    noun: str = "joint",
) -> list[Explanation]:
    """Return the faults that together explain the difference, or nothing where no cause can be named.

    Args:
        reference, candidate: outputs, ``(N, T, D)`` or ``(N, D)`` (further axes in between are pooled). With
            ``chunked`` the last but one axis is time: action chunks ``(N, ..., T, D)``, or one recording ``(T, D)``.
        floor: what rounding alone does to each dimension, ``(D,)``; default `floors.ROUNDING` of its scale.
        elements: names of the dimensions, such as joint names.
        statistics: known normalization statistics of this output, for a missing or repeated un-normalization.
        noun: what a dimension is called.

    Cases with NaN or Inf on either side are left out, and the sentences say so. Never raises on numeric arrays.
    """
    if chunked and reference.ndim == candidate.ndim >= 2 and reference.shape != candidate.shape:
        return _sliced(as_cases(reference, True), as_cases(candidate, True))
    pair = prepare(reference, candidate, floor=floor, elements=elements, chunked=chunked, noun=noun)
    if pair is None:
        return []
    bases = _bases(pair, chunked, statistics)
    tested = [test_base(pair, base) for base in bases]
    best = select(tested)
    if best is None and all(h.left > ENOUGH for h in tested):
        best = select([test_base(pair, base) for base in _composed(pair, bases)])
    if best is None or lucky(pair, best):
        return []
    return _explanations(pair, best)


def _rows(values: Array) -> Array:
    return values.reshape(-1, values.shape[-1])


def _bases(pair: Pair, chunked: bool, statistics: Sequence[Statistics]) -> list[Base]:
    """Return the reference as it is, in other orders, shifted in time, and with statistics misapplied."""
    r, c = _rows(pair.reference), _rows(pair.candidate)
    bases = [Base("", r, r, c)]
    bases += [Base("permutation", r[:, list(o)], r, c, 0, o) for o in permutation.orders(pair, r, c)]
    for s in statistics:
        bases += [Base("unnormalization", t, r, c, 0, (n, text)) for n, text, t in unnormalization.transforms(r, s)]
    for k in lag.shifts(pair.steps) if chunked else []:
        shifted, plain, cand = (_rows(a) for a in lag.overlap(pair.reference, pair.candidate, k))
        bases.append(Base("lag", shifted, plain, cand, 1, (k, None)))
    return bases


def _composed(pair: Pair, bases: Sequence[Base]) -> list[Base]:
    """Return each shift with the best order of dimensions on top."""
    result = []
    for base in bases:
        if base.kind == "lag":
            for order in permutation.orders(pair, base.rearranged, base.candidate):
                parameters = (base.parameters[0], order)
                result.append(replace(base, rearranged=base.rearranged[:, list(order)], parameters=parameters))
    return result


def _explanations(pair: Pair, h: Hypothesis) -> list[Explanation]:
    explained = max(0.0, 1.0 - h.left)
    rival, rival_left = h.rival
    extra = {"runner_up": rival, "runner_up_explained": max(0.0, 1.0 - rival_left)}
    found = [
        Explanation(kind, explained, text + pair.note, {**parameters, **extra}, where)
        for kind, text, where, parameters in _base_parts(pair, h.base)
    ]
    for f in sorted({int(i) for i in h.family if i > NONE and i >= 0}):
        where = tuple(int(d) for d in np.flatnonzero(h.family == f))
        family = FAMILIES[f]
        fit = Fit(where, tuple(h.gain[list(where)].tolist()), tuple(h.offset[list(where)].tolist()))
        text = family.sentence(fit, [pair.names[d] for d in where], pair.noun)
        moving = set(np.flatnonzero(~pair.still).tolist())
        if family is constant.FAULT and moving <= set(where) and len(pair.names) > 1:
            text, where = "the output is constant", ()
        found.append(Explanation(family.kind, explained, text + pair.note, {**family.parameters(fit), **extra}, where))
    return found


def _base_parts(pair: Pair, base: Base) -> list[tuple[str, str, tuple[int, ...], dict[str, object]]]:
    """Return (kind, sentence, dimensions, parameters) of what the base itself says."""
    if base.kind == "permutation":
        return permutation.describe(base.parameters, pair.names, pair.noun)
    if base.kind == "unnormalization":
        name, text = base.parameters
        return [("unnormalization", text, (), {"how": name})]
    if base.kind == "lag":
        k, order = base.parameters
        text, parameters = lag.describe(k)
        moved = permutation.describe(order, pair.names, pair.noun) if order else []
        return [("lag", text, (), parameters), *moved]
    return []


def _sliced(reference: Array, candidate: Array) -> list[Explanation]:
    found = lag.slice_of(reference, candidate)
    return [Explanation("slice", 1.0, found[1], {"first": found[0]})] if found else []
