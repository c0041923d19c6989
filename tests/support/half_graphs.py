"""Small graphs in which float16 fails in one known place, and ones in which it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH = 4
Steps = Sequence[tuple[str, str, Sequence[str], str]]  # op, node name, inputs, output


def graph(
    folder: Path,
    steps: Steps,
    constants: Mapping[str, np.ndarray] | None = None,
    *,
    name: str = "policy.onnx",
    inputs: Mapping[str, Sequence[int]] | None = None,
    attributes: Mapping[str, Mapping[str, object]] | None = None,
    domains: Mapping[str, str] | None = None,
) -> Path:
    """Write a graph from ``obs (1, 4)`` (or ``inputs``) to ``action``, and return its path."""
    more, places = attributes or {}, domains or {}
    nodes = [
        helper.make_node(op, list(i), [o], name=n, domain=places.get(n), **more.get(n, {})) for op, n, i, o in steps
    ]
    taken = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, list(s)) for n, s in (inputs or {"obs": (1, WIDTH)}).items()
    ]
    given = [helper.make_tensor_value_info("action", TensorProto.FLOAT, [1, WIDTH])]
    stored = [numpy_helper.from_array(np.asarray(v, dtype=np.float32), k) for k, v in (constants or {}).items()]
    made = helper.make_graph(nodes, "policy", taken, given, stored)
    sets = [helper.make_opsetid("", 17), *(helper.make_opsetid(d, 1) for d in set(places.values()))]
    model = helper.make_model(made, opset_imports=sets, ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(folder / name))
    return folder / name


def overflowing(folder: Path) -> Path:
    """obs · 60000 / 60000: right in float32, infinite on the way in float16."""
    steps = [
        ("Mul", "/enlarge", ["obs", "many"], "enlarged"),
        ("Tanh", "/tanh", ["obs"], "side"),
        ("Div", "/reduce", ["enlarged", "many"], "reduced"),
        ("Add", "/join", ["reduced", "side"], "action"),
    ]
    return graph(folder, steps, {"many": 60000.0})


def cancelling(folder: Path) -> Path:
    """(obs + 1000) - 1000: the digits of obs are gone in float16."""
    steps = [("Add", "/raise", ["obs", "high"], "raised"), ("Sub", "/lower", ["raised", "high"], "action")]
    return graph(folder, steps, {"high": 1000.0})


def timed(folder: Path) -> Path:
    """sin(100 · obs · frequencies): an angle of some hundreds, of which float16 holds only a part of the turn."""
    steps = [("Mul", "/angle", ["obs", "frequencies"], "angle"), ("Sin", "/sin", ["angle"], "action")]
    return graph(folder, steps, {"frequencies": np.asarray([900.0, 700.0, 500.0, 300.0])})


def masked(folder: Path) -> Path:
    """softmax(obs + [0, 0, 0, -1e9]): the mask is infinite in float16, and what comes out is right."""
    steps = [("Add", "/mask", ["obs", "mask"], "scores"), ("Softmax", "/softmax", ["scores"], "action")]
    return graph(folder, steps, {"mask": np.asarray([0.0, 0.0, 0.0, -1e9])})


def normalized(folder: Path) -> Path:
    """obs · 0 / sqrt(0 + 1e-8): the epsilon is 0 in float16, and 0 / 0 comes out."""
    steps = [
        ("Mul", "/still", ["obs", "zero"], "still"),
        ("Mul", "/square", ["still", "still"], "square"),
        ("Add", "/epsilon", ["square", "eps"], "variance"),
        ("Sqrt", "/sqrt", ["variance"], "deviation"),
        ("Div", "/div", ["still", "deviation"], "scaled"),
        ("Add", "/join", ["scaled", "obs"], "action"),
    ]
    return graph(folder, steps, {"zero": 0.0, "eps": 1e-8})


def sound(folder: Path) -> Path:
    """A layer with a tanh: nothing happens to it."""
    weight = np.random.default_rng(3).standard_normal((WIDTH, WIDTH)).astype(np.float32) / 2
    steps = [("MatMul", "/layer", ["obs", "weight"], "hidden"), ("Tanh", "/tanh", ["hidden"], "action")]
    return graph(folder, steps, {"weight": weight})


def cases(n: int = 3, scale: float = 1.0) -> list[tuple[str, dict[str, np.ndarray]]]:
    """Return cases ``nominal-0000``… with ``obs (1, 4)`` from N(0, scale²)."""
    rng = np.random.default_rng(11)
    rows = rng.standard_normal((n, 1, WIDTH)).astype(np.float32) * scale
    return [(f"nominal-{i:04d}", {"obs": row}) for i, row in enumerate(rows)]
