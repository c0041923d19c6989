"""A history that the candidate takes in another order than the reference is named (catalogue T5, T6)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import replay_release as made

STEPS, WIDTH = 3, made.STATE // 3  # the input of the policy is a flat history of three observations of two numbers


def _reordered(path: Path, order: np.ndarray) -> None:
    """Have the policy take its input in another order of elements."""
    model = onnx.load(path)
    for node in model.graph.node:
        node.input[:] = ["turned" if n == "obs" else n for n in node.input]
    model.graph.initializer.append(numpy_helper.from_array(order.astype(np.int64), "order"))
    model.graph.node.insert(0, helper.make_node("Gather", ["obs", "order"], ["turned"], axis=1))
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    onnx.save(model, path)


def _report(folder: Path, order: np.ndarray | None) -> dict[str, Any]:
    toml = made.write_release(folder, {"ort": None}, replay="n_obs_steps = 3\n", lengths=[30, 25, 20])
    rng = np.random.default_rng(5)
    obs = np.cumsum(rng.normal(size=(75, WIDTH)) * 0.4, axis=0).astype(np.float32)
    np.savez(folder / "data.npz", obs=obs, episode_lengths=np.array([30, 25, 20]))
    if order is not None:
        _reordered(folder / "ort.onnx", order)
    return made.replay(toml)[1]


INDEX = np.arange(STEPS * WIDTH).reshape(STEPS, WIDTH)


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (INDEX[::-1].ravel(), "newest observation first"),
        (INDEX.T.ravel(), "element by element"),
        (INDEX[::-1].T.ravel(), "element by element instead of frame by frame, newest first"),
    ],
)
def test_another_order_of_the_history_is_named(tmp_path: Path, order: np.ndarray, words: str) -> None:
    report = _report(tmp_path, order)
    assert report["verdict"] == "FAIL"
    (finding,) = [f for f in report["findings"] if f["code"] == "REPLAY094"]
    assert words in finding["title"]
    assert "episode" in finding["detail"]


def test_the_same_order_is_silent(tmp_path: Path) -> None:
    report = _report(tmp_path, None)
    assert report["verdict"] == "PASS", report["reasons"]
    assert not [f for f in report["findings"] if f["code"] == "REPLAY094"]


def test_another_fault_is_not_called_an_order(tmp_path: Path) -> None:
    report = _report(tmp_path, np.roll(INDEX.ravel(), 1))
    assert report["verdict"] == "FAIL"
    assert not [f for f in report["findings"] if f["code"] == "REPLAY094"]
