"""LeRobot's ``eval_info.json``, of both eras.

Source: ``eval_policy`` and ``eval_policy_all`` of lerobot (``lerobot/scripts/eval.py`` from 2024 on,
``lerobot/scripts/lerobot_eval.py`` from autumn 2025 on).

- Until 2025: ``{"per_episode": [{episode_ix, sum_reward, max_reward, success, seed}], "aggregated": {avg_sum_reward,
  avg_max_reward, pc_success, eval_s, eval_ep_s}, "video_paths"}``. ``seed`` is null where nothing was seeded.
- Since: ``{"per_task": [{task_group, task_id, metrics: {sum_rewards, max_rewards, successes, video_paths}}],
  "per_group": {group: {avg_sum_reward, avg_max_reward, pc_success, n_episodes}}, "overall": {…, eval_s}}``. Seeds are
  not written down any more (episode i of every task was seeded with the run's seed + i): episodes have no start.

All means are ``nanmean``: an episode whose reward is NaN is left out in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from parity.artifact import Artifact
from parity.errors import ArtifactError
from parity.evaluation.model import Claim, Episode, EvaluationLog
from parity.evaluation.values import load, number, records, whole, yes_or_no

_MEANS = {
    "avg_sum_reward": ("total_reward", 1.0),
    "avg_max_reward": ("max_reward", 1.0),
    "pc_success": ("success", 100.0),
}
ONE_TASK = "task"  # the older layout has one, and does not name it
TOLD = ("eval_s",)


class EpisodesReader:
    """Reads the older layout: one task, one object for each episode."""

    rank = 10

    def matches(self, artifact: Artifact) -> bool:
        """Whether it is JSON with ``per_episode`` and ``aggregated``."""
        data = load(artifact) if artifact.kind == "json" else None
        return isinstance(data, dict) and {"per_episode", "aggregated"} <= data.keys()

    def read(self, artifact: Artifact) -> EvaluationLog:
        """Return the log."""
        data, where = load(artifact), str(artifact.path)
        rows = records(data["per_episode"], f"{where}: per_episode")
        aggregated = data["aggregated"] if isinstance(data["aggregated"], dict) else {}
        return EvaluationLog(
            path=where,
            kind="LeRobot eval_info.json, by episode",
            episodes=tuple(_episode(row, f"{where}: per_episode[{i}]") for i, row in enumerate(rows)),
            claims=tuple(_claims(aggregated, "aggregated", where)),
            facts={k: aggregated[k] for k in TOLD if k in aggregated},
        )


def _episode(row: Mapping[str, Any], where: str) -> Episode:
    if "success" not in row and "sum_reward" not in row:
        raise ArtifactError(f"{where}: neither `success` nor `sum_reward`", expected="an episode of eval_info.json")
    seed = whole(row.get("seed"), f"{where}.seed")
    return Episode(
        task=ONE_TASK,
        start=None if seed is None else f"seed {seed}",
        seed=seed,
        success=yes_or_no(row.get("success"), f"{where}.success"),
        total_reward=number(row.get("sum_reward"), f"{where}.sum_reward"),
        max_reward=number(row.get("max_reward"), f"{where}.max_reward"),
    )


class TasksReader:
    """Reads the newer layout: lists of rewards and successes for each task."""

    rank = 10

    def matches(self, artifact: Artifact) -> bool:
        """Whether it is JSON with ``per_task`` and ``overall``, or ``per_group``."""
        data = load(artifact) if artifact.kind == "json" else None
        return (
            isinstance(data, dict)
            and isinstance(data.get("per_task"), list)
            and bool({"overall", "per_group"} & data.keys())
        )

    def read(self, artifact: Artifact) -> EvaluationLog:
        """Return the log."""
        data, where = load(artifact), str(artifact.path)
        episodes: list[Episode] = []
        groups: dict[str, list[str]] = {}
        for i, row in enumerate(records(data["per_task"], f"{where}: per_task")):
            group, name = str(row.get("task_group", "")), f"{row.get('task_group', '')}/{row.get('task_id', i)}"
            if name in groups.setdefault(group, []):
                raise ArtifactError(
                    f"{where}: the task {name} is there twice", remedy="evaluate again, or mend the merge"
                )
            groups[group].append(name)
            episodes += _of_task(name, row.get("metrics"), f"{where}: per_task[{i}].metrics")
        overall = data["overall"] if isinstance(data.get("overall"), dict) else {}
        claims = list(_claims(overall, "overall", where))
        for group, said in (data["per_group"] if isinstance(data.get("per_group"), dict) else {}).items():
            if isinstance(said, dict):
                claims += _claims(said, f"per_group.{group}", where, tuple(groups.get(group, ())))
        return EvaluationLog(
            path=where,
            kind="LeRobot eval_info.json, by task",
            episodes=tuple(episodes),
            claims=tuple(claims),
            facts={k: overall[k] for k in TOLD if k in overall},
        )


def _of_task(task: str, metrics: Any, where: str) -> list[Episode]:
    if not isinstance(metrics, dict):
        raise ArtifactError(f"{where}: no object", expected="sum_rewards, max_rewards and successes, a list each")
    columns = {k: _column(metrics.get(k), f"{where}.{k}") for k in ("sum_rewards", "max_rewards", "successes")}
    sizes = {k: len(v) for k, v in columns.items() if v is not None}
    if len(set(sizes.values())) > 1:
        raise ArtifactError(
            f"{where}: lists of unequal length: {', '.join(f'{k} {n}' for k, n in sizes.items())}",
            expected="one entry for each episode in every list",
        )
    out = []
    for i in range(next(iter(sizes.values()), 0)):
        sums, largest, done = (None if c is None else c[i] for c in columns.values())
        out.append(
            Episode(
                task=task,
                success=yes_or_no(done, f"{where}.successes[{i}]"),
                total_reward=number(sums, f"{where}.sum_rewards[{i}]"),
                max_reward=number(largest, f"{where}.max_rewards[{i}]"),
            )
        )
    return out


def _column(value: Any, where: str) -> list[Any] | None:
    if value is None:
        return None
    found = list(value) if isinstance(value, list) else [value]  # lerobot's aggregation takes a scalar for one episode
    if any(isinstance(v, list | dict) for v in found):
        raise ArtifactError(f"{where}: nested", expected="one entry for each episode")
    return found


def _claims(said: Mapping[str, Any], name: str, where: str, tasks: tuple[str, ...] | None = None) -> Iterator[Claim]:
    for key, (figure, scale) in _MEANS.items():
        value = number(said.get(key), f"{where}: {name}.{key}")
        if value is not None:
            yield Claim(f"{name}.{key}", value, figure, tasks, scale)
    count = number(said.get("n_episodes"), f"{where}: {name}.n_episodes")
    if count is not None:
        yield Claim(f"{name}.n_episodes", count, "count", tasks)


EPISODES = EpisodesReader()
TASKS = TasksReader()
