"""The search for inputs that maximize divergence, on live sessions; what it finds is replayed on every side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from parity.errors import ParityError
from parity.release.floor_run import absolute_difference, scale_of
from parity.runner.composed import GRAPH
from parity.search import search
from parity.stages import is_of_stages
from parity.tensor import Array, Case, stack

if TYPE_CHECKING:
    from parity.release.execute import Live
    from parity.release.prepare import Prepared


def find_worst(prepared: Prepared, reference: Live, candidates: Sequence[Live]) -> list[Case]:
    """Return the inputs with the largest divergence between the reference and any candidate, worst first.

    Divergence is the largest |Δ| in units of the output's scale over the nominal cases. Empty where the reference or
    all candidates are gone.
    """
    from parity.release.execute import run_block

    alive = [c for c in candidates if c.session is not None and c.facts.failure is None]
    if reference.session is None or reference.facts.failure is not None or not alive:
        return []
    scales = _scales(reference)

    def evaluate(inputs: Sequence[Mapping[str, Array]]) -> list[float]:
        cases = [Case(f"probe-{i:05d}", "worst", 0, dict(x)) for i, x in enumerate(inputs)]
        worst: list[float] = []
        for block in stack(cases):
            expected = run_block(prepared, reference, block)
            gaps = [
                _gap(expected.outputs, run_block(prepared, live, block).outputs, scales, len(block)) for live in alive
            ]
            worst += np.max(gaps, axis=0).tolist()
        return worst

    start = [c for c in prepared.cases if c.profile in ("nominal", "dataset") and c.id not in prepared.assembled]
    try:
        result = search(
            evaluate,
            prepared.contract,
            prepared.ranges,
            seed=prepared.plan.seed,
            evaluations=prepared.worst_evaluations,
            start=start,
        )
    except ParityError:
        return []
    return list(result.cases)


def _scales(reference: Live) -> dict[str, float]:
    scales: dict[str, float] = {}
    for done in reference.results:
        arrays = {n: a for n, a in done.result.outputs.items() if not isinstance(a, list)}
        for name, value in scale_of(arrays).items():
            scales[name] = max(value, scales.get(name, 0.0))
    return scales


def _gap(
    expected: Mapping[str, Array | list[Array]],
    found: Mapping[str, Array | list[Array]],
    scales: Mapping[str, float],
    count: int,
) -> Array:
    """Return the divergence of each of ``count`` cases; infinite where an output is missing, misshapen or NaN."""
    gaps = np.zeros(count)
    for name, values in expected.items():
        other = found.get(name)
        if other is None and (name.startswith(GRAPH) or is_of_stages(name)):  # not every candidate shows these
            continue
        if isinstance(values, list) or isinstance(other, list) or other is None or other.shape != values.shape:
            return np.full(count, np.inf)
        gap = absolute_difference(values, other).reshape(count, -1).max(axis=1, initial=0.0)
        gaps = np.maximum(gaps, gap / max(scales.get(name, 0.0), 2.0**-126))
    return np.where(np.isnan(gaps), np.inf, gaps)
