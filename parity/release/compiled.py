"""What can be told of a candidate's OM without the device: shown beside its outputs, and judged with them.

Asked while the release is executed and kept with the facts, so that the suites and a later judging see the same answer.
None of it can make a candidate pass: an OM whose outputs are not there is NOT_JUDGED.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from parity.artifact import Artifact
from parity.contract.om_against import against, paired_inputs
from parity.contract.om_host import host_findings
from parity.contract.om_sizes import runs_at, sizes_in_words
from parity.contract.om_tools import chip_findings, chip_of, precision_findings, source_findings
from parity.errors import ParityError
from parity.finding import Finding
from parity.om.model import OmModel
from parity.om.reading import open_om
from parity.provenance.origin import trace
from parity.provenance.relation import Outcome
from parity.provenance.source import read_source
from parity.provenance.tell import MADE, sentence
from parity.provenance.tell_om import folded_by_compiler
from parity.release import gate
from parity.release.beside import BEHIND
from parity.release.config import Config
from parity.release.explain import WITH_WEIGHTS
from parity.release.facts import Facts
from parity.release.prepare import Prepared
from parity.release.sides import Side
from parity.tensor import TensorSpec, stack
from parity.trace import Trace as Recording

SIZE, OTHER_FILE, OTHER_WEIGHTS, UNREADABLE = "OM031", "OM043", "OM044", "GATE018"
MAX_NAMED = 4
RECORDED_HASH = ("captured", "artifact", "sha256")  # where `parity capture` notes which file answered


def look(prepared: Prepared, side: Side) -> dict[str, Any] | None:
    """Return what a candidate's OM tells, as JSON-able facts; None where the candidate has none.

    ``problem`` is there where the artifact behind a candidate cannot be read.
    """
    behind = side.behind
    if behind is not None and behind.problem is not None:
        return {"path": behind.given, "problem": behind.problem}
    shipped = side.shipped
    if shipped is None or shipped.kind != "om":
        return None
    given = behind.given if behind is not None else side.given
    try:
        model = open_om(shipped.path)
        found = [*_told(prepared, side, model, given), *_weighed(prepared, side, shipped, given)]
    except ParityError as e:
        return {"path": given, "problem": e.message}
    return {
        "path": given,
        "chip": chip_of(model),
        "precision_mode": model.precision_mode,
        "toolkit": dict(model.toolkit),
        "findings": [f.as_json() for f in found],
    }


def compiled_findings(facts: Facts, side: Side, judged: str) -> Iterator[Finding]:
    """Yield what is to be said of a candidate's OM, which is judged in the precision class ``judged``."""
    told, behind = facts.compiled, side.behind.contract if side.behind is not None else None
    if behind is not None:  # that of what runs tells for itself
        yield from (f.for_candidate(side.name) for f in behind.findings)
        yield from gate.random_ops([str(o) for o in behind.metadata.get("random_ops", ())], str(behind.path), side.name)
    if told is None:
        if side.behind is not None and side.behind.artifact.kind == "om":
            yield unreadable(side.name, side.behind.given, "the run was interrupted before")
        return
    if "problem" in told:
        yield unreadable(side.name, told["path"], told["problem"])
        return
    yield from (Finding(**f).for_candidate(side.name) for f in told["findings"])
    yield from (f.for_candidate(side.name) for f in chip_findings(told["chip"], side.soc, told["path"]))
    yield from (f.for_candidate(side.name) for f in precision_findings(told["precision_mode"], judged, told["path"]))


def unreadable(candidate: str, given: str, why: str) -> Finding:
    """Return the finding that the artifact behind a candidate could not be looked into."""
    return Finding(
        UNREADABLE,
        "error",
        f"What is in the artifact of {candidate} could not be told: {why.rstrip('.')}.",
        where=given,
        remedy="give the file that answered, whole and not encrypted",
        candidate=candidate,
    )


def judged_again(report: Mapping[str, Any], config: Config) -> Iterator[Finding]:
    """Yield what `parity.toml` as it is now asks of the artifacts and chips of a saved report's candidates."""
    named = {a.get("side"): a.get("path") for a in report["artifacts"]}
    for table in config.candidate:
        told = report["facts"][table.name].get("compiled")
        if table.artifact is not None and named.get(f"{table.name}{BEHIND}") != table.artifact:
            yield unreadable(table.name, table.artifact, "the report was made without it")
        elif told is not None and "problem" not in told:
            found = chip_findings(told["chip"], table.soc, told["path"])
            yield from (f.for_candidate(table.name) for f in found)


def _told(prepared: Prepared, side: Side, model: OmModel, given: str) -> Iterator[Finding]:
    contract = prepared.reference.graph
    if contract is not None:
        yield from against(model, contract)
        yield from source_findings(model, Path(contract.path), given)
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
    with Recording.open(side.artifact.path) as recording:
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


def _weighed(prepared: Prepared, side: Side, shipped: Artifact, given: str) -> Iterator[Finding]:
    """Yield whether the OM holds the reference's weights, where `[weights]` does not ask already."""
    reference = prepared.reference
    kept = reference.checkpoint.artifact if reference.checkpoint is not None else reference.artifact
    if side.name in prepared.weighing.candidates or kept is None or kept.kind not in WITH_WEIGHTS:
        return
    found = trace(shipped.path, [kept.path])
    outcome = found.best.outcome
    if outcome.relation == "NOT_JUDGED":
        return
    folded = folded_by_compiler(read_source(shipped).checkpoint)
    others = [f for f in outcome.missing if f.source is not None and f.exported not in folded]
    yield Finding(
        MADE if outcome.relation == "MATCH" else OTHER_WEIGHTS,
        "info" if outcome.relation == "MATCH" else "error" if others else "warning",
        sentence(found),
        where=(others or outcome.missing)[0].exported if outcome.missing else given,
        evidence={**found.best.as_json(), "others": [f.exported for f in others[:50]]},
        remedy="" if outcome.relation == "MATCH" else _remedy(outcome, bool(others)),
    )


def _remedy(outcome: Outcome, others: bool) -> str:
    if others:
        return "compile again from the reference, or judge it against the checkpoint that it was made from"
    return f"{len(outcome.missing)} constants have no partner of their shape: the compiler may have computed them"
