"""Constants of a graph that float16 cannot hold: masks beyond 65504, epsilons that become 0."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from parity.localize.onnx_graph import OnnxFile
from parity.predict.seen import OVERFLOWS, SMALLEST


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant, or an attribute such as LayerNormalization's ``epsilon``, that float16 changes beyond rounding.

    Attributes:
        name: of the constant; ``<node>.epsilon`` for an attribute.
        node: that uses it, for people.
        value: that is lost: the largest beyond float16, else the largest that becomes 0.
        vanishes: whether it becomes 0; else it becomes infinite.
        feeds: the values that are made from it.
    """

    name: str
    node: str
    value: float
    vanishes: bool
    feeds: tuple[str, ...]


def lost_constants(file: OnnxFile, lowered: Collection[str]) -> Iterator[Constant]:
    """Yield the constants used in float16 that overflow there, or of which nothing but zeros is left."""
    stored = dict(_stored(file))
    told: set[str] = set()
    for node in file.model.graph.node:
        if not any(o in lowered for o in node.output):
            continue
        where, feeds = f"{node.op_type} {node.name or node.output[0]}", tuple(o for o in node.output if o)
        for name in dict.fromkeys(node.input):
            if name in stored and name not in told:
                value, vanishes = _lost(stored[name])
                if value is not None:
                    told.add(name)
                    yield Constant(name, where, value, vanishes, feeds)
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 0.0)
        if 0.0 < epsilon <= SMALLEST / 2:
            yield Constant(f"{node.name or node.output[0]}.epsilon", where, epsilon, True, feeds)


def _stored(file: OnnxFile) -> Iterator[tuple[str, Any]]:
    for tensor in file.model.graph.initializer:
        if tensor.data_type == 1:
            yield tensor.name, tensor
    for node in file.model.graph.node:
        if node.op_type == "Constant":
            for a in node.attribute:
                if a.name == "value" and a.t.data_type == 1:
                    yield node.output[0], a.t


def _lost(tensor: Any) -> tuple[float | None, bool]:
    """Return the value that is lost, and whether it vanishes; None where float16 holds the constant."""
    from onnx import numpy_helper

    size = np.abs(numpy_helper.to_array(tensor))
    finite = size[np.isfinite(size)]
    top = float(finite.max(initial=0.0))
    if top >= OVERFLOWS:
        signed = numpy_helper.to_array(tensor)
        flat = signed[np.isfinite(signed)]
        return float(flat[np.abs(flat).argmax()]), False
    return (top, True) if 0.0 < top <= SMALLEST / 2 else (None, False)
