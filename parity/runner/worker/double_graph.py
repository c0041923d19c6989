"""Turns a float32 ONNX graph into the same graph in float64, in memory. Needs onnx, imported when called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parity.runner.worker.protocol import Refused
else:
    from protocol import Refused

# Inputs that the ONNX operator schemas fix to float32 whatever the data's type is: (operator, input position).
FLOAT32_INPUTS = {("Resize", 2), ("Upsample", 1)}
# Operators whose arithmetic is not that of the float32 graph in a wider type.
NOT_FLOAT = (
    "Quantize",
    "Dequantize",
    "QLinear",
    "MatMulInteger",
    "ConvInteger",
    "DynamicQuantize",
    "Random",
    "Bernoulli",
)


LARGE = 1 << 14  # numbers from which on a weight is handed to the runtime as it is, and not written into the graph


def in_double(path: Path) -> tuple[Any, dict[str, Any]]:
    """Return the model at ``path`` with every float32 tensor, constant, cast and interface in float64.

    Large weights are returned beside the model, as arrays by name: in it they are named as external data. To write
    and to parse them takes several times as long as to compute with them.

    Raises:
        Refused: onnx is not installed here, or the graph computes in something else than float32.
    """
    try:
        import onnx
        from onnx import TensorProto as T
    except ImportError:
        raise Refused("run", "no float64 variant: the package onnx is not installed beside onnxruntime") from None
    model = onnx.load(str(path))
    weights = _taken_out(model.graph, T)
    _convert(model.graph, T)
    for function in model.functions:
        for node in function.node:
            _convert_node(node, T)
    return model, weights


def put_back(model: Any, weights: dict[str, Any]) -> None:
    """Write the weights that `in_double` returned beside the model into it."""
    from onnx import numpy_helper

    for tensor in model.graph.initializer:
        if tensor.name in weights:
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))


def _taken_out(graph: Any, t: Any) -> dict[str, Any]:
    """Return the large float32 weights in float64, and leave their names, types and shapes in the graph."""
    import numpy as np
    from onnx import TensorProto, numpy_helper

    left = {value.name for value in graph.input} | _fixed(graph)
    weights = {}
    for tensor in graph.initializer:
        if tensor.data_type != t.FLOAT or tensor.name in left or np.prod(tensor.dims) < LARGE:
            continue
        weights[tensor.name] = numpy_helper.to_array(tensor).astype(np.float64)
        hollow = TensorProto(name=tensor.name, dims=tensor.dims, data_type=t.DOUBLE, data_location=t.EXTERNAL)
        hollow.external_data.add(key="location", value="in-memory")
        tensor.CopyFrom(hollow)
    return weights


def _fixed(graph: Any) -> set[str]:
    """Return the names that stay in float32."""
    return {
        node.input[i] for node in graph.node for op, i in FLOAT32_INPUTS if node.op_type == op and len(node.input) > i
    }


def _convert(graph: Any, t: Any) -> None:
    keep = _fixed(graph)
    for node in graph.node:
        if node.op_type.startswith(NOT_FLOAT):
            raise Refused("run", f"no float64 variant: the graph holds {node.op_type}")
        if node.op_type == "Constant" and node.output[0] in keep:
            continue
        _convert_node(node, t)
    for tensor in graph.initializer:
        if tensor.name not in keep:
            _convert_tensor(tensor, t)
    for value in [*graph.input, *graph.output]:
        if value.type.tensor_type.elem_type == t.FLOAT and value.name not in keep:
            value.type.tensor_type.elem_type = t.DOUBLE
    del graph.value_info[:]


def _convert_node(node: Any, t: Any) -> None:
    for attribute in node.attribute:
        if node.op_type in ("Cast", "EyeLike", "SequenceEmpty") and attribute.name in ("to", "dtype"):
            attribute.i = t.DOUBLE if attribute.i == t.FLOAT else attribute.i
        if attribute.HasField("t"):
            _convert_tensor(attribute.t, t)
        if node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
            _convert_number(attribute, t)
        if attribute.HasField("g"):
            _convert(attribute.g, t)
        for graph in attribute.graphs:
            _convert(graph, t)


def _convert_number(attribute: Any, t: Any) -> None:
    """Replace a Constant's ``value_float`` or ``value_floats`` (float32 by definition) by a float64 tensor."""
    from onnx import AttributeProto, helper

    one = attribute.name == "value_float"
    values = [attribute.f] if one else list(attribute.floats)
    tensor = helper.make_tensor("", t.DOUBLE, [] if one else [len(values)], values)
    attribute.Clear()
    attribute.name, attribute.type = "value", AttributeProto.TENSOR
    attribute.t.CopyFrom(tensor)


def _convert_tensor(tensor: Any, t: Any) -> None:
    import numpy as np
    from onnx import numpy_helper

    if tensor.data_type == t.FLOAT:
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), name))
