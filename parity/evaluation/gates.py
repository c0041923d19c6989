"""The gate of a comparison: the difference in success (or in a score from 0 to 1), over all tasks and in each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from parity.evaluation import proportions as share
from parity.evaluation import rewards as score
from parity.evaluation.model import Episode, EvaluationLog
from parity.evaluation.pairing import Matched
from parity.evaluation.proportions import Interval
from parity.evaluation.tell import tell, tell_task
from parity.finding import Finding
from parity.verdict import Verdict

Figure = Literal["success", "max_reward"]
NAMES = {"success": "success_difference", "max_reward": "score_difference"}


@dataclass(frozen=True, slots=True)
class Sample:
    """What is compared: one figure of each episode, by task; pairs where episodes belong together."""

    figure: Figure
    by_task: Mapping[str, tuple[tuple[Episode, ...], tuple[Episode, ...]]]
    pairs: tuple[tuple[Episode, Episode], ...]

    @property
    def paired(self) -> bool:
        return bool(self.pairs)

    def only(self, task: str) -> Sample:
        """Return the part of one task."""
        return Sample(self.figure, {task: self.by_task[task]}, tuple(p for p in self.pairs if p[0].task == task))

    def values(self, figure: str) -> list[tuple[score.Array, score.Array]]:
        """Return one figure of both sides, task by task; of pairs in the same order."""
        if self.pairs:
            sides = [([p for p in self.pairs if p[0].task == t]) for t in self.by_task]
            return [(_array((a for a, _ in s), figure), _array((b for _, b in s), figure)) for s in sides]
        return [(_array(r, figure), _array(c, figure)) for r, c in self.by_task.values()]


def _array(episodes: Any, figure: str) -> score.Array:
    return np.array([float(getattr(e, figure)) for e in episodes])


@dataclass(frozen=True, slots=True)
class Effect:
    """A difference with its interval, its test, and what the sample can tell."""

    reference: float
    candidate: float
    value: float
    interval: Interval
    p_value: float
    test: str
    n: int
    lost: int | None
    gained: int | None
    power: share.Power


@dataclass(frozen=True, slots=True)
class Gate:
    """The measures that judge, what was found in single tasks, and a row of figures for each task."""

    verdict: Verdict
    measures: tuple[Mapping[str, Any], ...]
    findings: tuple[Finding, ...]
    tasks: tuple[Mapping[str, Any], ...]

    def without_verdict(self, reason: str) -> Gate:
        """Return the same figures, not judged."""
        measures = tuple({**m, "verdict": "NOT_JUDGED", "reason": reason} for m in self.measures)
        return replace(self, verdict=Verdict.NOT_JUDGED, measures=measures, findings=())


def sample_of(reference: EvaluationLog, candidate: EvaluationLog, matched: Matched) -> Sample | str:
    """Return what can be compared, or why nothing can."""
    episodes = (*reference.episodes, *candidate.episodes)
    by_task = {t: (reference.of_task(t), candidate.of_task(t)) for t in reference.tasks}
    if all(e.success is not None for e in episodes):
        return Sample("success", by_task, matched.pairs)
    if any(e.success is not None for e in episodes):
        return (
            "an episode has no outcome, or only one log says which episodes succeeded (--success-at decides by reward)"
        )
    scores = [e.max_reward for e in episodes]
    if any(s is None for s in scores):
        return "the logs say neither which episodes succeeded nor what reward they reached"
    if not all(s is not None and math.isfinite(s) and 0 <= s <= 1 for s in scores):
        return "the logs do not say which episodes succeeded, and rewards are no score from 0 to 1: give --success-at"
    return Sample("max_reward", by_task, matched.pairs)


def judge(sample: Sample, margin: float, alpha: float, seed: int) -> Gate:
    """Return the gate: over all tasks, and, of several, each by itself at a level that allows for their number."""
    effect = effect_of(sample, margin, alpha, seed)
    verdict = _verdict(effect, margin, alpha, effect.p_value)
    measures = [_measure(sample.figure, "", effect, margin, alpha, verdict, tell(sample, effect, margin, verdict))]
    tasks, findings = [], []
    if len(sample.by_task) > 1:
        alone = alpha / len(sample.by_task)
        effects = [effect_of(sample.only(t), margin, alone, seed) for t in sample.by_task]
        adjusted = share.holm([e.p_value for e in effects])
        for task, e, p in zip(sample.by_task, effects, adjusted, strict=True):
            failed = _verdict(e, margin, alpha, p) is Verdict.FAIL
            tasks.append(_row(task, e, p, failed))
            if failed:
                said = tell_task(sample.figure, task, e, p)
                measures.append(_measure(sample.figure, f"{task}/", e, margin, alone, Verdict.FAIL, said))
                findings.append(_worse(task, said, tasks[-1]))
    else:
        tasks.append(_row(next(iter(sample.by_task)), effect, effect.p_value, verdict is Verdict.FAIL))
    return Gate(Verdict.FAIL if findings else verdict, tuple(measures), tuple(findings), tuple(tasks))


def _verdict(effect: Effect, margin: float, alpha: float, p_value: float) -> Verdict:
    low, high = effect.interval
    if high < -margin and p_value <= alpha:
        return Verdict.FAIL
    return Verdict.PASS if low > -margin else Verdict.NOT_JUDGED


def effect_of(sample: Sample, margin: float, alpha: float, seed: int) -> Effect:
    """Return the difference over the tasks of a sample."""
    if sample.figure == "max_reward":
        return _of_scores(sample, margin, alpha, seed)
    return _of_pairs(sample, margin, alpha) if sample.paired else _of_counts(sample, margin, alpha)


def _of_pairs(sample: Sample, margin: float, alpha: float) -> Effect:
    lost = sum(bool(a.success) and not b.success for a, b in sample.pairs)
    gained = sum(bool(b.success) and not a.success for a, b in sample.pairs)
    n = len(sample.pairs)
    pairs = share.Pairs(lost, gained, n)
    discordant = (lost + gained + 1) / (n + 2)  # as seen, drawn a little towards one half: none seen is not none
    return Effect(
        reference=sum(bool(a.success) for a, _ in sample.pairs) / n,
        candidate=sum(bool(b.success) for _, b in sample.pairs) / n,
        value=pairs.difference,
        interval=share.tango(pairs, alpha),
        p_value=share.mcnemar(pairs),
        test="McNemar's exact test",
        n=n,
        lost=lost,
        gained=gained,
        power=share.power(n, discordant, margin, alpha),
    )


def _of_counts(sample: Sample, margin: float, alpha: float) -> Effect:
    strata = [
        share.Counts(sum(bool(e.success) for e in r), len(r), sum(bool(e.success) for e in c), len(c))
        for r, c in sample.by_task.values()
    ]
    value, interval = share.stratified(strata, alpha)
    good, n, candidate_good, m = (sum(getattr(s, k) for s in strata) for k in share.Counts.__slots__)
    pooled = (good + candidate_good + 1) / (n + m + 2)
    alike = 2 * n * m / (n + m)  # episodes on each side of an even comparison that tells as much
    return Effect(
        reference=good / n,
        candidate=candidate_good / m,
        value=value,
        interval=interval,
        p_value=share.exact(strata),
        test="Fisher's exact test" if len(strata) == 1 else "exact permutation test within tasks",
        n=min(n, m),
        lost=None,
        gained=None,
        power=share.power(math.floor(alike), 2 * pooled * (1 - pooled), margin, alpha),
    )


def _of_scores(sample: Sample, margin: float, alpha: float, seed: int) -> Effect:
    values = sample.values("max_reward")
    mine, theirs = (np.concatenate(side) for side in zip(*values, strict=True))
    if sample.paired:
        apart = theirs - mine
        value, interval = float(apart.mean()), score.bounded_pairs(apart, alpha)
        p_value, exact = score.sign_flips(apart, seed)
        test = "sign flips, all" if exact else "sign flips, drawn"
        spread = float(np.concatenate([apart, [-1.0, 1.0]]).var())
    else:
        value, interval = score.bounded_samples(values, alpha)
        p_value, test = score.shuffles(values, seed), "labels shuffled within tasks"
        spread = sum(float(np.concatenate([s, [0.0, 1.0]]).var()) for s in (mine, theirs))
    n = min(mine.size, theirs.size)
    return Effect(
        float(mine.mean()), float(theirs.mean()), value, interval, p_value, test, n, None, None,
        share.power(n, spread, margin, alpha),
    )  # fmt: skip


def _measure(
    figure: Figure, task: str, effect: Effect, margin: float, alpha: float, verdict: Verdict, reason: str
) -> dict[str, Any]:
    return {
        "id": f"candidate/task/{task}{NAMES[figure]}",
        "level": "task",
        "candidate": "candidate",
        "name": NAMES[figure],
        "value": effect.value,
        "interval": list(effect.interval),
        "limit": -margin,
        "units": None,
        "n": effect.n,
        "verdict": str(verdict),
        "reason": reason,
        "task": task.removesuffix("/") or None,
        "reference": effect.reference,
        "of_candidate": effect.candidate,
        "lost": effect.lost,
        "gained": effect.gained,
        "p_value": effect.p_value,
        "test": effect.test,
        "confidence": 1 - alpha,
        "power": effect.power.power,
        "detectable": effect.power.detectable,
        "needed": effect.power.needed,
    }


def _row(task: str, effect: Effect, p_value: float, failed: bool) -> dict[str, Any]:
    return {
        "task": task,
        "n": effect.n,
        "reference": effect.reference,
        "candidate": effect.candidate,
        "difference": effect.value,
        "interval": list(effect.interval),
        "p_value": p_value,
        "lost": effect.lost,
        "gained": effect.gained,
        "worse": failed,
    }


def _worse(task: str, said: str, row: Mapping[str, Any]) -> Finding:
    return Finding(
        "EVAL013",
        "error",
        said,
        where=task,
        candidate="candidate",
        detail="By itself, its interval and p-value allowing for how many tasks were looked at (Bonferroni, Holm).",
        evidence=dict(row),
        remedy="look at what this task needs that the others do not: a camera, a part of the workspace, a long horizon",
    )
