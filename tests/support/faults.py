"""Plants small faults into real ONNX policies: what a careless export or a wrong wrapper does to one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Edit = Callable[[onnx.ModelProto], None]


def write(source: Path, target: Path, edit: Edit) -> Path:
    """Write ``source`` with ``edit`` made to it."""
    model = onnx.load(str(source))
    edit(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(target))
    return target


def width(model: onnx.ModelProto) -> int:
    """Return the number of action dimensions."""
    return int(model.graph.output[0].type.tensor_type.shape.dim[-1].dim_value)


def after(model: onnx.ModelProto, op: str, *constants: np.ndarray, **attributes: object) -> None:
    """Put a node behind the output, keeping the output's name."""
    graph, name = model.graph, model.graph.output[0].name
    for node in graph.node:
        for i, output in enumerate(node.output):
            if output == name:
                node.output[i] = "before_fault"
    inputs = ["before_fault"]
    for i, constant in enumerate(constants):
        graph.initializer.append(numpy_helper.from_array(constant, f"fault_{i}"))
        inputs.append(f"fault_{i}")
    graph.node.append(helper.make_node(op, inputs, [name], name="fault", **attributes))


def sign(joint: int) -> Edit:
    """Flip the sign of one joint."""

    def edit(model: onnx.ModelProto) -> None:
        gain = np.ones(width(model), dtype=np.float32)
        gain[joint] = -1
        after(model, "Mul", gain)

    return edit


def bias(joint: int, value: float = 0.15) -> Edit:
    """Add 8.6 degrees to one joint."""

    def edit(model: onnx.ModelProto) -> None:
        offset = np.zeros(width(model), dtype=np.float32)
        offset[joint] = value
        after(model, "Add", offset)

    return edit


def swap(a: int, b: int) -> Edit:
    """Swap two joints."""

    def edit(model: onnx.ModelProto) -> None:
        order = np.arange(width(model))
        order[[a, b]] = order[[b, a]]
        after(model, "Gather", order, axis=1)

    return edit


def constant(model: onnx.ModelProto) -> None:
    """Give the same action whatever the observation."""
    gain = np.zeros(width(model), dtype=np.float32)
    after(model, "Mul", gain)


def replace(name: str, values: np.ndarray) -> Edit:
    """Take one weight tensor from elsewhere."""

    def edit(model: onnx.ModelProto) -> None:
        for i, tensor in enumerate(model.graph.initializer):
            if tensor.name == name:
                model.graph.initializer[i].CopyFrom(numpy_helper.from_array(values, name))

    return edit


def last_layer_float16(model: onnx.ModelProto) -> None:
    """Compute the last Gemm in float16."""
    graph = model.graph
    last = [n for n in graph.node if n.op_type == "Gemm"][-1]
    result = last.output[0]
    weights = {t.name: i for i, t in enumerate(graph.initializer)}
    for name in list(last.input)[1:]:
        half = numpy_helper.to_array(graph.initializer[weights[name]]).astype(np.float16)
        graph.initializer.append(numpy_helper.from_array(half, f"{name}_half"))
        last.input[list(last.input).index(name)] = f"{name}_half"
    into = helper.make_node("Cast", [last.input[0]], ["half_in"], to=TensorProto.FLOAT16)
    back = helper.make_node("Cast", ["half_out"], [result], to=TensorProto.FLOAT)
    last.input[0], last.output[0] = "half_in", "half_out"
    position = list(graph.node).index(last)
    graph.node.insert(position, into)
    graph.node.insert(position + 2, back)


def matrices(path: Path) -> dict[str, np.ndarray]:
    """Return the weight matrices of a policy."""
    model = onnx.load(str(path))
    arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    return {n: a for n, a in arrays.items() if a.ndim == 2}


def to_float16(source: Path, target: Path) -> Path:
    """Convert a policy to float16 as onnxruntime's own converter does, inputs and outputs kept float32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(str(source)), keep_io_types=True), str(target))
    return target


def to_int8(source: Path, target: Path) -> Path:
    """Quantize a policy dynamically to int8 as onnxruntime's own quantizer does.

    Unsigned weights: with signed ones the kernels saturate on x86 without VNNI (PREC004; ogre_15af4916 then has an RMS
    ratio of 0.115 instead of 0.005), so that a right pair would pass or fail by the machine that tests it.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(str(source), str(target), weight_type=QuantType.QUInt8)
    return target


def chunked(source: Path, target: Path, *, steps: int = 16, shift: int = 0) -> Path:
    """Make a policy give a chunk ``(1, T, D)``: its actions while the observation fades in, shifted by ``shift`` steps.

    Step t is the policy's action at the observation times (t + 1) / T; the steps that a shift lacks repeat the last.
    """
    model = onnx.load(str(source))
    graph = model.graph
    entry, result = graph.input[0], graph.output[0]
    gains = ((np.arange(steps) + 1) / steps).astype(np.float32)[:, None]
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == entry.name:
                node.input[i] = "faded"
        for i, name in enumerate(node.output):
            if name == result.name:
                node.output[i] = "rows"
    order = np.clip(np.arange(steps) + shift, 0, steps - 1)
    graph.initializer.append(numpy_helper.from_array(gains, "gains"))
    graph.initializer.append(numpy_helper.from_array(order, "order"))
    graph.initializer.append(numpy_helper.from_array(np.array([1, steps, width(model)]), "chunk"))
    graph.node.insert(0, helper.make_node("Mul", [entry.name, "gains"], ["faded"]))
    graph.node.append(helper.make_node("Gather", ["rows", "order"], ["shifted"], axis=0))
    graph.node.append(helper.make_node("Reshape", ["shifted", "chunk"], [result.name]))
    shape = [1, steps, width(model)]
    result.CopyFrom(helper.make_tensor_value_info(result.name, TensorProto.FLOAT, shape))
    onnx.save(model, str(target))
    return target
