"""Files that are right under unusual circumstances are judged, and files that change under the run are not."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from hostile import codes, judged, verdicts
from models import mlp


@pytest.mark.parametrize("data", ["a.data", "policy.onnx.data", "z.data", "ünïcode data"])
def test_external_data_of_any_name(tmp_path: Path, data: str) -> None:
    mlp(tmp_path / "r.onnx")
    model = onnx.load(str(tmp_path / "r.onnx"))
    onnx.save(model, str(tmp_path / "policy.onnx"), save_as_external_data=True, location=data, size_threshold=0)
    mlp(tmp_path / "right.onnx", doc="again")
    assert verdicts(judged(tmp_path, {"path": "r.onnx"}, [{"name": "c", "path": "policy.onnx"}])) == {"c": "PASS"}
    assert verdicts(judged(tmp_path, {"path": "policy.onnx"}, [{"name": "c", "path": "right.onnx"}])) == {"c": "PASS"}


def test_a_candidate_that_is_replaced_after_it_was_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from parity.cli import judging

    mlp(tmp_path / "r.onnx")
    mlp(tmp_path / "c.onnx", seed=1)
    execute = judging.execute

    def swapped(*args: object, **more: object) -> object:
        mlp(tmp_path / "c.onnx", doc="what is right, put there after the hash was taken")
        return execute(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(judging, "execute", swapped)
    report = judged(tmp_path, {"path": "r.onnx"}, [{"name": "c", "path": "c.onnx"}])
    assert verdicts(report) == {"c": "NOT_JUDGED"}
    assert "GATE003" in codes(report, "c")


def test_openvino_files_are_run_and_held_to_their_hash(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    mlp(tmp_path / "r.onnx")
    mlp(tmp_path / "wrong.onnx", seed=1)
    for name, source in (("right", "r"), ("wrong", "wrong")):
        model = openvino.convert_model(str(tmp_path / f"{source}.onnx"))
        openvino.save_model(model, str(tmp_path / f"{name}.xml"), compress_to_fp16=False)
    tables = [{"name": n, "path": f"{n}.xml"} for n in ("right", "wrong")]
    assert verdicts(judged(tmp_path, {"path": "r.onnx"}, tables)) == {"right": "PASS", "wrong": "FAIL"}
