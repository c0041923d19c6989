"""`compare --layers`: the first layer of each failing candidate that differs from the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from parity.errors import ParityError
from parity.finding import Finding
from parity.localize.first import first_divergence
from parity.release.facts import Facts
from parity.release.prepare import Prepared
from parity.release.sides import Side
from parity.runner.base import RunnerSpec
from parity.runner.rebuilt import said
from parity.tensor import Array

MAX_CASES = 4
LAYERED = ("onnxruntime", "torch")


def layer_findings(
    prepared: Prepared, folder: Path, rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Facts]
) -> list[Finding]:
    """Return a finding for each failing candidate that names where its layers part from the reference's.

    The cases in which it is furthest off are used. An actor rebuilt from a checkpoint is built as ``facts`` tell that
    it was for the comparison. Where layers cannot be looked into, the finding says why.
    """
    failed = {r["candidate"] for r in rows if r["verdict"] == "FAIL"}
    return [_look(prepared, folder, side, rows, facts) for side in prepared.candidates if side.name in failed]


def _look(
    prepared: Prepared, folder: Path, side: Side, rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Facts]
) -> Finding:
    runners = {prepared.reference.spec.runner, side.spec.runner}
    if not runners <= set(LAYERED):
        return _impossible(side, f"runner {', '.join(sorted(runners - set(LAYERED)))} shows no layers")
    if prepared.reference.pipeline is not None or side.pipeline is not None:
        return _impossible(side, "a pipeline stands before the graph, and its layers take what that makes")
    try:
        report = first_divergence(
            _as_built(prepared, prepared.reference, facts),
            _as_built(prepared, side, facts),
            _worst_inputs(prepared, side.name, rows),
            precision=side.declared or "float32",
            workdir=folder / f"layers-{side.name}",
        )
    except ParityError as e:
        return _impossible(side, e.message)
    return report.finding(side.name)


def _as_built(prepared: Prepared, side: Side, facts: Mapping[str, Facts]) -> RunnerSpec:
    """Return how the side was run, what was settled on the way included."""
    spec = prepared.spec_of(side)
    rebuilt = facts[side.name].environment.get("rebuilt", {}) if side.name in facts else {}
    return replace(spec, kwargs={**spec.kwargs, **said(rebuilt["settled"])}) if rebuilt else spec


def _worst_inputs(prepared: Prepared, candidate: str, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Array]]:
    """Return the inputs of the nominal cases (else of any) in which the candidate is furthest off."""
    own = [r for r in rows if r["candidate"] == candidate and r["case"] not in prepared.assembled]
    nominal = [r for r in own if r["profile"] in ("nominal", "dataset")] or own

    def badness(row: Mapping[str, Any]) -> float:
        value = row.get("max_abs")
        return float(value) if isinstance(value, int | float) else float("inf")

    ids = list(dict.fromkeys(r["case"] for r in sorted(nominal, key=badness, reverse=True)))[:MAX_CASES]
    by_id = {c.id: c for c in prepared.cases}
    return [by_id[i].inputs for i in ids if i in by_id]


def _impossible(side: Side, why: str) -> Finding:
    return Finding(
        "DIAG021", "info", f"The layers could not be looked into: {why}.", where=side.spec.path, candidate=side.name
    )
