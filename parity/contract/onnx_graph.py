"""What an ONNX graph does, told from its nodes: what its outputs depend on, randomness, precision, baked sizes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from parity.checkpoint.onnx_constants import Constants
from parity.checkpoint.onnx_data import dtype_name
from parity.errors import ArtifactError

RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
# Operators that compute on integers, or read weights from fewer bits. The contrib ones are ONNX Runtime's.
QUANTIZED = (
    *(
        "QLinear",
        "QGemm",
        "QAttention",
        "QMoE",
        "QEmbed",
        "QOrdered",
        "MatMulInteger",
        "ConvInteger",
        "DynamicQuantize",
    ),
    *("QuantizeLinear", "DequantizeLinear", "MatMulNBits", "MatMulBnb4", "MatMulFpQ4", "GatherBlockQuantized"),
)
# From high to low. A class that is not among these (float64) is none to be judged by.
PRECISIONS = ("float32", "float16", "bfloat16", "int8")
_CLASS = {"float16": "float16", "bfloat16": "bfloat16"}
_TYPED = {"Cast": "to", "RandomNormal": "dtype", "RandomUniform": "dtype", "EyeLike": "dtype", "QuantizeLinear": ""}
MAX_NESTING = 20


class Graph:
    """A model's nodes in reach of its outputs, those of subgraphs and functions that they use included.

    Raises:
        ArtifactError: a node or output reads a tensor that nothing produces.
    """

    def __init__(self, path: Path, model: Any) -> None:
        self._path = path
        self.graph = model.graph
        self.functions = {(f.domain, f.name): f for f in model.functions}
        self._check_names()
        self.live_names = self._reached()
        self.nodes = [n for n in self.graph.node if any(o in self.live_names for o in n.output if o)]

    def all_nodes(self) -> Iterator[Any]:
        """Yield the nodes in reach of the outputs, then those inside of them."""
        yield from self._nested(self.nodes, 0, set())

    def _nested(self, nodes: Iterable[Any], depth: int, entered: set[tuple[str, str]] | None) -> Iterator[Any]:
        """Yield nodes and those of their subgraphs; with ``entered`` also each function's, once however often used."""
        if depth > MAX_NESTING:
            raise ArtifactError(f"{self._path}: subgraphs nested deeper than {MAX_NESTING}")
        for node in nodes:
            yield node
            for attribute in node.attribute:
                for graph in (attribute.g, *attribute.graphs) if attribute.type in (5, 10) else ():
                    yield from self._nested(graph.node, depth + 1, entered)
            key = (node.domain, node.op_type)
            if entered is not None and key in self.functions and key not in entered:
                entered.add(key)
                yield from self._nested(self.functions[key].node, depth + 1, entered)

    def _check_names(self) -> None:
        """Refuse a tensor that nothing produces. Order is free: onnxruntime's float16 converter breaks it too."""
        known = {i.name for i in self.graph.input} | {t.name for t in self.graph.initializer}
        known |= {t.values.name for t in self.graph.sparse_initializer}
        known |= {name for node in self.graph.node for name in node.output}  # whatever their order: see below
        for node in self.graph.node:
            for name in node.input:
                if name and name not in known:
                    self._dangling(f"the node {node.name or node.op_type!r} reads {name!r}")
        for output in self.graph.output:
            if output.name not in known:
                self._dangling(f"the output {output.name!r}")

    def _dangling(self, what: str) -> None:
        raise ArtifactError(
            f"{self._path}: {what}, which nothing in the graph produces",
            expected="a graph in which every tensor is an input, an initializer or the result of a node",
            remedy="it is truncated or corrupt: export or fetch it again",
        )

    def _reached(self) -> set[str]:
        """Return the names of all tensors that some output depends on."""
        producers = {name: node for node in self.graph.node for name in node.output if name}
        reached: set[str] = set()
        pending = [o.name for o in self.graph.output]
        while pending:
            name = pending.pop()
            if name in reached:
                continue
            reached.add(name)
            node = producers.get(name)
            if node is not None:
                pending.extend(i for n in self._nested([node], 0, None) for i in n.input if i)
        return reached


def random_ops(graph: Graph, constants: Constants) -> list[str]:
    """Return the operators that draw random numbers, each as its type and name, in the graph's order."""
    found = []
    for node in graph.all_nodes():
        if node.op_type in RANDOM or (node.op_type == "Dropout" and _drops(node, constants)):
            found.append(f"{node.op_type} {node.name}".strip())
    return found


def _drops(node: Any, constants: Constants) -> bool:
    """Whether a Dropout is active: training_mode (opset 12) is not known to be false, or is_test (before 7) is 0."""
    if len(node.input) > 2 and node.input[2]:
        return node.input[2] not in constants or bool(constants.array(node.input[2]).any())
    tested = [a.i for a in node.attribute if a.name == "is_test"]
    return bool(tested) and tested[0] == 0


def training_norms(graph: Graph) -> list[str]:
    """Return the names of BatchNormalization nodes that normalize by the batch at hand (training_mode)."""
    return [
        n.name or n.output[0]
        for n in graph.all_nodes()
        if n.op_type == "BatchNormalization" and any(a.name == "training_mode" and a.i for a in n.attribute)
    ]


def quantized_ops(graph: Graph) -> dict[str, int]:
    """Return how many operators of each type compute on integers or on weights of few bits."""
    counts: dict[str, int] = {}
    for node in graph.all_nodes():
        if node.op_type.startswith(QUANTIZED):
            counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return counts


def precision(graph: Graph, constants: Constants) -> tuple[str, dict[str, str]]:
    """Return the lowest precision class that the outputs depend on, and by which tensor or operator each class came in.

    A class counts wherever values pass through it: a Cast to float16, computing in it, and float16 storage of weights
    alone (the values were rounded, whatever computes on them afterwards), an input or output of it. int8 is every
    quantized operator, and float8 or 4-bit tensors. float64 counts as float32.
    """
    found: dict[str, str] = {}

    def note(dtype: str | None, where: str) -> None:
        if dtype is None:
            return
        low = "int8" if dtype.startswith(("float8", "float4")) or dtype in ("int4", "uint4") else _CLASS.get(dtype)
        if low is not None:
            found.setdefault(low, where)

    for name, tensor, _ in constants.tensors():
        if name in graph.live_names:
            note(dtype_name(tensor.data_type), name)
    for value in (*graph.graph.input, *graph.graph.output):
        if value.name in graph.live_names:
            note(dtype_name(value.type.tensor_type.elem_type), value.name)
    for node in graph.all_nodes():
        for attribute in node.attribute:
            if attribute.name == _TYPED.get(node.op_type):
                note(dtype_name(attribute.i), f"{node.op_type} {node.name or node.output[0]}")
            elif attribute.type == 4:
                note(dtype_name(attribute.t.data_type), node.name or node.output[0])
        if node.op_type.startswith(QUANTIZED):
            found.setdefault("int8", f"{node.op_type} {node.name or node.output[0]}")
    lowest = max(found, key=PRECISIONS.index, default="float32")
    return lowest, found


def baked_batch(graph: Graph, constants: Constants, dynamic: Iterable[str]) -> Iterator[tuple[str, str, list[int]]]:
    """Yield (operator, node, sizes) where a size is written into the graph although the batch is declared dynamic.

    Looked for on the way from the inputs called ``dynamic``: a Reshape to sizes that are all fixed, or to one row; a
    recurrent layer whose initial state is a constant.
    """
    reached = set(dynamic)
    for node in graph.nodes:
        if node.op_type in ("Shape", "Size", "Constant") or not any(i in reached for i in node.input):
            continue
        reached.update(o for o in node.output if o)
        label = node.name or node.output[0]
        if node.op_type == "Reshape" and len(node.input) > 1 and node.input[0] in reached:
            target = constants.value(node.input[1])
            sizes = [] if target is None or target.size > 64 else [int(v) for v in target.reshape(-1)]
            if sizes and (all(s > 0 for s in sizes) or (len(sizes) == 2 and sizes == [1, -1])):
                yield "Reshape", label, sizes
        if node.op_type in ("LSTM", "GRU", "RNN"):
            for state in node.input[5:7]:
                if state in constants:
                    yield node.op_type, label, list(constants.shape(state))
