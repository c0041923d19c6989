"""What is predicted of float16 for a judged release. It is added to a report that is finished: no verdict knows of it.

A prediction is made for a candidate that is an OM file, and for one that is declared float16 while what is known of it
is a float32 graph or none. Its source is the candidate's own ONNX, else the one that `checkpoint` names, else the only
ONNX of the release.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.artifact import Artifact
from parity.errors import ParityError
from parity.finding import Finding, by_severity
from parity.release.facts import Facts
from parity.release.prepare import Prepared
from parity.release.shown import relative_to, shown
from parity.release.sides import Side
from parity.tensor import SEQUENCE, Case, stack

if TYPE_CHECKING:
    from parity.predict.prediction import Prediction
    from parity.tensor import Array

    Known = dict[tuple[Path, str, Path | None], Prediction | str]  # by source, the side that feeds it, and OM

MAX_CASES = 16
MAX_BYTES = 512 << 20  # of an ONNX with its data: six times that is held, and a finished report must not be lost
PROFILES = ("dataset", "nominal", "worst", "edge")
OWN_ARITHMETIC = (None, "onnx", "om", "trace", "npz", "openvino")  # kinds that may be, or come from, another graph


@dataclass(frozen=True, slots=True)
class Source:
    """The ONNX that a candidate was made from, and the side whose inputs it takes."""

    artifact: Artifact
    side: Side


def with_predictions(report: dict[str, Any], prepared: Prepared, facts: Mapping[str, Facts]) -> dict[str, Any]:
    """Return the report with what is predicted: ``predicted``, and findings that are no errors. Nothing else changes.

    Args:
        report: judged and finished.
        prepared: the release.
        facts: by side; after an interruption nothing is predicted.
    """
    if any(f.failure is not None and f.failure.kind == "interrupted" for f in facts.values()):
        return report
    told: list[dict[str, Any]] = []
    findings: list[Finding] = []
    known: Known = {}
    with contextlib.suppress(KeyboardInterrupt):  # all is judged by now: the report is written all the same
        for side in (s for s in prepared.candidates if _asked(s, report)):
            document, more = _of_side(prepared, side, known)
            told += [document] if document else []
            findings += more
    return added(report, told, findings, prepared.root)


def added(
    report: dict[str, Any], told: Sequence[dict[str, Any]], findings: Sequence[Finding], root: Path
) -> dict[str, Any]:
    """Return the report with predictions put behind what it says; none of them is an error, whatever it says."""
    if not told and not findings:
        return report
    show = relative_to(root)
    harmless = [replace(f, severity="warning") if f.severity == "error" else f for f in findings]
    extra = [shown(f, show).as_json() for f in by_severity(harmless)]
    return {**report, "predicted": show(list(told)), "findings": [*report["findings"], *extra]}


def predict_file(
    path: Path, prepared: Prepared, side: Side, candidate: str | None, given: str
) -> tuple[dict[str, Any] | None, list[Finding]]:
    """Return what is predicted of the ONNX at ``path``, fed as ``side`` is: plain data and findings.

    What keeps it from being predicted is a finding, never an exception.
    """
    return _told(_predict(path, prepared, side, None), candidate, given)


def _told(found: Prediction | str, candidate: str | None, given: str) -> tuple[dict[str, Any] | None, list[Finding]]:
    from parity.predict.tell import as_json, findings, unpredicted

    if isinstance(found, str):
        return None, [unpredicted(found, candidate)]
    return as_json(found, given, candidate), list(findings(found, given, candidate))


def _predict(path: Path, prepared: Prepared, side: Side, compiled: Path | None) -> Prediction | str:
    """Return the prediction, or why there is none."""
    from parity.om.reading import open_om
    from parity.predict.prediction import predict
    from parity.runner.onnxruntime import external_data

    try:
        size = sum(p.stat().st_size for p in (path, *(path.parent / n for n in external_data(path))))
        if size > MAX_BYTES:
            return f"{path.name} has {size >> 20:,} MB, the most is {MAX_BYTES >> 20:,}"
        om = None if compiled is None else open_om(compiled)
        cases = [(c.id, _fed(prepared, side, c)) for c in _chosen(prepared.cases_of(prepared.reference))]
        if not cases:
            return "no case has inputs to run it on"
        with tempfile.TemporaryDirectory(prefix="parity-") as work:
            return predict(path, cases, Path(work), om)
    except Exception as e:  # whatever it is: a prediction must not cost a report that is finished
        return e.message if isinstance(e, ParityError) else f"{type(e).__name__}: {e}"


def _of_side(prepared: Prepared, side: Side, known: Known) -> tuple[dict[str, Any] | None, list[Finding]]:
    """Return what is predicted of one candidate; what is ``known`` of the same files is not computed again."""
    from parity.predict.tell import unpredicted

    found = list(_sources(prepared, side))
    compiled = side.shipped.path if side.shipped is not None and side.shipped.kind == "om" else None
    if not found and compiled is None:
        return None, []  # nothing says that there is a float32 graph
    if len(found) != 1:
        many = "several ONNX files are in the release" if found else "no ONNX that it was made from is known"
        return None, [unpredicted(many, side.name, 'name it: checkpoint = "policy.onnx" in its [[candidate]]')]
    source = found[0]
    key = source.artifact.path, source.side.name, compiled
    if key not in known:
        known[key] = _predict(source.artifact.path, prepared, source.side, compiled)
    return _told(known[key], side.name, _given(prepared, source))


def _asked(side: Side, report: Mapping[str, Any]) -> bool:
    if side.staged is not None:
        return False  # which graph is fed what is known within the stages only
    if side.shipped is not None and side.shipped.kind == "om":
        return True
    kind = side.artifact.kind if side.artifact else None
    judged = next((c["precision"] for c in report["candidates"] if c["name"] == side.name), None)
    graph = side.graph.precision if side.graph else None
    return judged == "float16" and kind in OWN_ARITHMETIC and graph in (None, "float32")


def _sources(prepared: Prepared, side: Side) -> Iterator[Source]:
    """Yield the ONNX files that the candidate may be made from: one where it is certain."""
    own = [side.shipped, side.checkpoint.artifact if side.checkpoint else None]
    for artifact in own:
        if artifact is not None and artifact.kind == "onnx":
            yield Source(artifact, side)
            return
    others = [s for s in (prepared.reference, *prepared.candidates) if s.artifact is not None and s is not side]
    told: set[str | None] = set()
    for other in others:
        if other.artifact is not None and other.artifact.kind == "onnx" and other.sha256 not in told:
            told.add(other.sha256)
            yield Source(other.artifact, other)


def _given(prepared: Prepared, source: Source) -> str:
    """Return the path of a source as the user wrote it."""
    side = source.side
    if side.checkpoint is not None and side.checkpoint.artifact is source.artifact:
        return side.checkpoint.given
    return side.given or str(source.artifact.path)


def _chosen(cases: Sequence[Case]) -> list[Case]:
    """Return some cases of every profile, in order: recorded and ordinary ones first."""
    single = [c for c in cases if not c.id.startswith(SEQUENCE) and c.inputs]
    groups = [[c for c in single if c.profile == p] for p in PROFILES]
    turns = [g[i] for i in range(MAX_CASES) for g in groups if i < len(g)][:MAX_CASES]
    return [c for c in single if any(c is t for t in turns)]


def _fed(prepared: Prepared, side: Side, case: Case) -> dict[str, Array]:
    """Return what the side's graph takes in a case, ``(B, ...)`` by its own names; a kept state starts at 0."""
    import numpy as np

    block = next(stack([case]))
    adapter = prepared.adapters.get(side.name)
    inputs = adapter.inputs(block.inputs) if adapter else block.inputs
    if side.pipeline is not None and side.pipeline.composition is not None:
        inputs = side.pipeline.composition.inputs(inputs)
    fed = {n: np.asarray(a[0]) for n, a in inputs.items()}
    for name in side.spec.options.get("state") or {}:
        spec = _state(side, name)
        fed.setdefault(name, np.zeros(spec, dtype=np.float32))
    return fed


def _state(side: Side, name: str) -> tuple[int, ...]:
    from parity.contract import read_contract

    assert side.artifact is not None
    found = read_contract(side.artifact).input(name)
    dims = found.shape if found is not None and found.shape is not None else ()
    return tuple(d if isinstance(d, int) else 1 for d in dims)
