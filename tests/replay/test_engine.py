"""A replay from dataset to summary: the same whatever the processes, resumable, and closed where a side fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import replay_release as made
from parity.release.replaying import STATES


def _plain(report: dict[str, Any]) -> str:
    return json.dumps({**report, "release": {**report["release"], "created": ""}}, sort_keys=True, default=str)


def _biased(given: made.Weights) -> made.Weights:
    given["b1"].reshape(made.STEPS, made.ACTIONS)[:, 1] += 0.2
    return given


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parity.replay.shards.FRAMES", 16)


def test_a_right_candidate_passes_and_a_biased_one_does_not(tmp_path: Path) -> None:
    toml = made.write_release(tmp_path, {"right": None, "biased": _biased})
    told, report = made.replay(toml, tmp_path / "work")
    assert told["frames"] == told["planned"] == 98
    verdicts = {c["name"]: c["verdict"] for c in report["candidates"]}
    assert verdicts == {"right": "PASS", "biased": "FAIL"}, report["reasons"]
    assert any("action" in r and "1" in r for r in report["reasons"])


def test_any_number_of_processes_gives_the_same_bytes(tmp_path: Path) -> None:
    toml = made.write_release(tmp_path, {"right": None, "biased": _biased})
    one = made.replay(toml, tmp_path / "one")[1]
    two = made.replay(toml, tmp_path / "two", lanes=2)[1]
    assert (tmp_path / "one" / STATES).read_bytes() == (tmp_path / "two" / STATES).read_bytes()
    assert _plain(one) == _plain(two)


def test_a_killed_replay_goes_on_and_ends_with_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toml, keep = made.write_release(tmp_path, {"right": None}), tmp_path / "out"
    whole = made.replay(toml, tmp_path / "whole")[1]
    from parity.replay import engine

    real, seen = engine.summarize, []

    def stops(dataset: Any, shard: Any, *rest: Any) -> Any:
        seen.append(shard.index)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return real(dataset, shard, *rest)

    monkeypatch.setattr(engine, "summarize", stops)
    told, report = made.replay(toml, tmp_path / "cut", keep=keep)
    assert told["frames"] < told["planned"]
    assert report["verdict"] == "NOT_JUDGED"
    left = sorted(p.name for p in next(keep.glob(".replay-*")).iterdir())
    assert len(left) == 3
    monkeypatch.setattr(engine, "summarize", lambda d, s, *rest: seen.append(s.index) or real(d, s, *rest))
    seen.clear()
    told, again = made.replay(toml, tmp_path / "again", keep=keep)
    assert told["taken_over"] > 0
    assert not {0, 1, 2} & set(seen)
    assert (tmp_path / "again" / STATES).read_bytes() == (tmp_path / "whole" / STATES).read_bytes()
    assert _plain(again) == _plain(whole)
    assert not list(keep.glob(".replay-*")), "a replay that is over leaves nothing"


def test_what_was_kept_of_other_artifacts_is_not_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toml, keep = made.write_release(tmp_path, {"right": None}), tmp_path / "out"
    from parity.replay import engine

    real, count = engine.summarize, []

    def stops(*given: Any) -> Any:
        count.append(1)
        if len(count) == 3:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(engine, "summarize", stops)
    made.replay(toml, tmp_path / "cut", keep=keep)
    monkeypatch.setattr(engine, "summarize", real)
    made.write_policy(tmp_path / "right.onnx", made.weights(seed=9))
    told, report = made.replay(toml, tmp_path / "again", keep=keep)
    assert told["taken_over"] == 0
    assert report["verdict"] == "FAIL"


def test_a_damaged_shard_is_replayed_again(tmp_path: Path) -> None:
    from parity.replay.store import Done, Store

    store = Store(tmp_path, "abc")
    store.save(0, Done({("ort", "action", "x"): {"sum": np.arange(3.0)}}, {}))
    loaded = store.load(0)
    assert loaded is not None
    np.testing.assert_array_equal(loaded.states["ort", "action", "x"]["sum"], np.arange(3.0))
    path = next(store.folder.iterdir())
    path.write_bytes(path.read_bytes()[:40])
    assert store.load(0) is None


def test_a_graph_for_one_observation_gives_what_batches_do(tmp_path: Path) -> None:
    toml = made.write_release(tmp_path, {"single": None}, batch=1)
    told, report = made.replay(toml, tmp_path / "work")
    assert not told["failures"]
    assert report["verdict"] == "PASS", report["reasons"]


def test_a_missing_output_and_another_shape_are_not_passed_over(tmp_path: Path) -> None:
    toml = made.write_release(tmp_path, {"short": None})
    made.write_policy(tmp_path / "short.onnx", made.weights(steps=2))
    _, report = made.replay(toml, tmp_path / "work")
    assert report["verdict"] != "PASS"
    assert any("2 steps of 3 numbers" in r for r in report["reasons"])


def test_nan_of_the_candidate_fails(tmp_path: Path) -> None:
    def broken(given: made.Weights) -> made.Weights:
        given["b1"][5] = np.nan
        return given

    waivers = "".join(
        f'[[waiver]]\nfinding = "{code}"\nreason = "r"\nowner = "o"\nuntil = 2099-01-01\n'
        for code in ("REPLAY092", "REPLAY095")
    )
    _, report = made.replay(made.write_release(tmp_path, {"broken": broken}, more=waivers), tmp_path / "work")
    assert report["verdict"] == "FAIL"
    assert not [f for f in report["findings"] if f["code"] == "REPLAY095" and f["waived"]]


def test_the_same_file_twice_is_not_judged(tmp_path: Path) -> None:
    toml = made.write_release(tmp_path, {"copy": None})
    (tmp_path / "copy.onnx").write_bytes((tmp_path / "reference.onnx").read_bytes())
    assert made.replay(toml, tmp_path / "work")[1]["verdict"] == "NOT_JUDGED"


@pytest.mark.parametrize(
    ("replay", "words"),
    [
        ('episodes = "2:4"', "there are 3 of them"),
        ('episodes = "2:2"', "choose none"),
        ('episodes = "x"', "cannot be read"),
        ('action = "acton"', "did you mean 'action'"),
        ('observations = {obs = "action"}', "is (3,) in each frame"),
        ('observations = {obz = "obs"}', "no input 'obz'"),
    ],
)
def test_what_cannot_be_replayed_is_not_judged_and_says_why(tmp_path: Path, replay: str, words: str) -> None:
    toml = made.write_release(tmp_path, {"right": None}, replay=replay)
    _, report = made.replay(toml, tmp_path / "work")
    assert report["verdict"] == "NOT_JUDGED"
    assert words in " ".join(report["reasons"])


@pytest.mark.parametrize("frames", [1, 40])
def test_an_observation_that_never_changes_says_nothing(tmp_path: Path, frames: int) -> None:
    toml = made.write_release(tmp_path, {"right": None})
    same = np.ones((frames, made.STATE), np.float32)
    np.savez(tmp_path / "data.npz", obs=same, action=np.ones((frames, made.ACTIONS), np.float32))
    _, report = made.replay(toml, tmp_path / "work")
    assert report["verdict"] == "NOT_JUDGED", report["reasons"]


def test_a_budget_that_limits_nothing_says_nothing(tmp_path: Path) -> None:
    budget = '[budgets.right.action]\nrmse = 1e9\nunits = "rad"'
    _, report = made.replay(made.write_release(tmp_path, {"right": None}, more=budget), tmp_path / "work")
    assert report["verdict"] == "NOT_JUDGED", report["reasons"]
