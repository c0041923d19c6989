"""Whether an OM can have given what was recorded of a release's cases, and what it contradicts the reference in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from parity.contract import Contract
from parity.contract.disagree import disagreements
from parity.contract.disagree_tensors import show
from parity.contract.matching import dims_agree, kind_of, match_tensors
from parity.contract.om_against import against, paired_inputs
from parity.contract.om_host import host_findings
from parity.contract.om_sizes import runs_at, sizes_in_words
from parity.contract.om_tools import source_findings
from parity.errors import ParityError
from parity.finding import Finding
from parity.om.model import OmModel
from parity.release.prepare import Prepared
from parity.release.sides import Side
from parity.tensor import TensorSpec, stack
from parity.trace import Trace

SIZE, OTHER_FILE, OTHER_OUTPUT = "OM031", "OM043", "OM047"
MAX_NAMED = 4
RECORDED_HASH = ("captured", "artifact", "sha256")  # where `parity capture` notes which file answered


def fitting_findings(prepared: Prepared, side: Side, model: OmModel, given: str) -> Iterator[Finding]:
    """Yield where a candidate's OM contradicts the reference, the release's cases, or what was recorded."""
    contract = prepared.reference.graph
    behind = side.behind.contract if side.behind is not None else None
    if contract is not None:
        yield from against(model, contract)
        yield from source_findings(model, Path(contract.path), given)
        if behind is not None:  # of what runs, cases and outputs tell
            for d in disagreements(contract, behind):
                found = d.as_finding()
                yield replace(found, severity="warning") if found.severity == "error" else found
    if side.pipeline is None:  # else the cases are the policy's, not the graph's
        if behind is not None and side.contract is not None:
            yield from _outputs(side.contract, behind)
        yield from _sizes(prepared, side, model)
    yield from host_findings(model, given)
    yield from _recorded_from(side)


def _sizes(prepared: Prepared, side: Side, model: OmModel) -> Iterator[Finding]:
    """Yield a finding where the release's cases have sizes at which the OM does not run."""
    refused: dict[str, list[str]] = {}
    known: dict[tuple[Any, ...], str | None] = {}
    for block in stack(prepared.cases_of(side)):
        try:
            fed = _fed(prepared, side, block.inputs)
        except ParityError:
            return  # the run tells
        signature = tuple((t.name, t.shape) for t in fed)
        if signature not in known:
            known[signature] = _refused(model, fed)
        shown = known[signature]
        if shown is not None:
            refused.setdefault(shown, []).extend(block.ids)
    if refused:
        cases = sum(map(len, refused.values()))
        yield Finding(
            SIZE,
            "error",
            f"{cases} of {len(prepared.cases_of(side))} cases have sizes at which the OM does not run "
            f"({'; '.join(list(refused)[:MAX_NAMED])}): it runs at {sizes_in_words(model)}.",
            where=next(iter(refused.values()))[0],
            evidence={"cases": {k: v[:MAX_NAMED] for k, v in refused.items()}},
            remedy="compile it for these sizes (a static shape, or a gear for each), or judge it at those it has",
        )


def _fed(prepared: Prepared, side: Side, stacked: Any) -> list[TensorSpec]:
    adapter = prepared.adapters.get(side.name)
    inputs = adapter.inputs(stacked) if adapter is not None else stacked
    return [TensorSpec(n, tuple(a.shape[1:]), a.dtype.name) for n, a in inputs.items()]


def _refused(model: OmModel, fed: Sequence[TensorSpec]) -> str | None:
    """Return the sizes that the OM does not run at, in words; pictures are another matter, see `against`."""
    pairs = [p for p in paired_inputs(model, fed) if not p.tensor.aipp]
    shapes = {p.tensor.name: [n for n in p.spec.shape or () if isinstance(n, int)] for p in pairs}
    if runs_at(model, shapes):
        return None
    return ", ".join(f"{p.spec.name} {p.spec.shape}" for p in pairs[:MAX_NAMED])


def _recorded_from(side: Side) -> Iterator[Finding]:
    """Yield a finding where a recording says that another file answered than the one that is named."""
    if side.behind is None or side.artifact is None or side.artifact.kind != "trace":
        return
    with Trace.open(side.artifact.path) as recording:
        said: Any = recording.meta
    for key in RECORDED_HASH:
        said = said.get(key) if isinstance(said, Mapping) else None
    if isinstance(said, str) and said.lower() != side.behind.sha256:
        yield Finding(
            OTHER_FILE,
            "error",
            f"The recording was made by another file than {side.behind.given}: it names the SHA-256 {said[:12]}…, "
            f"this file has {side.behind.sha256[:12]}….",
            where=side.behind.given,
            evidence={"recorded": said, "artifact": side.behind.sha256},
            remedy="name the file that answered, or record again with this one",
        )


def _outputs(recorded: Contract, om: Contract) -> Iterator[Finding]:
    """Yield a finding for each recorded output that this OM cannot have given: of another shape or kind of number."""
    for match in match_tensors(recorded.outputs, om.outputs).pairs:
        a, b = match.a, match.b
        sizes = a.shape is None or b.shape is None or len(a.shape) != len(b.shape)
        shapes = sizes or all(map(dims_agree, a.shape or (), b.shape or ()))
        kinds = a.dtype is None or b.dtype is None or kind_of(a.dtype) == kind_of(b.dtype)
        if not (shapes and kinds):
            yield Finding(
                OTHER_OUTPUT,
                "error",
                f"{a.name}: {a.dtype} {show(a.shape)} was recorded, and the OM gives {b.dtype} {show(b.shape)}: it is "
                "not what answered.",
                where=a.name,
                evidence={"recorded": [a.dtype, list(a.shape or ())], "om": [b.dtype, list(b.shape or ())]},
                remedy="name the file that answered, or record again with this one",
            )
