"""The report on a replay alone, in the schema of every other report: no case is planned, nothing else compared."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from parity.finding import Finding
from parity.release import gate
from parity.release.config import Config
from parity.release.document import blank_report
from parity.release.facts import Facts
from parity.release.judge import conclude, misplaced, replay_verdicts
from parity.release.precision import judged_class, precision_findings
from parity.release.prepare import Prepared
from parity.release.replayed import Evidence
from parity.release.shown import relative_to, shown


def replay_report(
    prepared: Prepared,
    config: Config,
    facts: Mapping[str, Facts],
    replay: Evidence | None,
    today: dt.date | None = None,
) -> dict[str, Any]:
    """Return the report on a release of which only recorded data were replayed."""
    reference = prepared.reference
    classes = {s.name: judged_class(s, reference, facts["reference"]) for s in prepared.candidates}
    replayed = replay_verdicts(prepared, config, replay, classes)
    planned_cases = [f for f in prepared.findings if f.code.startswith("CASE")]  # none of them is run here
    findings: list[Finding] = [*(f for f in prepared.findings if f not in planned_cases), *replayed.findings]
    for side in prepared.candidates:
        same = side.sha256 is not None and side.identity == reference.identity
        findings += gate.same_thing(same, side.name)
        for which in (reference.name, side.name):
            environment = (replay.told if replay else {}).get("stand_ins", {}).get(which, {})
            findings += gate.stood_in(environment, which, side.name)
        findings += gate.policy_level(misplaced(config, side.name, "policy"), side.name)
        told = (facts[side.name], classes[side.name], reference, facts["reference"])
        findings += precision_findings(side, *told)
    report = blank_report(prepared, config, facts, classes, [], replayed.measures)
    planned = len(replayed.measures)
    report["release"]["scope"] = {"planned": planned, "selected": planned}
    show = relative_to(prepared.root)
    report |= {"replay": show(replayed.shown)} if replayed.shown else {}
    report["facts"] = show(report["facts"])
    report["release"]["environment"] = show(report["release"]["environment"])
    return conclude(report, [shown(f, show) for f in findings], config.waiver, today or dt.date.today())
