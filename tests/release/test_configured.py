"""`[contract] files`: configurations that lie elsewhere belong to the release; what is wrong with them blocks it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from judged import run_release
from models import mlp, toml
from parity.cli import main

RLINF = """
runner: {{task_type: embodied}}
env: {{eval: {{max_episode_steps: {steps}}}}}
actor: {{model: {{model_type: openpi, num_action_chunks: 10}}}}
"""
SHAPES = "shape_meta: {{action: {{shape: [{width}]}}, obs: {{state: {{shape: [4], type: low_dim}}}}}}\nhorizon: 16\n"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    mlp(tmp_path / "reference.onnx")
    mlp(tmp_path / "right.onnx", doc="exported again")
    (tmp_path / "configs").mkdir()
    toml(tmp_path, {"ort": "right.onnx"}, more='\n[contract]\nfiles = ["configs/eval.yaml"]\n')
    return tmp_path


def test_a_sound_file_is_hashed_and_passes(release: Path) -> None:
    path = release / "configs/eval.yaml"
    path.write_text(RLINF.format(steps=450))
    code, report = run_release(release)
    assert (code, report["verdict"]) == (0, "PASS")
    entry = next(a for a in report["artifacts"] if a.get("side") == "contract")
    assert entry["path"] == "configs/eval.yaml"
    assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_is_wrong_with_it_blocks_the_release(release: Path) -> None:
    (release / "configs/eval.yaml").write_text(RLINF.format(steps=448))
    code, report = run_release(release)
    assert (code, report["verdict"]) == (1, "FAIL")
    (finding,) = [f for f in report["findings"] if f["severity"] == "error"]
    assert (finding["code"], finding["where"]) == ("CONTRACT014", "env.eval.max_episode_steps")


def test_a_contradiction_is_an_error(release: Path) -> None:
    (release / "configs/eval.yaml").write_text(SHAPES.format(width=9))
    code, report = run_release(release)
    assert code == 1
    assert "INSP022" in {f["code"] for f in report["findings"] if f["severity"] == "error"}


@pytest.mark.parametrize("content", [None, "", "a: [", "just text"])
def test_a_file_that_cannot_be_read_is_no_way_past(release: Path, content: str | None) -> None:
    if content is not None:
        (release / "configs/eval.yaml").write_text(content)
    assert main(["run", str(release / "parity.toml"), "--out", str(release / "out")]) == 2
