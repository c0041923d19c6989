"""A camera's picture that the candidate sees in another way is named (catalogue I1, I2, I5)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from parity.cli import main
from parity.replay.pictures import SEEN, ways

SIZE, CAMERAS = 6, ("top", "side")
TURNS = {
    "blue_first": lambda x: x[:, ::-1],
    "upside_down": lambda x: x[:, :, ::-1, ::-1],
    "mirrored": lambda x: x[..., ::-1],
    "flipped": lambda x: x[:, :, ::-1],
    "turned_left": lambda x: np.rot90(x, 1, axes=(2, 3)),
    "turned_right": lambda x: np.rot90(x, -1, axes=(2, 3)),
}


def write_policy(path: Path, weights: np.ndarray, swap: bool = False, scale: tuple[float, float] = (1, 0)) -> None:
    """Write ``tanh(pictures @ weights)`` of two cameras; ``scale`` is a gain and an offset of the pictures."""
    fed = CAMERAS[::-1] if swap else CAMERAS
    constants = {"w": weights.astype(np.float32), "shape": np.array([-1, len(weights)], np.int64)}
    constants |= {"gain": np.float32(scale[0]), "offset": np.float32(scale[1])}
    nodes = [
        helper.make_node("Concat", list(fed), ["both"], axis=1),
        helper.make_node("Mul", ["both", "gain"], ["much"]),
        helper.make_node("Add", ["much", "offset"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
        helper.make_node("Tanh", ["y"], ["action"]),
    ]
    shape = ["batch", 3, SIZE, SIZE]
    graph = helper.make_graph(
        nodes,
        "policy",
        [helper.make_tensor_value_info(c, TensorProto.FLOAT, shape) for c in CAMERAS],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name=path.stem)
    model.ir_version = 8
    onnx.save(model, path)


def weights() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.2, (2 * 3 * SIZE * SIZE, 2))


def turned(way: str, cameras: tuple[str, ...]) -> np.ndarray:
    """Return weights that do to pictures as they are what the policy's do to pictures that come in another way.

    Moving pixels and moving the weights that they meet is the same, the other way round.
    """
    back = {"turned_left": "turned_right", "turned_right": "turned_left"}.get(way, way)
    maps = weights().T.reshape(2, 2, 3, SIZE, SIZE)
    for i, camera in enumerate(CAMERAS):
        if camera in cameras:
            maps[:, i] = TURNS[back](maps[:, i]).copy()
    return maps.reshape(2, -1).T


def report(folder: Path, wrong: np.ndarray, **policy: Any) -> dict[str, Any]:
    write_policy(folder / "reference.onnx", weights())
    write_policy(folder / "ort.onnx", wrong, **policy)
    rng = np.random.default_rng(7)
    pictures = {c: rng.integers(0, 256, (60, SIZE, SIZE, 3), dtype=np.uint8) for c in CAMERAS}
    np.savez(folder / "data.npz", **pictures, episode_lengths=np.array([30, 30]))
    told = "\n".join(
        f'{c} = {{shape = ["batch", 3, {SIZE}, {SIZE}], dtype = "float32", role = "image"}}' for c in CAMERAS
    )
    (folder / "parity.toml").write_text(
        f"""[release]
name = "cameras"
[reference]
path = "reference.onnx"
[[candidate]]
name = "ort"
path = "ort.onnx"
[contract.inputs]
{told}
[contract.outputs.action]
shape = ["batch", 2]
dtype = "float32"
role = "action"
units = "rad"
[replay]
dataset = "data.npz"
"""
    )
    main(["replay", str(folder / "parity.toml"), "--out", str(folder / "report")])
    found: dict[str, Any] = json.loads((folder / "report" / "report.json").read_text())
    return found


def named(found: dict[str, Any]) -> list[str]:
    return [f["title"] for f in found["findings"] if f["code"] == "REPLAY085"]


@pytest.mark.parametrize("way", TURNS)
def test_one_camera_or_all_in_another_way_are_named(tmp_path: Path, way: str) -> None:
    cameras = ("top",) if way != "blue_first" else CAMERAS
    found = report(tmp_path, turned(way, cameras))
    assert found["verdict"] == "FAIL"
    (title,) = named(found)
    assert title.startswith(f"the candidate sees {' and '.join(cameras)} {SEEN[way]}; worst at episode")
    assert " rad in action[" in title
    assert found["reasons"][0] == title


@pytest.mark.parametrize(
    ("way", "policy"),
    [("swapped", {"swap": True}), ("bytes", {"scale": (255.0, 0.0)}), ("signed", {"scale": (2.0, -1.0)})],
)
def test_cameras_swapped_and_another_range_are_named(tmp_path: Path, way: str, policy: dict[str, Any]) -> None:
    (title,) = named(report(tmp_path, weights(), **policy))
    assert f"top and side {SEEN[way]}" in title


def test_the_same_policy_is_silent(tmp_path: Path) -> None:
    found = report(tmp_path, weights(), scale=(1.0, 0.0))
    assert found["verdict"] == "PASS", found["reasons"]
    assert named(found) == []


def test_another_fault_is_not_called_a_picture(tmp_path: Path) -> None:
    found = report(tmp_path, weights() * 0.8)
    assert found["verdict"] == "FAIL"
    assert named(found) == []


def test_pictures_that_would_be_the_same_are_not_asked_for() -> None:
    grey = np.full((4, 1, 5, 7), 0.5, np.float32)
    assert {w for _, w, _ in ways({"depth": grey + np.float32(0.1)})} == {"bytes", "signed"}
    whole = np.random.default_rng(0).integers(0, 256, (2, 4, 3, 5, 7)).astype(np.uint8)
    assert {w for _, w, _ in ways({"top": whole})} == {"upside_down", "mirrored", "flipped", "blue_first"}
    large = np.random.default_rng(0).uniform(0, 255, (2, 3, 5, 7)).astype(np.float32)
    assert "unit" in {w for _, w, _ in ways({"top": large})}
