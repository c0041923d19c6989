"""Cases from the contract alone: `nominal` and `edge`, the same bytes on every platform for the same seed.

Ids: ``nominal-0000`` and on; ``edge-0000`` and on, numbered as `parity.cases.edge` documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from parity.cases.caseset import CaseSet
from parity.cases.edge import MAX_FEATURES, Edge, Inputs, edges
from parity.cases.layout import Layout, resolve
from parity.cases.nominal import draw
from parity.cases.spread import check_names, spread_of
from parity.contract.model import Contract
from parity.errors import UsageError
from parity.finding import Finding
from parity.tensor import Case, Range, TensorSpec

if TYPE_CHECKING:
    from parity.tensor import Array

MAX_BYTES = 8 << 30  # of all cases together


def make_cases(
    contract: Contract | Sequence[TensorSpec],
    *,
    seed: int,
    nominal: int = 16,
    edge: bool = True,
    batch: int = 1,
    ranges: Mapping[str, Range] | None = None,
    bind: Mapping[str, int] | None = None,
) -> CaseSet:
    """Return `nominal` and `edge` cases for the inputs of ``contract``; every array is read-only, ``(B, ...)``.

    Row 0 of a case is the same whatever the batch; the rows of a nominal case differ, and the further rows of an edge
    case are nominal draws, so that rows mixed up show.

    Args:
        contract: a contract, or the specs of its inputs.
        seed: the release's seed.
        nominal: how many nominal cases.
        edge: whether to make the edge cases.
        batch: the size of symbolic batch axes.
        ranges: where values lie, by input; they go before the contract's own.
        bind: sizes of symbolic dims by name, or of dims without a name by ``input[axis]``; ``n_obs_steps`` for the
            time axis of bare shapes (1 or 0: none).

    Raises:
        UsageError: an input's shape is not known, a name is not there, a range does not fit, or the cases would take
            more than 8 GiB.
    """
    if isinstance(nominal, bool) or nominal < 0:
        raise UsageError(f"{nominal} nominal cases were asked for", expected="0 or more")
    ranges = ranges or {}
    layouts, assumed = resolve(contract, batch=batch, bind=bind, ranges=ranges)
    inputs, findings = spreads(layouts, ranges, contract if isinstance(contract, Contract) else None)
    _check_memory(layouts, nominal, edge)
    cases = _nominal_cases(inputs, seed, nominal)
    found = [*assumed, *findings]
    if edge:
        rows, capped = edges(inputs, seed)
        cases += _edge_cases(inputs, rows, seed)
        found += capped
    return CaseSet(tuple(cases), tuple(found), {x.name: s.source for x, s in inputs})


def spreads(
    layouts: Sequence[Layout], ranges: Mapping[str, Range], contract: Contract | None
) -> tuple[Inputs, list[Finding]]:
    """Return each layout with the spread of its values, and what had to be assumed.

    Raises:
        UsageError: a range is given for no input, or does not fit.
    """
    check_names(ranges, tuple(x.name for x in layouts))
    inputs, findings = [], []
    for layout in layouts:
        spread, found = spread_of(layout, ranges.get(layout.name), contract)
        inputs.append((layout, spread))
        findings += found
    return inputs, findings


def nominal_rows(inputs: Inputs, seed: int, count: int) -> list[dict[str, Array]]:
    """Return the inputs of ``count`` nominal cases, in order."""
    made: list[dict[str, Array]] = [{} for _ in range(count)]
    for layout, spread in inputs:
        pairs = [(case, row) for case in range(count) for row in range(layout.rows)]
        values = draw(layout, spread, seed=seed, profile="nominal", rows=pairs)
        blocks = values.reshape(count, layout.rows, *layout.row_shape)
        for case in range(count):
            made[case][layout.name] = _batched(layout, blocks[case])
    return made


def _nominal_cases(inputs: Inputs, seed: int, count: int) -> list[Case]:
    note = "drawn from " + "; ".join(f"{x.name}: {s.source}" for x, s in inputs)
    rows = nominal_rows(inputs, seed, count)
    return [Case(f"nominal-{i:04d}", "nominal", seed, r, note) for i, r in enumerate(rows)]


def _edge_cases(inputs: Inputs, rows: Sequence[Edge], seed: int) -> list[Case]:
    others = {x.name: draw(x, s, seed=seed, profile="edge", rows=[(0, r) for r in range(1, x.rows)]) for x, s in inputs}
    made: dict[tuple[str, int], Array] = {}  # most edge cases share most of their arrays
    cases = []
    for edge in rows:
        arrays = {}
        for layout, _ in inputs:
            row = edge.rows[layout.name]
            at = (layout.name, id(row))
            if at not in made:
                made[at] = _batched(layout, np.concatenate([row[None], others[layout.name]]))
            arrays[layout.name] = made[at]
        cases.append(Case(f"edge-{edge.number:04d}", "edge", seed, arrays, edge.note))
    return cases


def _batched(layout: Layout, rows: Array) -> Array:
    """Put ``(B, *row_shape)`` into the input's own shape, read-only: cases share arrays."""
    array = rows[0] if layout.batch_axis is None else np.moveaxis(rows, 0, layout.batch_axis)
    out = np.array(array, order="C") if not array.flags.c_contiguous or array.base is None else array
    out.flags.writeable = False
    return out


def _check_memory(layouts: Sequence[Layout], nominal: int, edge: bool) -> None:
    each = sum(x.nbytes for x in layouts)
    vectors = sum(x.nbytes for x in layouts if x.role != "image")
    total = each * (nominal + (12 if edge else 0)) + (vectors * MAX_FEATURES if edge else 0)
    if total > MAX_BYTES:
        raise UsageError(
            f"{nominal} nominal cases of {each / 2**20:,.1f} MiB and the edge cases take {total / 2**30:,.1f} GiB",
            expected="at most 8 GiB",
            remedy="ask for fewer cases or a smaller batch",
        )
