"""ONNX models: names, shapes, element types and roles of inputs and outputs; opset, metadata, precision, normalizer.

The graph is read, never run. Format: onnx.proto, https://github.com/onnx/onnx/blob/main/docs/IR.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from parity.artifact import Artifact
from parity.checkpoint.finite import finite_finding
from parity.checkpoint.onnx import onnx_weights
from parity.checkpoint.onnx_constants import Constants
from parity.checkpoint.onnx_data import dtype_name
from parity.checkpoint.onnx_file import OnnxFile, open_onnx
from parity.checkpoint.onnx_normalizer import EntryNormalizer, entry_normalizers
from parity.contract.model import Contract
from parity.contract.onnx_findings import graph_findings
from parity.contract.onnx_graph import Graph, precision, quantized_ops, random_ops
from parity.contract.onnx_metadata import ACTION_NAMES, OBSERVATION_NAMES, parsed, with_elements
from parity.contract.roles import input_role, output_roles
from parity.finding import Finding
from parity.tensor import Dim, Range, Shape, TensorSpec


class OnnxReader:
    """Reads ONNX models."""

    rank = 10

    def matches(self, artifact: Artifact) -> bool:
        """Whether the artifact is an ONNX model."""
        return artifact.kind == "onnx"

    def read(self, artifact: Artifact) -> Contract:
        """Return the contract of an ONNX model.

        Raises:
            ArtifactError: truncated, corrupt, without outputs, with a tensor that nothing produces, or with external
                data that is missing, too short or outside of the model's folder.
        """
        file = open_onnx(artifact.path)
        constants = Constants(file)
        graph = Graph(file.path, file.model)
        normalizers = {n.input: n for n in entry_normalizers(file.model.graph, constants)}
        lowest, came_in_by = precision(graph, constants)
        props = {p.key: parsed(p.value) for p in file.model.metadata_props}
        inputs = [_input(file.path, v, normalizers) for v in file.model.graph.input if v.name not in constants]
        outputs = list(output_roles([_spec(v) for v in file.model.graph.output]))
        findings: list[Finding] = list(graph_findings(graph, constants, inputs, outputs))
        findings += [f for f in (finite_finding(onnx_weights(file).values()),) if f is not None]
        return Contract(
            path=file.path,
            kind="onnx",
            inputs=tuple(with_elements(inputs, "state", OBSERVATION_NAMES, props)),
            outputs=tuple(with_elements(outputs, "action", ACTION_NAMES, props)),
            complete=all(t.shape is not None for t in (*inputs, *outputs)),
            precision=lowest,
            metadata={
                **_producer(file),
                "metadata_props": props,
                "random_ops": random_ops(graph, constants),
                "quantization": quantized_ops(graph),
                "precision_from": came_in_by,
                "normalizer": {name: list(n.constants) for name, n in normalizers.items()},
                "external_data": _external(file),
                "operators": dict(sorted(Counter(n.op_type for n in graph.all_nodes()).items())),
            },
            findings=tuple(findings),
        )


def _producer(file: OnnxFile) -> dict[str, Any]:
    model = file.model
    opsets = {o.domain or "ai.onnx": int(o.version) for o in model.opset_import}
    producer = f"{model.producer_name} {model.producer_version}".strip()
    return {"opset": opsets.get("ai.onnx"), "opsets": opsets, "ir_version": int(model.ir_version), "producer": producer}


def _external(file: OnnxFile) -> list[str]:
    return sorted({s.path.name for s in file.spans if s is not None and s.path != file.path})


def _spec(value: Any) -> TensorSpec:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":  # a sequence, map or optional
        return TensorSpec(value.name)
    tensor = value.type.tensor_type
    shape = tuple(_dims(tensor.shape.dim)) if tensor.HasField("shape") else None
    return TensorSpec(value.name, shape, dtype_name(tensor.elem_type), batched=bool(shape) or shape is None)


def _dims(dims: Any) -> Iterator[Dim]:
    for dim in dims:
        kind = dim.WhichOneof("value")
        yield int(dim.dim_value) if kind == "dim_value" else (dim.dim_param or None)


def _input(path: Path, value: Any, normalizers: dict[str, EntryNormalizer]) -> TensorSpec:
    spec = _spec(value)
    role = input_role(spec.name, spec.shape, spec.dtype)
    found = normalizers.get(spec.name)
    span = None if found is None or role in ("mask", "tokens") else _range(path, found, spec.shape)
    return TensorSpec(spec.name, spec.shape, spec.dtype, role, range=span, batched=spec.batched)


def _range(path: Path, found: EntryNormalizer, shape: Shape | None) -> Range | None:
    """Return what the normalizer says about where the input's values lie; None where it does not fit its shape."""
    parts = tuple(found.mean.shape)
    if shape is not None:
        trailing = shape[len(shape) - len(parts) :] if len(parts) <= len(shape) else ()
        fits = len(trailing) == len(parts) and all(
            n == 1 or not isinstance(d, int) or n == d for n, d in zip(parts, trailing, strict=True)
        )
        if not fits:
            return None
    source = f"{path}: normalizer of {found.input} ({', '.join(found.constants)})"
    mean = tuple(float(v) for v in found.mean.reshape(-1))
    std = tuple(float(v) for v in found.std.reshape(-1))
    return Range("mean_std", mean, std, parts, source)


READER = OnnxReader()
