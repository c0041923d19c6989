"""Stages as OM files, on a double of pyACL that is not hardware: each is asked alone, chained and in the loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

from acl_runs import DOUBLE, compiled, logged
from judged import agrees_on_a_stand_in, with_code
from staged_judged import judged, of, rows
from staged_policy import LOOP, export_expert, made_in, stages

DTYPES = {onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.BOOL: "bool"}


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(DOUBLE))
    monkeypatch.setenv("ACL_DOUBLE_LOG", str(tmp_path / "acl.log"))
    return tmp_path / "acl.log"


def om_of(folder: Path, name: str) -> str:
    """Write ``<name>.om``: the double runs the ONNX of this name, rounded to float16. Return its name."""
    model = onnx.load(str(folder / f"{name}.onnx"))

    def told(tensors: Any, before: str = "") -> list[dict[str, Any]]:
        return [
            {
                "name": f"{before}{t.name}",
                "shape": [d.dim_value for d in t.type.tensor_type.shape.dim],
                "dtype": DTYPES[t.type.tensor_type.elem_type],
            }
            for t in tensors
        ]

    outputs = [{**t, "name": f"node_{i}:0:{t['name']}"} for i, t in enumerate(told(model.graph.output))]
    compiled(folder / f"{name}.onnx", folder / f"{name}.om", inputs=told(model.graph.input), outputs=outputs)
    return f"{name}.om"


def test_oms_are_judged_stage_by_stage_and_never_pass_on_a_double(log: Path, tmp_path: Path) -> None:
    made_in(tmp_path)
    export_expert(tmp_path / "inverted.onnx", fault="inverted")
    names = {n: om_of(tmp_path, n) for n in ("prefix", "expert", "inverted")}
    both = {"stages": stages(names["prefix"], names["expert"]), "precision": "float16"}
    report = judged(tmp_path, {"npu": both})
    assert agrees_on_a_stand_in(report), report["reasons"]
    assert {r["stage"] for r in rows(report, "npu")} == {None, "prefix", "expert"}
    assert max(r["max_abs"] for r in rows(report, "npu", output="alone:k")) > 0
    half = {"stages": stages("prefix32.onnx", names["expert"]), "precision": "float16"}
    report = judged(tmp_path, {"half": half})
    assert agrees_on_a_stand_in(report), "an ONNX before it must not hide that no device computed the other stage"
    assert with_code(report, "GATE020")
    wrong = {"stages": stages(names["prefix"], names["inverted"]), "precision": "float16"}
    report = judged(tmp_path, {"nan": wrong}, reference={"stages": stages(), "loop": LOOP})
    assert of(report, "nan")[0] == "FAIL"
    assert "The error enters at stage 'expert'" in report["cause"]
    assert logged(log, "violation") == []
