"""The option `state`: zeros at reset, each output fed back to its input, and neither seen from outside."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from parity.errors import RunnerError
from runs import block, opened

RUNNERS = [
    "onnxruntime",
    pytest.param(
        "openvino",
        marks=pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed"),
    ),
]
STATE = {"state": {"h_in": "h_out"}}


def summing(path: Path, batch: int | str | None = 1, state: tuple[Any, ...] | None = None, grows: bool = False) -> Path:
    """Write a graph that sums what it is given: ``h_out = h_in + x``, ``y = 2 h_out``."""
    lies = state if state is not None else (batch, 3)
    nodes = [
        helper.make_node("Add", ["h_in", "x"], ["s"]),
        helper.make_node("Concat", ["s"] * (2 if grows else 1), ["h_out"], axis=-1),
        helper.make_node("Add", ["s", "s"], ["y"]),
    ]
    value, kind = helper.make_tensor_value_info, TensorProto.FLOAT
    after = [*lies[:-1], None] if grows else lies
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", kind, [batch, 3]), value("h_in", kind, lies)],
        [value("y", kind, [batch, 3]), value("h_out", kind, after)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def steps(n: int = 4, batch: int = 1) -> Any:
    values = np.random.default_rng(1).integers(-8, 8, (n, batch, 3)).astype(np.float32)  # sums are exact
    return values, block(n, x=values)


@pytest.mark.parametrize("runner", RUNNERS)
def test_state_is_carried_through_a_sequence_and_nowhere_else(tmp_path: Path, runner: str) -> None:
    values, cases = steps()
    with opened(runner, summing(tmp_path / "p.onnx"), tmp_path, options=STATE) as session:
        assert [t.name for t in session.info.inputs] == ["x"]
        assert [t.name for t in session.info.outputs] == ["y"]
        assert session.info.stateful == "h_in (from h_out) kept between calls; zeros at reset"
        assert session.info.environment["state_kept"] == {"h_in": "h_out"}
        for variant in session.info.variants:
            alone = session.run(cases, variant, repeat=True)
            assert alone.failure is None
            assert alone.repeat_differs == {}
            assert set(alone.outputs) == {"y"}
            np.testing.assert_array_equal(np.asarray(alone.outputs["y"]), 2 * values)
            following = session.run(replace(cases, sequence=True), variant)
            np.testing.assert_array_equal(np.asarray(following.outputs["y"]), 2 * np.cumsum(values, axis=0))


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_state_has_the_size_of_the_batch(tmp_path: Path, runner: str) -> None:
    values, cases = steps(batch=5)
    for batch in ("batch", None):
        path = summing(tmp_path / "p.onnx", batch)
        with opened(runner, path, tmp_path, options=STATE) as session:
            found = session.run(replace(cases, sequence=True))
            assert found.failure is None
            np.testing.assert_array_equal(np.asarray(found.outputs["y"]), 2 * np.cumsum(values, axis=0))


def test_a_size_that_cannot_be_told_is_no_guess(tmp_path: Path) -> None:
    path = summing(tmp_path / "p.onnx", "batch", state=("m", "n"))
    with opened("onnxruntime", path, tmp_path, options=STATE) as session:
        failure = session.run(steps()[1]).failure
        assert failure is not None
        assert "cannot be told" in failure.message


def test_a_state_that_changes_its_shape_is_refused(tmp_path: Path) -> None:
    path = summing(tmp_path / "p.onnx", grows=True)
    with opened("onnxruntime", path, tmp_path, options=STATE) as session:
        failure = session.run(steps()[1]).failure
        assert failure is not None
        assert "'h_out' has shape (1, 6)" in failure.message


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"h": "h_out"}, "names the input 'h', but the policy's are x, h_in"),
        ({"h_in": "h"}, "names the output 'h', but the policy's are y, h_out"),
        ({"h_in": "h_out", "x": "h_out"}, "cannot feed"),
    ],
)
def test_names_that_are_not_the_graphs_are_refused(
    tmp_path: Path, runner: str, state: dict[str, str], said: str
) -> None:
    path = summing(tmp_path / "p.onnx")
    with pytest.raises(RunnerError, match=said), opened(runner, path, tmp_path, options={"state": state}):
        pass
