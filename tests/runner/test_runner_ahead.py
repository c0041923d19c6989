"""A worker that was started ahead is used once, only for what it was started for, and never outlives its use."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch

from parity.runner import ahead
from parity.runner.base import Session
from parity.runner.torch import torch_ahead
from runs import block, opened

pytestmark = pytest.mark.usefixtures("started_workers")


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A TorchScript policy (B, 4) to (B, 2)."""
    torch.manual_seed(0)
    path = tmp_path / "policy.pt"
    torch.jit.script(torch.nn.Linear(4, 2)).save(str(path))
    return path


def session(policy: Path, cwd: Path) -> AbstractContextManager[Session]:
    return opened("torch", policy, policy.parent, options={"cwd": str(cwd)})


def test_a_session_takes_the_worker_that_waits_and_runs_as_ever(policy: Path, tmp_path: Path) -> None:
    with torch_ahead([(str(policy), None)], tmp_path):
        ((_, spare),) = ahead._spare
        with session(policy, tmp_path) as live:
            assert live._process is spare
            assert ahead._spare == []
            x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 1, 4)
            result = live.run(block(2, x=x))
            assert result.failure is None
            expected = torch.jit.load(str(policy))(torch.from_numpy(x)).detach().numpy()
            np.testing.assert_allclose(result.outputs["output_0"], expected, rtol=1e-5)
    assert not spare.alive


def test_a_worker_that_nobody_took_ends_with_its_context(policy: Path, tmp_path: Path) -> None:
    with torch_ahead([(str(policy), None)], tmp_path):
        ((_, spare),) = ahead._spare
        assert spare.alive
    assert not spare.alive
    assert ahead._spare == []


def test_a_worker_started_elsewhere_is_not_taken(policy: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with torch_ahead([(str(policy), None)], other):
        ((_, spare),) = ahead._spare
        with session(policy, tmp_path) as live:
            assert live._process is not spare


def test_a_worker_that_died_meanwhile_is_not_taken(policy: Path, tmp_path: Path) -> None:
    with torch_ahead([(str(policy), None)], tmp_path):
        ((_, spare),) = ahead._spare
        spare.stop()
        with session(policy, tmp_path) as live:
            assert live._process is not spare
            assert live.run(block(1, x=np.ones((1, 1, 4), np.float32))).failure is None


def test_nothing_is_started_for_what_torch_does_not_run(tmp_path: Path) -> None:
    text = tmp_path / "policy.pt"
    text.write_text("version https://git-lfs.github.com/spec/v1\n")
    with torch_ahead([(str(text), None), (str(tmp_path / "missing.pt"), None)], tmp_path):
        assert ahead._spare == []


def test_an_interpreter_that_is_not_there_starts_nothing(policy: Path, tmp_path: Path) -> None:
    with torch_ahead([(str(policy), str(tmp_path / "no" / "python"))], tmp_path):
        assert ahead._spare == []
