"""From files to findings: an export that has lost a camera, one in float16, and sides that are driven differently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from replay_release import replay as replay_of

STATE, WRIST, STEPS, ACTIONS = 5, 3 * 5 * 5, 4, 3


def write(path: Path, *, wrist: float = 1.0, dtype: int = TensorProto.FLOAT) -> Path:
    """Write a policy of ``obs`` and ``wrist`` that computes in ``dtype``; ``wrist`` scales how much that matters."""
    rng = np.random.default_rng(0)
    kind = np.float32 if dtype == TensorProto.FLOAT else np.float16
    arrays = {
        "ws": rng.normal(size=(STATE, STEPS * ACTIONS)) * 0.4,
        "wi": rng.normal(size=(WRIST, STEPS * ACTIONS)) * 0.3 * wrist,
    }
    constants = [numpy_helper.from_array(a.astype(kind), n) for n, a in arrays.items()]
    constants += [numpy_helper.from_array(np.array(s, np.int64), n) for n, s in SHAPES.items()]
    nodes = [
        helper.make_node("Reshape", ["wrist", "flat"], ["pixels"]),
        helper.make_node("Cast", ["obs"], ["o"], to=dtype),
        helper.make_node("Cast", ["pixels"], ["p"], to=dtype),
        helper.make_node("MatMul", ["o", "ws"], ["a"]),
        helper.make_node("MatMul", ["p", "wi"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("Tanh", ["c"], ["d"]),
        helper.make_node("Cast", ["d"], ["e"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["e", "chunk"], ["action"]),
    ]
    shapes: dict[str, list[int | str]] = {"obs": ["n", STATE], "wrist": ["n", 3, 5, 5]}
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]
    output = helper.make_tensor_value_info("action", TensorProto.FLOAT, ["n", STEPS, ACTIONS])
    graph = helper.make_graph(nodes, "policy", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name=path.stem)
    model.ir_version = 8
    onnx.save(model, path)
    return path


SHAPES = {"flat": [-1, WRIST], "chunk": [-1, STEPS, ACTIONS]}


def replayed(folder: Path, candidate: str, replay: str = "") -> dict[str, Any]:
    """Return the report of ``reference.onnx`` against the file called ``candidate``, on recorded episodes."""
    rng = np.random.default_rng(1)
    lengths = [40, 30, 50]
    count = sum(lengths)
    write(folder / "reference.onnx")
    obs = np.sin(np.arange(count)[:, None] / 9 + rng.uniform(0, 6, STATE)).astype(np.float32)
    wrist = rng.uniform(-1, 1, (count, 3, 5, 5)).astype(np.float32)
    np.savez(folder / "data.npz", obs=obs, wrist=wrist, episode_lengths=np.array(lengths))
    toml = folder / "parity.toml"
    precision = 'precision = "float16"\n' if candidate == "half" else ""
    toml.write_text(
        f'[release]\nname = "connected"\n[reference]\npath = "reference.onnx"\n'
        f'[[candidate]]\nname = "{candidate}"\npath = "{candidate}.onnx"\n{precision}'
        f'[replay]\ndataset = "data.npz"\n{replay}'
    )
    return replay_of(toml)[1]


def codes(report: dict[str, Any], prefix: str) -> list[str]:
    return [f["code"] for f in report["findings"] if f["code"].startswith(prefix)]


@pytest.mark.parametrize(("name", "given"), [("right", {}), ("half", {"dtype": TensorProto.FLOAT16})])
def test_right_exports_depend_on_what_the_reference_depends_on(
    tmp_path: Path, name: str, given: dict[str, Any]
) -> None:
    write(tmp_path / f"{name}.onnx", **given)
    report = replayed(tmp_path, name)
    rows = {r["name"]: r["verdict"] for r in report["measures"] if r["name"].startswith("dependence")}
    assert rows == {"dependence on obs": "PASS", "dependence on wrist": "PASS"}
    assert codes(report, "REPLAY07") == []
    assert len({r["id"] for r in report["measures"]}) == len(report["measures"])


def test_an_export_that_lost_a_camera_is_named(tmp_path: Path) -> None:
    write(tmp_path / "blind.onnx", wrist=0.0)
    report = replayed(tmp_path, "blind")
    assert report["verdict"] == "FAIL"
    (found,) = [f for f in report["findings"] if f["code"] == "REPLAY070"]
    assert (found["where"], found["candidate"]) == ("wrist", "blind")
    assert "does not react to wrist" in found["title"]
    assert "episode" in found["title"]


def test_sides_that_are_driven_differently_are_told(tmp_path: Path) -> None:
    write(tmp_path / "right.onnx")
    report = replayed(tmp_path, "right", "n_action_steps = 4\n[replay.sides.right]\nn_action_steps = 2\n")
    (found,) = [f for f in report["findings"] if f["code"] == "TIME003"]
    assert found["candidate"] == "right"
    assert "executes 4 actions before it is asked again, the candidate 2" in found["title"]
    assert report["verdict"] == "FAIL"


def test_a_chunk_of_which_nothing_says_how_much_is_executed_is_told_once(tmp_path: Path) -> None:
    write(tmp_path / "right.onnx")
    assert codes(replayed(tmp_path, "right"), "TIME") == ["TIME010"]
