"""Contracts and their disagreements for people: tables on a terminal (60 columns are enough), plain lines elsewhere.

Text from artifacts is never read as markup and cannot move the cursor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TextIO

from parity.cli.output import terminal
from parity.contract.disagree import Disagreement
from parity.contract.disagree_robot import CONCEPTS, robot_facts
from parity.contract.disagree_tensors import show, source_of
from parity.contract.model import Contract
from parity.finding import Finding
from parity.report.text import clean, log_line

STYLES = {"error": "red", "warning": "yellow", "info": "dim", "head": "bold", "good": "bold green", "bad": "bold red"}
COLUMNS = ("", "name", "shape", "dtype", "role")
WORDS = 400  # of one line: a tensor's name may be a megabyte
Line = tuple[str, str]  # a style and what to say


def print_inspection(
    contracts: Sequence[Contract],
    joined: Contract,
    found: Sequence[Disagreement],
    alone: Sequence[Finding],
    stream: TextIO,
) -> None:
    """Print every contract, what they say together where one alone cannot know, then, for several, disagreements."""
    for contract in contracts:
        _one(stream, contract, head(contract))
    if not all(c.complete for c in contracts) and (joined.inputs or joined.outputs):
        _one(stream, joined, f"together, with what lies beside {clean(joined.path, WORDS)}")
    if len(contracts) > 1:
        _say(stream, disagreement_lines(contracts[0], found))
        _say(stream, _findings(alone))


def _one(stream: TextIO, contract: Contract, title: str) -> None:
    _say(stream, [("head", title)])
    _tensors(stream, contract)
    _say(stream, [*(("", f"  {clean(line, WORDS)}") for line in facts(contract)), *_findings(contract.findings)])
    _say(stream, [("", "")])


def _say(stream: TextIO, lines: Sequence[Line]) -> None:
    console = terminal(stream)
    if console is None:
        for _, line in lines:
            print(log_line(line), file=stream)
        return
    from rich.text import Text

    for style, line in lines:
        console.print(Text(line, style=STYLES.get(style, "")))


def head(contract: Contract) -> str:
    """Return the path, the kind of file and the kind of policy."""
    what = ", ".join(clean(w, 80) for w in (contract.kind, contract.policy) if w)
    return f"{clean(contract.path, WORDS)} ({what})"


def rows(contract: Contract) -> list[tuple[str, ...]]:
    """Return a row per input and output: which, name, shape, dtype, role."""
    return [
        (label, clean(t.name, 120), clean(show(t.shape), 120), clean(t.dtype or "?", 20), t.role or "?")
        for label, specs in (("in", contract.inputs), ("out", contract.outputs))
        for t in specs
    ]


def _tensors(stream: TextIO, contract: Contract) -> None:
    console = terminal(stream)
    table = rows(contract)
    if not table:
        _say(stream, [("", "  inputs and outputs cannot be told from this file alone")])
    elif console is None:
        _say(stream, [("", f"  {r[0]:3} {r[1]}  {r[2]}  {r[3]}  {r[4]}") for r in table])
    else:
        from rich.table import Table
        from rich.text import Text

        drawn = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1), collapse_padding=True)
        for column in COLUMNS:
            drawn.add_column(column, overflow="fold")
        for row in table:
            drawn.add_row(*map(Text, row))
        console.print(drawn)


def facts(contract: Contract) -> Iterator[str]:
    """Yield what the contract says beside its tensors, a line each; nothing for what it does not say."""
    for label, table in (
        ("window", asdict(contract.window)),
        ("normalization", dict(contract.normalization.modes)),
        ("sampler", asdict(contract.sampler) if contract.sampler else {}),
    ):
        said = [f"{k} {v}" for k, v in table.items() if v is not None]
        if said:
            yield f"{label}: {', '.join(said)}"
    for t in (*contract.inputs, *contract.outputs):
        if t.range is not None:
            yield f"range of {t.name}: {t.range.kind}, from {source_of(contract, t.range)}"
    yield from _training(contract.metadata)
    if contract.kind == "om":
        from parity.cli.inspecting_om import facts as om_facts

        yield from om_facts(contract.metadata)
    if contract.precision:
        yield f"precision: {contract.precision}"
    if "actor" in contract.metadata:
        yield f"rebuilt from its weights: {clean(contract.metadata['actor'], WORDS)}"
        left = " and ".join(str(name).replace("_", " ") for name in contract.metadata.get("open", ()))
        if left:
            yield f"the weights do not say: {left}; `compare` tries what fits, `kwargs` in parity.toml says it"
    for name, fact in robot_facts(contract).items():
        listed = ", ".join(v if isinstance(v, str) else f"{v:g}" for v in fact[:4])
        yield f"{CONCEPTS[name].words}: {listed}" + (f", … ({len(fact)})" if len(fact) > 4 else "")
    if not contract.complete:
        yield "the rest comes from a partner, from a config beside it, or from [contract] in parity.toml"


def _training(metadata: Mapping[str, Any]) -> Iterator[str]:
    """Yield when a checkpoint was saved, and the error that its training run logged then."""
    when = [f"{k} {metadata[k]}" for k in ("epoch", "step") if metadata.get(k) is not None]
    if when:
        yield f"trained: {', '.join(when)}"
    log = metadata.get("training_log")
    if log and log["epoch"] is not None:
        yield f"training log: train_action_mse_error {log['train_action_mse_error']} at epoch {log['epoch']}"


def disagreement_lines(first: Contract, found: Sequence[Disagreement]) -> list[Line]:
    """Return a headline that counts, then a line per disagreement."""
    real = sum(d.severity != "info" for d in found)
    count = f"{real} disagreement{'' if real == 1 else 's'}" if real else "no disagreement"
    lines = [("bad" if real else "good", f"{count} with {clean(first.path, WORDS)}")]
    return lines + [(d.severity, f"  {d.code} {d.severity}: {clean(d.sentence, WORDS)}") for d in found]


def _findings(found: Sequence[Finding]) -> list[Line]:
    return [(f.severity, f"  {f.code} {f.severity}: {clean(f.title, WORDS)}") for f in found]
