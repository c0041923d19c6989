"""Whether the texts of an ONNX model are text: protobuf returns what is not UTF-8 as bytes, which no code expects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from parity.errors import ArtifactError

MAX_NESTING = 20


def check_texts(path: Path, model: Any) -> None:
    """Check every name of a model that parity reads.

    Raises:
        ArtifactError: one is not UTF-8, or graphs nest deeper than 20.
    """
    texts = _model_texts(path, model)
    if not all(isinstance(text, str) for text in texts):
        raise ArtifactError(
            f"{path}: a name in the graph is not UTF-8 text",
            expected="an ONNX model",
            remedy="it is truncated or corrupt: export or fetch it again",
        )


def _model_texts(path: Path, model: Any) -> Iterator[Any]:
    yield from (model.producer_name, model.producer_version)
    yield from (o.domain for o in model.opset_import)
    for prop in model.metadata_props:
        yield from (prop.key, prop.value)
    for function in model.functions:
        yield from (function.name, function.domain)
        yield from _node_texts(path, function.node, 0)
    yield from _graph_texts(path, model.graph, 0)


def _graph_texts(path: Path, graph: Any, depth: int) -> Iterator[Any]:
    if depth > MAX_NESTING:
        raise ArtifactError(f"{path}: subgraphs nested deeper than {MAX_NESTING}")
    for value in (*graph.input, *graph.output):
        yield value.name
        yield from (d.dim_param for d in value.type.tensor_type.shape.dim)
    for tensor in graph.initializer:
        yield tensor.name
        for entry in tensor.external_data:
            yield from (entry.key, entry.value)
    yield from (t.values.name for t in graph.sparse_initializer)
    yield from _node_texts(path, graph.node, depth)


def _node_texts(path: Path, nodes: Any, depth: int) -> Iterator[Any]:
    for node in nodes:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for prop in node.metadata_props:
            yield from (prop.key, prop.value)
        for attribute in node.attribute:
            yield attribute.name
            for graph in (attribute.g, *attribute.graphs) if attribute.type in (5, 10) else ():
                yield from _graph_texts(path, graph, depth + 1)
