"""What a graph is fed when it is predicted: what its pipeline makes, and a recurrent state that starts at 0."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from models import mlp
from parity.cli.judging import judge_now
from parity.release.config import parse_config
from policy_folder import policy_folder, whole_policy


def judge(root: Path, reference: str, candidate: dict[str, Any]) -> dict[str, Any]:
    table = {"name": "ort", "precision": "float16", **candidate}
    more = {"release": {"name": "fed"}, "cases": {"nominal": 4, "edge": False}}
    data = {**more, "reference": {"path": reference}, "candidate": [table]}
    with tempfile.TemporaryDirectory(dir=root) as work:
        return judge_now(parse_config(data, "test"), root, Path(work), strict=True).report


def test_a_graph_behind_a_pipeline_is_fed_what_that_makes(tmp_path: Path) -> None:
    whole_policy(tmp_path / "whole.onnx")
    mlp(tmp_path / "graph.onnx")
    policy_folder(tmp_path / "folder")
    report = judge(tmp_path, "whole.onnx", {"path": "graph.onnx", "pipeline": "folder"})
    told = report["predicted"][0]
    assert (told["source"], told["survives"], told["hazards"]) == ("graph.onnx", True, [])
    assert told["cases"] == [f"nominal-{i:04d}" for i in range(4)]


def test_a_kept_state_starts_at_zero(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    import recurrent

    policy = recurrent.lstm()
    recurrent.scripted(policy, tmp_path / "policy.pt")
    weights = {n: t.detach().numpy() for n, t in policy.state_dict().items()}
    recurrent.lstm_graph(weights, tmp_path / "right.onnx")
    report = judge(tmp_path, "policy.pt", {"path": "right.onnx"})
    told = report["predicted"][0]
    assert told["survives"]
    assert {o["output"] for o in told["outputs"]} == {"actions", "h_out", "c_out"}
