"""Batch cases: a policy acts on each observation alone, so row i of a batch must be what observation i gives alone.

They are planned for the candidates that declare a free batch axis. Only those run them: the reference's rows are its
outputs for the single cases.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from parity.cases import batch_case
from parity.cases.layout import batch_axis
from parity.contract import Contract
from parity.release.gears import compiled_batches
from parity.release.sides import Side
from parity.release.state import SEQUENCE
from parity.tensor import Array, Case, TensorSpec

BATCH = 4  # observations in a batch case, or as many as there are
SOURCES = ("nominal", "dataset")
_ID = re.compile(r"[a-z]+-b\d{4}")


@dataclass(frozen=True, slots=True)
class Batches:
    """Batch cases, the single cases that are their rows where the reference does not run them, and who takes them."""

    cases: tuple[Case, ...] = ()
    rows: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    takers: Mapping[str, frozenset[str]] = field(default_factory=dict)


def is_batch(case: str) -> bool:
    """Whether a case's id is that of a batch case."""
    return _ID.fullmatch(case) is not None


def single(case: str) -> bool:
    """Whether stages are looked at in a case: not in a batch, whose reference is put together, nor in a sequence."""
    return not is_batch(case) and not case.startswith(SEQUENCE)


def batches_of(cases: Sequence[Case], contract: Contract, candidates: Sequence[Side]) -> Batches:
    """Return the batch case that is put together from single ``cases``, or the recorded one among them.

    There is none where no candidate takes batches, or where fewer than two cases can share one.
    """
    takers = frozenset(side.name for side in candidates if takes_batches(side))
    recorded = {c.id: takers for c in cases if is_batch(c.id)}
    if recorded or not takers:
        return Batches(takers=recorded)
    specs = [_free(spec) for spec in contract.inputs]
    rows = _sharing([c for c in cases if c.profile in SOURCES and not c.id.startswith(SEQUENCE)], specs)[:BATCH]
    size, takers = _size(len(rows), [side for side in candidates if side.name in takers])
    rows = rows[:size]
    if len(rows) < 2:
        return Batches()
    joined = batch_case(rows, len(rows), specs)
    return Batches((joined,), {joined.id: tuple(c.id for c in rows)}, {joined.id: takers})


def takes_batches(side: Side) -> bool:
    """Whether a candidate runs, and declares a free batch axis on inputs, outputs and the state kept for it."""
    contract = side.contract
    if contract is None or side.problem or side.spec.runner == "recorded" or not contract.inputs:
        return False
    if contract.metadata.get("state_batch") is False:
        return False
    specs = (*contract.inputs, *contract.outputs)
    return all(t.batched and bool(t.shape) and not isinstance((t.shape or (0,))[0], int) for t in specs)


def _size(most: int, takers: Sequence[Side]) -> tuple[int, frozenset[str]]:
    """Return the size of the batch case, and who runs it: most, and then the largest, where some have gears."""
    compiled = {side.name: compiled_batches(side.contract) for side in takers}
    sizes = {
        n: frozenset(name for name, own in compiled.items() if own is None or n in own) for n in range(2, most + 1)
    }
    size = max(sizes, key=lambda n: (len(sizes[n]), n), default=0)
    return (size, sizes[size]) if size and sizes[size] else (0, frozenset())


def _free(spec: TensorSpec) -> TensorSpec:
    """Return the spec with a free batch axis: what the reference's file fixes to 1 the candidate's may leave open."""
    axis = batch_axis(spec)
    if axis is None or not spec.batched or not spec.shape:
        return spec
    return replace(spec, shape=(*spec.shape[:axis], "batch", *spec.shape[axis + 1 :]))


def _sharing(cases: Sequence[Case], specs: Sequence[TensorSpec]) -> list[Case]:
    """Return the cases of one observation that can share a batch with the first: equal in what has no batch axis."""
    axes = {s.name: batch_axis(s) for s in specs}
    single = [c for c in cases if all(_axis_size(a, axes.get(n, 0)) == 1 for n, a in c.inputs.items())]
    first = single[0] if single else None
    return [c for c in single if first is not None and _alike(c, first, axes)]


def _axis_size(array: Array, axis: int | None) -> int:
    return 1 if axis is None or array.ndim <= axis else int(array.shape[axis])


def _alike(case: Case, first: Case, axes: Mapping[str, int | None]) -> bool:
    return case.inputs.keys() == first.inputs.keys() and all(
        a.shape == first.inputs[n].shape
        and ((axes.get(n, 0) is not None and a.ndim > 0) or np.array_equal(a, first.inputs[n]))
        for n, a in case.inputs.items()
    )
