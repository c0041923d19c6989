"""Which values of a source ONNX an OM file holds in float16, or `atc` will by default."""

from __future__ import annotations

from dataclasses import dataclass

from parity.localize.onnx_graph import OnnxFile
from parity.om.model import OmModel
from parity.predict.rounded import lowerable

FULL_MODES = ("must_keep_origin", "force_fp32", "mix_bf16", "allow_fp32_to_bf16")  # see `parity.om.enums`
HALF = "float16"


@dataclass(frozen=True, slots=True)
class Held:
    """What is in float16.

    Attributes:
        lowered: values whose operation is in float16, in the order of computation.
        inner: those of them that never leave a fused operation, and are not stored.
        basis: by what that is known, for people.
        unknown: nodes of the source that the OM does not name: its precision mode was taken for them.
    """

    lowered: tuple[str, ...]
    inner: frozenset[str]
    basis: str
    unknown: int = 0


def by_default(file: OnnxFile) -> Held:
    """Return what `atc` does by itself (``force_fp16``): every float32 operation in float16."""
    return Held(lowerable(file), frozenset(), "atc's default precision mode, all in float16")


def by_om(file: OnnxFile, om: OmModel) -> Held:
    """Return what the OM's own nodes say of the nodes of the source that they were made from."""
    group: dict[str, int] = {}
    half: set[int] = set()
    for i, node in enumerate(om.nodes):
        names = node.source_nodes or (node.name,)
        group.update({n: group.get(n, i) for n in names})
        if any(d.dtype == HALF for d in node.output_descs):
            half.add(i)
    default = om.precision_mode not in FULL_MODES
    can, lowered, unknown = set(lowerable(file)), [], 0
    made: dict[str, int] = {}
    for n, node in enumerate(file.model.graph.node):
        known = group.get(node.name)
        some = [o for o in node.output if o in can]
        made |= dict.fromkeys(node.output, -1 - n if known is None else known)
        unknown += known is None and bool(some)
        if (default if known is None else known in half) and some:
            lowered += some
    mode = f", precision mode {om.precision_mode}" if om.precision_mode else ""
    return Held(tuple(lowered), _inner(file, made, lowered), f"the dtypes of the OM's own nodes{mode}", unknown)


def _inner(file: OnnxFile, made: dict[str, int], lowered: list[str]) -> frozenset[str]:
    """Return the values that only their own fused operation takes."""
    outside = {o.name for o in file.model.graph.output}
    for node in file.model.graph.node:
        own = {made.get(o) for o in node.output}
        outside.update(n for n in node.input if made.get(n) not in own)
    return frozenset(n for n in lowered if n not in outside)
