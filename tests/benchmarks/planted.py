"""Small faults, planted in a policy's outputs `(N, D)` or in its ONNX graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

BIAS = 0.15  # 8.6°
STEPS = 8

Outputs = np.ndarray
Planted = Iterator[Outputs]


def sign_flip(outputs: Outputs) -> Planted:
    """Yield the outputs with the sign of one joint flipped, for each joint."""
    for joint in range(outputs.shape[-1]):
        wrong = outputs.copy()
        wrong[..., joint] *= -1
        yield wrong


def bias(outputs: Outputs) -> Planted:
    """Yield the outputs with 0.15 rad added to one joint, for each joint."""
    for joint in range(outputs.shape[-1]):
        wrong = outputs.copy()
        wrong[..., joint] += BIAS
        yield wrong


def swap(outputs: Outputs) -> Planted:
    """Yield the outputs with two neighbouring joints swapped, for each pair of neighbours."""
    for joint in range(outputs.shape[-1] - 1):
        wrong = outputs.copy()
        wrong[..., [joint, joint + 1]] = outputs[..., [joint + 1, joint]]
        yield wrong


def shift(outputs: Outputs) -> Planted:
    """Yield the outputs late by eight steps; the first is held."""
    yield np.concatenate([np.repeat(outputs[:1], STEPS, axis=0), outputs[:-STEPS]])


def constant(outputs: Outputs) -> Planted:
    """Yield the mean output at every step."""
    yield np.broadcast_to(outputs.mean(axis=0), outputs.shape).astype(outputs.dtype)


ON_OUTPUTS: dict[str, Callable[[Outputs], Planted]] = {
    "sign of one joint flipped": sign_flip,
    "8.6° (0.15 rad) added to one joint": bias,
    "two joints swapped": swap,
    "chunk shifted by 8 steps": shift,
    "constant output": constant,
}


def matrices(model: Any) -> dict[str, np.ndarray]:
    """Return the weights of a graph that are matrices, by name, in the order in which they are stored."""
    from onnx import numpy_helper

    return {i.name: numpy_helper.to_array(i) for i in model.graph.initializer if len(i.dims) == 2}


def with_foreign_weight(model: Any, other: Any) -> Iterator[Any]:
    """Yield the model with one matrix replaced by that of another checkpoint of the same architecture, for each."""
    from onnx import ModelProto, numpy_helper

    ours, theirs = matrices(model), matrices(other)
    for (name, mine), foreign in zip(ours.items(), theirs.values(), strict=True):
        if mine.shape != foreign.shape or np.array_equal(mine, foreign):
            continue
        changed = ModelProto()
        changed.CopyFrom(model)
        place = next(i for i in changed.graph.initializer if i.name == name)
        place.CopyFrom(numpy_helper.from_array(foreign, name))
        yield changed


def with_half_last_layer(model: Any) -> Any:
    """Return the model whose last Gemm or MatMul takes, holds and gives float16."""
    from onnx import ModelProto, TensorProto, helper, numpy_helper

    changed = ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    place, last = [(i, n) for i, n in enumerate(graph.node) if n.op_type in ("Gemm", "MatMul")][-1]
    for weight in graph.initializer:
        if weight.name in last.input:
            half = numpy_helper.to_array(weight).astype(np.float16).astype(np.float32)
            weight.CopyFrom(numpy_helper.from_array(half, weight.name))
    source, target = last.input[0], last.output[0]
    last.input[0], last.output[0] = "half_in", "half_out"
    before = [
        helper.make_node("Cast", [source], ["half_in_16"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["half_in_16"], ["half_in"], to=TensorProto.FLOAT),
    ]
    after = [
        helper.make_node("Cast", ["half_out"], ["half_out_16"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["half_out_16"], [target], to=TensorProto.FLOAT),
    ]
    nodes = [*graph.node[:place], *before, last, *after, *graph.node[place + 1 :]]
    copies = []
    for node in nodes:
        copy = type(node)()
        copy.CopyFrom(node)
        copies.append(copy)
    del graph.node[:]
    graph.node.extend(copies)
    return changed
