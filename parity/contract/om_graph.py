"""What an OM's nodes tell: the precision class that they compute in, modes, what was fused, which input is unused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from parity.om.model import OmDesc, OmModel, OmNode

# From high to low, as in `parity.contract.onnx_graph`.
PRECISIONS = ("float32", "float16", "bfloat16", "int8")
_CLASS = {"float16": "float16", "bfloat16": "bfloat16", "complex32": "float16"}
_INT8 = ("int8", "int4", "int2", "uint2", "uint1", "hifloat8", "float8", "float6", "float4")
_MOVES = ("Data", "RefData", "AippData", "Const", "Constant", "FileConstant", "NetOutput", "Send", "Recv", "Variable")


def class_of(dtype: str) -> str | None:
    """Return the class below float32 that a type belongs to; None for float32, integers that count, masks."""
    return "int8" if dtype.startswith(_INT8) else _CLASS.get(dtype)


def precision(model: OmModel) -> tuple[str, dict[str, str]]:
    """Return the lowest precision class that values pass through, and the first node of each class.

    A class counts wherever a tensor between nodes, a constant, an input or an output is of it. 8-bit integers without a
    sign do not: pictures are such.
    """
    found: dict[str, str] = {}
    for name, dtype in _tensors(model):
        low = class_of(dtype)
        if low is not None:
            found.setdefault(low, name)
    return max(found, key=PRECISIONS.index, default="float32"), found


def _tensors(model: OmModel) -> Iterator[tuple[str, str]]:
    computing = working(model)  # first, so that a class is said to come in where something is computed in it
    ids = {id(n) for n in computing}
    for node in (*computing, *(n for n in model.nodes if id(n) not in ids)):
        for desc in (*node.input_descs, *node.output_descs):
            yield node.name, desc.dtype
    for constant in model.constants.values():
        yield constant.name, constant.dtype
    for port in (*model.inputs, *model.outputs):
        yield port.name, port.dtype


def working(model: OmModel) -> list[OmNode]:
    """Return the nodes that compute something: not inputs, constants, outputs or marks for streams."""
    return [n for n in model.nodes if n.type not in _MOVES and (n.input_descs or n.output_descs)]


def dtype_of(node: OmNode) -> str:
    """Return the type that a node gives: its first output's, else its first input's."""
    descs: Sequence[OmDesc] = (*node.output_descs, *node.input_descs)
    return descs[0].dtype if descs else "undefined"


def node_dtypes(nodes: Sequence[OmNode]) -> dict[str, int]:
    """Return how many nodes give each type, the most first."""
    return dict(Counter(dtype_of(n) for n in nodes).most_common())


def node_modes(nodes: Sequence[OmNode]) -> dict[str, int]:
    """Return how many nodes are implemented in each mode, the most first; nothing where the file tells none."""
    return dict(Counter(mode for n in nodes for mode in n.modes).most_common())


def node_table(nodes: Sequence[OmNode]) -> list[dict[str, Any]]:
    """Return a JSON-able row for each node: name, type, dtype, its modes and the source's nodes that it came from."""
    return [
        {"name": n.name, "type": n.type, "dtype": dtype_of(n), "modes": list(n.modes), "sources": list(n.source_nodes)}
        for n in nodes
    ]


def fused(nodes: Sequence[OmNode]) -> list[OmNode]:
    """Return the nodes that more than one of the source model's went into."""
    return [n for n in nodes if len(n.source_nodes) > 1]


def random_ops(model: OmModel) -> list[str]:
    """Return the nodes that draw noise, each as its type and name; of another framework's node its own type."""
    drawing = set(model.random_ops)
    return [f"{_own_type(n)} {n.name}" for n in model.nodes if n.name in drawing]


def _own_type(node: OmNode) -> str:
    told = node.attributes.get("original_type")
    return told if isinstance(told, str) and told else node.type


def unused_inputs(model: OmModel) -> list[str]:
    """Return the inputs that no node reads."""
    read = {i.rpartition(":")[0] for n in model.nodes for i in n.inputs}
    data = {n.name for n in model.nodes if n.type in ("Data", "AippData", "RefData")}
    return [t.name for t in model.inputs if t.name in data and t.name not in read]
