"""The forked workers of the tests are what a user's workers are: the same numbers, the same words, the same end."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from models import mlp
from nursery import Forked, fresh_workers
from parity.runner.base import SessionInfo
from runs import block, factory, opened

POLICY = """
    import torch
    def build():
        torch.manual_seed(3)
        return torch.nn.Sequential(torch.nn.Linear(4, 64), torch.nn.Tanh(), torch.nn.Linear(64, 2))
"""


def told(info: SessionInfo) -> dict[str, object]:
    return {name: getattr(info, name) for name in SessionInfo.__dataclass_fields__}


@pytest.mark.parametrize("runner", ["torch", "onnxruntime"])
def test_a_forked_worker_says_and_computes_what_a_started_one_does(tmp_path: Path, runner: str) -> None:
    pytest.importorskip(runner)
    found = []
    path = mlp(tmp_path / "policy.onnx")
    x = np.random.default_rng(1).standard_normal((5, 1, 6)).astype(np.float32)
    for way in (nullcontext, fresh_workers):
        with (
            way(),
            opened(runner, path, tmp_path) if runner == "onnxruntime" else factory(tmp_path, POLICY) as session,
        ):
            assert isinstance(session._process._popen, Forked) == (way is nullcontext)
            inputs = {"obs": x} if runner == "onnxruntime" else {"x": x[..., :4].copy()}
            results = [session.run(block(5, **inputs), variant) for variant in session.info.variants]
            assert [r.failure for r in results] == [None] * len(results)
            found.append(
                (told(session.info), [{n: np.asarray(a).tobytes() for n, a in r.outputs.items()} for r in results])
            )
    assert found[0] == found[1]


def test_workers_draw_numbers_of_their_own(tmp_path: Path) -> None:
    """They share the state of a process that has loaded NumPy; two started ones would not draw the same."""
    source = "import numpy as np, random, torch\n"
    source += "DRAWN = torch.tensor([[np.random.rand(), random.random()]])\ndef build():\n    return lambda x: DRAWN\n"
    drawn = []
    for _ in range(2):
        with factory(tmp_path, source) as session:
            assert isinstance(session._process._popen, Forked)
            drawn.append(np.asarray(session.run(block(1)).outputs["output_0"]).ravel())
    assert (drawn[0] != drawn[1]).all()


def test_another_environment_is_another_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with factory(tmp_path, POLICY) as session:
        assert not isinstance(session._process._popen, Forked)


def test_it_is_reaped_and_its_end_is_told(tmp_path: Path) -> None:
    with factory(tmp_path, "import os\ndef build():\n    return lambda x: os._exit(7)\n") as session:
        worker = session._process._popen
        assert isinstance(worker, Forked)
        assert worker.poll() is None
        failure = session.run(block(1)).failure
        assert failure is not None
        assert "exit status 7" in failure.message
    assert worker.returncode == 7
    assert not Path(f"/proc/{worker.pid}").exists()
