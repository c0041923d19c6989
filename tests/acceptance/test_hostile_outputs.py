"""An output of the reference that the candidate lacks is missed, even where only a run shows that there is one."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import numpy_helper

from hostile import codes, judged, verdicts
from models import mlp
from parity.release.config import parse_config
from parity.release.rejudge import rejudge
from parity.report.json_file import encode

POLICY = """
    import numpy as np, torch
    def build(outputs=("action", "value")):
        w = np.load("weights.npz")
        a, b, c, d = (torch.from_numpy(w[n]) for n in ("w1", "b1", "w2", "b2"))
        class Policy(torch.nn.Module):
            def forward(self, obs):
                action = torch.tanh(obs @ a + b) @ c + d
                return {name: action if name == "action" else -action for name in outputs}
        return Policy()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    import numpy as np

    pytest.importorskip("torch")
    mlp(tmp_path / "one.onnx")
    mlp(tmp_path / "two.onnx", outputs=("action", "value"))
    arrays = {t.name: numpy_helper.to_array(t) for t in onnx.load(str(tmp_path / "one.onnx")).graph.initializer}
    np.savez(tmp_path / "weights.npz", **arrays)
    source = textwrap.dedent(POLICY).replace('"weights.npz"', repr(str(tmp_path / "weights.npz")))
    (tmp_path / "policy.py").write_text(source)
    return tmp_path


def test_an_output_that_only_the_factory_gives_is_missed(folder: Path) -> None:
    tables: list[dict[str, Any]] = [{"name": "one", "path": "one.onnx"}]
    report = judged(folder, {"path": "policy:build"}, tables)
    assert verdicts(report) == {"one": "FAIL"}
    assert "DIFF005" in codes(report, "one")
    config = {"release": {"name": "r"}, "reference": {"path": "policy:build"}, "candidate": tables}
    assert rejudge(json.loads(encode(report)), parse_config(config, "test"))["verdict"] == "FAIL"


def test_a_factory_that_gives_what_the_candidate_has_passes(folder: Path) -> None:
    assert judged(folder, {"path": "policy:build"}, [{"name": "two", "path": "two.onnx"}])["verdict"] == "PASS"
    reference = {"path": "policy:build", "kwargs": {"outputs": ["action"]}}
    assert judged(folder, reference, [{"name": "one", "path": "one.onnx"}])["verdict"] == "PASS"


def test_a_recording_without_floors_is_said_to_have_none(tmp_path: Path) -> None:
    import numpy as np
    import onnxruntime

    mlp(tmp_path / "r.onnx")
    mlp(tmp_path / "right.onnx", doc="again")
    observations = np.random.default_rng(0).standard_normal((5, 1, 6)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(tmp_path / "r.onnx"), providers=["CPUExecutionProvider"])
    actions = np.stack([session.run(None, {"obs": o})[0] for o in observations])
    np.savez(tmp_path / "golden.npz", **{"inputs/obs": observations, "outputs/action": actions})
    table = {"name": "right", "path": "right.onnx"}
    report = judged(tmp_path, {"path": "golden.npz"}, [table])
    assert verdicts(report) == {"right": "PASS"}
    assert "GATE013" in codes(report, "right")
    assert "GATE013" not in codes(judged(tmp_path, {"path": "r.onnx"}, [table]), "right")
