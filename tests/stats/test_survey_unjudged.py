"""Statistics that nothing was compared with, or that hold nothing, never pass; what was compared is still told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lerobot_data import episodes, write_v2
from parity.cli import main
from parity.errors import ArtifactError
from parity.report.schema import validate
from parity.stats.survey import survey
from stats_files import ACTION, STATE, norm_stats

NAN = float("nan")


def told(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Return code and severity of what blocks or warns."""
    return [(f["code"], f["severity"]) for f in document["findings"] if f["severity"] != "info"]


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Any]:
    """A dataset at ``set`` that stores no statistics; returns its rows under openpi's names."""
    pytest.importorskip("pyarrow")
    found = episodes([300, 200], seed=1)
    write_v2(tmp_path / "set", found)
    rows = {n: np.concatenate([e[n] for e in found]).astype(float) for n in found[0]}
    return {"state": rows["observation.state"], "actions": rows["action"]}


def test_a_source_of_another_robot_is_not_judged(
    tmp_path: Path, data: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    other = norm_stats(tmp_path / "other.json", torque=ACTION)
    document = survey([str(other)], str(tmp_path / "set"))
    validate(document, "stats")
    assert document["verdict"] == "NOT_JUDGED"
    assert set(told(document)) == {("STATS078", "error")}
    assert main(["stats", str(other), "--dataset", str(tmp_path / "set")]) == 3
    assert "NOT_JUDGED: Nothing in" in capsys.readouterr().out


def test_that_it_agrees_with_another_source_is_no_comparison_with_the_frames(
    tmp_path: Path, data: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    other = norm_stats(tmp_path / "other.json", torque=ACTION)
    both = norm_stats(tmp_path / "both.json", torque=ACTION, **data)
    alone = survey([str(both)], str(tmp_path / "set"))
    assert (alone["verdict"], told(alone)) == ("PASS", [])
    document = survey([str(other), str(both)], str(tmp_path / "set"))
    assert (document["verdict"], told(document)) == ("NOT_JUDGED", [("STATS049", "error")])
    assert document["findings"][0]["evidence"]["source"] == str(other)
    assert main(["stats", str(other), str(both), "--dataset", str(tmp_path / "set")]) == 3
    assert f"NOT_JUDGED: {other}: none of its features is in the dataset" in capsys.readouterr().out


def test_what_is_wrong_is_told_before_what_is_not_judged(tmp_path: Path, data: dict[str, Any]) -> None:
    other = norm_stats(tmp_path / "other.json", torque=ACTION)
    both = norm_stats(tmp_path / "both.json", torque=ACTION, state=data["state"] * 3, actions=data["actions"])
    assert survey([str(other), str(both)], str(tmp_path / "set"))["verdict"] == "FAIL"


def test_frames_with_nothing_to_hold_against_are_not_judged(tmp_path: Path, data: dict[str, Any]) -> None:
    document = survey([], str(tmp_path / "set"))
    assert (document["verdict"], told(document)) == ("NOT_JUDGED", [("STATS078", "error")])
    right = survey([str(norm_stats(tmp_path / "right.json", **data))], str(tmp_path / "set"))
    assert (right["verdict"], told(right)) == ("PASS", [])


def test_a_source_of_columns_that_count_rows_only_is_not_judged(tmp_path: Path) -> None:
    counts = norm_stats(tmp_path / "counts.json", frame_index=STATE, timestamp=ACTION)
    document = survey([str(counts)])
    assert document["verdict"] == "NOT_JUDGED"
    assert told(document) == [("STATS078", "error"), ("STATS005", "warning")]


@pytest.mark.parametrize("values", [[], [[]]])
@pytest.mark.parametrize("two", [False, True])
def test_statistics_that_hold_no_number_fail(tmp_path: Path, values: Any, two: bool) -> None:
    empty = dict.fromkeys(("mean", "std", "q01", "q99"), values)
    whole = {"state": {"mean": [0.0], "std": [1.0], "q01": [-1.0], "q99": [1.0]}, "actions": empty}
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps({"norm_stats": whole}))
    verdict, found = _asked(tmp_path, ["a.json", "b.json"] if two else ["a.json"])
    assert verdict == "FAIL"
    assert found.count(("STATS019", "error")) == (2 if two else 1)


@pytest.mark.parametrize("actions", [{}, {"mean": None, "std": None}, {"mask": [True]}])
def test_a_feature_without_any_statistic_is_refused_and_not_left_out(tmp_path: Path, actions: dict[str, Any]) -> None:
    state = {"mean": [0.0], "std": [1.0], "q01": [-1.0], "q99": [1.0]}
    (tmp_path / "a.json").write_text(json.dumps({"norm_stats": {"state": state, "actions": actions}}))
    with pytest.raises(ArtifactError, match="there is no statistic of 'actions'"):
        survey([str(tmp_path / "a.json")])


@pytest.mark.parametrize("bad", [NAN, float("inf")])
@pytest.mark.parametrize("which", [("mean",), ("std",), ("mean", "std", "q01", "q99")])
def test_two_sources_with_the_same_nan_do_not_agree_to_a_pass(
    tmp_path: Path, bad: float, which: tuple[str, ...]
) -> None:
    good = {"mean": [0.1, 0.2], "std": [1.0, 2.0], "q01": [-2.0, -3.0], "q99": [2.0, 3.0]}
    table = {"norm_stats": {"actions": good | {n: [bad, good[n][1]] for n in which}}}
    for name, indent in (("a.json", None), ("b.json", 2)):
        (tmp_path / name).write_text(json.dumps(table, indent=indent))
        np.savez(tmp_path / f"{name[0]}.npz", **{f"action.{n}": v for n, v in table["norm_stats"]["actions"].items()})
    for sources in (["a.json", "b.json"], ["a.npz", "b.npz"], ["a.npz", "b.json"]):
        verdict, found = _asked(tmp_path, sources)
        assert verdict == "FAIL"
        assert ("STATS010", "error") in found


def _asked(folder: Path, sources: list[str]) -> tuple[str, list[tuple[str, str]]]:
    document = survey([str(folder / s) for s in sources])
    return document["verdict"], told(document)
