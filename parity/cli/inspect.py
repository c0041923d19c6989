"""`parity inspect`: the contract of each artifact; with several, where they disagree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from parity.cli.commands import COMMANDS
from parity.cli.output import claim, json_option, people, write_json
from parity.verdict import Verdict

if TYPE_CHECKING:
    from parity.contract import Contract
    from parity.contract.disagree import Disagreement
    from parity.evaluation.model import EvaluationLog
    from parity.finding import Finding


@click.command("inspect", short_help=COMMANDS["inspect"])
@click.argument("artifacts", nargs=-1, required=True, metavar="ARTIFACT...")
@click.option("--strict", is_flag=True, help="Exit 1 if artifacts disagree or one has an error finding.")
@json_option()
def command(artifacts: tuple[str, ...], strict: bool, json_file: str | None) -> int:
    """Show the contract of each ARTIFACT: inputs, outputs, window, normalization, sampler.

    With several, show each and every point in which the others disagree with the first. Of the log of an evaluation
    show its episodes. Nothing is executed.

    Exit codes: 0 (disagreements are findings), 1 under --strict if there are any, 2 if an artifact cannot be read.
    """
    from parity.cli.inspecting import print_inspection
    from parity.cli.inspecting_evaluations import print_logs
    from parity.contract import read_contract
    from parity.contract.disagree import disagreements_of, only_one_says
    from parity.contract.disagree_om import om_findings_of
    from parity.evaluation.registry import find_log, read_evaluation

    claim(json_file)
    logs = {path: log for path in artifacts if (log := find_log(path)) is not None}
    evaluations = [read_evaluation(log) for log in logs.values()]
    contracts = [read_contract(path) for path in artifacts if path not in logs]
    if not contracts:
        document = logs_alone(evaluations, strict=strict)
        write_json(document, json_file)
        print_logs(evaluations, people(json_file))
        return Verdict(document["verdict"]).exit_code
    found = disagreements_of(contracts)
    alone = om_findings_of(contracts)
    alone += [f for other in contracts[1:] for f in only_one_says(contracts[0], other)]
    joined = _joined(contracts)
    document = inspection(contracts, joined, found, alone, strict=strict, evaluations=evaluations)
    write_json(document, json_file)
    print_inspection(contracts, joined, found, alone, people(json_file))
    print_logs(evaluations, people(json_file))
    return Verdict(document["verdict"]).exit_code


def _joined(contracts: Sequence[Contract]) -> Contract:
    """Return what the artifacts say together with what lies beside the first; its findings are about that alone."""
    from dataclasses import replace

    from parity.contract.join import join, with_siblings

    return with_siblings(replace(join(contracts), findings=()))


def inspection(
    contracts: Sequence[Contract],
    joined: Contract,
    found: Sequence[Disagreement],
    alone: Sequence[Finding],
    *,
    strict: bool,
    evaluations: Sequence[EvaluationLog] = (),
) -> dict[str, Any]:
    """Return the JSON of `parity inspect`. FAIL only under ``strict``: without it disagreements are findings."""
    from parity.cli.inspecting_evaluations import logs_json
    from parity.finding import by_severity

    own = [f for c in (*contracts, joined) for f in c.findings] + [f for log in evaluations for f in log.findings]
    reasons = [d.sentence for d in found if d.severity != "info"]
    reasons += [f.title for f in (*own, *alone) if f.severity == "error"]
    failed = strict and bool(reasons)
    return {
        "schema": 1,
        "verdict": str(Verdict.FAIL if failed else Verdict.PASS),
        "reasons": reasons if failed else [],
        "strict": strict,
        "artifacts": [c.as_json() for c in contracts],
        "joined": joined.as_json(),
        "disagreements": [d.as_json() for d in found],
        "findings": [f.as_json() for f in by_severity([*own, *(d.as_finding() for d in found), *alone])],
        **({"evaluations": logs_json(evaluations)} if evaluations else {}),
    }


def logs_alone(evaluations: Sequence[EvaluationLog], *, strict: bool) -> dict[str, Any]:
    """Return the JSON of `parity inspect` where all artifacts are logs of evaluations: no contract is among them."""
    from parity.cli.inspecting_evaluations import logs_json
    from parity.finding import by_severity

    found = by_severity([f for log in evaluations for f in log.findings])
    reasons = [f.title for f in found if f.severity == "error"] if strict else []
    return {
        "schema": 1,
        "verdict": str(Verdict.FAIL if reasons else Verdict.PASS),
        "reasons": reasons,
        "strict": strict,
        "artifacts": [],
        "disagreements": [],
        "findings": [f.as_json() for f in found],
        "evaluations": logs_json(evaluations),
    }
