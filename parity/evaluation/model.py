"""What every log of an evaluation is turned into: its episodes, what it claims about them, what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from parity.finding import Finding


@dataclass(frozen=True, slots=True)
class Episode:
    """One rollout of a policy in its environment, as the log tells it; None where it does not.

    Attributes:
        task: the task's name; one log may hold several.
        start: what fixes how the episode began, such as ``seed 1000`` or ``initial state 3``: two episodes of one task
            with the same start are a pair. None where the log does not say it.
        seed: the environment's seed.
        success: whether the task was done.
        total_reward: sum of the rewards (the return).
        max_reward: the largest reward of a step.
        length: environment steps.
        problem: why the episode has no outcome (a crash, a lost connection), empty where it has one.
    """

    task: str
    start: str | None = None
    seed: int | None = None
    success: bool | None = None
    total_reward: float | None = None
    max_reward: float | None = None
    length: int | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """An aggregate that the log states.

    Attributes:
        name: where it stands, such as ``aggregated.pc_success``.
        value: as it stands there.
        of: which figure of the episodes it is: ``success`` (a share), ``total_reward``, ``max_reward``, ``length``
            (means) or ``count``.
        tasks: the tasks that it sums up, None for all.
        scale: the factor from the figure to the claim, 100 for percent.
        rounding: how far rounding for the log may have moved it.
        judged_only: whether episodes without an outcome are left out of it.
    """

    name: str
    value: float
    of: str
    tasks: tuple[str, ...] | None = None
    scale: float = 1.0
    rounding: float = 0.0
    judged_only: bool = False


@dataclass(frozen=True, slots=True)
class EvaluationLog:
    """An evaluation as its log tells it.

    Attributes:
        path: the file, as the user gave it.
        kind: the format, such as ``LeRobot eval_info.json, by task``.
        episodes: in the order of the log.
        claims: the aggregates that it states.
        facts: what else it says that is worth showing, such as the policy's name or the time it took.
        findings: what is wrong with it.
    """

    path: str
    kind: str
    episodes: tuple[Episode, ...] = ()
    claims: tuple[Claim, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """Return the names of the tasks, in the order of the log."""
        return tuple(dict.fromkeys(e.task for e in self.episodes))

    def of_task(self, task: str) -> tuple[Episode, ...]:
        """Return the episodes of one task, in the order of the log."""
        return tuple(e for e in self.episodes if e.task == task)

    def as_json(self) -> dict[str, Any]:
        """Return what the log holds, in a few figures for each task, as plain data."""
        return {
            "path": self.path,
            "kind": self.kind,
            "episodes": len(self.episodes),
            "tasks": [_task_json(t, self.of_task(t)) for t in self.tasks],
            "claims": [{"name": c.name, "value": c.value} for c in self.claims],
            "facts": dict(self.facts),
            "findings": [f.as_json() for f in self.findings],
        }


def _task_json(task: str, episodes: tuple[Episode, ...]) -> dict[str, Any]:
    told = [e.success for e in episodes if e.success is not None]
    return {
        "task": task,
        "episodes": len(episodes),
        "successes": sum(told) if told else None,
        "with_outcome": len(told),
        "with_start": sum(e.start is not None for e in episodes),
        "mean_total_reward": mean(e.total_reward for e in episodes),
        "mean_max_reward": mean(e.max_reward for e in episodes),
        "mean_length": mean(e.length for e in episodes),
    }


def mean(values: Any) -> float | None:
    """Return the mean of numbers, None where one is missing or there are none; NaN where one is NaN."""
    found = list(values)
    if not found or any(v is None for v in found):
        return None
    return float(sum(found) / len(found))
