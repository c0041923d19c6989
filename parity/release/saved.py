"""What a run keeps on disk between execute and judge: the plan, the facts, the traces, and the measured comparisons.

Layout of an evidence folder: ``plan.json``, ``facts.json``, ``<side>.h5`` for each side, ``measured/*.jsonl``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from parity.errors import UsageError
from parity.release.facts import Facts
from parity.release.measure import Evidence, Measured, measure
from parity.release.plan import Plan, load_plan

MEASURED = "measured"


def save_facts(folder: Path, facts: Mapping[str, Facts]) -> None:
    """Write the facts of every side into ``folder``."""
    document = {name: f.as_json() for name, f in facts.items()}
    (folder / "facts.json").write_text(json.dumps(document, default=str), encoding="utf-8")


def load_evidence(folder: Path) -> tuple[Plan, dict[str, Facts]]:
    """Return the plan and the facts that an evidence folder holds.

    Raises:
        UsageError: it is no evidence folder.
    """
    plan = load_plan(folder / "plan.json")
    try:
        data = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        return plan, {name: Facts.from_json(f) for name, f in data.items()}
    except (OSError, ValueError, TypeError) as e:
        raise UsageError(f"{folder}: not the evidence of a run ({e})") from None


def measure_all(folder: Path, plan: Plan) -> list[Measured]:
    """Return the measured comparison of every entry of the plan."""
    with Evidence(folder, plan) as evidence:
        return [measure(evidence, entry) for entry in plan.entries]


def append_measured(folder: Path, worker: str, row: Measured) -> None:
    """Add one measured comparison to what worker ``worker`` measured."""
    target = folder / MEASURED
    target.mkdir(exist_ok=True)
    with (target / f"{worker}.jsonl").open("a", encoding="utf-8") as f:
        f.write(json.dumps(_plain(row)) + "\n")


def load_measured(folder: Path, plan: Plan) -> list[Measured]:
    """Return what the workers measured, in the order of the plan; a line that is no comparison is not counted."""
    found: dict[str, Measured] = {}
    for path in sorted((folder / MEASURED).glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
                found[row["id"]] = row
            except (ValueError, KeyError, TypeError):
                continue
    return [found[e.id] for e in plan.entries if e.id in found]


def unfinished(plan: Plan, rows: Iterable[Measured], selected: Iterable[str]) -> list[Measured]:
    """Return a NOT_JUDGED row for each selected entry that was not measured."""
    done = {r["id"] for r in rows}
    chosen = set(selected)
    from parity.release.measure import unmeasured

    return [unmeasured(e) for e in plan.entries if e.id in chosen and e.id not in done]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value
