"""Constants of an ONNX graph: initializers, Constant nodes, and what a few simple operators make of them.

Exporters leave ``std + eps`` either folded into one initializer or as an Add of two; both are the same constant.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from parity.checkpoint.onnx_data import Span, external_span, tensor_array
from parity.checkpoint.onnx_file import OnnxFile
from parity.errors import ArtifactError

if TYPE_CHECKING:
    from parity.tensor import Array

MAX_ELEMENTS = 1 << 20  # of constants that are evaluated: normalizers are small
MAX_DEPTH = 12


class Constants:
    """The constants of a model's main graph, evaluated when asked for."""

    def __init__(self, file: OnnxFile) -> None:
        self._file = file
        self._tensors: dict[str, tuple[Any, Span | None]] = {t.name: (t, s) for t, s in file.initializers()}
        self._nodes: dict[str, Any] = {}
        for node in file.model.graph.node:
            if node.op_type == "Constant":
                value = next((a.t for a in node.attribute if a.name == "value" and a.type == 4), None)
                if value is not None and node.output:
                    span = external_span(file.path, value) if value.data_location == 1 else None
                    self._tensors.setdefault(node.output[0], (value, span))
            elif node.op_type in _EVALUATED and not node.domain and len(node.output) == 1:
                self._nodes[node.output[0]] = node

    def tensors(self) -> Iterator[tuple[str, Any, Span | None]]:
        """Yield the name, TensorProto and place of each initializer and Constant."""
        for name, (tensor, span) in self._tensors.items():
            yield name, tensor, span

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an initializer or Constant."""
        return tuple(self._tensors[name][0].dims)

    def array(self, name: str) -> Array:
        """Return the values of an initializer or Constant, whatever its size.

        Raises:
            ArtifactError: its bytes do not fit its shape.
        """
        tensor, span = self._tensors[name]
        return tensor_array(self._file.path, tensor, span)

    def value(self, name: str, depth: int = 0) -> Array | None:
        """Return the value of a tensor that depends on no input; None where it does, or is large or unusual."""
        import numpy as np

        if name in self._tensors:
            tensor, _ = self._tensors[name]
            if math.prod(tensor.dims) > MAX_ELEMENTS or tensor.data_type not in (
                1,
                6,
                7,
                10,
                11,
            ):
                return None
            try:
                return self.array(name)
            except ArtifactError:
                return None
        node = self._nodes.get(name)
        if node is None or depth > MAX_DEPTH:
            return None
        values = [self.value(i, depth + 1) for i in node.input if i]
        if not values or any(v is None for v in values):
            return None
        with np.errstate(all="ignore"):
            try:
                result = _evaluate(node.op_type, [v for v in values if v is not None])
            except (ValueError, TypeError):
                return None
        return result if result is not None and result.size <= MAX_ELEMENTS else None

    def used_by(self, name: str, depth: int = 0) -> tuple[str, ...]:
        """Return the initializers and Constants that a constant is made of, itself if it is one."""
        if name in self._tensors:
            return (name,)
        node = self._nodes.get(name)
        if node is None or depth > MAX_DEPTH:
            return ()
        return tuple(dict.fromkeys(u for i in node.input for u in self.used_by(i, depth + 1)))


def _evaluate(op: str, values: list[Array]) -> Array | None:
    """Return what an elementwise operator makes of constants; None where it is used in an unusual way."""
    import numpy as np

    first, rest = values[0], values[1:]
    if op in _UNARY or op in _BINARY:
        if len(rest) != (op in _BINARY):
            return None
        name = {"Sub": "subtract", "Mul": "multiply", "Div": "divide", "Neg": "negative", "Pow": "power"}.get(
            op, op.lower()
        )
        result: Array = first if op == "Identity" else getattr(np, name)(*values)
        return result.astype(first.dtype)
    if op == "Max":
        largest: Array = np.maximum.reduce(np.broadcast_arrays(*values))
        return largest
    if op == "Clip":
        return np.clip(first, rest[0] if rest else None, rest[1] if len(rest) > 1 else None)
    return first if first.dtype.kind == "f" else None  # Cast: the precision of constants does not matter here


_UNARY = {"Sqrt", "Reciprocal", "Neg", "Identity"}
_BINARY = {"Add", "Sub", "Mul", "Div", "Pow"}
_EVALUATED = _UNARY | _BINARY | {"Max", "Clip", "Cast"}
