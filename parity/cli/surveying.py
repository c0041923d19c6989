"""What `parity stats` asks and how it is shown: one sentence, the sources, who agrees with whom, the findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from parity.cli.output import terminal
from parity.cli.progress import progress
from parity.report.text import clean
from parity.stats.survey import survey
from parity.stats.tell import ODD, TAKEN
from parity.verdict import Verdict

STYLES = {"error": "red", "warning": "yellow", "info": "dim", "PASS": "bold green", "FAIL": "bold red"}
STYLES |= {"NOT_JUDGED": "bold yellow", "SAME": "green", "DRIFT": "yellow", "CONFLICT": "red"}
SIGNS = {"SAME": "=", "DRIFT": "~", "CONFLICT": "x"}
IN_WORDS = 5  # sources whose matrix is told in words; of more, in signs, so that 60 columns hold it
IN_SIGNS = 24
WORDS = 600
LABEL = 200


def ask(sources: Sequence[str], dataset: str | None, *, strict: bool) -> dict[str, Any]:
    """Return the JSON of `parity stats`.

    Raises:
        ArtifactError: a source or the dataset cannot be read.
        UsageError: nothing was given, or something twice.
    """
    with progress("") as report:
        return survey(sources, dataset, strict=strict, report=report)


def print_survey(document: Mapping[str, Any], stream: TextIO) -> int:
    """Print the outcome for people and return the exit code."""
    verdict = document["verdict"]
    _say(stream, verdict, f"{verdict}: {headline(document)}")
    _table(stream, [source_row(i, s) for i, s in enumerate(document["sources"], 1)])
    if len(document["sources"]) > 2 and verdict != "PASS":
        _matrix(stream, document["matrix"])
    for severity, line in finding_lines(document):
        _say(stream, severity, line)
    return Verdict(verdict).exit_code


def finding_lines(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return severity and text of each finding that is not told above, what several sources share told once.

    A finding about one source of several has the source's number, as in ``STATS020 info [2]: ...``.
    """
    numbers = {s["label"]: i for i, s in enumerate(document["sources"], 1)}
    told: dict[tuple[str, str, str], list[int]] = {}
    for f in document["findings"]:
        if f["code"] not in (TAKEN, ODD):
            about = told.setdefault((f["code"], f["severity"], f["title"]), [])
            about += [numbers[label]] if (label := f["evidence"].get("source")) in numbers else []
    lines = []
    for (code, severity, title), about in told.items():
        whose = f" [{', '.join(map(str, about))}]" if about and len(numbers) > 1 else ""
        lines.append((severity, f"  {code} {severity}{whose}: {title}"))
    return lines


def headline(document: Mapping[str, Any]) -> str:
    """Return the outcome in one sentence."""
    pairs, sources, findings = document["agreement"], document["sources"], document["findings"]
    features = {p["feature"] for p in pairs}
    errors = sum(f["severity"] == "error" for f in findings)
    apart = {v: {p["feature"] for p in pairs if p["verdict"] == v} for v in ("CONFLICT", "DRIFT")}
    many = f"{len(features)} feature{'' if len(features) == 1 else 's'}"
    odd = [s["label"] for s in sources if s["odd_in"]]
    if apart["CONFLICT"]:
        who = f"; the odd one out is {odd[0]}" if len(odd) == 1 else ""
        return f"sources conflict in {len(apart['CONFLICT'])} of {many}{who}."
    if document["verdict"] == "NOT_JUDGED":
        return f"{document['reasons'][0].rstrip('.')}."
    if errors:
        return f"{errors} error{'' if errors == 1 else 's'} in the statistics."
    if len(sources) == 1:
        own = len(sources[0]["features"])
        return f"nothing wrong in the statistics of {own} feature{'' if own == 1 else 's'} of one source."
    if apart["DRIFT"]:
        return f"{len(sources)} sources agree in {many}, but {len(apart['DRIFT'])} drifted."
    return f"{len(sources)} sources agree in {many}."


def source_row(number: int, source: Mapping[str, Any]) -> tuple[str, ...]:
    """Return number, label, kind and what its statistics are."""
    n = len(source["features"])
    taken = source["taken_from"]
    how = {"bits": "bit for bit", "float32": "rounded to float32"}
    where = f" of {clean(taken['source'], LABEL)}, {how[taken['equal']]}" if taken else ""
    return (
        str(number),
        clean(source["label"], LABEL),
        clean(source["kind"], 40),
        f"{n} feature{'' if n == 1 else 's'}{where}",
    )


def matrix_lines(matrix: Sequence[Sequence[str | None]]) -> list[str]:
    """Return who agrees with whom as a triangle, one line a source; in signs where words would not fit."""
    n = len(matrix)
    if n > IN_SIGNS:
        return []
    words = n <= IN_WORDS
    width = 9 if words else 3
    cell = {k: (k if words else sign) for k, sign in SIGNS.items()}
    lines = ["    " + "".join(f"{j + 1:<{width}}" for j in range(n - 1))]
    for i in range(1, n):
        row = "".join(f"{cell.get(matrix[i][j] or '', '-'):<{width}}" for j in range(i))
        lines.append(f"{i + 1:>3} {row}")
    return [line.rstrip() for line in lines] + (
        [] if words else ["    = same  ~ drift  x conflict  - nothing in common"]
    )


def _matrix(stream: TextIO, matrix: Sequence[Sequence[str | None]]) -> None:
    console = terminal(stream)
    for line in matrix_lines(matrix):
        if console is None:
            print(f"  {line}", file=stream)
            continue
        from rich.text import Text

        text = Text(f"  {line}")
        for word in ("CONFLICT", "DRIFT", "SAME"):
            text.highlight_words([word], STYLES[word])
        console.print(text)


def _table(stream: TextIO, rows: Sequence[tuple[str, ...]]) -> None:
    console = terminal(stream)
    if console is None:
        label, kind = (max(len(r[i]) for r in rows) for i in (1, 2))
        for r in rows:
            print(f"  {r[0]:>2} {r[1]:{label}}  {r[2]:{kind}}  {r[3]}", file=stream)
        return
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1), collapse_padding=True)
    drawn.add_column(justify="right", min_width=4)
    drawn.add_column(overflow="fold", ratio=None)
    drawn.add_column(overflow="fold", style="dim")
    drawn.add_column(overflow="fold")
    for row in rows:
        drawn.add_row(*map(Text, row))
    console.print(drawn)


def _say(stream: TextIO, style: str, text: str) -> None:
    console, line = terminal(stream), clean(text, WORDS)
    indent = "  " if text.startswith("  ") else ""
    if console is None:
        print(f"{indent}{line}", file=stream)
        return
    from rich.padding import Padding
    from rich.text import Text

    console.print(Padding(Text(line, style=STYLES.get(style, style)), (0, 0, 0, len(indent))))
