"""`parity compare --inputs`: an array that is not called like the policy's input is never taken in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import mlp
from parity.cli import main


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    return str(mlp(tmp_path / "reference.onnx")), str(mlp(tmp_path / "right.onnx", doc="again"))


def compare(folder: Path, pair: tuple[str, str], **arrays: Any) -> tuple[int, Path]:
    np.savez(folder / "seen.npz", **arrays)
    target = folder / "out"
    code = main(["compare", *pair, "--inputs", str(folder / "seen.npz"), "--out", str(target)])
    return code, target


def test_another_name_is_a_warning_in_every_report(tmp_path: Path, pair: tuple[str, str]) -> None:
    rows = np.random.default_rng(1).standard_normal((5, 6)).astype(np.float32)
    code, target = compare(tmp_path, pair, velocity=rows)
    assert code == 0
    (told,) = [f for f in json.loads((target / "report.json").read_text())["findings"] if f["code"] == "CASE016"]
    assert told["severity"] == "warning"
    for name in ("report.html", "summary.md"):
        assert "CASE016" in (target / name).read_text()
    code, target = compare(tmp_path, pair, obs=rows)
    assert code == 0
    assert "CASE016" not in (target / "report.json").read_text()


def test_another_name_and_another_shape_is_an_error(
    tmp_path: Path, pair: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(tmp_path, pair, velocity=np.ones((5, 4), np.float32))[0] == 2
    said = capsys.readouterr().err
    assert "'obs'" in said
    assert "(5, 4)" in said
