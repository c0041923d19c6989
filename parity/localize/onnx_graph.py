"""Reads an ONNX file as a `Graph`, and writes copies of it that give intermediate values as outputs."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.errors import ArtifactError, OutputError
from parity.localize.graph import Graph, Shape, Value, canonical, parent_scopes
from parity.runner.onnxruntime import external_data

if TYPE_CHECKING:
    from parity.tensor import Array

# Operations whose results are sequences or optionals, not tensors.
NOT_TENSORS = frozenset(
    {
        "SequenceConstruct",
        "SequenceEmpty",
        "SequenceInsert",
        "SequenceErase",
        "SequenceMap",
        "SplitToSequence",
        "Optional",
    }
)
EMBEDDED = 1 << 30  # weights up to this size are written into the copy, larger ones beside it


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """An ONNX file in memory: the model with its weights, its graph, and the values known to be tensors."""

    model: Any
    graph: Graph
    typed: frozenset[str]

    def weight(self, name: str) -> Array | None:
        """Return the stored tensor called ``name``; None where the graph computes it from others."""
        from onnx import numpy_helper

        found = [t for t in self.model.graph.initializer if t.name == name]
        for node in self.model.graph.node:
            if node.op_type == "Constant" and name in node.output:
                found += [a.t for a in node.attribute if a.HasField("t")]
        if not found:
            return None
        array: Array = numpy_helper.to_array(found[0])
        return array


def read_onnx(path: Path) -> OnnxFile:
    """Return the ONNX file at ``path`` with its graph.

    Raises:
        ArtifactError: it is not readable ONNX, or its external data is missing or outside its folder.
    """
    import onnx
    from google.protobuf.message import DecodeError

    external_data(path)
    try:
        model = onnx.load(str(path))
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as e:
        raise ArtifactError(f"{path}: this is not readable ONNX ({e})", remedy="export or fetch it again") from None
    shapes = _shapes(model)
    return OnnxFile(model, _graph(model.graph, shapes), frozenset(shapes))


def write_tapped(file: OnnxFile, names: Sequence[str], path: Path) -> None:
    """Write a copy of the model whose outputs are the values called ``names``, and nothing else.

    Raises:
        OutputError: the folder cannot be written.
    """
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(file.model)
    known = {o.name: o for o in file.model.graph.output}
    del model.graph.output[:]
    for name in names:
        model.graph.output.append(known.get(name) or onnx.ValueInfoProto(name=name))
    try:
        big = model.ByteSize() > EMBEDDED
        onnx.save(model, str(path), save_as_external_data=big, location=path.name + ".data" if big else None)
    except OSError as e:
        raise OutputError(
            f"{path.parent}: cannot be written: {e.strerror or e}", remedy="free some disk space"
        ) from None


def _shapes(model: Any) -> dict[str, Shape]:
    """Return the shape of every value that inference finds to be a tensor; dims that are not numbers are None."""
    import onnx

    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except (RuntimeError, ValueError, TypeError):  # inference is a help, not a need
        inferred = model.graph
    found: dict[str, Shape] = {}
    for info in (*inferred.value_info, *inferred.output, *inferred.input):
        if info.type.HasField("tensor_type"):
            dims = info.type.tensor_type.shape.dim
            found[info.name] = tuple(d.dim_value if d.HasField("dim_value") else None for d in dims)
    return found


def _graph(graph: Any, shapes: Mapping[str, Shape]) -> Graph:
    stored = {t.name for t in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
    inputs = tuple(i.name for i in graph.input if i.name not in stored)
    moving = _moving(graph, inputs)
    origin: dict[str, str] = {}  # constants that only pass another one on
    linear_parts = _products_of_linear_layers(graph, moving)
    values: list[Value] = []
    for node in graph.node:
        fed = [n for n in node.input if n]
        if node.op_type == "Identity" and fed and fed[0] not in moving:
            origin[node.output[0]] = origin.get(fed[0], fed[0])
        if node.op_type in NOT_TENSORS or not any(o in moving for o in node.output):
            continue
        values += [
            Value(
                name=o,
                op=_op(node, linear_parts),
                node=f"{node.op_type} {node.name or o}",
                inputs=tuple(n for n in fed if n in moving),
                weights=tuple(origin.get(n, n) for n in fed if n not in moving),
                shape=shapes.get(o),
                scopes=_scopes(node),
            )
            for o in node.output
            if o
        ]
    return Graph(inputs, tuple(values))


def _moving(graph: Any, inputs: Sequence[str]) -> set[str]:
    """Return the names that depend on the inputs, or are drawn at random."""
    moving = set(inputs)
    for node in graph.node:
        if any(n in moving for n in node.input) or _random(node):
            moving.update(o for o in node.output if o)
    return moving


def _random(node: Any) -> bool:
    return str(node.op_type).startswith("Random") or node.op_type in {"Bernoulli", "Multinomial"}


def _products_of_linear_layers(graph: Any, moving: set[str]) -> Mapping[str, str]:
    """Return products of a layer that is written as MatMul then Add of a constant bias: ``{product: sum}``."""
    products = {n.output[0] for n in graph.node if n.op_type == "MatMul"}
    found = {}
    for node in graph.node:
        if node.op_type == "Add" and len(node.input) == 2:
            a, b = node.input
            product = a if a in products and b not in moving else b if b in products and a not in moving else None
            if product:
                found[product] = node.output[0]
    return found


def _op(node: Any, linear_parts: Mapping[str, str]) -> str:
    if node.op_type == "MatMul" and node.output[0] in linear_parts:
        return "LinearPart"
    if node.op_type == "Add" and node.output[0] in linear_parts.values():
        return "Linear"
    for attribute in node.attribute:
        if attribute.name == "activation" and node.op_type.startswith("Fused"):
            return canonical(attribute.s.decode("utf-8", "replace"))  # what comes out is the activation's result
    return canonical(node.op_type)


def _scopes(node: Any) -> tuple[str, ...]:
    """Return the modules that a node belongs to: by torch's metadata, or by names such as ``/actor/actor.0/Gemm``."""
    for entry in node.metadata_props:
        if entry.key == "pkg.torch.onnx.name_scopes":
            try:
                listed = ast.literal_eval(entry.value)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                return ()
            return tuple(str(s) for s in listed[:-1] if s) if isinstance(listed, list) else ()
    if not node.name.startswith("/"):
        return ()
    path: list[str] = []
    for part in node.name.strip("/").split("/")[:-1]:
        plain = re.sub(r"_\d+$", "", part)
        if path and plain.startswith(path[-1] + "."):  # a container's child repeats the container's name
            path[-1] = plain
        else:
            path.append(plain)
    return parent_scopes(".".join(path))
