"""What can be told of a candidate's OM without the device: shown beside its outputs, and judged with them.

Asked while the release is executed and kept with the facts, so that the suites and a later judging see the same answer.
None of it can make a candidate pass: an OM whose outputs are not there is NOT_JUDGED.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from parity.contract.om_tools import chip_findings, precision_findings
from parity.errors import ParityError
from parity.finding import Finding
from parity.om.reading import open_om
from parity.release import gate
from parity.release.beside import BEHIND
from parity.release.compiled_fit import fitting_findings
from parity.release.compiled_stages import look_at_stages, told_of
from parity.release.compiled_values import value_findings
from parity.release.compiled_weights import of_the_reference, trusted_weights
from parity.release.config import Config
from parity.release.facts import Facts
from parity.release.prepare import Prepared
from parity.release.sides import Side

UNREADABLE = "GATE018"


def look(prepared: Prepared, side: Side) -> dict[str, Any] | None:
    """Return what a candidate's OM tells, as JSON-able facts; None where the candidate has none.

    ``problem`` is there where the artifact behind a candidate cannot be read.
    """
    if side.staged is not None:
        return look_at_stages(prepared.reference, side)
    behind = side.behind
    if behind is not None and behind.problem is not None:
        return {"path": behind.given, "problem": behind.problem}
    shipped = side.shipped
    if shipped is None or shipped.kind != "om":
        return None
    given = behind.given if behind is not None else side.given
    try:
        model = open_om(shipped.path)
        found = [*fitting_findings(prepared, side, model, given), *value_findings(side)]
        if side.name not in prepared.weighing.candidates:
            found += of_the_reference(shipped, trusted_weights(prepared.reference), given)
    except ParityError as e:
        return {"path": given, "problem": e.message}
    return told_of(model, side, given, found)


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
    for part in told.get("stages", [told]):
        if "problem" in part:
            yield unreadable(side.name, part["path"], part["problem"])
            continue
        yield from (Finding(**f).for_candidate(side.name) for f in part["findings"])
        more = [*chip_findings(part["chip"], side.soc, part["path"])]
        more += precision_findings(part["precision_mode"], judged, part["path"])
        yield from (f.for_candidate(side.name) for f in more)


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
            continue
        for part in [] if told is None else told.get("stages", [told]):
            if "problem" not in part:
                found = chip_findings(part["chip"], table.soc, part["path"])
                yield from (f.for_candidate(table.name) for f in found)
