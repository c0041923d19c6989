"""What can be told of a candidate's OM without the device: shown beside its outputs, and judged with them.

Asked while the release is executed and kept with the facts, so that the suites and a later judging see the same answer.
None of it can make a candidate pass: an OM whose outputs are not there is NOT_JUDGED.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from parity.artifact import Artifact
from parity.contract.om_tools import chip_findings, chip_of, precision_findings
from parity.errors import ParityError
from parity.finding import Finding
from parity.om.reading import open_om
from parity.provenance.origin import trace
from parity.provenance.relation import Outcome
from parity.provenance.source import read_source
from parity.provenance.tell import MADE, sentence
from parity.provenance.tell_om import folded_by_compiler, layers
from parity.provenance.words import LISTED
from parity.release import gate
from parity.release.beside import BEHIND
from parity.release.compiled_fit import fitting_findings
from parity.release.config import Config
from parity.release.explain import WITH_WEIGHTS
from parity.release.facts import Facts
from parity.release.prepare import Prepared
from parity.release.sides import Side

OTHER_WEIGHTS, UNREADABLE = "OM044", "GATE018"


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
        found = [*fitting_findings(prepared, side, model, given), *_weighed(prepared, side, shipped, given)]
    except ParityError as e:
        return {"path": given, "problem": e.message}
    return {
        "path": given,
        "chip": chip_of(model) or side.spec.options.get("soc"),  # runner `om` is told where the file does not say
        "precision_mode": model.precision_mode,
        "toolkit": {k: v for k, v in model.toolkit.items() if k.endswith("_version")},  # no paths of another machine
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
    chips = chip_findings(told["chip"], side.soc, told["path"])
    yield from (f.for_candidate(side.name) for f in chips)
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


def _weighed(prepared: Prepared, side: Side, shipped: Artifact, given: str) -> Iterator[Finding]:
    """Yield whether the OM holds the reference's weights, where `[weights]` does not ask already."""
    reference = prepared.reference
    kept = reference.checkpoint.artifact if reference.checkpoint is not None else reference.artifact
    if side.name in prepared.weighing.candidates or kept is None or kept.kind not in WITH_WEIGHTS:
        return
    try:
        found = trace(shipped.path, [kept.path])
    except ParityError as e:
        yield Finding(
            OTHER_WEIGHTS,
            "warning",
            f"Whether the OM holds the reference's weights could not be told: {e.message.rstrip('.')}.",
            where=given,
            remedy="name the checkpoint in [weights], or as `checkpoint` of the reference",
        )
        return
    outcome = found.best.outcome
    if outcome.relation == "NOT_JUDGED":
        return
    exported = read_source(shipped).checkpoint
    folded = folded_by_compiler(exported)
    others = [f for f in outcome.missing if f.source is not None and f.exported not in folded]
    yield Finding(
        MADE if outcome.relation == "MATCH" else OTHER_WEIGHTS,
        "info" if outcome.relation == "MATCH" else "error" if others else "warning",
        sentence(found),
        where=(others or outcome.missing)[0].exported if outcome.missing else given,
        evidence={
            **found.best.as_json(),
            "others": [f.exported for f in others[:LISTED]],
            "layers": layers(exported, [f.exported for f in outcome.missing[:LISTED]]),
        },
        remedy="" if outcome.relation == "MATCH" else _remedy(outcome, bool(others)),
    )


def _remedy(outcome: Outcome, others: bool) -> str:
    if others:
        return "compile again from the reference, or judge it against the checkpoint that it was made from"
    return f"{len(outcome.missing)} constants have no partner of their shape: the compiler may have computed them"
