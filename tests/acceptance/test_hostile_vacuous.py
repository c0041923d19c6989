"""Comparisons that would let everything through do not pass, whatever the budget and whatever the outputs are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hostile import codes, judged, verdicts
from models import mlp


def behind(source: Path, target: Path, nodes: list[Any], shape: list[int], kind: int, **constants: np.ndarray) -> Path:
    """Write the policy at ``source`` with ``nodes`` behind its output, which they find as ``raw``."""
    model = onnx.load(str(source))
    model.graph.node[-1].output[0] = "raw"
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in constants.items())
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("action", kind, shape))
    onnx.checker.check_model(model)
    onnx.save(model, str(target))
    return target


BUDGETS: list[dict[str, Any]] = [
    {"allow_nan": True},
    {"cosine_min": -1},
    {"mean_abs": 1e300},
    {"rmse": 1e9},
    {"p99_abs": 1e9},
    {"rel": 1e9},
    {"max_ulp": 10**12},
    {"max_abs": 1e300},
    {"max_abs": 0.5, "scale": 1e-9, "units": "px"},
    {"mean_abs": 500.0, "scale": 1000.0, "units": "mm"},
]


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_a_budget_that_lets_everything_through_judges_nothing(tmp_path: Path, budget: dict[str, Any]) -> None:
    mlp(tmp_path / "r.onnx")
    mlp(tmp_path / "wrong.onnx", seed=1)
    table = {"name": "wrong", "path": "wrong.onnx"}
    report = judged(tmp_path, {"path": "r.onnx"}, [table], budgets={"default": {"action": budget}})
    assert report["verdict"] != "PASS", report["reasons"]


@pytest.mark.parametrize(
    "budget",
    [
        {"allow_nan": True},
        {"cosine_min": 0.999},
        {"rel": 1e-4},
        {"rmse": 1e-4},
        {"max_ulp": 1000},
        {"max_abs": 0.001, "scale": 0.01, "units": "m"},
        {"mean_abs": 0.001, "scale": [1.0, 10.0, 0.1], "units": "mm"},
    ],
    ids=str,
)
def test_a_budget_that_says_something_passes_what_is_right(tmp_path: Path, budget: dict[str, Any]) -> None:
    mlp(tmp_path / "r.onnx")
    mlp(tmp_path / "right.onnx", doc="again")
    mlp(tmp_path / "wrong.onnx", seed=1)
    tables = [{"name": n, "path": f"{n}.onnx"} for n in ("right", "wrong")]
    report = judged(tmp_path, {"path": "r.onnx"}, tables, budgets={"default": {"action": budget}})
    assert verdicts(report) == {"right": "PASS", "wrong": "FAIL"}


def test_physical_limits_apply_to_every_metric_in_units(tmp_path: Path) -> None:
    mlp(tmp_path / "r.onnx")
    mlp(tmp_path / "off.onnx", edit=lambda a: a["b2"].__iadd__(np.float32(0.01)))
    table = {"name": "off", "path": "off.onnx"}
    for metric in ("mean_abs", "rmse", "p99_abs"):
        budget = {metric: 0.5, "scale": 1000.0, "units": "mm"}  # 10 mm off
        report = judged(tmp_path, {"path": "r.onnx"}, [table], budgets={"default": {"action": budget}})
        assert verdicts(report) == {"off": "FAIL"}, metric


def test_actions_that_are_integers_must_move_too(tmp_path: Path) -> None:
    argmax = helper.make_node("ArgMax", ["raw"], ["best"], axis=1, keepdims=0)
    zero = np.zeros(1, dtype=np.int64)
    still = [argmax, helper.make_node("Mul", ["best", "zero"], ["action"])]
    moving = [argmax, helper.make_node("Add", ["best", "zero"], ["action"])]
    for name, nodes, verdict in (("still", still, "NOT_JUDGED"), ("moving", moving, "PASS")):
        for side in ("r", "c"):
            policy = mlp(tmp_path / "policy.onnx", doc=side)
            behind(policy, tmp_path / f"{name}-{side}.onnx", nodes, [1], TensorProto.INT64, zero=zero)
        table = {"name": "c", "path": f"{name}-c.onnx"}
        report = judged(tmp_path, {"path": f"{name}-r.onnx"}, [table])
        assert verdicts(report) == {"c": verdict}, name


def test_an_integer_output_without_elements_compares_nothing(tmp_path: Path) -> None:
    cut = [
        helper.make_node("Cast", ["raw"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Slice", ["whole", "none", "none"], ["action"]),
    ]
    for side in ("r", "c"):
        policy = mlp(tmp_path / "policy.onnx", doc=side)
        none = np.zeros(1, dtype=np.int64)
        behind(policy, tmp_path / f"{side}.onnx", cut, [0, 3], TensorProto.INT64, none=none)
    report = judged(tmp_path, {"path": "r.onnx"}, [{"name": "c", "path": "c.onnx"}])
    assert verdicts(report) == {"c": "NOT_JUDGED"}


def test_a_chunk_that_is_the_same_ramp_in_every_case_does_not_move(tmp_path: Path) -> None:
    ramp = np.arange(12, dtype=np.float32).reshape(1, 4, 3)
    nodes = [
        helper.make_node("Mul", ["raw", "nothing"], ["gone"]),
        helper.make_node("Unsqueeze", ["gone", "axis"], ["chunk"]),
        helper.make_node("Add", ["chunk", "ramp"], ["action"]),
    ]
    constants = {"nothing": np.zeros(1, dtype=np.float32), "axis": np.array([1]), "ramp": ramp}
    for side in ("r", "c"):
        policy = mlp(tmp_path / "policy.onnx", doc=side)
        behind(policy, tmp_path / f"{side}.onnx", nodes, [1, 4, 3], TensorProto.FLOAT, **constants)
    report = judged(tmp_path, {"path": "r.onnx"}, [{"name": "c", "path": "c.onnx"}])
    assert verdicts(report) == {"c": "NOT_JUDGED"}
    assert "GATE007" in codes(report, "c")


def test_a_joint_that_moves_little_is_not_drowned_in_int8(tmp_path: Path) -> None:
    from faults import to_int8

    scale = np.array([100.0, 100.0, 1.0], dtype=np.float32)
    for name, sign in (("right", 1), ("flipped", -1)):
        gain = scale * np.array([1, 1, sign], dtype=np.float32)
        mlp(tmp_path / f"{name}-float.onnx", edit=lambda a, g=gain: a.update(w2=a["w2"] * g, b2=a["b2"] * g))
        to_int8(tmp_path / f"{name}-float.onnx", tmp_path / f"{name}.onnx")
    tables = [{"name": n, "path": f"{n}.onnx", "precision": "int8"} for n in ("right", "flipped")]
    report = judged(tmp_path, {"path": "right-float.onnx"}, tables)
    assert verdicts(report) == {"right": "PASS", "flipped": "FAIL"}
    assert any("dimension 2 alone" in m["reason"] for m in report["measures"])
