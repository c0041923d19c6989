"""Judge: plan against results. Returns the report, plain data in the public JSON schema, version 1."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from parity.compare.budget import Budget
from parity.finding import Finding, by_severity
from parity.release import gate
from parity.release.compiled import compiled_findings
from parity.release.config import BudgetTable, Config, WaiverTable
from parity.release.decide import Terms, decide
from parity.release.document import blank_report
from parity.release.facts import Facts
from parity.release.measure import Measured
from parity.release.normalization import normalization_findings
from parity.release.piped import levels_of
from parity.release.precision import judged_class, precision_findings
from parity.release.prepare import Prepared
from parity.release.refused import refusal_of
from parity.release.replayed import Asked, Evidence, Verdicts, judge_replay
from parity.release.shown import relative_to, shown
from parity.release.stages_judge import stage_classes, with_limits
from parity.release.waivers import apply_waivers
from parity.release.weights import weight_findings
from parity.runner.composed import GRAPH
from parity.runner.findings import session_findings
from parity.stages import called, parts_of
from parity.tensor import TensorSpec
from parity.verdict import Verdict, combine

NEVER_WAIVED = ("DIFF002", "DIFF003", "DIFF004", "DIFF005", "REPLAY095")
FAULTS: Mapping[str, tuple[str, str]] = {
    "budget": ("DIFF001", "over budget"),
    "nan": ("DIFF002", "NaN"),
    "inf": ("DIFF002", "infinite"),
    "shape": ("DIFF003", "of another shape"),
    "dtype": ("DIFF004", "of another dtype"),
    "missing_output": ("DIFF005", "missing"),
}


def budgets_of(config: Config, candidate: str, level: str = "graph", shown: Collection[str] = ()) -> dict[str, Budget]:
    """Return the budgets the user set for ``candidate``, by output: its own, else those of ``default``.

    At graph level one in physical units without a ``scale`` is left out: it is not in the graph's numbers. At policy
    level one that is in the graph's numbers is for the outputs of the graph, where these are ``shown``.
    """
    found = {o: b for o, b in all_budgets(config, candidate).items() if b.judged or b.allow_nan}
    if level == "graph":
        return {o: b for o, b in found.items() if not at_policy_level(b)}
    if not shown:
        return found
    physical = {o: b for o, b in found.items() if at_policy_level(b)}
    return physical | {f"{GRAPH}{o}": b for o, b in found.items() if not at_policy_level(b)}


def misplaced(config: Config, candidate: str, level: str) -> list[str]:
    """Return the outputs whose budget is in physical units that nothing turns this level's numbers into."""
    return [o for o, b in all_budgets(config, candidate).items() if level == "graph" and at_policy_level(b)]


def all_budgets(config: Config, candidate: str) -> dict[str, Budget]:
    """Return every budget that the user set for ``candidate``, by output."""
    tables = {**config.budgets.get("default", {}), **config.budgets.get(candidate, {})}
    return {output: budget_of(table) for output, table in tables.items()}


def at_policy_level(budget: Budget) -> bool:
    """Whether a budget is in physical units that the graph's numbers cannot be turned into without a ``scale``."""
    return budget.units is not None and budget.scale is None


def budget_of(table: BudgetTable) -> Budget:
    """Return the budget that a ``[budgets.<candidate>.<output>]`` table describes."""
    scale = table.scale if table.scale is None or isinstance(table.scale, list) else [table.scale]
    return Budget(
        max_abs=tuple(table.max_abs) if isinstance(table.max_abs, list) else table.max_abs,
        mean_abs=table.mean_abs,
        rmse=table.rmse,
        p99_abs=table.p99_abs,
        rel=table.rel,
        max_ulp=table.max_ulp,
        cosine_min=table.cosine_min,
        allow_nan=table.allow_nan,
        units=table.units,
        scale=None if scale is None else tuple(scale),
    )


def judge(
    prepared: Prepared,
    config: Config,
    facts: Mapping[str, Facts],
    measured: Sequence[Measured],
    *,
    extra: Sequence[Finding] = (),
    replay: Evidence | None = None,
    today: dt.date | None = None,
) -> dict[str, Any]:
    """Return the report on a release.

    Args:
        prepared: sides, contract and plan.
        config: budgets and waivers.
        facts: by side.
        measured: comparisons; planned entries that are not among them are left out by the user's own filter.
        extra: findings of the diagnosis.
        replay: what the replay left, where the release asks for one.
        today: for waivers; the current date if None.
    """
    classes = {s.name: judged_class(s, prepared.reference, facts["reference"]) for s in prepared.candidates}
    levels = levels_of(prepared.reference, prepared.candidates)
    graphs = prepared.graphs
    stages = {s.name: stage_classes(prepared, s, classes[s.name]) for s in prepared.candidates}
    limits = {n: budgets_of(config, n, at, graphs.get(n, ())) for n, at in levels.items()}
    limits = {n: with_limits(b, prepared.stages.limited_as) for n, b in limits.items()}
    terms = {n: Terms(classes[n], limits[n], stages[n]) for n in levels}
    units = {t.name: t.units for t in prepared.outputs}
    rows, measures = decide([{**m, "units": units.get(m["output"])} for m in measured], terms)
    for row in rows:
        row["where"] = place_of(row, prepared.output(row["output"]))
    findings = [*prepared.findings, *extra, *gate.distinct_cases(prepared.plan)]
    findings += [] if prepared.by_draws else gate.nothing_planned(prepared.plan)
    findings += normalization_findings(prepared.surveying, facts["reference"])
    for side in prepared.candidates:
        own = [r for r in rows if r["candidate"] == side.name]
        more = _candidate_findings(prepared, config, side.name, facts, own, classes[side.name])
        findings += [f for f in more if f.candidate is not None or f not in findings]  # of the reference: said once
    replayed = replay_verdicts(prepared, config, replay, classes)
    findings += replayed.findings
    report = blank_report(prepared, config, facts, classes, rows, [*measures, *replayed.measures])
    for candidate in report["candidates"]:
        candidate |= {"stage_precision": found} if (found := stages[candidate["name"]]) else {}
    show = relative_to(prepared.root)
    report |= {"replay": show(replayed.shown)} if replayed.shown else {}
    report["facts"] = show(report["facts"])
    report["release"]["environment"] = show(report["release"]["environment"])
    return conclude(report, [shown(f, show) for f in findings], config.waiver, today or dt.date.today())


def replay_verdicts(
    prepared: Prepared, config: Config, replay: Evidence | None, classes: Mapping[str, str]
) -> Verdicts:
    """Return what the replay says of the candidates; nothing where the release asks for none."""
    if prepared.replaying.dataset is None:
        return Verdicts([], [], {})
    outputs = prepared.contract.outputs
    asked = Asked(
        classes,
        {s.name: budgets_of(config, s.name, "policy") for s in prepared.candidates},
        {t.name: t.elements for t in outputs},
        {t.name: t.units for t in outputs},
        config.replay,
        config.release.seed,
    )
    return judge_replay(replay, asked)


def _candidate_findings(
    prepared: Prepared,
    config: Config,
    name: str,
    facts: Mapping[str, Facts],
    rows: Sequence[Measured],
    judged: str,
) -> Iterable[Finding]:
    side = next(s for s in prepared.candidates if s.name == name)
    scales = {r["output"]: max(r["floor"]["scale"], default=0.0) for r in rows if r.get("floor")}
    tried = {s.name: refusal_of(prepared, s, facts[s.name], config.contract) for s in (prepared.reference, side)}
    yield from gate.ran(facts["reference"], facts[name], {n: r for n, r in tried.items() if r is not None})
    for which in (prepared.reference, side):
        yield from gate.stood_in(facts[which.name].environment, which.name, name)
    yield from gate.same_thing(side.sha256 is not None and side.identity == prepared.reference.identity, name)
    yield from gate.policy_level(misplaced(config, name, levels_of(prepared.reference, [side])[name]), name)
    yield from weight_findings(prepared.weighing, facts[name], name)
    yield from compiled_findings(facts[name], side, judged)
    if name in prepared.by_draws:
        yield from gate.by_draws(name)
        yield from precision_findings(side, facts[name], judged, prepared.reference, facts["reference"])
        return
    for which in (prepared.reference, side):
        about = None if which is prepared.reference else name
        yield from session_findings(facts[which.name], Path(which.spec.path).name or which.name, about)
        yield from gate.answered_in_part(facts[which.name], Path(which.spec.path).name, name)
        yield from gate.repeats(facts[which.name], scales, name)
        ops = which.contract.metadata.get("random_ops", ()) if which.contract else ()
        yield from gate.random_ops([str(o) for o in ops], which.spec.path or which.given, name)
    yield from precision_findings(side, facts[name], judged, prepared.reference, facts["reference"])
    outputs = prepared.outputs
    yield from gate.unplanned(facts["reference"].outputs, [t.name for t in outputs], name)
    actions = [t.name for t in outputs if t.role == "action"]
    yield from gate.floorless(rows, name)
    yield from gate.coverage(rows, actions, name, {t.name: t.elements for t in outputs})
    yield from difference_findings(rows, name)


def difference_findings(rows: Sequence[Measured], candidate: str) -> Iterable[Finding]:
    """Yield one finding for each output and kind of fault, with the worst case."""
    groups: dict[tuple[str, str], list[Measured]] = defaultdict(list)
    for row in rows:
        if row["verdict"] == "FAIL":
            groups[_place(row), row.get("fault") or "budget"].append(row)
    for (place, fault), failed in sorted(groups.items()):
        code, words = FAULTS[fault]
        worst = max(failed, key=severity_of)
        total = sum(_place(r) == place for r in rows)
        step = parts_of(worst["output"])[2] if worst["stage"] else None
        what, at = ("cases", "") if step is None else ("comparisons", f" after step {step}")
        yield Finding(
            code,
            "error",
            f"{place} is {words} in {len(failed)} of {total} {what}; worst in {worst['case']}{at}: {worst['reason']}.",
            where=place,
            detail=worst.get("where") or "",
            evidence={"comparison": worst["id"], "failed": len(failed), "of": total, "max_abs": worst["max_abs"]},
            candidate=candidate,
        )


def severity_of(row: Measured) -> float:
    """Return how badly a comparison fails, to find the worst: |Δ| over its limit, else |Δ|."""
    for key in ("limit_ratio", "max_abs"):
        value = row.get(key)
        if isinstance(value, int | float):
            return float(value)
    return float("inf")


def place_of(row: Measured, spec: TensorSpec | None) -> str:
    """Return where the worst element is, in the tensor's own terms: time step, action dimension, joint name."""
    from parity.compare.describe import where

    index, shape = row.get("worst_index"), row.get("shape")
    if not index or not shape:
        return ""
    return where(tuple(index), tuple(shape), elements=spec.elements if spec else None)


def conclude(
    report: dict[str, Any], findings: Sequence[Finding], waivers: Sequence[WaiverTable], today: dt.date
) -> dict[str, Any]:
    """Return ``report`` with findings, waivers, and the verdict of each candidate and of the release filled in."""
    waivable = [f for f in findings if f.code not in NEVER_WAIVED]
    fixed = [f for f in findings if f.code in NEVER_WAIVED]
    kept, complaints = apply_waivers(waivable, waivers, today)
    every = by_severity([*kept, *fixed, *complaints])
    waived_outputs = {(f.candidate, f.where) for f in kept if f.waived and f.code == "DIFF001"}
    for candidate in report["candidates"]:
        verdict, reasons = _verdict_of(candidate["name"], report, every, waived_outputs)
        candidate |= {"verdict": verdict.value, "reasons": reasons}
    report["findings"] = [f.as_json() for f in every]
    verdicts = [Verdict(c["verdict"]) for c in report["candidates"]]
    unowned = [f for f in every if f.candidate is None and f.severity == "error" and not f.waived]
    verdicts += [Verdict.NOT_JUDGED if f.code.startswith("GATE") else Verdict.FAIL for f in unowned]
    many = len(report["candidates"]) > 1
    reasons = [f"{c['name']}: {r}" if many else r for c in report["candidates"] for r in c["reasons"]]
    report["reasons"] = [*(f.title for f in unowned), *reasons]
    report["verdict"] = combine(verdicts).value
    return report


def _place(row: Measured) -> str:
    """Return where a finding about a comparison says that it is: the output, or the value of a stage."""
    return called(row["output"], row["stage"])


def _verdict_of(
    name: str, report: Mapping[str, Any], findings: Sequence[Finding], waived: set[tuple[str | None, str]]
) -> tuple[Verdict, list[str]]:
    """Return the verdict of one candidate with the reasons for it, most serious first."""
    rows = [r for r in report["comparisons"] if r["candidate"] == name]
    mine = [f for f in findings if f.candidate == name and f.severity == "error" and not f.waived]
    failing = [f for f in mine if not f.code.startswith("GATE")]
    saying_nothing = [f for f in mine if f.code.startswith("GATE")]
    blocked = [
        r for r in rows if r["verdict"] == "FAIL" and not (r.get("fault") == "budget" and (name, _place(r)) in waived)
    ]
    unjudged = [r for r in rows if r["verdict"] == "NOT_JUDGED"]
    reasons = [f.title for f in (*failing, *saying_nothing)]
    verdicts = [Verdict.FAIL] * bool(failing or blocked) + [Verdict.NOT_JUDGED] * bool(saying_nothing or unjudged)
    if unjudged and not saying_nothing:
        reasons.append(f"{len(unjudged)} of {len(rows)} comparisons were not judged: {unjudged[0]['reason']}")
    if not rows and not any(m.get("candidate") == name for m in report.get("measures", ())):
        return combine([*verdicts, Verdict.NOT_JUDGED]), reasons or ["nothing was compared"]
    return combine([*verdicts, Verdict.PASS]) if not verdicts else combine(verdicts), reasons
