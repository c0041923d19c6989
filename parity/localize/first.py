"""Looks into two policies layer by layer and finds where they part."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from parity.compare.budget import INT8_RMS_RATIO, derived_limit
from parity.errors import UsageError
from parity.localize.align import Match, align
from parity.localize.folds import as_folded
from parity.localize.graph import Graph
from parity.localize.layer import compare_weights, inputs_agree, misaligned, sentence
from parity.localize.measure import Gap, measure
from parity.localize.report import LayerDiff, LayerReport, WeightDiff
from parity.localize.sides import Side, open_side
from parity.runner.base import RunnerSpec

if TYPE_CHECKING:
    from parity.tensor import Array

    Arrays = Mapping[str, Array]


def first_divergence_onnx(
    reference: Path, candidate: Path, inputs: Sequence[Arrays], *, precision: str = "float32"
) -> LayerReport:
    """Return where two ONNX files part; see `first_divergence`."""
    return first_divergence(
        RunnerSpec("reference", "onnxruntime", str(reference)),
        RunnerSpec("candidate", "onnxruntime", str(candidate)),
        inputs,
        precision=precision,
    )


def first_divergence(
    reference: RunnerSpec,
    candidate: RunnerSpec,
    inputs: Sequence[Arrays],
    *,
    precision: str = "float32",
    workdir: Path | None = None,
) -> LayerReport:
    """Return the first value, in the reference's order of computation, that differs by more than its class allows.

    Each side is ONNX, TorchScript, ``.pt2`` or a factory of a ``torch.nn.Module``, and runs in its own process.

    Args:
        inputs: cases, each ``{name: (B, ...)}`` by the reference's names (the candidate's, or by position, where they
            differ).
        precision: the candidate's declared class; its limit is applied to every value.
        workdir: for copies of the files with further outputs; default a temporary folder.

    The limit of a value is that of `parity.compare.budget` with the floor 8 · 2⁻²⁴ · max |reference| of the tensor, or
    the change when the reference runs without graph optimizations, if larger.

    Raises:
        UsageError: no cases, inputs that do not fit, or an artifact without layers.
        ArtifactError, RunnerError: a side cannot be read, loaded or run.
    """
    if not inputs:
        raise UsageError("no cases to look into the layers with")
    if workdir is None:
        with tempfile.TemporaryDirectory(prefix="parity-layers-") as folder:
            return first_divergence(reference, candidate, inputs, precision=precision, workdir=Path(folder))
    if reference.name == candidate.name:
        candidate = replace(candidate, name=f"{candidate.name} (candidate)")
    with (
        open_side(reference, workdir / "reference", inputs[0]) as ref,
        open_side(candidate, workdir / "candidate", inputs[0]) as cand,
    ):
        return _compared(ref, cand, inputs, precision)


def _compared(ref: Side, cand: Side, inputs: Sequence[Arrays], precision: str) -> LayerReport:
    matches = align(as_folded(ref.graph, cand.graph), as_folded(cand.graph, ref.graph))
    names = _renaming(ref.graph, cand.graph, tuple(inputs[0]))
    cases = [{names[0][n]: a for n, a in case.items()} for case in inputs]
    gaps = measure(ref, cand, matches, cases, lambda case: {names[1][n]: a for n, a in case.items()})
    rows = [_row(m, g, precision) for m, g in zip(matches, gaps, strict=True)]
    wrong = misaligned(ref.graph, rows)
    kept = [i for i in range(len(rows)) if i not in wrong]
    return _report(ref, cand, [matches[i] for i in kept], [rows[i] for i in kept])


def _renaming(ref: Graph, cand: Graph, given: tuple[str, ...]) -> tuple[dict[str, str], dict[str, str]]:
    """Return given name → reference's, and reference's → candidate's; by name, else by position.

    Raises:
        UsageError: neither fits.
    """

    def fit(names: tuple[str, ...], wanted: tuple[str, ...], side: str) -> dict[str, str]:
        if not wanted or set(names) == set(wanted):  # a trace by hooks has no names of its own
            return {n: n for n in names}
        if len(names) == len(wanted):
            return dict(zip(names, wanted, strict=True))
        raise UsageError(
            f"the {side} takes {len(wanted)} inputs ({', '.join(wanted)}), but a case has {', '.join(names)}",
            remedy="layers can be compared where both sides take the same inputs",
        )

    first = fit(given, ref.inputs, "reference")
    names = tuple(first.values())
    return first, fit(names, cand.inputs, "candidate")


def _row(match: Match, gap: Gap, precision: str) -> LayerDiff:
    limit = derived_limit(precision, np.array([gap.floor]), np.array([gap.scale]))
    if gap.exact:
        over, allowed = gap.max_abs > 0, 0.0
    elif limit is None:  # int8 is judged by RMS
        over, allowed = gap.rel > INT8_RMS_RATIO, INT8_RMS_RATIO * gap.scale
    else:
        allowed = float(limit[0])
        over = gap.max_abs > allowed
    return LayerDiff(
        reference=match.reference.name,
        candidate=match.candidate.name,
        op=match.reference.op,
        node=match.reference.node,
        shape=match.reference.shape,
        rel=gap.rel,
        max_abs=gap.max_abs,
        scale=gap.scale,
        floor=gap.floor,
        limit=allowed,
        over=over or bool(gap.broken),
        matched_by=match.how,
        broken=gap.broken,
    )


def _report(ref: Side, cand: Side, matches: Sequence[Match], rows: Sequence[LayerDiff]) -> LayerReport:
    at = next((i for i, r in enumerate(rows) if r.over), None)
    known_r, known_c = {m.reference.name for m in matches}, {m.candidate.name for m in matches}
    free_r = tuple(v.name for v in ref.graph.values if v.name not in known_r)
    free_c = tuple(v.name for v in cand.graph.values if v.name not in known_c)
    before = [r for r in rows[:at] if not r.over]
    inputs_rel: float | None = None
    weights: tuple[WeightDiff, ...] = ()
    if not rows:
        text = "no layer of the reference has a partner in the candidate: the graphs have nothing in common"
    elif at is None:
        text = f"none of the {len(rows)} values compared differs by more than rounding"
    else:
        match = matches[at]
        inputs_rel = inputs_agree(ref.graph, match.reference, {r.reference: r for r in rows})
        weights = compare_weights(ref, cand, match)
        text = sentence(ref.graph, cand.graph, match, rows[at], inputs_rel, weights, known_r, known_c)
    return LayerReport(
        sentence=text,
        first=None if at is None else rows[at],
        last_agreed=before[-1] if at is not None and before else None,
        inputs_rel=inputs_rel,
        weights=weights,
        rows=tuple(rows),
        unmatched_reference=free_r,
        unmatched_candidate=free_c,
        notes=(*ref.notes, *cand.notes),
    )
