"""What `parity provenance` asks and how it is shown: one sentence, a table of checkpoints, the findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from parity.cli.output import terminal
from parity.cli.progress import progress
from parity.provenance.origin import trace
from parity.provenance.proof import prove
from parity.provenance.source import expanded
from parity.provenance.tell import as_json, findings_of, verdict_of
from parity.provenance.tell_proof import proof_findings, proof_json, proof_verdict
from parity.report.text import clean
from parity.verdict import Verdict

STYLES = {"error": "red", "warning": "yellow", "info": "dim"}
STYLES |= {"MATCH": "green", "PASS": "bold green", "FAIL": "bold red", "NOT_JUDGED": "bold yellow"}
# What is said first: where it was made from, or what moved.
MAIN = {"PROV001", "PROV002", "PROV003", "PROV004", "PROV005", "PROV020", "PROV021", "PROV022", "PROV024", "PROV025"}
SHOWN = 10  # rows of the table; --json has all
WORDS = 600
COLUMNS = ("relation", "found", "checkpoint", "tree")


def ask(exported: str, checkpoints: Sequence[str], only: Sequence[str], *, strict: bool) -> dict[str, Any]:
    """Return the JSON of `parity provenance`; under ``strict`` a warning fails what matches.

    Raises:
        ArtifactError: the exported file, or every checkpoint, cannot be read.
        UsageError: no tensor is inside a pattern of ``only``.
    """
    checkpoints = expanded(checkpoints)
    with progress("") as report:

        def tell(done: int, total: int) -> None:
            report("checkpoints", done, total)

        if only:
            proofs = prove(exported, checkpoints, only, tell)
            document = proof_json(proofs, proof_findings(proofs), proof_verdict(proofs))
        else:
            found = trace(exported, checkpoints, tell)
            document = as_json(found, findings_of(found), verdict_of(found.best))
    return failed_by_warnings(document) if strict else document


def failed_by_warnings(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document as ``--strict`` has it: FAIL where it passed with a warning."""
    warned = [f["title"] for f in document["findings"] if f["severity"] == "warning"]
    if document["verdict"] == "PASS" and warned:
        return {**document, "verdict": str(Verdict.FAIL), "reasons": warned}
    return document


def print_trace(document: Mapping[str, Any], stream: TextIO) -> int:
    """Print the outcome for people and return the exit code."""
    findings, verdict = document["findings"], document["verdict"]
    main = next((f for f in findings if f["code"] in MAIN), findings[0])
    word = verdict if "only" in document else document["best"]["relation"]
    _say(stream, STYLES[verdict], f"{word}: {main['title']}")
    _table(stream, document["candidates"])
    for finding in findings:
        if finding is not main:
            _say(stream, finding["severity"], f"  {finding['code']} {finding['severity']}: {finding['title']}")
    return Verdict(document["verdict"]).exit_code


def nearest_first(candidates: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return candidates as the table lists them: those of which most was found, then the nearest by cosine."""

    def order(c: Mapping[str, Any]) -> tuple[float, float]:
        return -(c["matched"] + c["folded"]), -(c["cosine"] if c["cosine"] is not None else -2.0)

    return sorted(candidates, key=order)


def rows(candidates: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return a row per candidate: relation, how many tensors were found, checkpoint and step, weight set."""
    shown: list[tuple[str, ...]] = []
    for c in nearest_first(candidates)[:SHOWN]:
        cosine = f" cos {c['cosine']:.3f}" if c["relation"] == "STALE" else ""
        found = f"{c['matched'] + c['folded']} of {c['total']}{cosine}"
        shown.append((c["relation"], found, clean(c["checkpoint"], 200), clean(c["tree"], 60) or "-"))
    return shown


def _table(stream: TextIO, candidates: Sequence[Mapping[str, Any]]) -> None:
    console, table = terminal(stream), rows(candidates)
    more = len(candidates) - len(table)
    if console is None:
        width = max(len(row[1]) for row in table)
        for row in table:
            print(f"  {row[0]:8} {row[1]:{width}}  {row[2]}  {row[3]}", file=stream)
    else:
        from rich.table import Table
        from rich.text import Text

        drawn = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1), collapse_padding=True)
        for column in COLUMNS:
            drawn.add_column(column, overflow="fold", no_wrap=column == "relation")
        for row in table:
            drawn.add_row(Text(row[0], style=STYLES.get(row[0], "")), *map(Text, row[1:]))
        console.print(drawn)
    if more > 0:
        _say(stream, "info", f"  and {more} more")


def _say(stream: TextIO, style: str, text: str) -> None:
    console, line = terminal(stream), clean(text, WORDS)
    indent = "  " if text.startswith("  ") else ""
    if console is None:
        print(f"{indent}{line}", file=stream)
        return
    from rich.text import Text

    console.print(Text(f"{indent}{line}", style=STYLES.get(style, style)))
