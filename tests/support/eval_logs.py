"""Logs of evaluations as the frameworks write them, made from outcomes: what a test plants is what is in the file."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Outcomes = Sequence[bool]


def lerobot_episodes(
    path: Path, outcomes: Outcomes, *, seeds: Sequence[int | None] | None = None, rewards: Sequence[float] | None = None
) -> Path:
    """Write LeRobot's older eval_info.json: one task, an object for each episode."""
    sums = list(rewards) if rewards is not None else [10.0 * s + 0.25 for s in outcomes]
    named = seeds if seeds is not None else range(1000, 1000 + len(outcomes))
    rows = [
        {"episode_ix": i, "sum_reward": r, "max_reward": float(s), "success": bool(s), "seed": seed}
        for i, (s, r, seed) in enumerate(zip(outcomes, sums, named, strict=True))
    ]
    aggregated = {
        "avg_sum_reward": float(np.nanmean(sums)),
        "avg_max_reward": float(np.mean([float(s) for s in outcomes])),
        "pc_success": float(np.mean(outcomes) * 100),
        "eval_s": _took(path),
        "eval_ep_s": 2.0,
    }
    return write(path, {"per_episode": rows, "aggregated": aggregated, "video_paths": []})


def lerobot_tasks(path: Path, tasks: Mapping[tuple[str, int], Outcomes]) -> Path:
    """Write LeRobot's newer eval_info.json: lists for each task, aggregates for each group and overall."""
    per_task = [
        {
            "task_group": group,
            "task_id": number,
            "metrics": {
                "sum_rewards": [float(s) for s in done],
                "max_rewards": [float(s) for s in done],
                "successes": [bool(s) for s in done],
                "video_paths": [],
            },
        }
        for (group, number), done in tasks.items()
    ]
    groups: dict[str, list[bool]] = {}
    for (group, _), done in tasks.items():
        groups.setdefault(group, []).extend(done)
    everything = [s for done in tasks.values() for s in done]
    overall = {**_aggregates(everything), "eval_s": _took(path), "eval_ep_s": 1.0}
    return write(
        path, {"per_task": per_task, "per_group": {g: _aggregates(s) for g, s in groups.items()}, "overall": overall}
    )


def _took(path: Path) -> float:
    """Return the seconds that an evaluation took: another number for every file, as it is in life."""
    return 50.0 + zlib.crc32(path.name.encode()) / 2**24


def _aggregates(done: Outcomes) -> dict[str, Any]:
    mean = float(np.mean([float(s) for s in done])) if len(done) else float("nan")
    return {"avg_sum_reward": mean, "avg_max_reward": mean, "pc_success": mean * 100, "n_episodes": len(done)}


def diffusion_policy(path: Path, scores: Mapping[str, Mapping[int, float]]) -> Path:
    """Write diffusion_policy's eval_log.json; scores by prefix (``test``, ``train``) and seed."""
    data: dict[str, Any] = {}
    for prefix, by_seed in scores.items():
        data |= {f"{prefix}/sim_max_reward_{seed}": value for seed, value in by_seed.items()}
        data[f"{prefix}/mean_score"] = float(np.mean(list(by_seed.values())))
    return write(path, {**data, "test/sim_video_100000": "media/abc.mp4"})


def vla_eval(path: Path, tasks: Mapping[str, Outcomes], *, new: bool = True, failures: int = 0) -> Path:
    """Write results of vla-evaluation-harness, of today's layout or the older one.

    The first ``failures`` episodes of every task have a ``failure_reason`` (newer layout).
    """
    entries = []
    for name, done in tasks.items():
        rows = [_vla_episode(name, i, s, new, i < failures) for i, s in enumerate(done)]
        judged = [bool(s) for i, s in enumerate(done) if i >= failures]
        rate = {("mean_success" if new else "success_rate"): round(float(np.mean(judged)), 4)}
        entries.append({"task": name, "episodes": rows, **({"num_episodes": len(rows)} if new else {}), **rate})
    judged = [bool(s) for done in tasks.values() for i, s in enumerate(done) if i >= failures]
    rate = {("mean_success" if new else "overall_success_rate"): round(float(np.mean(judged)), 4)}
    head = {"benchmark": "LIBEROBenchmark_libero_10", "mode": "sync", "harness_version": "0.1.0"}
    return write(path, {**head, "tasks": entries, **rate, "config": {"params": {"seed": 7}}})


def _vla_episode(task: str, i: int, success: bool, new: bool, failed: bool) -> dict[str, Any]:
    if not new:
        return {"success": bool(success), "steps": 100 + i, "task": task, "episode_id": f"{task}_ep{i}"}
    row: dict[str, Any] = {"episode_id": i, "metrics": {"success": bool(success)}, "steps": 100 + i}
    return {**row, **({"failure_reason": "connection lost"} if failed else {})}


def libero_text(path: Path, tasks: Mapping[str, Outcomes], *, prefix: str = "INFO:root:") -> Path:
    """Write the text log of openpi's LIBERO client."""
    lines, total, good = [f"{prefix}Task suite: libero_10"], 0, 0
    for name, done in tasks.items():
        for i, s in enumerate(done):
            total, good = total + 1, good + bool(s)
            lines += [prefix, f"Task: {name}", f"{prefix}Starting episode {i + 1}...", f"{prefix}Success: {bool(s)}"]
            lines += [f"{prefix}# episodes completed so far: {total}", f"{prefix}# successes: {good} (9.9%)"]
        lines.append(f"{prefix}Current total success rate: {good / total}")
    lines += [f"{prefix}Total success rate: {good / total}", f"{prefix}Total episodes: {total}"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def table(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write a CSV, JSON lines or Parquet table, as the suffix says."""
    if path.suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join(str(v) for v in row.values()) for row in rows)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([dict(r) for r in rows]), path)
    return path


def write(path: Path, data: Any) -> Path:
    """Write JSON as the frameworks do."""
    path.write_text(json.dumps(data, indent=2), encoding="utf-8")
    return path
