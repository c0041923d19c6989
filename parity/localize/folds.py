"""A batch norm that an exporter folded into the layer before it: both are one value, as they are on the other side."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from parity.localize.graph import Graph, Value

NORM = "BatchNormalization"
BEFORE = ("Conv", "ConvTranspose", "Linear")
WEIGHTS = 2  # of a layer with a folded norm: a matrix or kernel, and a bias


def as_folded(graph: Graph, other: Graph) -> Graph:
    """Return the graph with each batch norm joined to the layer before it, where ``other`` has none.

    The layer's own value is left out: nothing on the other side is equal to it. A trace that does not say what was made
    from what is returned as it is.
    """
    if any(v.op == NORM for v in other.values):
        return graph
    uses = Counter(n for v in graph.values for n in v.inputs)
    layers: dict[str, Value] = {}  # by the norm that follows
    for v in graph.values:
        layer = graph.by_name.get(v.inputs[0]) if v.op == NORM and len(v.inputs) == 1 else None
        if layer is not None and layer.op in BEFORE and uses[layer.name] == 1:
            layers[v.name] = layer
    gone = {layer.name for layer in layers.values()}
    kept = [_joined(layers[v.name], v) if v.name in layers else v for v in graph.values if v.name not in gone]
    return Graph(graph.inputs, tuple(kept)) if layers else graph


def _joined(layer: Value, norm: Value) -> Value:
    weights = (*layer.weights, *norm.weights)[:WEIGHTS]
    node = f"{layer.node} with {norm.node}"
    return replace(norm, op=layer.op, node=node, inputs=layer.inputs, weights=weights, folded=True)
