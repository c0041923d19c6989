"""`parity compare` of two logs of evaluations: the same outcome, in the task itself?

Nothing heavy is imported until both are known to be such logs: every `parity compare` asks.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from parity.errors import UsageError
from parity.evaluation.registry import find_log

if TYPE_CHECKING:
    from parity.artifact import Artifact

ONLY_HERE = {"margin": "--margin", "paired": "--paired", "success_at": "--success-at"}
NOT_HERE = {"config": "--config", "inputs": "--inputs", "cases": "--cases", "worst": "--worst"}
NOT_HERE |= {"precision": "--precision", "timeout": "--timeout", "layers": "--layers"}
STYLES = {"PASS": "bold green", "FAIL": "bold red", "NOT_JUDGED": "bold yellow"}
STYLES |= {"error": "bold red", "warning": "yellow", "info": "dim"}
ROWS = 60  # tasks that are shown; all are in the JSON
CHANGED = 8
WORDS = 500
Line = tuple[str, str]  # a style and what to say


def pair_of_logs(reference: str, candidate: str, options: Mapping[str, Any]) -> tuple[Artifact, Artifact] | None:
    """Return both logs where the two artifacts are logs of evaluations, None where neither is.

    Raises:
        UsageError: only one is, or an option is given that means nothing for what they are.
    """
    logs = find_log(reference), find_log(candidate)
    if logs[0] is None and logs[1] is None:
        _refuse(options, ONLY_HERE, "compares logs of evaluations, and neither artifact is one")
        return None
    if logs[0] is None or logs[1] is None:
        one, other = (reference, candidate) if logs[0] is not None else (candidate, reference)
        _readable(other)
        raise UsageError(
            f"{one} is the log of an evaluation, {other} is not",
            expected="two logs of evaluations, or two artifacts that run or record a policy",
            remedy="compare a log with a log, and a policy with a policy",
        )
    _refuse(options, NOT_HERE, "runs a policy, and these are logs of evaluations that were run")
    return logs[0], logs[1]


def _readable(path: str) -> None:
    """Raise an `ArtifactError` that says what is wrong, where ``path`` is JSON that cannot be read: a log cut short."""
    from parity.artifact import recognize
    from parity.contract.text import load_json

    artifact = recognize(path, foreign=True)
    if artifact.kind == "json":
        load_json(artifact.path)


def _refuse(options: Mapping[str, Any], flags: Mapping[str, str], why: str) -> None:
    absent = {"layers": False}  # what an option is where it was not given
    given = [flag for key, flag in flags.items() if options[key] is not absent.get(key)]
    if given:
        raise UsageError(f"{given[0]} {why}", remedy=f"leave {', '.join(given)} out")


def compare_logs(logs: tuple[Artifact, Artifact], options: Mapping[str, Any]) -> int:
    """Compare two logs, write and print the report, and return the exit code.

    Raises:
        ArtifactError: one cannot be read.
        OutputError: the report could not be written.
    """
    from contextlib import ExitStack

    from parity.cli.output import claim, people, write_json
    from parity.report.write import OutputFolder, write_all
    from parity.verdict import Verdict

    claim(options["json_file"])
    with ExitStack() as exits:
        held = exits.enter_context(OutputFolder(options["out"])) if options["out"] else None
        report = judged(logs, options)
        if held is not None:
            write_all(report, {}, held.path)
    write_json(report, options["json_file"])
    print_comparison(report, people(options["json_file"]))
    return Verdict(report["verdict"]).exit_code


def judged(logs: tuple[Artifact, Artifact], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report of two logs as plain data.

    Raises:
        ArtifactError: one cannot be read.
    """
    from parity.artifact import digest
    from parity.evaluation.against import Terms, compare_evaluations
    from parity.evaluation.document import document
    from parity.evaluation.registry import read_evaluation

    hashes = [digest(a) for a in logs]
    reference, candidate = (read_evaluation(a) for a in logs)
    given = {k: options[k] for k in ("margin", "success_at", "seed") if options[k] is not None}
    terms = Terms(paired=options["paired"], **given)
    found = compare_evaluations(reference, candidate, terms, same_bytes=hashes[0][0] == hashes[1][0])
    name = f"{Path(logs[0].path).name} → {Path(logs[1].path).name}"
    report = document(found, reference, candidate, terms, hashes, name)
    return {**report, "reproduce": [_again(logs, options)]}


def _again(logs: tuple[Artifact, Artifact], options: Mapping[str, Any]) -> str:
    told = [
        p
        for k in ("margin", "success_at", "seed")
        if options[k] is not None
        for p in (f"--{k.replace('_', '-')}", str(options[k]))
    ]
    pairs = {True: ["--paired"], False: ["--unpaired"], None: []}[options["paired"]]
    return shlex.join(["parity", "compare", *(str(a.path) for a in logs), *told, *pairs])


def print_comparison(report: Mapping[str, Any], stream: TextIO | None = None) -> None:
    """Print the outcome: a sentence, figures for each task and reward, what changed, the findings."""
    from parity.cli.output import terminal
    from parity.report.terminal import github_annotations
    from parity.report.text import log_line

    stream = sys.stdout if stream is None else stream
    console = terminal(stream)
    for style, line in (*_head(report), *_rows(report), *_rest(report)):
        if console is None:
            print(log_line(line), file=stream)
        else:
            from rich.text import Text

            console.print(Text(line, style=STYLES.get(style, style)))
    for line in github_annotations(report):
        print(line, file=stream)


def _head(report: Mapping[str, Any]) -> Iterator[Line]:
    from parity.report.text import clean
    from parity.report.view import headline

    yield report["verdict"], f"{report['verdict']}  {clean(headline(report), WORDS)}"
    for side in ("reference", "candidate"):
        log = report["evaluation"][side]
        tasks = "" if len(log["tasks"]) == 1 else f" of {len(log['tasks'])} tasks"
        yield "", f"{side}: {clean(log['path'], WORDS)} ({log['kind']}), {log['episodes']:,} episodes{tasks}"


def _rows(report: Mapping[str, Any]) -> Iterator[Line]:
    """Yield a line for each task, then for each reward, in columns that 80 characters hold."""
    from parity.evaluation.tell import around, change, level
    from parity.report.text import clean

    tasks = report["evaluation"]["tasks"]
    figure = report["evaluation"]["figure"]
    if len(tasks) > 1:
        width = min(36, max(len(clean(t["task"])) for t in tasks[:ROWS]))
        yield "dim", f"  {'task':{width}}  {'n':>5}  reference  candidate  change [interval]"
    for t in tasks[:ROWS] if len(tasks) > 1 else []:
        name, rates = clean(t["task"], width), [level(figure, t[side]) for side in ("reference", "candidate")]
        found = f"{change(figure, t['difference']):>6} {around(figure, t['interval'])}{'  worse' if t['worse'] else ''}"
        yield "red" if t["worse"] else "", f"  {name:{width}}  {t['n']:>5}  {rates[0]:>9}  {rates[1]:>9}  {found}"
    if len(tasks) > ROWS:
        yield "dim", f"  … and {len(tasks) - ROWS} more tasks in the JSON"
    for r in report["evaluation"]["rewards"]:
        means = f"{r['words']}: {r['reference_mean']:.6g} → {r['candidate_mean']:.6g}"
        interval = "" if r["interval"] is None else f" [{r['interval'][0]:+.4g}, {r['interval'][1]:+.4g}]"
        yield "", f"{means}, {r['difference']:+.4g}{interval}, p = {r['p_value']:.2g}"


def _rest(report: Mapping[str, Any]) -> Iterator[Line]:
    from parity.report.text import clean
    from parity.report.view import findings_of, said

    for word, starts in report["evaluation"]["changed"].items():
        if starts:
            more = f" … and {len(starts) - CHANGED} more" if len(starts) > CHANGED else ""
            yield "", f"{word}: {clean(', '.join(starts[:CHANGED]), WORDS)}{more}"
    for f in findings_of(report):
        yield f["severity"], f"{f['severity']} {f['code']}: {clean(said(f, report), WORDS)}"
        if f["remedy"]:
            yield "dim", f"  what to do: {clean(f['remedy'], WORDS)}"
