"""Which episode of the candidate belongs to which of the reference: those that began alike, in the same task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from parity.evaluation.model import Episode, EvaluationLog
from parity.finding import Finding

How = Literal["start", "order", "not paired"]
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Matched:
    """How episodes are held against each other.

    Attributes:
        how: pairs by their recorded starts, pairs in the order of the logs because the user said so, or not paired.
        pairs: reference and candidate; empty where not paired.
        findings: what was decided; an error where it cannot be.
    """

    how: How
    pairs: tuple[tuple[Episode, Episode], ...]
    findings: tuple[Finding, ...]

    @property
    def refused(self) -> bool:
        return any(f.severity == "error" for f in self.findings)


def match(reference: EvaluationLog, candidate: EvaluationLog, paired: bool | None) -> Matched:
    """Return which episodes are pairs.

    Args:
        reference: with the same tasks as the candidate.
        candidate: its log.
        paired: True where the user says that both began alike, False where they are to be taken as independent, None to
            go by what the logs record: paired where all starts are the same, independent where there are none or none
            is shared, refused where only some are shared, as what is missing may be missing because it failed.
    """
    mine, theirs = _starts(reference), _starts(candidate)
    if paired is False:
        return _independent("not paired, as asked: the episodes are taken as independent")
    if mine is not None and theirs is not None:
        if mine == theirs:
            return _by_start(reference, candidate)
        shared = sum((mine & theirs).values())
        if paired or shared:
            return _refuse_starts(mine, theirs, shared)
        return _independent("not paired: no episode of one log began as one of the other")
    if paired:
        return _by_order(reference, candidate)
    return _independent("not paired: the logs do not say that episodes began alike", "--paired")


def _starts(log: EvaluationLog) -> Counter[tuple[str, str]] | None:
    found = [(e.task, e.start) for e in log.episodes if e.start is not None]
    return Counter(found) if len(found) == len(log.episodes) else None


def _by_start(reference: EvaluationLog, candidate: EvaluationLog) -> Matched:
    theirs: dict[tuple[str, str | None], list[Episode]] = {}
    for e in candidate.episodes:
        theirs.setdefault((e.task, e.start), []).append(e)
    pairs = tuple((e, theirs[e.task, e.start].pop(0)) for e in reference.episodes)
    return Matched("start", pairs, (_told(f"{len(pairs)} pairs of episodes that began alike (seed or initial state)"),))


def _by_order(reference: EvaluationLog, candidate: EvaluationLog) -> Matched:
    pairs: list[tuple[Episode, Episode]] = []
    for task in reference.tasks:
        mine, theirs = reference.of_task(task), candidate.of_task(task)
        if len(mine) != len(theirs):
            return Matched("not paired", (), (_refused(f"{task}: {len(mine)} episodes against {len(theirs)}", {}),))
        pairs += zip(mine, theirs, strict=True)
    said = f"{len(pairs)} pairs in the order of the logs, as asked; the logs do not record how episodes began"
    return Matched("order", tuple(pairs), (_told(said),))


def _independent(said: str, remedy: str = "") -> Matched:
    more = f"if both began alike and in the same order, say {remedy}: pairs tell more" if remedy else ""
    return Matched("not paired", (), (_told(said, more),))


def _told(said: str, remedy: str = "") -> Finding:
    return Finding("EVAL012", "info", said, remedy=remedy)


def _refuse_starts(mine: Counter[tuple[str, str]], theirs: Counter[tuple[str, str]], shared: int) -> Matched:
    lacks, extra = mine - theirs, theirs - mine
    said = f"{shared} starts are shared, {lacks.total()} are the reference's only, {extra.total()} the candidate's only"
    evidence = {"reference_only": _some(list(lacks)), "candidate_only": _some(list(extra))}
    return Matched("not paired", (), (_refused(said, evidence),))


def _some(starts: Sequence[tuple[str, str]]) -> list[str]:
    return [f"{task}: {start}" for task, start in sorted(starts)[:SHOWN]]


def _refused(said: str, evidence: dict[str, list[str]]) -> Finding:
    return Finding(
        "EVAL011",
        "error",
        f"the episodes do not pair: {said}",
        detail="An episode that only one side has may be missing because it failed there.",
        evidence=evidence,
        remedy="run the same starts on both sides, or compare them as independent samples with --unpaired",
    )
