"""The openvino runner runs in float32 unless told otherwise, and tells what it ran in."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from models import mlp
from parity.errors import RunnerError
from runs import block, opened

openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed"
)


@openvino
def test_float32_is_pinned_and_agrees_with_onnxruntime(tmp_path: Path) -> None:
    path = mlp(tmp_path / "p.onnx")
    data = block(3, obs=np.random.default_rng(0).standard_normal((3, 1, 6)).astype(np.float32))
    with opened("openvino", path, tmp_path) as session, opened("onnxruntime", path, tmp_path) as other:
        assert session.info.environment["inference_precision"] == "f32"
        assert session.info.precision == "float32"
        result = session.run(data, repeat=True)
        assert result.failure is None
        assert result.repeat_differs == {}
        np.testing.assert_allclose(
            np.asarray(result.outputs["action"]), np.asarray(other.run(data).outputs["action"]), rtol=1e-5, atol=1e-6
        )
        assert session.run(data, "one_thread").failure is None
        assert session.info.loaded_sha256 == other.info.loaded_sha256


@openvino
def test_device_that_is_absent(tmp_path: Path) -> None:
    path = mlp(tmp_path / "p.onnx")
    with pytest.raises(RunnerError, match="finds only"), opened("openvino", path, tmp_path, device="NPU"):
        pass


def test_message_when_it_is_not_installed(tmp_path: Path) -> None:
    """A module of that name that cannot be imported stands for an environment without it."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "openvino.py").write_text("raise ImportError('No module named openvino')\n")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={hidden} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    path = mlp(tmp_path / "p.onnx")
    with (
        pytest.raises(RunnerError, match="openvino cannot be imported") as e,
        opened("openvino", path, tmp_path, python=str(python)),
    ):
        pass
    assert "python" in str(e.value)
