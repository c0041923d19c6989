"""A gate that says nothing does not pass: every way in which a comparison can be vacuous is a finding that blocks.

Findings with a code ``GATE0xx`` and severity ``error`` make a candidate NOT_JUDGED; no waiver touches them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from parity.compare.budget import FLOORS_ALLOWED, INFORMATIVE, INT8_RMS_RATIO
from parity.compare.floors import ROUNDING
from parity.finding import Finding
from parity.release.facts import Facts
from parity.release.measure import Measured
from parity.release.plan import Plan
from parity.release.refused import Refusal, reason
from parity.runner.composed import GRAPH
from parity.runner.origin import answered_of, captured_of, stand_in_of
from parity.stages import is_of_stages
from parity.tensor import Array

POOLED = ("nominal", "dataset")
NONDETERMINISTIC = FLOORS_ALLOWED * ROUNDING  # of the output's scale: more than rounding from run to run


def distinct_cases(plan: Plan) -> Iterator[Finding]:
    """Yield a finding where there are fewer than two distinct cases."""
    digests = {c.sha256 for c in plan.cases if c.sha256 is not None}
    if len(digests) < 2:
        yield Finding(
            "GATE001",
            "error",
            f"Only {len(digests)} distinct case{'' if len(digests) == 1 else 's'} planned: nothing can be concluded.",
            evidence={"cases": len(plan.cases), "distinct": len(digests)},
            remedy="use more nominal cases, or observations that differ",
        )


def nothing_planned(plan: Plan) -> Iterator[Finding]:
    """Yield a finding where the plan holds nothing to judge."""
    if not plan.entries:
        yield Finding("GATE002", "error", "Nothing is planned: no case or no output.", remedy="check [cases]")


def answered_in_part(facts: Facts, where: str, candidate: str) -> Iterator[Finding]:
    """Yield a finding where a recording that came back from a device answers some of the cases that were asked."""
    recorded = facts.environment.get("recorded")
    captured = captured_of(recorded) if isinstance(recorded, Mapping) else {}
    answered, asked = answered_of(captured) or (0, 0)
    if answered != asked:
        yield Finding(
            "GATE019",
            "error",
            f"{where} holds {answered} of the {asked} cases that the release asks: the others are not judged.",
            where=where,
            evidence={"answered": answered, "asked": asked},
            remedy="run all of them on the device: the script of `parity bundle` does",
            candidate=candidate,
        )


def stood_in(environment: Mapping[str, Any], side: str, candidate: str) -> Iterator[Finding]:
    """Yield a finding where something that only plays the runtime of a device computed a side's outputs."""
    stand_in = stand_in_of(environment)
    if stand_in is not None:
        yield Finding(
            "GATE020",
            "error",
            f"{side!r} was computed by a stand-in for its runtime ({stand_in}), not by a device: that proves nothing.",
            where=side,
            evidence={"stand_in": stand_in},
            remedy="run it on the device, or take the cases there and back with `parity bundle` and `parity capture`",
            candidate=candidate,
        )


def ran(reference: Facts, candidate: Facts, refusals: Mapping[str, Refusal]) -> Iterator[Finding]:
    """Yield a finding for each side that could not be run; ``refusals``, by side, say which shape one refused."""
    for facts in (reference, candidate):
        name = "the reference" if facts is reference else f"candidate {candidate.side!r}"
        if facts.failure is not None:
            refused = refusals.get(facts.side)
            plain = f"{name[0].upper()}{name[1:]} could not be run to the end: {reason(facts.failure.message)}"
            yield Finding(
                "GATE003",
                "error",
                refused.sentence if refused else plain,
                where=facts.side,
                detail=facts.failure.message,
                evidence={"kind": facts.failure.kind} | ({"shapes": refused.shapes} if refused else {}),
                remedy=refused.remedy if refused else facts.failure.remedy or _remedy(facts.failure.kind),
                candidate=candidate.side,
            )


def repeats(facts: Facts, scales: Mapping[str, float], candidate: str) -> Iterator[Finding]:
    """Yield a finding where the same input twice gave different outputs, beyond rounding."""
    for output, gap in sorted(facts.repeat_differs.items()):
        if gap > NONDETERMINISTIC * scales.get(output, 0.0):
            yield Finding(
                "GATE004",
                "error",
                f"The same input twice gives different {output!r} on {facts.side!r}: largest difference {gap:.3g}.",
                where=output,
                detail="Train mode, state that is not reset, or a random op whose noise is not injected.",
                evidence={"max_abs": gap, "stateful": facts.stateful, "notes": facts.notes},
                remedy="export in eval mode, or make the noise an input and name it in `noise = [...]`",
                candidate=candidate,
            )


def random_ops(ops: Sequence[str], where: str, candidate: str) -> Iterator[Finding]:
    """Yield a finding where a graph draws its own noise."""
    if ops:
        yield Finding(
            "GATE005",
            "error",
            f"{where} draws random numbers inside its graph ({', '.join(ops)}): outputs cannot be compared directly.",
            where=where,
            evidence={"ops": list(ops)},
            remedy="export with the noise as an input, or record a distribution of samples",
            candidate=candidate,
        )


def by_draws(candidate: str) -> Iterator[Finding]:
    """Yield what is to be said of a candidate that draws its own noise, where recorded data are replayed."""
    yield Finding(
        "GATE017",
        "info",
        "Noise is drawn inside a graph: single outputs are not compared; what is given over many draws is, on recorded "
        "data.",
        where=candidate,
        remedy="export with the noise as an input to compare single outputs too",
        candidate=candidate,
    )


def unplanned(given: Sequence[str], planned: Sequence[str], candidate: str) -> Iterator[Finding]:
    """Yield a finding for each output of the reference that no comparison is about, as the candidate does not have it.

    That is so where the reference's outputs are known only once it runs.
    """
    for output in given:
        if output not in planned and not output.startswith(GRAPH) and not is_of_stages(output):
            yield Finding(
                "DIFF005",
                "error",
                f"{output} is missing: the reference gives it, and the candidate has no such output.",
                where=output,
                evidence={"reference": list(given), "planned": list(planned)},
                remedy="export it too, or let the reference return only what is to be shipped",
                candidate=candidate,
            )


def same_thing(same: bool, candidate: str) -> Iterator[Finding]:
    """Yield a finding where candidate and reference are the same bytes, run in the same way."""
    if same:
        yield Finding(
            "GATE006",
            "error",
            "Candidate and reference are the same file, run by the same runner in the same way: this compares nothing.",
            where=candidate,
            remedy="give the artifact that was trained as reference and the one to be shipped as candidate",
            candidate=candidate,
        )


def policy_level(outputs: Sequence[str], candidate: str) -> Iterator[Finding]:
    """Yield a finding for each budget in physical units that the graph's numbers cannot be turned into."""
    for output in outputs:
        yield Finding(
            "GATE009",
            "error",
            f"The budget of {output!r} is in physical units, but nothing turns the graph's numbers into them.",
            where=output,
            remedy="give `scale = [...]`, units per unit of the graph; without `units` the graph's numbers are judged",
            candidate=candidate,
        )


def floorless(rows: Sequence[Measured], candidate: str) -> Iterator[Finding]:
    """Yield a finding where nothing but rounding is known of what the reference's own arithmetic does to it."""
    floors = [r["floor"] for r in rows if r.get("floor") and not r.get("stage")]
    if floors and all(f["float64"] is None and f["variants"] is None for f in floors):
        yield Finding(
            "GATE013",
            "info",
            "The reference has no measured floor: limits rest on rounding alone, and what is not stable is not known.",
            evidence={"terms": ["rounding"]},
            remedy="record it with `parity run --record`, which measures the floor",
            candidate=candidate,
        )


def coverage(
    rows: Sequence[Measured], actions: Sequence[str], candidate: str, names: Mapping[str, Any]
) -> Iterator[Finding]:
    """Yield findings about what the cases did not exercise.

    Args:
        rows: decided comparisons of one candidate; those of its stages do not count.
        actions: names of its action outputs; all float outputs where none is known to be one, else all.
        candidate: its name.
        names: element names by output, where known.
    """
    rows = [r for r in rows if not r.get("stage")]
    floats = {r["output"] for r in rows if r.get("floor")}
    known = {r["output"] for r in rows if r.get("dims")}
    judged_actions = sorted(known & set(actions)) or sorted(floats or known)
    moved = informative = False
    for output in sorted({*floats, *judged_actions}):
        span, limit = spans([r for r in rows if r["output"] == output])
        if span is None:
            continue
        moved |= bool((span > 0).any())
        covered = span > INFORMATIVE * limit
        if output in judged_actions:
            informative |= bool(covered.any())
        yield from _not_covered(output, span, covered, candidate, names.get(output))
    if not known:
        return
    if not moved:
        yield Finding(
            "GATE007",
            "error",
            "No output depends on any input: the reference gives the same numbers in every case.",
            candidate=candidate,
            remedy="check that the reference is the trained policy, and that its inputs are connected",
        )
    elif not informative:
        yield Finding(
            "GATE008",
            "error",
            "No action dimension is informative: the reference moves by less than 4 limits in every dimension.",
            candidate=candidate,
            evidence={"outputs": judged_actions},
            remedy="judge on recorded observations (`--inputs`), or tighten the budget",
        )


def spans(rows: Sequence[Measured]) -> tuple[Array | None, Array]:
    """Return how far the reference moves over the pooled cases, and the bounds, per action dimension, both ``(D,)``.

    A report of an earlier version has no ``span``: there the extremes over all elements serve.
    """
    usable = [r for r in rows if r.get("dims") and _movement(r) is not None]
    pooled = [r for r in usable if r["profile"] in POOLED] or usable
    if not pooled:
        return None, np.zeros(0)
    moves = [np.asarray(m, dtype=np.float64) for r in pooled if (m := _movement(r)) is not None]
    width = moves[0].shape[-1]
    moves = [m for m in moves if m.shape[-1] == width]
    span: Array = np.max([m[1] for m in moves], axis=0) - np.min([m[0] for m in moves], axis=0)
    bounds = [r["bound"] for r in pooled if r.get("bound") and len(r["bound"]) in (1, width)]
    if bounds:
        return span, np.max([np.broadcast_to(b, (width,)) for b in bounds], axis=0)
    squares = [r["dims"]["sum_sq_ref"] for r in pooled if len(r["dims"].get("sum_sq_ref") or ()) == width]
    count = sum(r["dims"]["n"] for r in pooled if "n" in r["dims"])
    return span, INT8_RMS_RATIO * np.sqrt(np.sum(squares, axis=0) / max(count, 1)) * np.ones(width)


def _movement(row: Measured) -> tuple[Sequence[float], Sequence[float]] | None:
    """Return the ends between which the reference moves, per action dimension; None where they are not known."""
    dims = row["dims"]
    if dims.get("span"):
        return [0.0] * len(dims["span"]), dims["span"]
    low, high = dims.get("ref_min") or [None], dims.get("ref_max") or [None]
    return None if None in low or None in high else (low, high)


def _not_covered(output: str, span: Array, covered: Array, candidate: str, names: Any) -> Iterator[Finding]:
    silent = [int(i) for i in np.flatnonzero(~covered)]
    if silent:
        label = [f"{i} ({names[i]})" if names and i < len(names) else str(i) for i in silent]
        constant = [int(i) for i in np.flatnonzero(span == 0)]
        yield Finding(
            "GATE010",
            "warning",
            f"{output}: {len(silent)} of {span.size} dimensions are constant here: not covered "
            f"({', '.join(label[:8])}{', …' if len(label) > 8 else ''}).",
            where=output,
            detail="They were compared, but a fault in them might not show: the reference barely moves there.",
            evidence={"dimensions": silent, "constant": constant},
            remedy="judge on recorded observations (`--inputs`) in which they move",
            candidate=candidate,
        )


def _remedy(kind: str) -> str:
    return {
        "timeout": "raise timeout_s, or find out why it hangs",
        "memory": "run it where there is more memory, or raise memory_limit_mb",
        "absent": "install what is missing, or point `python` at an environment that has it",
        "interrupted": "run again; what was measured is in the report",
    }.get(kind, "mend the artifact or its environment and run again")
