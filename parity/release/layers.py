"""`compare --layers`: the first layer of each failing candidate that differs from the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from parity.errors import ParityError
from parity.finding import Finding
from parity.localize.first import first_divergence
from parity.release.prepare import Prepared
from parity.release.sides import Side
from parity.tensor import Array

MAX_CASES = 4
LAYERED = ("onnxruntime", "torch")


def layer_findings(prepared: Prepared, folder: Path, rows: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return a finding for each failing candidate that names where its layers part from the reference's.

    The cases in which it is furthest off are used. Where layers cannot be looked into, the finding says why.
    """
    failed = {r["candidate"] for r in rows if r["verdict"] == "FAIL"}
    return [_look(prepared, folder, side, rows) for side in prepared.candidates if side.name in failed]


def _look(prepared: Prepared, folder: Path, side: Side, rows: Sequence[Mapping[str, Any]]) -> Finding:
    runners = {prepared.reference.spec.runner, side.spec.runner}
    if not runners <= set(LAYERED):
        return _impossible(side, f"runner {', '.join(sorted(runners - set(LAYERED)))} shows no layers")
    if prepared.reference.pipeline is not None or side.pipeline is not None:
        return _impossible(side, "a pipeline stands before the graph, and its layers take what that makes")
    try:
        report = first_divergence(
            prepared.spec_of(prepared.reference),
            prepared.spec_of(side),
            _worst_inputs(prepared, side.name, rows),
            precision=side.declared or "float32",
            workdir=folder / f"layers-{side.name}",
        )
    except ParityError as e:
        return _impossible(side, e.message)
    return report.finding(side.name)


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
