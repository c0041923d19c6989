"""A copy of an ONNX graph in which chosen values are rounded to float16 and back, as a device would hold them."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from parity.localize.onnx_graph import NOT_TENSORS, OnnxFile

SHAPE_OPS = frozenset({"Shape", "Size"})  # what they give follows from shapes: a compiler folds it
BY_SHAPE = {"Resize": 1, "Upsample": 1}  # only the first inputs of these hold a policy's numbers
SMALL = 1 << 10  # elements: shapes and axes, which inference follows
HALF, FULL = 10, 1  # TensorProto.DataType (onnx.proto)
MARK = "::float16"


def floating(file: OnnxFile) -> frozenset[str]:
    """Return the names of all float32 values of the main graph, as far as inference tells: inputs and weights too."""
    graph = _inferred(file)
    told = [i.name for i in (*graph.value_info, *graph.output, *graph.input) if i.type.tensor_type.elem_type == FULL]
    stored = [t.name for t in file.model.graph.initializer if t.data_type == FULL]
    return frozenset((*told, *stored, *_constants(file.model.graph)))


def untyped(file: OnnxFile) -> tuple[str, ...]:
    """Return the values made from what the inputs hold whose type inference does not tell (operators of a runtime)."""
    graph = _inferred(file)
    known = {i.name for i in (*graph.value_info, *graph.output) if i.type.WhichOneof("value")}
    alive = moving(file)
    nodes = [n for n in file.model.graph.node if n.op_type not in NOT_TENSORS]
    return tuple(o for n in nodes for o in n.output if o in alive and o not in known)


def _inferred(file: OnnxFile) -> Any:
    """Return the graph with the types of its values; large weights are given as inputs, which costs no copy of them."""
    import onnx

    graph = file.model.graph
    light = onnx.ModelProto(ir_version=file.model.ir_version, opset_import=file.model.opset_import)
    light.functions.extend(file.model.functions)
    for part in ("node", "input", "output", "value_info"):
        getattr(light.graph, part).extend(getattr(graph, part))
    listed = {i.name for i in graph.input}
    for tensor in graph.initializer:
        if math.prod(tensor.dims) <= SMALL:
            light.graph.initializer.append(tensor)
        elif tensor.name not in listed:
            info = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            light.graph.input.append(info)
    try:
        return onnx.shape_inference.infer_shapes(light, data_prop=True).graph
    except (RuntimeError, ValueError, TypeError):  # inference is a help, not a need
        return light.graph


def _constants(graph: Any) -> list[str]:
    nodes = [n for n in graph.node if n.op_type == "Constant"]
    return [n.output[0] for n in nodes if any(a.name == "value" and a.t.data_type == FULL for a in n.attribute)]


def moving(file: OnnxFile) -> frozenset[str]:
    """Return the names of the values that depend on what the inputs hold, not only on their shapes."""
    graph = file.model.graph
    stored = {t.name for t in graph.initializer}
    found = {i.name for i in graph.input if i.name not in stored}
    for node in graph.node:
        if node.op_type not in SHAPE_OPS and any(n in found for n in node.input):
            found.update(o for o in node.output if o)
    return frozenset(found)


def lowerable(file: OnnxFile) -> tuple[str, ...]:
    """Return the float32 values that a device may hold in float16, in the order of computation."""
    floats, alive = floating(file), moving(file)
    made = [o for node in file.model.graph.node for o in node.output]
    return tuple(o for o in made if o in floats and o in alive)


def rounded(file: OnnxFile, lowered: Collection[str], inner: Collection[str] = ()) -> OnnxFile:
    """Return a copy of the graph in which the operations that give the values called ``lowered`` are in float16.

    What they take and what they give is rounded, but for the values ``inner`` of fused operations. What does not depend
    on the inputs is computed in float32 and rounded where it is used, as a compiler folds it. The bodies of loops and
    branches are left as they are.
    """
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(file.model)
    stored = {t.name for t in model.graph.initializer}
    floats, chosen = floating(file), frozenset(lowered)
    whole = chosen | frozenset(inner)
    nodes: list[Any] = []
    done: set[str] = set()
    for node in model.graph.node:
        if not chosen.isdisjoint(node.output):
            for i, name in enumerate(node.input):
                if name not in floats or name in whole or i >= BY_SHAPE.get(node.op_type, len(node.input)):
                    continue
                if name not in done:
                    nodes += [] if name in stored else _casts(name, name + MARK)
                    done.add(name)
                node.input[i] = name + MARK
        nodes.append(node)
        for i, name in enumerate(node.output):
            if name in chosen and name not in inner:
                node.output[i] = f"{name}{MARK}-before"
                nodes += _casts(f"{name}{MARK}-before", name)
    kept = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    _round_stored(model.graph, done & stored)
    return replace(file, model=model)


def _round_stored(graph: Any, names: Collection[str]) -> None:
    """Add the stored tensors called ``names`` rounded, and take out those that nothing needs any more."""
    from onnx import numpy_helper

    inside = any(a.HasField("g") or a.graphs for node in graph.node for a in node.attribute)
    needed = {n for node in graph.node for n in node.input} | {o.name for o in graph.output}
    for i in reversed(range(len(graph.initializer))):
        tensor = graph.initializer[i]
        if tensor.name not in names:
            continue
        with np.errstate(over="ignore"):
            half = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
        if inside or tensor.name in needed:
            graph.initializer.append(numpy_helper.from_array(half, tensor.name + MARK))
        else:
            tensor.CopyFrom(numpy_helper.from_array(half, tensor.name + MARK))


def _casts(name: str, to: str) -> list[Any]:
    from onnx import helper

    half = f"{to}-half"
    down = helper.make_node("Cast", [name], [half], name=half, to=HALF)
    return [down, helper.make_node("Cast", [half], [to], name=f"{to}-full", to=FULL)]
