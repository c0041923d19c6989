"""What is planted in a log is found, and only that."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval_logs import diffusion_policy, lerobot_episodes, lerobot_tasks, libero_text, vla_eval, write
from parity.evaluation.registry import read_evaluation

DONE = [True, False, True, True, False]
Change = Callable[[Any], object]


def found(path: Path, change: Change) -> list[str]:
    data = json.loads(path.read_text())
    change(data)
    return sorted(f.code for f in read_evaluation(write(path, data)).findings if f.severity == "error")


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (lambda d: None, []),
        (lambda d: d["aggregated"].__setitem__("pc_success", 80.0), ["EVAL002"]),
        (lambda d: d["aggregated"].__setitem__("avg_sum_reward", 6.2), ["EVAL002"]),
        (lambda d: d["per_episode"][1].__setitem__("success", True), ["EVAL002"]),
        (lambda d: d["per_episode"].pop(), ["EVAL002"] * 3),
        (lambda d: d["per_episode"][0].__setitem__("sum_reward", float("nan")), ["EVAL002", "EVAL003"]),
        (lambda d: d["per_episode"][0].__setitem__("max_reward", float("inf")), ["EVAL002", "EVAL003"]),
        (lambda d: d["per_episode"][1].__setitem__("seed", 1000), ["EVAL004"]),
        (lambda d: d["per_episode"][0].__setitem__("success", None), ["EVAL002", "EVAL005"]),
    ],
)
def test_faults_of_lerobots_older_layout(tmp_path: Path, change: Change, codes: list[str]) -> None:
    assert found(lerobot_episodes(tmp_path / "eval_info.json", DONE), change) == codes


def test_nan_that_the_mean_leaves_out_is_no_wrong_mean(tmp_path: Path) -> None:
    made = lerobot_episodes(tmp_path / "eval_info.json", DONE, rewards=[1.0, float("nan"), 2.0, 3.0, 4.0])
    assert [f.code for f in read_evaluation(made).findings] == ["EVAL003"]


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (lambda d: None, []),
        (lambda d: d["overall"].__setitem__("n_episodes", 11), ["EVAL002"]),
        (lambda d: d["per_group"]["a"].__setitem__("pc_success", 59.0), ["EVAL002"]),
        (lambda d: d["overall"].__setitem__("pc_success", float("nan")), ["EVAL002"]),
        (lambda d: d["per_task"].pop(), ["EVAL002"] * 2),
    ],
)
def test_faults_of_lerobots_newer_layout(tmp_path: Path, change: Change, codes: list[str]) -> None:
    made = lerobot_tasks(tmp_path / "eval_info.json", {("a", 0): DONE, ("a", 1): DONE})
    assert found(made, change) == codes


def test_a_seed_that_was_lost_shows_in_the_mean_score(tmp_path: Path) -> None:
    made = diffusion_policy(tmp_path / "eval_log.json", {"test": {100000: 1.0, 100001: 0.5, 100002: 0.1}})
    assert found(made, lambda d: None) == []
    assert found(made, lambda d: d.pop("test/sim_max_reward_100002")) == ["EVAL002"]


def test_rounding_to_four_digits_is_no_fault_and_more_is(tmp_path: Path) -> None:
    made = vla_eval(tmp_path / "r.json", {"t": [True, True, False]})  # 0.6667
    assert found(made, lambda d: None) == []
    assert found(made, lambda d: d.__setitem__("mean_success", 0.667)) == ["EVAL002"]


def test_missing_shards_are_told(tmp_path: Path) -> None:
    made = vla_eval(tmp_path / "r.json", {"t": DONE})
    assert found(made, lambda d: d.__setitem__("merge_info", {"shards_missing": []})) == []
    assert found(made, lambda d: d.__setitem__("merge_info", {"shards_missing": [3, 4]})) == ["EVAL006"]


def test_a_text_log_that_lost_an_episode(tmp_path: Path) -> None:
    path = libero_text(tmp_path / "eval.log", {"put the bowl": DONE})
    path.write_text(path.read_text().replace("INFO:root:Success: False\n", "", 1))
    assert {f.code for f in read_evaluation(path).findings} == {"EVAL002"}
