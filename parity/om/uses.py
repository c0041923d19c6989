"""Where an OM's constants go: the compiler calls them ``dynamic_const_20661_27``, which says nothing to anyone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from parity.om.model import OmModel, OmNode

PASSING = ("TransData", "Cast", "Reshape", "TransDataRNN", "Transpose", "TransposeD", "Squeeze", "Unsqueeze")
MAX_HOPS = 4  # through nodes that only store a constant otherwise


def uses(model: OmModel, constants: Iterable[str]) -> dict[str, str]:
    """Return for each constant the node that computes with it, by the source model's name where it keeps one.

    A constant that no node reads is left out.
    """
    readers: dict[str, list[OmNode]] = defaultdict(list)
    for node in model.nodes:
        for source in dict.fromkeys(i.rpartition(":")[0] for i in node.inputs):
            readers[source].append(node)
    found = {name: _reader(readers, name) for name in constants}
    return {c: n.source_nodes[0] if n.source_nodes else n.name for c, n in found.items() if n is not None}


def _reader(readers: dict[str, list[OmNode]], name: str) -> OmNode | None:
    for _ in range(MAX_HOPS):
        nodes = readers.get(name, [])
        if not nodes or nodes[0].type not in PASSING:
            return nodes[0] if nodes else None
        name = nodes[0].name
    return None
