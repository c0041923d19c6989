"""`parity inspect` of logs of evaluations: how many episodes of which tasks, what they say, what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from parity.evaluation.model import EvaluationLog

STYLES = {"error": "red", "warning": "yellow", "info": "dim", "head": "bold"}
ROWS = 60
WORDS = 400
Line = tuple[str, str]  # a style and what to say


def logs_json(logs: Sequence[EvaluationLog]) -> list[dict[str, Any]]:
    """Return the logs as plain data, for the key ``evaluations``."""
    return [{k: v for k, v in log.as_json().items() if k != "findings"} for log in logs]


def print_logs(logs: Sequence[EvaluationLog], stream: TextIO) -> None:
    """Print each log: its kind, a line for each task, its findings."""
    from parity.cli.output import terminal
    from parity.report.text import log_line

    console = terminal(stream)
    for style, line in (part for log in logs for part in _lines(log)):
        if console is None:
            print(log_line(line), file=stream)
        else:
            from rich.text import Text

            console.print(Text(line, style=STYLES.get(style, "")))


def _lines(log: EvaluationLog) -> Iterator[Line]:
    from parity.report.text import clean

    yield "head", f"{clean(log.path, WORDS)} ({log.kind})"
    said = log.as_json()
    for task in said["tasks"][:ROWS]:
        yield "", f"  {clean(task['task'], 80)}: {', '.join(_of_task(task))}"
    if len(said["tasks"]) > ROWS:
        yield "dim", f"  … and {len(said['tasks']) - ROWS} more tasks"
    facts = ", ".join(f"{k} {clean(v, 80)}" for k, v in log.facts.items())
    if facts:
        yield "", f"  {facts}"
    for f in log.findings:
        yield f.severity, f"  {f.code} {f.severity}: {clean(f.title, WORDS)}"
    yield "", ""


def _of_task(task: dict[str, Any]) -> Iterator[str]:
    from parity.evaluation.tell import percent

    yield f"{task['episodes']:,} episode{'' if task['episodes'] == 1 else 's'}"
    if task["successes"] is not None:
        yield f"{task['successes']:,} succeeded ({percent(task['successes'] / task['with_outcome'])})"
    for key, words in (("mean_total_reward", "mean return"), ("mean_max_reward", "mean largest reward")):
        if task[key] is not None:
            yield f"{words} {task[key]:.6g}"
    if task["mean_length"] is not None:
        yield f"mean length {task['mean_length']:.1f} steps"
    yield "starts recorded" if task["with_start"] == task["episodes"] else "no starts recorded"
