"""Results of vla-evaluation-harness: LIBERO, SimplerEnv and others through one program.

Source: ``src/vla_eval/results/collector.py`` of allenai/vla-evaluation-harness. ``{"benchmark", "mode",
"harness_version", "tasks": [{"task", "episodes": […], "num_episodes", "avg_steps", "mean_success"}], "config",
"mean_success"}``; older: an episode has ``success`` itself, the means are called ``[overall_]success_rate``.
``episode_id`` is the number of the initial state, older with the task's name before it (``<task>_ep20``). Means are
rounded to four digits. Episodes with a ``failure_reason`` (a lost connection) have no outcome, and are in no mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from parity.artifact import Artifact
from parity.evaluation.model import Claim, Episode, EvaluationLog
from parity.evaluation.values import load, number, records, whole, yes_or_no

_MEANS = {
    "mean_success": "success",
    "success_rate": "success",
    "overall_success_rate": "success",
    "avg_steps": "length",
}
_ROUNDED = 5.1e-5


class Reader:
    """Reads a result file, of one shard or merged."""

    rank = 10

    def matches(self, artifact: Artifact) -> bool:
        """Whether it is JSON with ``benchmark`` and ``tasks`` that hold ``episodes``."""
        data = load(artifact) if artifact.kind == "json" else None
        if not (isinstance(data, dict) and "benchmark" in data and isinstance(data.get("tasks"), list)):
            return False
        return all(isinstance(t, dict) and isinstance(t.get("episodes"), list) for t in data["tasks"])

    def read(self, artifact: Artifact) -> EvaluationLog:
        """Return the log."""
        data, where = load(artifact), str(artifact.path)
        tasks = records(data["tasks"], f"{where}: tasks")
        episodes, claims = [], list(_claims(data, "", where, None))
        for i, task in enumerate(tasks):
            name = str(task.get("task", i))
            rows = records(task["episodes"], f"{where}: tasks[{i}].episodes")
            episodes += [_episode(row, name, f"{where}: tasks[{i}].episodes[{j}]") for j, row in enumerate(rows)]
            claims += _claims(task, f"tasks[{i}].", where, (name,))
        merged = data.get("merge_info")
        missing = merged.get("shards_missing") if isinstance(merged, dict) else None
        facts = {"benchmark": data["benchmark"], "harness_version": data.get("harness_version")}
        return EvaluationLog(
            path=where,
            kind="vla-eval results",
            episodes=tuple(episodes),
            claims=tuple(claims),
            facts={k: v for k, v in {**facts, "shards_missing": missing or None}.items() if v is not None},
        )


def _episode(row: Mapping[str, Any], task: str, where: str) -> Episode:
    metrics = row.get("metrics")
    told = {**row, **metrics} if isinstance(metrics, dict) else row
    number_of = str(row.get("episode_id", "")).removeprefix(f"{task}_ep")
    problem = str(row.get("failure_reason") or "")
    return Episode(
        task=task,
        start=f"initial state {number_of}" if number_of else None,
        success=None if problem else yes_or_no(told.get("success"), f"{where}.success"),
        length=whole(row.get("steps"), f"{where}.steps"),
        problem=problem,
    )


def _claims(said: Mapping[str, Any], name: str, where: str, tasks: tuple[str, ...] | None) -> Iterator[Claim]:
    for key, figure in _MEANS.items():
        value = number(said.get(key), f"{where}: {name}{key}")
        if value is not None:
            yield Claim(f"{name}{key}", value, figure, tasks, rounding=_ROUNDED, judged_only=True)
    count = number(said.get("num_episodes"), f"{where}: {name}num_episodes")
    if count is not None:
        yield Claim(f"{name}num_episodes", count, "count", tasks)


READER = Reader()
