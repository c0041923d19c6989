"""What is checked in an ONNX graph without running it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from parity.checkpoint.onnx_constants import Constants
from parity.contract.onnx_graph import Graph, baked_batch, precision, quantized_ops, random_ops, training_norms
from parity.finding import Finding
from parity.tensor import TensorSpec

_PATH_IN_TRACE = re.compile(r'File "(/[^"\n]{1,300}|[A-Za-z]:\\[^"\n]{1,300})"')
_STANDARD = {"", "ai.onnx", "ai.onnx.ml"}


def graph_findings(
    graph: Graph, constants: Constants, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> Iterator[Finding]:
    """Yield what the graph's nodes tell about how far its outputs can be trusted or compared."""
    yield from _randomness(graph, constants)
    yield from _baked(graph, constants, inputs, outputs)
    yield from _precision(graph, constants)
    yield from _unused(graph, inputs)
    yield from _foreign(graph)
    yield from _leaks(graph)


def _randomness(graph: Graph, constants: Constants) -> Iterator[Finding]:
    drawn = random_ops(graph, constants)
    if drawn:
        yield Finding(
            "ONNX001",
            "warning",
            f"The graph draws random numbers ({', '.join(drawn[:3])}): the same input gives different outputs.",
            evidence={"ops": drawn},
            remedy="export in eval mode, with the noise as an input",
        )
    norms = training_norms(graph)
    if norms:
        yield Finding(
            "ONNX005",
            "warning",
            f"{len(norms)} BatchNormalization nodes run in training mode: an output depends on the rest of its batch.",
            where=norms[0],
            evidence={"nodes": norms},
            remedy="export in eval mode",
        )


def _baked(
    graph: Graph, constants: Constants, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> Iterator[Finding]:
    dynamic = [t.name for t in inputs if t.shape and not isinstance(t.shape[0], int)]
    for op, node, sizes in baked_batch(graph, constants, dynamic):
        yield Finding(
            "ONNX002",
            "warning",
            f"The batch is declared dynamic, but {op} {node} has the sizes {sizes} written in: other batches may fail.",
            where=node,
            evidence={"operator": op, "sizes": sizes, "dynamic_inputs": dynamic},
            remedy="run with the batch that was exported, or export again without fixed sizes in the model's code",
        )
    fixed = [(t.name, t.shape) for t in outputs if t.role == "action" and t.shape and isinstance(t.shape[0], int)]
    if dynamic and fixed and len(dynamic) == len(inputs):
        name, shape = fixed[0]
        yield Finding(
            "ONNX002",
            "warning",
            f"The inputs have a dynamic batch, but the output {name!r} is declared with {shape[0]} rows.",
            where=name,
            evidence={"shape": list(shape), "dynamic_inputs": dynamic},
            remedy="declare the output's first axis dynamic as well",
        )


def _precision(graph: Graph, constants: Constants) -> Iterator[Finding]:
    quantized = quantized_ops(graph)
    _, came_in_by = precision(graph, constants)
    if quantized:
        counted = ", ".join(f"{n} {op}" for op, n in sorted(quantized.items()))
        yield Finding("ONNX003", "info", f"The graph is quantized: {counted}.", evidence={"operators": quantized})
    for name in ("float16", "bfloat16"):
        if name in came_in_by:
            yield Finding(
                "ONNX004",
                "info",
                f"Values pass through {name}, first at {came_in_by[name]}.",
                where=came_in_by[name],
                evidence={"class": name},
            )


def _unused(graph: Graph, inputs: Sequence[TensorSpec]) -> Iterator[Finding]:
    for spec in inputs:
        if spec.name not in graph.live_names:
            yield Finding(
                "ONNX006",
                "warning",
                f"No output depends on the input {spec.name!r}.",
                where=spec.name,
                remedy="check that the export traced the path that uses it",
            )


def _foreign(graph: Graph) -> Iterator[Finding]:
    domains = sorted({n.domain for n in graph.all_nodes()} - _STANDARD - {d for d, _ in graph.functions})
    if domains:
        yield Finding(
            "ONNX007",
            "info",
            f"The graph uses operators outside of the ONNX standard: {', '.join(domains)}. Not every runtime has them.",
            evidence={"domains": domains},
        )


def _leaks(graph: Graph) -> Iterator[Finding]:
    for node in graph.all_nodes():
        for prop in node.metadata_props:
            found = _PATH_IN_TRACE.search(prop.value)
            if found:
                yield Finding(
                    "ONNX008",
                    "info",
                    "The nodes carry stack traces with paths of the machine that exported them.",
                    where=node.name,
                    evidence={"key": prop.key, "path": found[1]},
                    remedy="strip the nodes' metadata before the model leaves the house",
                )
                return
