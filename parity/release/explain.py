"""Why, at once: on FAIL, the cheap static checks and the fits on stored outputs, and one line that names the cause."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from parity.artifact import Artifact
from parity.contract import read_contract
from parity.diagnose import (
    NORMALIZER,
    Explanation,
    Statistics,
    finding_of,
    fit_structure,
    likely_cause,
    static_findings,
    statistics_of,
    statistics_of_scale,
)
from parity.errors import ParityError
from parity.finding import Finding
from parity.provenance.match import WeightMatch, match_sides
from parity.release.measure import Evidence
from parity.release.prepare import Prepared
from parity.release.sides import Side
from parity.release.stages_explain import enters, swapped
from parity.release.state import SEQUENCE
from parity.runner.composed import GRAPH
from parity.tensor import Array

WITH_WEIGHTS = ("onnx", "torchscript", "pt2", "checkpoint", "safetensors", "folder", "om")
MAX_ELEMENTS = 1 << 22


def explain(prepared: Prepared, folder: Path, report: Mapping[str, Any]) -> tuple[list[Finding], str | None]:
    """Return findings that name why candidates differ, and the one line to put before the numbers.

    They explain a verdict and never make one: none is an error.

    Args:
        prepared: the release.
        folder: its evidence.
        report: the judged release.
    """
    rows = report["comparisons"]
    verdicts = {c["name"]: c["verdict"] for c in report["candidates"]}
    findings: list[Finding] = []
    causes: list[str] = []
    for side in prepared.candidates:
        if verdicts[side.name] == "PASS":
            continue
        if side.staged is not None:
            own, cause = _of_stages(prepared, folder, side, report)
            findings += own
            causes += _told(cause, side, prepared) if verdicts[side.name] == "FAIL" else []
            continue
        if side.artifact is None:
            continue
        weights = _weights(prepared.reference, side)
        static = static_findings(prepared.reference.contract, side.contract, weights)
        if side.pipeline is not None or prepared.reference.pipeline is not None:  # a normalizer may stand outside
            static = [f for f in static if f.code != NORMALIZER]
        failed = verdicts[side.name] == "FAIL"
        explained = _explained(prepared, folder, side, rows) if failed else []
        own = [f.for_candidate(side.name) for f in static]
        own += [finding_of(e, output, side.name) for output, e in explained]
        carried = _carried(side.name, rows)
        around = _around(side.name, rows)
        own += carried + around
        sure = [f.title.rstrip(".") for f in (*carried, *around)]
        cause = sure[0] if sure else likely_cause(own, [e for _, e in explained]) or _replayed(side.name, report)
        findings += [replace(f, severity="warning") if f.severity == "error" else f for f in own]
        causes += _told(cause, side, prepared) if failed else []
    return findings, "; ".join(causes) or None


def _told(cause: str | None, side: Side, prepared: Prepared) -> list[str]:
    if not cause:
        return []
    return [cause if len(prepared.candidates) == 1 else f"{side.name}: {cause}"]


def _of_stages(
    prepared: Prepared, folder: Path, side: Side, report: Mapping[str, Any]
) -> tuple[list[Finding], str | None]:
    """Return what explains the failure of a side in stages, and the cause: where the error enters."""
    rows = report["comparisons"]
    with Evidence(folder, prepared.plan) as evidence:
        found = [*swapped(evidence, side.name, rows), *enters(side.name, rows, report["findings"])]
    whole = [r for r in rows if not r.get("stage")]
    explained = _explained(prepared, folder, side, whole)
    fits = [finding_of(e, output, side.name) for output, e in explained]
    fits = [replace(f, severity="warning") if f.severity == "error" else f for f in fits]
    cause = found[0].title.rstrip(".") if found else likely_cause(fits, [e for _, e in explained])
    return [*found, *fits], cause


def _replayed(candidate: str, report: Mapping[str, Any]) -> str | None:
    """Return the first cause that replayed actions have, None where they name none."""
    named = [f for f in report["findings"] if f["candidate"] == candidate and f["severity"] == "error"]
    causes = [f["title"] for f in named if f["code"].startswith("REPLAY") and f["code"] != "REPLAY092"]
    return causes[0].rstrip(".") if causes else None


def _carried(candidate: str, rows: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return a finding where all that failed are steps to which state was carried over, and every other case passed."""
    failed = {r["case"] for r in rows if r["candidate"] == candidate and r["verdict"] != "PASS"}
    if not failed or not all(c.startswith(SEQUENCE) and c != f"{SEQUENCE}0000" for c in failed):
        return []
    return [
        Finding(
            "DIAG009",
            "warning",
            "Only steps that follow another differ: the state is not carried over as in the reference.",
            where=min(failed),
            evidence={"cases": sorted(failed)},
            remedy="look for a state that is forgotten, fed back to the wrong input, or exported in another order",
            candidate=candidate,
        )
    ]


def _around(candidate: str, rows: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return a finding where the graph is right and the policy is not: then what stands around the graph is wrong."""
    own = [r for r in rows if r["candidate"] == candidate]
    graph = [r for r in own if r["level"] == "graph"]
    looked_into = {r["output"].removeprefix(GRAPH) for r in graph}  # of another output nothing is known inside
    wrong = {r["output"] for r in own if r["level"] == "policy" and r["verdict"] == "FAIL"}
    failed = sorted(wrong & looked_into)
    if not graph or not failed or any(r["verdict"] != "PASS" for r in graph):
        return []
    return [
        Finding(
            "PIPE003",
            "warning",
            "The graph gives the reference's numbers; the pipeline around it does not: look at its statistics.",
            where=failed[0],
            evidence={"graph": sorted({r["output"] for r in graph}), "policy": failed},
            remedy="compare the statistics of both sides (`parity stats`), and take those of the training run",
            candidate=candidate,
        )
    ]


def _weights(reference: Side, candidate: Side) -> WeightMatch | None:
    """Return how many of the candidate's weights are the reference's, or None where either holds none to read."""
    sources = [s.checkpoint.artifact if s.checkpoint else s.shipped for s in (reference, candidate)]
    found: list[Artifact] = [a for a in sources if a is not None]
    if len(found) < 2 or any(a.kind not in WITH_WEIGHTS for a in found):
        return None
    try:
        return match_sides(*found)
    except ParityError:
        return None


def _explained(
    prepared: Prepared, folder: Path, side: Side, rows: Sequence[Mapping[str, Any]]
) -> list[tuple[str, Explanation]]:
    """Return what explains the difference in each output that failed, from the stored outputs."""
    bad = {r["output"] for r in rows if r["candidate"] == side.name and r["verdict"] == "FAIL"}
    found: list[tuple[str, Explanation]] = []
    with Evidence(folder, prepared.plan) as evidence:
        for output in sorted(bad):
            pair = _stacked(prepared, evidence, side.name, output)
            if pair is None:
                continue
            reference, candidate = pair
            spec = prepared.contract.output(output)
            elements = spec.elements if spec else None
            chunked = reference.ndim >= 3 and reference.shape[-2] > 1
            noun = "joint" if spec is None or spec.role in (None, "action") else "dimension"
            known = _statistics(prepared, output, reference.shape[-1])
            fits = fit_structure(reference, candidate, elements=elements, chunked=chunked, noun=noun, statistics=known)
            found += [(output, e) for e in fits]
    return found


def _statistics(prepared: Prepared, output: str, dims: int) -> list[Statistics]:
    """Return what un-normalizes an output: as the contract knows it, else as the reference's checkpoint does."""
    contracts, kept = [prepared.contract], prepared.reference.checkpoint
    if kept is not None:
        with contextlib.suppress(ParityError):
            contracts.insert(0, read_contract(kept.artifact))
    for contract in contracts:
        pair = contract.metadata.get("normalizer", {}).get(output) if contract.kind == "diffusion_policy" else None
        spec = contract.output(output)
        found = statistics_of_scale(**pair, source=f"{contract.path.name}: normalizer of {output}") if pair else None
        if found is None and spec is not None and spec.range is not None:
            found = statistics_of(spec.range, dims)
        if found is not None:
            return [found]
    return []


def _stacked(prepared: Prepared, evidence: Evidence, candidate: str, output: str) -> tuple[Array, Array] | None:
    """Return the outputs of all nominal and recorded cases (else of all), stacked, for both sides."""
    ids = [c.id for c in prepared.plan.cases if c.profile in ("nominal", "dataset") and c.id not in prepared.assembled]
    ids = ids or [c.id for c in prepared.plan.cases]
    pairs: list[tuple[Array, Array]] = []
    for case in ids:
        a, b = evidence.output("reference", case, output), evidence.output(candidate, case, output)
        if a is None or b is None or a.shape != b.shape or a.dtype.kind not in "fV" or len(a.shape) < 2:
            continue
        size = int(np.prod(a.shape))
        if size * (len(pairs) + 1) > MAX_ELEMENTS or (pairs and pairs[0][0].shape != a.shape):
            break
        pairs.append((a.read(0, size).reshape(a.shape), b.read(0, size).reshape(b.shape)))
    if len(pairs) < 3:
        return None
    return np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs])
