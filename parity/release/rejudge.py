"""Judges a saved report again, with the budgets and waivers of a `parity.toml` as it is now. Runs nothing."""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from parity.errors import ArtifactError, UsageError
from parity.finding import Finding
from parity.release import gate
from parity.release.compiled import judged_again
from parity.release.config import Config
from parity.release.decide import Terms, decide
from parity.release.exhibits_again import still_true
from parity.release.intact import check_intact
from parity.release.judge import budgets_of, conclude, difference_findings, misplaced
from parity.release.names import budgeted, refuse_unknown
from parity.release.normalization import UNJUDGED
from parity.release.normalization import unjudged as statistics_unjudged
from parity.release.physical import in_graph_numbers
from parity.release.piped import check_units
from parity.release.replay_findings import unjudged as replay_unjudged
from parity.release.replayed import Asked, judge_replay, load_replay
from parity.release.replaying import STATES
from parity.release.stages_explain import REMADE as OF_STAGES
from parity.release.stages_explain import cause_again, entered_at, enters
from parity.release.stages_judge import with_limits
from parity.release.weights import unjudged
from parity.runner.composed import GRAPH

REMADE = (
    "DIFF",
    "WAIVE",
    "GATE007",
    "GATE008",
    "GATE009",
    "GATE010",
    "GATE016",
    "REPLAY",
    "TIME",
    "OM034",
    "OM035",
)  # follow from budgets and waivers
PREDICTED = "PRED"  # no verdict knows of it
SET_ASIDE = (*REMADE, PREDICTED)
EXPLAINED = ("DIAG", "WEIGHT", "STAGE01")
JUDGED = ("verdict", "reason", "limit", "limit_ratio", "worst_dimension", "fault", "budget", "bound")


def rejudge(
    report: Mapping[str, Any], config: Config, today: dt.date | None = None, *, folder: Path | None = None
) -> dict[str, Any]:
    """Return ``report`` judged again; ``folder`` is where it lies, with what its replay measured.

    Raises:
        UsageError: it holds no candidate that the configuration names, or a budget is for no output of it.
        ArtifactError: it lacks comparisons or their numbers, or is not of the form that parity writes.
    """
    try:
        return _rejudge(copy.deepcopy(dict(report)), config, today or dt.date.today(), folder)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as e:
        raise ArtifactError(
            f"this report cannot be judged again: it is not as parity writes it ({type(e).__name__}: {e})",
            remedy="it was edited, damaged, or written by an early version: run the release again",
        ) from None


def _rejudge(fresh: dict[str, Any], config: Config, today: dt.date, folder: Path | None) -> dict[str, Any]:
    known = {c.name for c in config.candidate}
    names = [c["name"] for c in fresh["candidates"]]
    if set(names) != known or len(names) != len(known):
        raise UsageError(
            f"the report is about {', '.join(names)}; this parity.toml about {', '.join(sorted(known))}",
            remedy="judge the report with the parity.toml of its own release",
        )
    check_intact(fresh)
    outputs = fresh["outputs"]
    limited = {o: v["limited_as"] for o, v in outputs.items() if "limited_as" in v}
    values = [n for names in limited.values() for n in names]
    refuse_unknown(budgeted(config), [*(o for o in outputs if not o.startswith(GRAPH) and o not in limited), *values])
    before = fresh["comparisons"]
    rows = [_measured(r, outputs[r["output"]].get("units")) for r in before]
    levels = dict.fromkeys(names, "graph") | {r["candidate"]: "policy" for r in before if r["level"] == "policy"}
    graphs = {n: [o for o in outputs if o.startswith(GRAPH)] for n, level in levels.items() if level == "policy"}
    check_units(config, levels, graphs)
    terms = {}
    for c in fresh["candidates"]:
        budgets = budgets_of(config, c["name"], levels[c["name"]], graphs.get(c["name"], ()))
        terms[c["name"]] = Terms(c["precision"], with_limits(budgets, limited), c.get("stage_precision", {}))
    fresh["comparisons"], fresh["measures"] = decide(rows, terms)
    told = entered_at(fresh["findings"])
    foreseen = [f for f in fresh["findings"] if f["code"].startswith(PREDICTED)]
    set_aside = (*SET_ASIDE, *OF_STAGES)
    kept = [Finding(**{**f, "waived": None}) for f in fresh["findings"] if not f["code"].startswith(set_aside)]
    actions = [name for name, o in outputs.items() if o["role"] == "action"]
    elements = {name: o["elements"] for name, o in outputs.items()}
    for name in names:
        own = [r for r in fresh["comparisons"] if r["candidate"] == name]
        kept += gate.policy_level(misplaced(config, name, levels[name]), name)
        kept += gate.unplanned(fresh["facts"]["reference"].get("outputs", ()), list(outputs), name)
        kept += [*gate.coverage(own, actions, name, elements), *difference_findings(own, name)]
        kept += enters(name, fresh["comparisons"], [f.as_json() for f in kept])
    kept += _unweighed(config, fresh, names)
    kept += judged_again(fresh, config)
    kept += _unsurveyed(config, fresh, kept)
    kept += _replayed(config, fresh, folder)
    if "exhibits" in fresh:
        fresh["exhibits"] = still_true(fresh["exhibits"], before, fresh["comparisons"])
    fresh["waivers"] = [w.model_dump(mode="json") for w in config.waiver]
    judged = conclude(fresh, kept, config.waiver, today)
    judged["cause"] = cause_again(judged.get("cause"), told, entered_at(judged["findings"]))
    if judged["verdict"] != "FAIL":  # what explained the failure explains nothing now
        judged["findings"] = [f for f in judged["findings"] if not f["code"].startswith(EXPLAINED)]
        judged["cause"] = None
    judged["findings"] += foreseen
    return judged


def _replayed(config: Config, report: dict[str, Any], folder: Path | None) -> list[Finding]:
    """Judge the replay again, put its measures and what it shows into the report, and return its findings.

    What was measured must lie beside the report, as it was written.
    """
    told, names = report.get("replay"), [c["name"] for c in report["candidates"]]
    if config.replay.dataset is None:
        report.pop("replay", None)
        return []
    evidence = None if told is None or folder is None else load_replay(folder, told)
    if told is None or "problem" in told or evidence is None or evidence.sha256 != told["sha256"]:
        why = "the report was made without [replay]" if told is None else f"its {STATES} is not beside the report"
        return [replay_unjudged(n, told["problem"] if told and "problem" in told else why) for n in names]
    asked = Asked(
        {c["name"]: c["precision"] for c in report["candidates"]},
        {n: budgets_of(config, n, "policy") for n in names},
        {o: v["elements"] for o, v in report["outputs"].items()},
        {o: v.get("units") for o, v in report["outputs"].items()},
        config.replay,
        config.release.seed,
    )
    verdicts = judge_replay(evidence, asked)
    report["measures"] += verdicts.measures
    report["replay"] = verdicts.shown
    return verdicts.findings


def _unweighed(config: Config, report: Mapping[str, Any], names: Sequence[str]) -> list[Finding]:
    """Return a finding for each candidate whose weights are to be judged and were not asked for when it ran."""
    wanted = [] if config.weights is None else config.weights.candidates or names
    return [unjudged(n, "the report was made without [weights]") for n in wanted if "weights" not in report["facts"][n]]


def _unsurveyed(config: Config, report: Mapping[str, Any], kept: Sequence[Finding]) -> list[Finding]:
    """Return a finding where statistics are to be judged that were not asked for when it ran."""
    asked = config.stats is not None and "stats" not in report
    said = any(f.code == UNJUDGED for f in kept)
    return [statistics_unjudged("the report was made without [stats]")] if asked and not said else []


def _measured(row: Mapping[str, Any], units: str | None) -> dict[str, Any]:
    """Return a judged comparison as it was measured, in the graph's own numbers and their ``units``."""
    kept = {k: v for k, v in in_graph_numbers(row).items() if k not in JUDGED}
    return {**kept, "units": units, "verdict": "NOT_JUDGED", "reason": "", "budget": {}}
