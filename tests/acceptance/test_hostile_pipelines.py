"""A side that cannot be judged with its pipeline does not pass, and one message says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hostile import codes, judged, verdicts
from models import mlp
from parity.cli import main
from policy_folder import KEY, policy_folder, statistics, whole_policy

WHOLE = {"path": "whole.onnx"}
ORT = {"name": "ort", "path": "graph.onnx", "pipeline": "folder"}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    whole_policy(tmp_path / "whole.onnx")
    mlp(tmp_path / "graph.onnx")
    policy_folder(tmp_path / "folder")
    return tmp_path


def errors(report: dict[str, Any]) -> list[str]:
    return [f["code"] for f in report["findings"] if f["severity"] == "error"]


def release(folder: Path, name: str, candidate: str = "ort") -> Path:
    """Write a release of the folder's files as ``<name>.toml`` and return its path."""
    lines = [f'[release]\nname = "{name}"', '[reference]\npath = "whole.onnx"', f'[[candidate]]\nname = "{candidate}"']
    lines += ['path = "graph.onnx"\npipeline = "folder"', "[cases]\nnominal = 3\nedge = false"]
    path = folder / f"{name}.toml"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("several", [False, True])
def test_an_expression_that_selects_nothing(
    made: Path, partial: bool, several: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    tomls = [release(made, "a"), release(made, "b")][: 2 if several else 1]
    more = ["--partial"] if partial else []
    assert main(["run", *map(str, tomls), "-k", "no_such_thing", *more, "--out", str(made / "out")]) == 3
    shown = capsys.readouterr()
    assert shown.out.count("nothing was selected: no case was judged") == len(tomls)
    assert "PASS" not in shown.out + shown.err
    for report in (made / "out").rglob("report.json"):
        assert json.loads(report.read_text(encoding="utf-8"))["verdict"] == "NOT_JUDGED"


def test_an_expression_that_selects_nothing_of_one_release_of_two(made: Path) -> None:
    tomls = [str(release(made, "a")), str(release(made, "b", candidate="board"))]
    options = ["--partial", "--out", str(made / "out")]
    assert main(["run", *tomls, "-k", "ort or board", *options]) == 0
    assert main(["run", *tomls, "-k", "ort", *options]) == 3
    assert main(["run", *reversed(tomls), "-k", "ort", *options]) == 3


@pytest.mark.parametrize("provider", ["cann", "tpu"])
def test_a_provider_that_is_absent(made: Path, provider: str) -> None:
    report = judged(made, WHOLE, [{**ORT, "provider": provider}, {**ORT, "name": "cpu"}])
    assert verdicts(report) == {"ort": "NOT_JUDGED", "cpu": "PASS"}
    assert (report["verdict"], errors(report)) == ("NOT_JUDGED", ["GATE003"])
    report = judged(made, {**WHOLE, "provider": provider}, [ORT])
    assert (report["verdict"], errors(report)) == ("NOT_JUDGED", ["GATE003"])
    said = next(f for f in report["findings"] if f["code"] == "GATE003")
    assert "has only" in said["title"]
    assert "CPUExecutionProvider" in said["title"]


def test_an_output_that_the_candidate_lacks(made: Path) -> None:
    mlp(made / "two.onnx", outputs=("action", "logits"))
    report = judged(made, {"path": "two.onnx", "pipeline": "folder"}, [ORT])
    assert (report["verdict"], errors(report)) == ("FAIL", ["DIFF005"])
    assert "PIPE003" not in codes(report, "ort")  # the pipeline is right, and no cause of it
    assert {r["output"] for r in report["comparisons"] if r["verdict"] == "FAIL"} == {"logits"}


def test_an_action_that_the_graph_gives_under_a_name_of_which_there_are_two(made: Path) -> None:
    mlp(made / "two.onnx", outputs=("left", "right"))
    report = judged(made, WHOLE, [{**ORT, "path": "two.onnx"}, {**ORT, "name": "right"}])
    assert verdicts(report)["ort"] != "PASS"
    assert verdicts(report)["right"] == "PASS"
    assert len([c for c in errors(report) if c in ("GATE003", "DIFF005")]) == 1


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_pipeline_of_an_array_that_the_graph_does_not_have(made: Path, side: str) -> None:
    (made / "stats.json").write_text(json.dumps({"norm_stats": {"state": _plain(6), "actions": _plain(3)}}))
    more = {
        "before": {"inputs": {"obs": "state", "wrench": "state"}},
        "after": {"outputs": {"action": "actions", "gripper": "actions"}},
    }
    table = {"path": "stats.json", "mode": "MEAN_STD", **more[side]}
    report = judged(made, WHOLE, [{**ORT, "pipeline": table}])
    assert (report["verdict"], errors(report)) == ("NOT_JUDGED", ["GATE003"])
    assert ("wrench" if side == "before" else "gripper") in report["findings"][0]["title"]


def _plain(size: int) -> dict[str, list[float]]:
    return {"mean": [0.0] * size, "std": [1.0] * size, "q01": [-1.0] * size, "q99": [1.0] * size}


@pytest.mark.parametrize("place", [f"{KEY}.mean", f"{KEY}.std", "action.mean", "action.std"])
def test_two_sources_with_the_same_nan_do_not_agree_to_a_pass(made: Path, place: str) -> None:
    stats = statistics()
    stats[place][1] = np.nan
    policy_folder(made / "mine", stats)
    policy_folder(made / "theirs", stats)
    mlp(made / "again.onnx", doc="another export")
    tables = [{**ORT, "path": "again.onnx", "pipeline": "theirs"}]
    report = judged(made, {"path": "graph.onnx", "pipeline": "mine"}, tables)
    assert report["verdict"] == "NOT_JUDGED"
    said = [f for f in report["findings"] if f["code"] == "GATE003"]
    assert said
    assert all("not finite" in f["title"] + f["detail"] for f in said)
    report = judged(made, WHOLE, [ORT], stats={"sources": ["mine", "theirs"]})
    assert report["verdict"] == "FAIL"
    assert set(errors(report)) == {"STATS010"}
