"""Where an error enters a policy in stages: the first stage that is wrong alone, the chain, or the loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np

from parity.finding import Finding
from parity.release.measure import Evidence
from parity.stages import ALONE, parts_of
from parity.tensor import Array

SWAPPED = 0.02  # of the largest magnitude: what was swapped is as right as a conversion to float16
MAX_CASES, MAX_ELEMENTS = 4, 1 << 22
REMADE = ("STAGE010", "STAGE011", "STAGE013")  # follow from comparisons alone
BROKEN = {"nan": "gives NaN", "inf": "gives infinite values", "missing_output": "lacks"}

Row = Mapping[str, Any]


def enters(candidate: str, rows: Sequence[Row], findings: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return the one finding that says where the error of ``candidate`` enters; none where it cannot be told.

    Args:
        candidate: its name.
        rows: judged comparisons of the release, in the order of the plan.
        findings: of the report: differences that are known before anything ran.
    """
    own = [r for r in rows if r["candidate"] == candidate and r.get("stage")]
    known = [f for f in findings if f["candidate"] == candidate]
    alone = [r for r in own if _way(r) == "alone"]
    if not alone:
        return []
    stages = list(dict.fromkeys(str(r["stage"]) for r in alone))
    failed = next((s for s in stages if any(r["stage"] == s and r["verdict"] == "FAIL" for r in alone)), None)
    if failed is not None:
        return [_at_stage(candidate, failed, [r for r in alone if r["stage"] == failed], stages, known)]
    if any(r["verdict"] != "PASS" for r in alone):
        return []  # what was not asked alone is not known to be right
    return [*_in_loop(candidate, own, known)] or [*_in_chain(candidate, own, stages)]


def _way(row: Row) -> str:
    return parts_of(str(row["output"]))[0]


def _at_stage(
    candidate: str, stage: str, rows: Sequence[Row], stages: Sequence[str], known: Sequence[Mapping[str, Any]]
) -> Finding:
    worst = max((r for r in rows if r["verdict"] == "FAIL"), key=_badness)
    value = parts_of(str(worst["output"]))[1]
    before = stages[: stages.index(stage)]
    kept = f"; {', '.join(before)} {'keeps its' if len(before) == 1 else 'keep their'} limits" if before else ""
    also = [f["title"].rstrip(".") for f in known if f["code"] == "STAGE005" and f["where"].startswith(f"{stage}/")]
    why = f". {also[0]}" if also else ""
    return Finding(
        "STAGE010",
        "warning",
        f"The error enters at stage {stage!r}: on the reference's own inputs it {_how(worst, value)}{kept}{why}.",
        where=stage,
        evidence={"comparison": worst["id"], "failed": sum(r["verdict"] == "FAIL" for r in rows), "of": len(rows)},
        remedy=f"look at stage {stage!r} alone: its weights, masks, order of inputs, precision",
        candidate=candidate,
    )


def _how(worst: Row, value: str) -> str:
    words = BROKEN.get(str(worst.get("fault")))
    if words is not None:
        return f"{words} {value!r}" if worst["fault"] == "missing_output" else f"{words} in {value!r}"
    ratio = worst.get("limit_ratio")
    if isinstance(ratio, int | float):
        times = f"{ratio:,.0f}" if 100 <= ratio < 1e9 else f"{ratio:.3g}"
        return f"is off by {times} × the limit in {value!r}"
    return f"gives another {value!r} ({worst['reason']})"


def _badness(row: Row) -> float:
    ratio = row.get("limit_ratio")
    return float(ratio) if isinstance(ratio, int | float) else float("inf")


def growth(rows: Sequence[Row]) -> list[tuple[int, float, float]]:
    """Return step, largest |Δ| and largest ratio to the limit of the loop's states, by step; NaN where one is not."""
    by_step: dict[int, list[Row]] = {}
    for row in rows:
        step = parts_of(str(row["output"]))[2]
        if step is not None:
            by_step.setdefault(step, []).append(row)
    return [(k, _largest(v, "max_abs"), _largest(v, "limit_ratio")) for k, v in sorted(by_step.items())]


def _largest(rows: Sequence[Row], key: str) -> float:
    values = [r.get(key) for r in rows]
    if not all(isinstance(v, int | float) for v in values):
        return float("nan")
    return max(float(v) for v in values if isinstance(v, int | float))


def _in_loop(candidate: str, rows: Sequence[Row], known: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    states = [r for r in rows if _way(r) == "loop"]
    wrong = sorted({parts_of(str(r["output"]))[2] or 0 for r in states if r["verdict"] == "FAIL"})
    other = next((f for f in known if f["code"] == "STAGE007"), None)
    if not wrong and other is None:
        return
    if any(r["stage"] != (states[0]["stage"] if states else None) and r["verdict"] == "FAIL" for r in rows):
        return  # the chain before the loop is over its limits: what the loop is given is wrong already
    if other is not None:
        words = f"Each stage is within its budget alone. {other['title'].rstrip('.')}"
    else:
        grown = _per_step([(k, gap) for k, gap, _ in growth(states)])
        words = f"Each stage is within its budget alone; the error grows in the loop{grown}, over budget from step "
        words += f"{wrong[0]} on"
    yield Finding(
        "STAGE011",
        "warning",
        f"{words}.",
        where="loop",
        evidence={"by_step": [{"step": k, "max_abs": gap, "ratio": ratio} for k, gap, ratio in growth(states)]},
        remedy="look at the loop: its steps, the sign of dt, the time that each step is told, what it begins with",
        candidate=candidate,
    )


def _per_step(gaps: Sequence[tuple[int, float]]) -> str:
    """Return by what factor the error grows per step, in words; empty where that is no number."""
    known = [(k, gap) for k, gap in gaps if np.isfinite(gap) and gap > 0]
    if len(known) < 2:
        return ""
    (first, low), (last, high) = known[0], known[-1]
    return f" (× {(high / low) ** (1.0 / (last - first)):.3g} per step)"


def _in_chain(candidate: str, rows: Sequence[Row], stages: Sequence[str]) -> Iterator[Finding]:
    chained = [r for r in rows if _way(r) == "chained" and r["verdict"] == "FAIL"]
    if not chained:
        return
    stage = min((str(r["stage"]) for r in chained), key=stages.index)
    worst = max((r for r in chained if r["stage"] == stage), key=_badness)
    value = parts_of(str(worst["output"]))[1]
    yield Finding(
        "STAGE013",
        "warning",
        f"Each stage is within its budget alone; chained, {stage!r} {_how(worst, value)}: it makes more of the small "
        "errors of the stages before it than its budget allows.",
        where=stage,
        evidence={"comparison": worst["id"]},
        remedy="raise the precision of the stages before it, or give that output a budget of its own",
        candidate=candidate,
    )


def entered_at(findings: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return, by candidate, the words that say where its error enters."""
    return {f["candidate"]: f["title"].rstrip(".") for f in findings if f["code"] in REMADE}


def cause_again(cause: str | None, before: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """Return a report's cause with what it says of stages as it is now: other budgets, another stage."""
    for name, words in before.items():
        new = now.get(name)
        if cause is None or words not in cause or new == words:
            continue
        if new is not None:
            cause = cause.replace(words, new, 1)
            continue
        for gone in (f"; {name}: {words}", f"{name}: {words}; ", f"{name}: {words}", words):
            if gone in cause:
                cause = cause.replace(gone, "", 1) or None
                break
    return cause


def swapped(evidence: Evidence, candidate: str, rows: Sequence[Row]) -> Iterator[Finding]:
    """Yield a finding for a stage whose outputs are the reference's in another order."""
    failed = [r for r in rows if r["candidate"] == candidate and _way(r) == "alone" and r["verdict"] == "FAIL"]
    for stage in dict.fromkeys(str(r["stage"]) for r in failed):
        values = list(dict.fromkeys(str(r["output"]) for r in failed if r["stage"] == stage))
        cases = list(dict.fromkeys(str(r["case"]) for r in failed if r["stage"] == stage))[:MAX_CASES]
        found = {a: b for a, b in permutations(values, 2) if all(_same(evidence, candidate, c, a, b) for c in cases)}
        if found and set(found) == set(found.values()):
            plain = {a.removeprefix(ALONE): b.removeprefix(ALONE) for a, b in found.items()}
            words = ", ".join(f"its {a} is the reference's {b}" for a, b in plain.items())
            yield Finding(
                "STAGE012",
                "warning",
                f"Stage {stage!r} gives its outputs in another order: {words}.",
                where=stage,
                evidence=plain,
                remedy="export with the outputs in the reference's order, or say which is which with `rename`",
                candidate=candidate,
            )


def _same(evidence: Evidence, candidate: str, case: str, ours: str, theirs: str) -> bool:
    """Whether the candidate's output ``ours`` is the reference's ``theirs``, as close as float16 is."""
    a, b = evidence.output(candidate, case, ours), evidence.output("reference", case, theirs)
    if a is None or b is None or a.shape != b.shape or a.dtype.kind != "f" or b.dtype.kind != "f":
        return False
    size = int(np.prod(a.shape, dtype=np.int64))
    if not 1 < size <= MAX_ELEMENTS:
        return False
    x: Array = a.read(0, size).astype(np.float64)
    y: Array = b.read(0, size).astype(np.float64)
    return bool(np.isfinite(x).all() and np.abs(x - y).max() <= SWAPPED * np.abs(y).max())
