"""Small ONNX policies for tests: an MLP from `obs` (batch, 6) to `action` (batch, 3), and variations of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OBS, ACTION, HIDDEN = 6, 3, 16


def mlp(
    path: Path,
    *,
    seed: int = 0,
    batch: int | str = 1,
    outputs: tuple[str, ...] = ("action",),
    input_name: str = "obs",
    doc: str = "",
    gain: float = 1.0,
    nodes: list[Any] | None = None,
    edit: Any = None,
) -> Path:
    """Write an MLP with tanh; ``doc`` changes the bytes and nothing else."""
    rng = np.random.default_rng(seed)
    weights = {
        "w1": rng.normal(0, 0.4, (OBS, HIDDEN)),
        "b1": rng.normal(0, 0.1, (HIDDEN,)),
        "w2": rng.normal(0, 0.4, (HIDDEN, ACTION)) * gain,
        "b2": rng.normal(0, 0.1, (ACTION,)),
    }
    arrays = {n: a.astype(np.float32) for n, a in weights.items()}
    if edit:
        edit(arrays)
    body = nodes or [
        helper.make_node("Gemm", [input_name, "w1", "b1"], ["h"]),
        helper.make_node("Tanh", ["h"], ["t"]),
        helper.make_node("Gemm", ["t", "w2", "b2"], [outputs[0]]),
    ]
    body += [helper.make_node("Neg", [outputs[0]], [name]) for name in outputs[1:]]
    graph = helper.make_graph(
        body,
        "policy",
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, [batch, OBS])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, ACTION]) for name in outputs],
        [numpy_helper.from_array(a, n) for n, a in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, doc_string=doc)
    onnx.save(model, str(path))
    return path


def toml(folder: Path, candidates: dict[str, str], reference: str = "reference.onnx", more: str = "") -> Path:
    """Write a parity.toml about files in ``folder``."""
    lines = ['[release]\nname = "test"\n', f'[reference]\npath = "{reference}"\n']
    lines += [f'[[candidate]]\nname = "{n}"\npath = "{p}"\n' for n, p in candidates.items()]
    path = folder / "parity.toml"
    path.write_text("\n".join(lines) + more, encoding="utf-8")
    return path
