"""Every layout of logs is read for what it says, and nothing else is taken for a log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corpus_index import corpus_dir
from eval_logs import diffusion_policy, lerobot_episodes, lerobot_tasks, libero_text, table, vla_eval, write
from parity.errors import ArtifactError
from parity.evaluation.model import EvaluationLog
from parity.evaluation.registry import find_log, read_evaluation

DONE = [True, False, True, True]


def codes(log: EvaluationLog) -> list[str]:
    return [f.code for f in log.findings if f.severity != "info"]


def test_lerobot_by_episode(tmp_path: Path) -> None:
    log = read_evaluation(lerobot_episodes(tmp_path / "eval_info.json", DONE))
    assert [e.success for e in log.episodes] == DONE
    assert [e.seed for e in log.episodes] == [1000, 1001, 1002, 1003]
    assert [e.start for e in log.episodes] == ["seed 1000", "seed 1001", "seed 1002", "seed 1003"]
    assert [e.total_reward for e in log.episodes] == [10.25, 0.25, 10.25, 10.25]
    assert [e.max_reward for e in log.episodes] == [1.0, 0.0, 1.0, 1.0]
    assert {c.name: c.value for c in log.claims} == {
        "aggregated.avg_sum_reward": 7.75,
        "aggregated.avg_max_reward": 0.75,
        "aggregated.pc_success": 75.0,
    }
    assert log.facts["eval_s"] > 0
    assert codes(log) == []


def test_lerobot_without_seeds_has_no_starts(tmp_path: Path) -> None:
    log = read_evaluation(lerobot_episodes(tmp_path / "eval_info.json", DONE, seeds=[None] * 4))
    assert {e.start for e in log.episodes} == {None}
    assert [f.code for f in log.findings] == ["EVAL007"]


def test_lerobot_by_task(tmp_path: Path) -> None:
    made = lerobot_tasks(tmp_path / "eval_info.json", {("libero_10", 0): DONE, ("libero_10", 1): [False, False]})
    log = read_evaluation(made)
    assert log.tasks == ("libero_10/0", "libero_10/1")
    assert [e.success for e in log.of_task("libero_10/0")] == DONE
    assert [e.success for e in log.of_task("libero_10/1")] == [False, False]
    claims = {c.name: c.value for c in log.claims}
    assert claims["per_group.libero_10.pc_success"] == claims["overall.pc_success"] == 50.0
    assert claims["overall.n_episodes"] == 6
    assert codes(log) == []


def test_the_folder_of_an_evaluation_stands_for_its_log(tmp_path: Path) -> None:
    lerobot_episodes(tmp_path / "eval_info.json", DONE)
    found = find_log(tmp_path)
    assert found is not None
    assert found.path == tmp_path / "eval_info.json"
    assert len(read_evaluation(tmp_path).episodes) == 4
    (tmp_path / "config.json").write_text("{}")  # now it is the folder of a policy
    assert find_log(tmp_path) is None


def test_diffusion_policy_has_scores_and_no_successes(tmp_path: Path) -> None:
    made = diffusion_policy(tmp_path / "eval_log.json", {"test": {100000: 1.0, 100001: 0.5}, "train": {0: 0.25}})
    log = read_evaluation(made)
    assert log.tasks == ("test", "train")
    assert [(e.seed, e.max_reward, e.success) for e in log.of_task("test")] == [
        (100000, 1.0, None),
        (100001, 0.5, None),
    ]
    assert {c.name: c.value for c in log.claims} == {"test/mean_score": 0.75, "train/mean_score": 0.25}
    assert codes(log) == []


@pytest.mark.parametrize("new", [True, False])
def test_vla_eval_of_both_layouts(tmp_path: Path, new: bool) -> None:
    log = read_evaluation(vla_eval(tmp_path / "r.json", {"put the bowl": DONE, "open the drawer": [True]}, new=new))
    assert [e.success for e in log.of_task("put the bowl")] == DONE
    assert [e.start for e in log.of_task("put the bowl")] == [f"initial state {i}" for i in range(4)]
    assert [e.length for e in log.of_task("put the bowl")] == [100, 101, 102, 103]
    assert any(c.of == "success" and c.value == 0.8 for c in log.claims)
    assert codes(log) == []


def test_vla_eval_episodes_that_broke_have_no_outcome(tmp_path: Path) -> None:
    log = read_evaluation(vla_eval(tmp_path / "r.json", {"put the bowl": DONE}, failures=1))
    assert [e.success for e in log.episodes] == [None, False, True, True]
    assert log.episodes[0].problem == "connection lost"
    assert codes(log) == ["EVAL005"]


@pytest.mark.parametrize("prefix", ["INFO:root:", "", "[10/29 20:14:18] [INFO] >> "])
def test_libero_text(tmp_path: Path, prefix: str) -> None:
    log = read_evaluation(libero_text(tmp_path / "eval.log", {"put the bowl": DONE, "open it": [True]}, prefix=prefix))
    assert log.tasks == ("put the bowl", "open it")
    assert [e.success for e in log.of_task("put the bowl")] == DONE
    assert [e.start for e in log.of_task("open it")] == ["initial state 0"]
    assert log.facts == {"suite": "libero_10"}
    assert codes(log) == []


def test_a_progress_bar_over_a_task_is_no_other_task(tmp_path: Path) -> None:
    path = libero_text(tmp_path / "eval.log", {"put the bowl": DONE})
    text = path.read_text().replace("Task: put the bowl\n", "Task: put the bowl████▌      | 1/2 [02:10<02:10]\n", 1)
    path.write_text(text)
    assert read_evaluation(path).tasks == ("put the bowl",)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_tables(tmp_path: Path, suffix: str) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    rows = [
        {"env": "pusht", "seed": s, "episode_index": e, "success": (s + e) % 2 == 0, "return_": 1.5 * e, "n_steps": 300}
        for s in range(2)
        for e in range(3)
    ]
    log = read_evaluation(table(tmp_path / f"results.{suffix}", rows))
    assert log.tasks == ("pusht",)
    assert [e.success for e in log.episodes] == [True, False, True, False, True, False]
    assert [e.start for e in log.episodes][:2] == ["seed 0, episode 0", "seed 0, episode 1"]
    assert [e.total_reward for e in log.episodes] == [0.0, 1.5, 3.0] * 2
    assert {e.length for e in log.episodes} == {300}
    assert codes(log) == []


def test_a_seed_that_all_rows_share_is_that_of_the_run(tmp_path: Path) -> None:
    rows = [{"task": "lift", "seed": 7, "success": s} for s in DONE]
    log = read_evaluation(table(tmp_path / "trials.csv", rows))
    assert {e.start for e in log.episodes} == {None}
    assert codes(log) == []


def test_a_table_of_two_policies_is_refused(tmp_path: Path) -> None:
    rows = [{"policy": p, "seed": 0, "episode_index": 0, "success": True} for p in ("act", "pi0")]
    with pytest.raises(ArtifactError, match="episodes of 2 policies: act, pi0"):
        read_evaluation(table(tmp_path / "results.csv", rows))


def test_a_list_of_episodes_as_json(tmp_path: Path) -> None:
    rows = [{"task": "lift", "episode": i, "success": s} for i, s in enumerate(DONE)]
    log = read_evaluation(write(tmp_path / "a.json", {"episodes": rows}))
    assert [e.success for e in log.episodes] == DONE
    assert [e.success for e in read_evaluation(write(tmp_path / "b.json", rows)).episodes] == DONE


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d["per_episode"].__setitem__(0, {"episode_ix": 0}), "neither `success` nor `sum_reward`"),
        (lambda d: d["per_episode"][0].__setitem__("success", 0.5), "0.5 is no outcome"),
        (lambda d: d["per_episode"][0].__setitem__("seed", 1.5), "no whole number"),
        (lambda d: d["per_episode"][0].__setitem__("sum_reward", "much"), "'much' is no number"),
        (lambda d: d.__setitem__("per_episode", {"0": {}}), "no list of objects"),
    ],
)
def test_a_damaged_log_says_where(tmp_path: Path, change: object, says: str) -> None:
    path = lerobot_episodes(tmp_path / "eval_info.json", DONE)
    data = json.loads(path.read_text())
    change(data)  # type: ignore[operator]
    write(path, data)
    with pytest.raises(ArtifactError, match=says):
        read_evaluation(path)


def test_lists_of_unequal_length_are_refused(tmp_path: Path) -> None:
    path = lerobot_tasks(tmp_path / "eval_info.json", {("a", 0): DONE})
    data = json.loads(path.read_text())
    data["per_task"][0]["metrics"]["successes"].pop()
    with pytest.raises(ArtifactError, match="lists of unequal length: sum_rewards 4, max_rewards 4, successes 3"):
        read_evaluation(write(path, data))


def test_a_task_twice_is_refused(tmp_path: Path) -> None:
    path = lerobot_tasks(tmp_path / "eval_info.json", {("a", 0): DONE})
    data = json.loads(path.read_text())
    data["per_task"] *= 2
    with pytest.raises(ArtifactError, match="the task a/0 is there twice"):
        read_evaluation(write(path, data))


def test_what_is_no_log_is_none(tmp_path: Path) -> None:
    for name, text in {
        "config.json": '{"type": "act", "n_obs_steps": 1}',
        "stats.json": '{"action": {"mean": [0.0]}}',
        "notes.txt": "success is not final",
        "a.csv": "time,voltage\n0,1\n",
        "broken.json": '{"per_episode": [',
    }.items():
        (tmp_path / name).write_text(text)
        assert find_log(tmp_path / name) is None, name
    (tmp_path / "a.onnx").write_bytes(b"\x08\x07\0\0{success")
    assert find_log(tmp_path / "a.onnx") is None
    assert find_log(tmp_path / "missing.json") is None
    assert find_log("package.module:factory") is None
    with pytest.raises(ArtifactError, match="no log of an evaluation"):
        read_evaluation(tmp_path / "config.json")


# --- the corpus -----------------------------------------------------------------------------------------------------

RESULTS = {"645af6b2_eval_info.json": 1, "0a5778ac_classical_pusht_l2.parquet": 250}
TRAINING = ("1e03cffd_sim_3stage_sarm_v3_success_sw3_train.json", "c6e31b76_sim_3stage_sarm_v3_success_24k_train.json")


def corpus_logs() -> list[str]:
    return sorted(p.name for p in corpus_dir().glob("eval_logs/*"))


@pytest.mark.corpus
@pytest.mark.parametrize("name", corpus_logs())
def test_of_real_files_the_results_are_read_and_the_rest_holds_no_episodes(corpus: Path, name: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = corpus / "eval_logs" / name
    if name in TRAINING:
        assert find_log(path) is None  # the configuration of a training run
        return
    assert find_log(path) is not None
    log = read_evaluation(path)
    assert len(log.episodes) == RESULTS.get(name, 0)
    assert [f.code for f in log.findings if f.severity != "info"] == ([] if name in RESULTS else ["EVAL001"])


@pytest.mark.corpus
def test_nothing_else_in_the_corpus_is_taken_for_a_log(corpus: Path) -> None:
    others = [p for p in corpus.rglob("*") if p.suffix in (".json", ".yaml", ".txt", ".csv", ".jsonl", ".parquet")]
    others = [p for p in others if p.parent.name != "eval_logs"]
    assert len(others) > 100
    assert [str(p) for p in others if find_log(p) is not None] == []
