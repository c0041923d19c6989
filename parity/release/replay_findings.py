"""What is said of a replay beside what its measures find: the worst of what failed, what could not be judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.finding import Finding
from parity.verdict import Verdict

if TYPE_CHECKING:
    from parity.replay.model import Context
    from parity.tensor import Array

FAILED = "REPLAY092"
NOT_A_NUMBER = "REPLAY095"  # never waived
NOT_FINITE = ("nan", "inf")  # rows of the measure `error`
UNJUDGED = "GATE016"


def said_once(findings: Sequence[Finding], names: Sequence[str]) -> list[Finding]:
    """Return the findings; what is said alike of every candidate is about the reference or the data, and said once."""
    bare = [f.for_candidate(None) for f in findings]
    alike = [b for b in bare if len(names) > 1 and b.severity != "error" and bare.count(b) >= len(names)]
    kept: list[Finding] = []
    for finding, plain in zip(findings, bare, strict=True):
        told = plain if plain in alike else finding
        if told not in kept:
            kept.append(told)
    return kept


def not_covered(context: Context, moved: Array) -> Iterator[Finding]:
    """Yield what is to be said of dimensions in which the reference barely moves from frame to frame, ``(D,)``."""
    from parity.replay.limits import IN_UNITS, covered

    budgets = [v for k, v in context.budget.items() if k in IN_UNITS and isinstance(v, int | float)]
    moves = covered(np.minimum(context.limits, min(budgets, default=np.inf)), moved)
    silent = [context.names[i] for i in np.flatnonzero(~moves)]
    if not moves.any():
        yield unjudged(context.candidate, f"no dimension of {context.output} moves by more than 4 limits")
    elif silent:
        named = ", ".join(silent[:8]) + (", …" if len(silent) > 8 else "")
        yield Finding(
            "GATE010",
            "warning",
            f"{context.output}: {len(silent)} of {len(moves)} dimensions are constant in the replayed episodes: not "
            f"covered ({named}).",
            where=context.output,
            detail="They were compared, but a fault in them might not show: the reference barely moves there.",
            evidence={"dimensions": [int(i) for i in np.flatnonzero(~moves)]},
            remedy="replay episodes in which they move",
        )


def _measured_by(row: Mapping[str, Any]) -> str:
    return str(row["id"]).split("/")[-2]


def summed(rows: Sequence[Mapping[str, Any]], context: Context) -> Iterator[Finding]:
    """Yield one finding where rows fail, and one where rows could not be judged."""
    failed = [r for r in rows if r["verdict"] == Verdict.FAIL]
    lost = [r for r in failed if r["name"] in NOT_FINITE]
    failed = [r for r in failed if r not in lost]
    open_rows = [r for r in rows if r["verdict"] == Verdict.NOT_JUDGED]
    if lost:
        yield Finding(
            NOT_A_NUMBER,
            "error",
            f"Replayed, {context.output} is not finite: {lost[0]['reason'].rstrip('.')}.",
            where=context.output,
            evidence={"failed": [r["id"] for r in lost]},
            candidate=context.candidate,
        )
    if failed:
        worst = max((r for r in failed if _measured_by(r) == _measured_by(failed[0])), key=_severity)
        yield Finding(
            FAILED,
            "error",
            f"Replayed, {context.output} is not the reference's: {worst['reason'].rstrip('.')}.",
            where=context.output,
            evidence={"failed": [r["id"] for r in failed][:64], "of": len(rows)},
            candidate=context.candidate,
        )
    if open_rows:
        reason = open_rows[0]["reason"] or f"{open_rows[0]['name']} has no number"
        yield unjudged(context.candidate, reason)


def _severity(row: Mapping[str, Any]) -> float:
    value, limit = row["value"], row["limit"]
    if value is None or not np.isfinite(value):
        return float("inf")
    return float(abs(value) / limit) if limit else float("inf")


def unjudged(candidate: str, why: str, remedy: str | None = None) -> Finding:
    return Finding(
        UNJUDGED,
        "error",
        f"Recorded data could not be judged: {why.rstrip('.')}.",
        where="[replay]",
        remedy=remedy or "mend what is named here and run again",
        candidate=candidate,
    )
