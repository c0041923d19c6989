"""Mistyped command lines cost nothing and end without a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models import mlp, toml
from parity.cli import main


@pytest.fixture
def release(tmp_path: Path) -> Path:
    mlp(tmp_path / "reference.onnx")
    mlp(tmp_path / "right.onnx", doc="again")
    return toml(tmp_path, {"ort": "right.onnx"})


@pytest.mark.parametrize("content", [None, b"", b"text"])
def test_record_replaces_nothing_but_a_recording(release: Path, content: bytes | None) -> None:
    target = release.parent / "right.onnx"
    if content is not None:
        target = release.parent / "notes"
        target.write_bytes(content)
    before = target.read_bytes()
    assert main(["run", str(release), "--out", str(release.parent / "out"), "--record", str(target)]) == 2
    assert target.read_bytes() == before
    trace = release.parent / "golden.h5"
    for _ in range(2):  # an earlier recording may be replaced
        assert main(["run", str(release), "--out", str(release.parent / "out"), "--record", str(trace)]) == 0


@pytest.mark.parametrize("rows", [[{"verdict": "PASS"}], [{"verdict": "PASS", "candidate": [], "output": {}}]])
def test_a_baseline_that_is_none_is_refused_before_anything_runs(
    release: Path, rows: list[dict[str, object]], capsys: pytest.CaptureFixture[str]
) -> None:
    lists = {"artifacts": [], "candidates": [], "measures": [], "findings": []}
    document = {"schema": 1, "verdict": "PASS", "release": {"name": "r"}, "comparisons": rows, **lists}
    baseline = release.parent / "baseline.json"
    baseline.write_text(json.dumps(document))
    out = release.parent / "out"
    assert main(["run", str(release), "--out", str(out), "--baseline", str(baseline)]) == 2
    assert "internal error" not in capsys.readouterr().err
    assert not out.exists()
