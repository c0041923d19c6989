"""What a session tells becomes findings; nodes that ran elsewhere than asked are refused unless allowed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import parity.runner
from parity.runner.base import SessionInfo
from parity.runner.findings import session_findings


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The worker's script, imported as a worker imports it, and forgotten afterwards."""
    folder = Path(parity.runner.__file__).parent / "worker"
    monkeypatch.syspath_prepend(str(folder))
    yield importlib.import_module("run_onnxruntime")
    for name in [p.stem for p in folder.glob("*.py")]:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("environment", "stateful", "code"),
    [
        ({"training_matters": True}, None, "RUN001"),
        ({}, "hidden kept between calls", "RUN002"),
        ({"left_over_state": ["hidden"]}, None, "RUN003"),
        ({"precision_hint": "f32", "inference_precision": "bf16"}, None, "RUN004"),
        ({"nodes_elsewhere": ["n (Shape)"], "provider": "CUDAExecutionProvider"}, None, "RUN005"),
        ({"state_kept": {"h_in": "h_out"}}, "h_in (from h_out) kept between calls", "RUN006"),
        ({"unchecked": ["what chip the device is cannot be told here"]}, None, "RUN008"),
    ],
)
def test_each_is_said(environment: dict[str, Any], stateful: str | None, code: str) -> None:
    findings = list(session_findings(SessionInfo((), (), environment, stateful=stateful), "policy.pt", "ort"))
    assert [f.code for f in findings] == [code]
    assert findings[0].candidate == "ort"


def test_what_the_contract_of_a_torchscript_says_is_not_said_twice() -> None:
    told = SessionInfo((), (), {"kind": "torchscript", "training_matters": True}, stateful="hidden kept")
    assert list(session_findings(told, "policy.pt")) == []


def test_nothing_is_said_of_a_plain_policy() -> None:
    told = SessionInfo((), (), {"training_matters": False, "precision_hint": "f32", "inference_precision": "f32"})
    assert list(session_findings(told, "policy.pt")) == []


def session(*nodes: tuple[str, str]) -> Any:
    """A session that tells where its nodes ran: (provider, operator) each."""
    parts = [
        SimpleNamespace(ep_name=p, get_nodes=lambda op=op: [SimpleNamespace(name="n", op_type=op)]) for p, op in nodes
    ]
    return SimpleNamespace(get_provider_graph_assignment_info=lambda: parts)


CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def test_nodes_for_shapes_may_run_on_the_cpu(worker: Any) -> None:
    assert worker.check_assigned(session((CUDA, "Conv"), (CPU, "Shape")), CUDA, allow=False) == ["n (Shape)"]


def test_nodes_that_compute_may_not(worker: Any) -> None:
    with pytest.raises(worker.Refused, match="1 of the graph's nodes"):
        worker.check_assigned(session((CUDA, "Conv"), (CPU, "Gemm")), CUDA, allow=False)
    assert worker.check_assigned(session((CPU, "Gemm")), CUDA, allow=True) == ["n (Gemm)"]


def test_version_that_cannot_tell_is_refused(worker: Any) -> None:
    with pytest.raises(worker.Refused, match="cannot tell"):
        worker.check_assigned(SimpleNamespace(), CUDA, allow=False)
