"""Judges a replay: the merged states of all measures against limits, candidate by candidate, output by output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.artifact import file_digest
from parity.compare.one_thread import one_thread
from parity.errors import UsageError
from parity.finding import Finding
from parity.release.config import ReplayTable
from parity.release.replay_findings import not_covered, said_once, summed, unjudged
from parity.release.replaying import STATES
from parity.verdict import Verdict

if TYPE_CHECKING:
    from parity.compare.budget import Budget
    from parity.replay.measure import Measure
    from parity.replay.model import Context, Judged, Row, State
    from parity.tensor import Range

LEFT_OUT = ("taken_over",)  # of what a replay tells: how it came about is no part of a report
Owner = tuple[str, ...]  # candidate, output, measure


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a replay left: what it told, and the states of its measures."""

    told: Mapping[str, Any]
    states: Mapping[Owner, State] = field(default_factory=dict)
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known of a release beside its replay.

    Attributes:
        classes: precision class by candidate.
        budgets: by candidate and output, in physical units.
        elements: names of the action dimensions, by output, where known.
        units: of an output, where known.
        table: what `parity.toml` says of the replay.
        seed: of the release.
    """

    classes: Mapping[str, str]
    budgets: Mapping[str, Mapping[str, Budget]]
    elements: Mapping[str, Sequence[str] | None]
    units: Mapping[str, str | None]
    table: ReplayTable
    seed: int


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What a replay comes to: entries of ``measures``, findings, and what the report shows."""

    measures: list[dict[str, Any]]
    findings: list[Finding]
    shown: dict[str, Any]


def load_replay(folder: Path, told: Mapping[str, Any] | None) -> Evidence | None:
    """Return the evidence of a replay in ``folder``, None where there was none.

    Raises:
        UsageError: it is not as parity writes it.
    """
    from parity.replay.store import load_states

    if told is None:
        return None
    path = folder / STATES
    if not path.is_file():
        return Evidence(told)
    try:
        return Evidence(told, load_states(path), file_digest(path)[0])
    except (OSError, ValueError, KeyError) as e:
        raise UsageError(f"{path}: not what a replay keeps ({e})", remedy="run the release again") from None


def judge_replay(evidence: Evidence | None, asked: Asked) -> Verdicts:
    """Return what stands for and against each candidate; ``evidence`` is None where no replay was made."""
    from parity.replay.engine import SCALE
    from parity.replay.scale import moved

    names = list(asked.classes)
    if evidence is None or "problem" in evidence.told:
        told = {} if evidence is None else evidence.told
        why = told.get("problem", "the run was interrupted before")
        return Verdicts([], [unjudged(n, str(why), told.get("remedy")) for n in names], {})
    measures: list[dict[str, Any]] = []
    findings = [Finding(**f) for f in evidence.told.get("findings", ())]
    shown = {k: v for k, v in evidence.told.items() if k not in LEFT_OUT} | {
        "sha256": evidence.sha256,
        "candidates": {},
    }
    for name in names:
        problem = _problem(evidence, name)
        if problem is not None:
            findings.append(unjudged(name, *problem))
            continue
        shown["candidates"][name] = {}
        for output in evidence.told["outputs"]:
            context = _context(evidence, asked, name, output)
            state = evidence.states[name, output, SCALE]
            with one_thread():
                rows, said, exhibits = _judged(evidence, context)
            measures += rows
            findings += [
                f if f.candidate else f.for_candidate(name) for f in (*said, *not_covered(context, moved(state)))
            ]
            shown["candidates"][name][output] = exhibits
    return Verdicts(measures, said_once(findings, names), shown)


def _problem(evidence: Evidence, name: str) -> tuple[str, str | None] | None:
    """Return why a candidate cannot be judged, with the remedy, None where it can."""
    told = evidence.told
    again = "run it again: it goes on where it stopped"
    for side in ("reference", name):
        failure = told["failures"].get(side)
        if failure is not None and failure["kind"] == "interrupted":
            done = f"{told.get('frames', 0):,} of {told.get('planned', 0):,} frames had been replayed"
            return f"interrupted by Ctrl-C; {done}", again
        if failure is not None:
            return f"{side} stopped: {failure['message']}", failure["remedy"]
    if told.get("frames", 0) < told.get("planned", 1):
        done = f"{told.get('frames', 0)} of {told.get('planned', 0)} frames were replayed"
        return done, again
    if not told.get("outputs"):
        return "the policy has no action output that could be replayed", "name it: [contract.outputs.action]"
    return None


def _context(evidence: Evidence, asked: Asked, name: str, output: str) -> Context:
    from parity.replay.engine import SCALE
    from parity.replay.limits import limits
    from parity.replay.model import Context, Timing

    told, state = evidence.told, evidence.states[name, output, SCALE]
    precision, budget = asked.classes[name], asked.budgets.get(name, {}).get(output)
    width = len(state["low"])
    elements = asked.elements.get(output) or told.get("elements")
    elements = elements if elements and len(elements) == width else None
    labels = tuple(f"{i} ({elements[i]})" if elements else str(i) for i in range(width))
    span = state["high"] - state["low"]
    peak = np.maximum(np.abs(state["low"]), np.abs(state["high"]))
    floors = np.where(np.isfinite(state["floor"]), state["floor"], 0.0)[None, None]
    derived = limits(precision, peak, span, floors, budget)
    table = asked.table
    options: dict[str, Any] = {"gripper": table.gripper, "train_action_mse_error": table.train_action_mse_error}
    options |= {"classes": {n: told.model_dump() for n, told in table.classes.items()}}
    timing = tuple(Timing(**told["timings"][side]) for side in ("reference", name))
    return Context(
        candidate=name,
        output=output,
        names=labels,
        units=(asked.units.get(output) or (budget.units if budget else None),) * width,
        limits=derived,
        scale=span,
        precision=precision,
        fps=told["dataset"]["fps"],
        timing=(timing[0], timing[1]),
        ranges={n: _range(r) for n, r in told["ranges"].items()},
        sampled=bool({"reference", name} & set(told["sampled"])),
        budget=_budget(budget),
        options={k: v for k, v in options.items() if v is not None},
        seed=asked.seed,
    )


def _range(told: Mapping[str, Any]) -> Range:
    from parity.tensor import Range

    flat = {k: tuple(told[k]) for k in ("first", "second", "shape")}
    return Range(told["kind"], source=told["source"], **flat)


def _budget(budget: Budget | None) -> dict[str, Any]:
    if budget is None:
        return {}
    wanted = {k: getattr(budget, k) for k in ("max_abs", "mean_abs", "rmse", "p99_abs", "allow_nan")}
    return {k: v for k, v in wanted.items() if v is not None}


def _judged(evidence: Evidence, context: Context) -> tuple[list[dict[str, Any]], list[Finding], dict[str, Any]]:
    """Return what all measures say of one candidate and output."""
    from parity.replay.measure import measures

    rows: list[dict[str, Any]] = []
    findings: list[Finding] = []
    shown: dict[str, Any] = {}
    for measure in measures():
        found = _asked(measure, evidence, context)
        rows += [_entry(measure, context, row) for row in found.rows]
        findings += found.findings
        if found.shown:
            shown[measure.name] = dict(found.shown)
    return rows, [*findings, *summed(rows, context)], shown


def _asked(measure: Measure, evidence: Evidence, context: Context) -> Judged:
    """Return what one measure says; a measure that must judge and says nothing is not judged."""
    from parity.replay.measure import must_judge
    from parity.replay.model import Judged, Row

    state = evidence.states.get((context.candidate, context.output, measure.name))
    found = Judged(()) if state is None else measure.judge(state, context)
    if measure.gates == "never":
        found = replace(found, rows=tuple(r for r in found.rows if r.verdict != Verdict.NOT_JUDGED))
    if must_judge(measure, sampled=context.sampled) and not found.rows:
        missing = Row(measure.name, None, "NOT_JUDGED", reason=f"{measure.name}: nothing was measured")
        return replace(found, rows=(missing,))
    return found


def _entry(measure: Measure, context: Context, row: Row) -> dict[str, Any]:
    at = "" if row.dimension is None else f"[{row.dimension}]"
    passed = row.verdict != Verdict.PASS or row.value is None or np.isfinite(row.value)
    told = asdict(row)
    dimension = None if row.dimension is None else context.names[row.dimension]
    return {
        **told,
        "id": f"{context.candidate}/policy/replay/{context.output}{at}/{measure.name}/{row.name}",
        "level": "policy",
        "candidate": context.candidate,
        "output": context.output,
        "dimension": dimension,
        "interval": None if row.interval is None else list(row.interval),
        "verdict": row.verdict if passed else Verdict.NOT_JUDGED.value,
    }
