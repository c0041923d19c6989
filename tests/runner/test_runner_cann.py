"""ONNX Runtime's CANN provider: asked for without an NPU, ONNX Runtime runs on the CPU all the same. parity refuses.

No NPU is here. What ONNX Runtime would say with one is put in its place, before the worker loads the policy.
"""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from models import mlp
from parity.errors import RunnerError
from parity.runner.base import Session
from runs import block, opened

pytestmark = pytest.mark.usefixtures("started_workers")

AVAILABLE = """
    import onnxruntime
    onnxruntime.get_available_providers = lambda: ["CANNExecutionProvider", "CPUExecutionProvider"]
"""
ASKED = """
    import json, types
    class Session:
        ran = {ran}
        elsewhere = {elsewhere}
        def __init__(self, model, options, providers):
            open({file!r}, "w").write(json.dumps(providers))
            self.real = real(model, options, providers=["CPUExecutionProvider"])
        def get_providers(self):
            return self.ran
        def get_provider_graph_assignment_info(self):
            nodes = [types.SimpleNamespace(name=n, op_type=t) for n, t in self.elsewhere]
            return [types.SimpleNamespace(ep_name="CPUExecutionProvider", get_nodes=lambda: nodes)]
        def __getattr__(self, name):
            return getattr(self.real, name)
    real, onnxruntime.InferenceSession = onnxruntime.InferenceSession, Session
"""
CANN, CPU = "CANNExecutionProvider", "CPUExecutionProvider"


def planted(monkeypatch: pytest.MonkeyPatch, folder: Path, source: str) -> None:
    """Have every worker run ``source`` when it starts."""
    (folder / "sitecustomize.py").write_text(source, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder))


def played(
    monkeypatch: pytest.MonkeyPatch, folder: Path, ran: list[str], elsewhere: list[tuple[str, str]] | None = None
) -> Path:
    """Plant an ONNX Runtime that has CANN, runs ``ran``, and leaves the nodes ``elsewhere`` to the CPU."""
    told = folder / "providers.json"
    source = ASKED.replace("{ran}", repr(ran)).replace("{elsewhere}", repr(elsewhere or []))
    planted(monkeypatch, folder, dedent(AVAILABLE) + dedent(source.replace("{file!r}", repr(str(told)))))
    return told


def test_the_silent_fall_back_of_onnxruntime_itself_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The real session: it warns, takes the CPU, and would run."""
    planted(monkeypatch, tmp_path, dedent(AVAILABLE))
    with (
        pytest.raises(RunnerError, match=f"asked for {CANN}, but ONNX Runtime ran {CPU}"),
        opened("onnxruntime", mlp(tmp_path / "p.onnx"), tmp_path, provider="cann"),
    ):
        pass


@pytest.mark.parametrize("ran", [[CPU], [CPU, CANN], []])
def test_another_provider_first_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ran: list[str]) -> None:
    played(monkeypatch, tmp_path, ran)
    with (
        pytest.raises(RunnerError, match=f"asked for {CANN}, but ONNX Runtime ran {', '.join(ran) or 'nothing'}"),
        opened("onnxruntime", mlp(tmp_path / "p.onnx"), tmp_path, provider="cann"),
    ):
        pass


def test_nodes_that_fell_back_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The provider is there, and most of the graph ran on the CPU all the same."""
    played(monkeypatch, tmp_path, [CANN, CPU], [("layer1", "MatMul"), ("shape1", "Shape")])
    with (
        pytest.raises(RunnerError, match=r"1 of the graph's nodes ran on another provider: layer1 \(MatMul\)"),
        opened("onnxruntime", mlp(tmp_path / "p.onnx"), tmp_path, provider="cann"),
    ):
        pass


def ran(session: Session) -> list[str]:
    assert session.run(block(2, obs=np.zeros((2, 1, 6), np.float32))).failure is None
    return list(session.info.environment["providers"])


def test_options_reach_the_provider(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = played(monkeypatch, tmp_path, [CANN, CPU], [("shape1", "Shape")])
    options = {"provider_options": {"device_id": 1, "precision_mode": "must_keep_origin_dtype", "dump_om_model": True}}
    path = mlp(tmp_path / "p.onnx")
    with opened("onnxruntime", path, tmp_path, provider="cann", options=options) as session:
        assert ran(session) == [CANN, CPU]
        assert session.info.environment["nodes_elsewhere"] == ["shape1 (Shape)"]
    given = {"device_id": "1", "precision_mode": "must_keep_origin_dtype", "dump_om_model": "True"}
    assert json.loads(told.read_text(encoding="utf-8")) == [[CANN, given], CPU]


def test_a_fall_back_that_is_accepted_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    played(monkeypatch, tmp_path, [CANN, CPU], [("layer1", "MatMul")])
    path = mlp(tmp_path / "p.onnx")
    with opened("onnxruntime", path, tmp_path, provider="cann", options={"allow_fallback": True}) as session:
        assert session.info.environment["nodes_elsewhere"] == ["layer1 (MatMul)"]
