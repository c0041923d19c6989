"""The weights of an ONNX model: initializers (also in external data), and Constant nodes.

Integers that stand for weights carry their scale and zero point (QDQ, QLinear operators, ONNX Runtime's dynamic
quantization), so that they can be compared as the numbers they mean.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from parity.checkpoint.onnx_constants import Constants
from parity.checkpoint.onnx_data import dtype_name, tensor_array
from parity.checkpoint.onnx_file import OnnxFile, open_onnx
from parity.checkpoint.onnx_normalizer import entry_normalizers
from parity.checkpoint.weight import Quantization, Weight, is_statistics

# Operator: positions of (values, scale, zero point) among its inputs.
_QUANTIZED: dict[str, tuple[tuple[int, int, int], ...]] = {
    "DequantizeLinear": ((0, 1, 2),),
    "QLinearMatMul": ((3, 4, 5),),
    "QLinearConv": ((3, 4, 5),),
    "QGemm": ((3, 4, 5),),
    "DynamicQuantizeMatMul": ((1, 2, 3),),
    "MatMulIntegerToFloat": ((1, 3, 5),),
}
_SUFFIX = "_quantized"  # ONNX Runtime's dynamic quantization: W_quantized, W_scale, W_zero_point


def read_onnx_weights(path: str | Path) -> dict[str, Weight]:
    """Return the tensors of an ONNX model by name, none of them read yet; without texts, and scales of other tensors.

    A Constant node's tensor is called like its output. Constants of a normalizer at the graph's entry are marked.

    Raises:
        ArtifactError: as `open_onnx`.
    """
    return onnx_weights(open_onnx(path))


def onnx_weights(file: OnnxFile) -> dict[str, Weight]:
    """Return the tensors of an opened ONNX model by name. See `read_onnx_weights`."""
    constants = Constants(file)
    statistics = {name for n in entry_normalizers(file.model.graph, constants) for name in n.constants}
    scales = _quantizations(file.model.graph, constants)
    companions = {part for parts in scales.values() for part in parts[:2]}
    found: dict[str, Weight] = {}
    for name, tensor, span in constants.tensors():
        dtype = dtype_name(tensor.data_type)
        if dtype in (None, "str") or name in companions:
            continue
        weight = Weight(
            name,
            tuple(tensor.dims),
            str(dtype),
            partial(tensor_array, file.path, tensor, span),
            statistics=name in statistics or is_statistics(name),
        )
        if name in scales:
            scale, zero, axis = scales[name]
            how = Quantization(partial(constants.array, scale), partial(constants.array, zero) if zero else None, axis)
            weight = replace(weight, quantization=how)
        found[name] = weight
    return found


def _quantizations(graph: Any, constants: Constants) -> dict[str, tuple[str, str, int | None]]:
    """Return (scale, zero point, axis) by the name of each constant that is quantized."""
    found: dict[str, tuple[str, str, int | None]] = {}
    for node in graph.node:
        for at, scale, zero in _QUANTIZED.get(node.op_type, ()):
            names = [node.input[i] if i < len(node.input) else "" for i in (at, scale, zero)]
            if names[0] in constants and names[1] in constants:
                found[names[0]] = (names[1], names[2] if names[2] in constants else "", _axis(node))
    for name, _, _ in constants.tensors():
        if name.endswith(_SUFFIX) and name not in found:
            stem = name.removesuffix(_SUFFIX)
            if f"{stem}_scale" in constants:
                zero_name = f"{stem}_zero_point"
                found[name] = (f"{stem}_scale", zero_name if zero_name in constants else "", None)
    return found


def _axis(node: Any) -> int | None:
    """Return the axis along which an operator has several scales; None: the last."""
    given = {a.name: a.i for a in node.attribute}
    if node.op_type == "QGemm":
        return 0 if given.get("transB") else 1
    usual = {"QLinearConv": 0, "DequantizeLinear": 1}
    return given.get("axis", usual.get(node.op_type))
