"""Two evaluations compared: does the candidate still do its task as well as the reference?

The effect decides, the p-value goes with it. With ``margin`` the drop that is allowed (5 points of success):

- FAIL: the whole interval of the difference lies below −margin, and the exact test finds it too.
- PASS: the whole interval lies above −margin (non-inferiority), and no task of several fails by itself.
- NOT_JUDGED: neither; how many episodes would tell is said.

Under equal success probabilities a FAIL is no more frequent than ``alpha``: it needs the exact test, over all tasks
(on its lower side: ``alpha``/2) or, adjusted by Holm's method for their number, of one task (``alpha``/2 again).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from parity.evaluation.gates import Gate, Sample, judge, sample_of
from parity.evaluation.model import EvaluationLog
from parity.evaluation.pairing import Matched, match
from parity.evaluation.returns import compare_rewards
from parity.finding import Finding
from parity.verdict import Verdict

MARGIN = 0.05
ALPHA = 0.05
UNUSABLE = ("EVAL002", "EVAL004", "EVAL005", "EVAL006")  # errors of one log after which its figures say nothing
NOT_A_NUMBER = "EVAL003"
NO_STARTS = "EVAL007"


@dataclass(frozen=True, slots=True)
class Terms:
    """How two evaluations are to be compared.

    Attributes:
        margin: the drop that is allowed, as a share of episodes (or of the score's range, 0 to 1).
        alpha: of the two-sided intervals and tests.
        paired: see `parity.evaluation.pairing.match`.
        success_at: an episode succeeded where its largest reward is at least this; None takes the log's own outcome.
        seed: of what is drawn.
    """

    margin: float = MARGIN
    alpha: float = ALPHA
    paired: bool | None = None
    success_at: float | None = None
    seed: int = 42


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came out: the verdict, its measures and findings, and figures for each task and reward.

    ``figure`` is what was judged: ``success``, or ``max_reward`` where the logs do not say which episodes succeeded.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    measures: tuple[Mapping[str, Any], ...]
    findings: tuple[Finding, ...]
    how: str = "not paired"
    tasks: tuple[Mapping[str, Any], ...] = ()
    rewards: tuple[Mapping[str, Any], ...] = ()
    changed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    figure: str = "success"


def compare_evaluations(
    reference: EvaluationLog, candidate: EvaluationLog, terms: Terms | None = None, *, same_bytes: bool = False
) -> Comparison:
    """Return how the candidate's evaluation compares with the reference's.

    Args:
        reference: the evaluation of the trusted policy.
        candidate: that of the policy under test, in the same tasks.
        terms: what is allowed, and how episodes pair.
        same_bytes: whether both are the very same file: then nothing was compared.
    """
    terms = terms or Terms()
    found = [*reference.findings, *(f.for_candidate("candidate") for f in candidate.findings)]
    found = [f for f in found if f.code != NO_STARTS]  # how episodes were paired says it
    refused = _refuse(reference, candidate, same_bytes)
    if refused is not None:
        return _unjudged(refused, found)
    if terms.success_at is not None:
        reference, candidate = (_with_success(log, terms.success_at) for log in (reference, candidate))
    matched = match(reference, candidate, terms.paired)
    found += matched.findings
    if matched.refused:
        return _unjudged(matched.findings[0], found[: -len(matched.findings)])
    return _judged(reference, candidate, matched, found, terms)


def _judged(
    reference: EvaluationLog, candidate: EvaluationLog, matched: Matched, found: list[Finding], terms: Terms
) -> Comparison:
    unusable = [f for f in found if f.code in UNUSABLE]
    sample = sample_of(reference, candidate, matched)
    if isinstance(sample, str):
        measure = unjudged_measure(unusable[0].title if unusable else sample)
        nan = _nan_of_candidate(found)
        verdict = Verdict.FAIL if nan else Verdict.NOT_JUDGED
        return Comparison(verdict, (*nan, measure["reason"]), (measure,), tuple(found), matched.how)
    gate = judge(sample, terms.margin, terms.alpha, terms.seed)
    if unusable:
        gate = gate.without_verdict(unusable[0].title)
    rewards = compare_rewards(sample, terms.alpha, terms.seed)
    found += [*gate.findings, *_lower_rewards(rewards, gate, terms.alpha)]
    verdict, reasons = _verdict(gate, found)
    return Comparison(
        verdict,
        tuple(reasons),
        gate.measures,
        tuple(found),
        matched.how,
        gate.tasks,
        rewards,
        _changed(sample),
        sample.figure,
    )


def _verdict(gate: Gate, found: Sequence[Finding]) -> tuple[Verdict, list[str]]:
    """Return the verdict; an error finding keeps it from PASS, NaN that only the candidate has makes it FAIL."""
    worst = sorted(gate.measures, key=lambda m: m["verdict"] != "FAIL")
    reasons = [str(m["reason"]) for m in worst if m["verdict"] != "PASS"]
    nan = _nan_of_candidate(found)
    if nan:
        return Verdict.FAIL, [*nan, *reasons]
    errors = [f.title for f in found if f.severity == "error"]
    verdict = gate.verdict if gate.verdict is not Verdict.PASS or not errors else Verdict.NOT_JUDGED
    return verdict, reasons or (errors if verdict is not Verdict.PASS else [])


def _nan_of_candidate(found: Sequence[Finding]) -> list[str]:
    """Return what is NaN or infinite in the candidate's log, where nothing is in the reference's."""
    nan = [f for f in found if f.code == NOT_A_NUMBER]
    if any(f.candidate is None for f in nan):
        return []
    return [f"candidate: {f.title}, none of the reference's" for f in nan]


def _refuse(reference: EvaluationLog, candidate: EvaluationLog, same_bytes: bool) -> Finding | None:
    """Return why these two logs cannot be compared at all."""
    for side, log in (("reference", reference), ("candidate", candidate)):
        if not log.episodes:
            return Finding(
                "EVAL008",
                "error",
                f"the {side} ({log.kind}) holds no episodes: nothing was compared",
                where=log.path,
                candidate="candidate" if side == "candidate" else None,
                remedy="give the log that the evaluation itself wrote",
            )
    timed = reference.facts.get("eval_s")
    one_run = timed is not None and timed == candidate.facts.get("eval_s") and reference.episodes == candidate.episodes
    if same_bytes or one_run:
        return Finding(
            "EVAL009",
            "error",
            "both logs are the same file"
            if same_bytes
            else "both logs are of one run: the same episodes in the same time",
            detail="A log agrees with itself whatever the policy does.",
            remedy="evaluate the candidate, and give its own log",
        )
    mine, theirs = set(reference.tasks), set(candidate.tasks)
    if mine != theirs:
        lacks, extra = sorted(mine - theirs), sorted(theirs - mine)
        return Finding(
            "EVAL010",
            "error",
            f"the tasks differ: {len(lacks)} are the reference's only, {len(extra)} the candidate's only",
            evidence={"reference_only": lacks[:20], "candidate_only": extra[:20]},
            remedy="evaluate both in the same tasks",
        )
    return None


def _unjudged(why: Finding, found: list[Finding]) -> Comparison:
    measure = unjudged_measure(why.title)
    return Comparison(Verdict.NOT_JUDGED, (why.title,), (measure,), (*found, why))


def unjudged_measure(reason: str) -> dict[str, Any]:
    """Return the measure of a comparison that says nothing."""
    return {
        "id": "candidate/task/success_difference",
        "level": "task",
        "candidate": "candidate",
        "name": "success_difference",
        "value": None,
        "interval": None,
        "limit": None,
        "units": None,
        "n": 0,
        "verdict": "NOT_JUDGED",
        "reason": reason,
    }


def _with_success(log: EvaluationLog, at: float) -> EvaluationLog:
    told = tuple(
        e if e.max_reward is None or e.problem else replace(e, success=e.max_reward >= at) for e in log.episodes
    )
    return replace(log, episodes=told)


def _lower_rewards(rewards: Sequence[Mapping[str, Any]], gate: Gate, alpha: float) -> list[Finding]:
    """Return a warning for each reward that is shown to be lower where success is not."""
    if gate.verdict is Verdict.FAIL:
        return []
    lower = [r for r in rewards if r["difference"] < 0 and r["p_value"] <= alpha]
    return [
        Finding(
            "EVAL014",
            "warning",
            f"{r['words']} is lower: {r['reference_mean']:.4g} → {r['candidate_mean']:.4g} (p = {r['p_value']:.2g})",
            where=r["figure"],
            candidate="candidate",
            evidence=dict(r),
            remedy="success does not show it, the reward does: look at how the candidate moves",
        )
        for r in lower
    ]


def _changed(sample: Sample) -> dict[str, list[str]]:
    """Return which starts only one side did, by name."""
    if not sample.pairs or sample.figure != "success":
        return {}
    names = _names(sample)
    named = [(name, a, b) for name, (a, b) in zip(names, sample.pairs, strict=True)]
    return {
        "lost": [name for name, a, b in named if a.success and not b.success],
        "gained": [name for name, a, b in named if b.success and not a.success],
    }


def _names(sample: Sample) -> list[str]:
    """Return a name for each pair: its start, or its number in its task, with the task where there are several."""
    out, seen = [], Counter[str]()
    for episode, _ in sample.pairs:
        start = episode.start or f"episode {seen[episode.task]}"
        seen[episode.task] += 1
        out.append(start if len(sample.by_task) == 1 else f"{episode.task}: {start}")
    return out
