"""Ascend's offline models (OM): inputs and outputs as the device takes and gives them, and what the compiler did.

The file is read, never run, and without CANN. Format: docs/formats.md.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from parity.artifact import Artifact
from parity.checkpoint.om import om_weights
from parity.contract.model import Contract
from parity.contract.om_findings import Checked, checked_constants, om_findings
from parity.contract.om_graph import fused, node_dtypes, node_modes, node_table, precision, random_ops, working
from parity.contract.roles import input_role, output_roles
from parity.om.model import Gears, OmModel, OmTensor
from parity.om.ports import output_shapes
from parity.om.reading import open_om
from parity.tensor import Dim, Shape, TensorSpec

# Inputs that the compiler adds, and the runtime fills: they are none of the policy's.
ADDED = ("ascend_mbatch_shape_data", "ascend_dynamic_aipp_data")
_CANN = re.compile(r"/(?:ascend-toolkit|nnae|cann|CANN)[/-]([0-9][\w.]*)/")


class OmReader:
    """Reads OM files."""

    rank = 10

    def matches(self, artifact: Artifact) -> bool:
        """Whether the artifact is an OM file, or one of its variants that are refused in words."""
        return artifact.kind in ("om", "om2")

    def read(self, artifact: Artifact) -> Contract:
        """Return the contract of an OM file.

        Raises:
            ArtifactError: truncated, corrupt, or recognized but not readable (encrypted, OM2, PICO).
        """
        return contract_of(open_om(artifact.path))


def contract_of(model: OmModel) -> Contract:
    """Return the contract of an opened OM file.

    Raises:
        ArtifactError: its attributes are corrupt.
    """
    inputs, outputs = inputs_of(model), outputs_of(model)
    lowest, came_in_by = precision(model)
    checked = checked_constants(om_weights(model).values())
    return Contract(
        path=model.path,
        kind="om",
        inputs=inputs,
        outputs=outputs,
        complete=all(t.shape is not None for t in (*inputs, *outputs)),
        precision=lowest,
        metadata={**_compiled(model), **_graph(model), "precision_from": came_in_by, "constants": _counted(checked)},
        findings=tuple(om_findings(model, checked)),
    )


def inputs_of(model: OmModel) -> tuple[TensorSpec, ...]:
    """Return the policy's inputs, in the file's order; axes that have gears are symbolic."""
    found = []
    for tensor in model.inputs:
        if not tensor.name.startswith(ADDED):
            shape = _input_shape(tensor, model.gears)
            dtype = _dtype(tensor)
            found.append(TensorSpec(tensor.name, shape, dtype, input_role(tensor.name, shape, dtype)))
    return tuple(found)


def outputs_of(model: OmModel) -> tuple[TensorSpec, ...]:
    """Return the outputs by their names in the source model; where two are called alike there, by the file's own."""
    shapes = output_shapes(model.output_shapes)
    found = []
    for i, (name, tensor) in enumerate(_named_outputs(model)):
        shape = _output_shape(tensor, shapes.get(i, {}), model.gears)
        found.append(TensorSpec(name, shape, _dtype(tensor)))
    return output_roles(found)


def _named_outputs(model: OmModel) -> list[tuple[str, OmTensor]]:
    names = Counter(t.source_name for t in model.outputs)
    return [(t.source_name if names[t.source_name] == 1 else t.name, t) for t in model.outputs]


def _dtype(tensor: OmTensor) -> str | None:
    return None if tensor.dtype.startswith(("unknown", "undefined")) else tensor.dtype


def _input_shape(tensor: OmTensor, gears: Gears | None) -> Shape | None:
    """Return a shape with names for dynamic axes; None where even their number is not known (-2)."""
    if -2 in tensor.shape:
        return None
    batch = gears is not None and gears.kind == "batch"
    return tuple(
        d if d >= 0 else ("batch" if batch and axis == 0 else f"{tensor.name}.{axis}")
        for axis, d in enumerate(tensor.shape)
    )


def _output_shape(tensor: OmTensor, by_gear: Mapping[int, tuple[int, ...]], gears: Gears | None) -> Shape | None:
    """Return a shape in which axes that differ from gear to gear are symbolic."""
    if -2 in tensor.shape:
        return None
    shapes = [tensor.shape, *by_gear.values()]
    if len({len(s) for s in shapes}) > 1:
        return None
    shape: list[Dim] = []
    for axis, sizes in enumerate(zip(*shapes, strict=True)):
        if len(set(sizes)) == 1 and sizes[0] >= 0:
            shape.append(sizes[0])
        elif axis == 0 and gears is not None and gears.kind == "batch":
            shape.append("batch")
        else:
            shape.append(f"{tensor.source_name}.{axis}")
    return tuple(shape)


def _compiled(model: OmModel) -> dict[str, Any]:
    """Return what compiled it, for which chip, and in which way it takes its tensors."""
    outputs = _named_outputs(model)
    return {
        "name": model.name,
        "soc": model.soc,
        "cann_version": cann_version(model.toolkit),
        "toolkit": dict(model.toolkit),
        "precision_mode": model.precision_mode,
        "gears": None
        if model.gears is None
        else {"kind": model.gears.kind, "values": list(map(list, model.gears.values))},
        "gear_order": list(model.name_order),
        "device": {
            "inputs": [_port(t.name, t) for t in model.inputs],
            "outputs": [_port(name, t) for name, t in outputs],
        },
        "aipp": {t.name: dict(t.source) for t in model.inputs if t.aipp},
        "sizes": dict(model.sizes),
    }


def _port(name: str, tensor: OmTensor) -> dict[str, Any]:
    """Return how the device takes or gives a tensor: its own name, format, bytes, shape and the sizes it may have."""
    found: dict[str, Any] = {"name": name, "device_name": tensor.name, "format": tensor.format, "bytes": tensor.bytes}
    return {**found, "shape": list(tensor.shape), "ranges": [list(r) for r in tensor.ranges]}


def cann_version(toolkit: Mapping[str, str]) -> str | None:
    """Return CANN's version, told by where ``atc`` lay; None where the file does not keep its command line."""
    found = _CANN.search(toolkit.get("atc_cmdline", ""))
    return found[1] if found else None


def _graph(model: OmModel) -> dict[str, Any]:
    nodes = working(model)
    return {
        "operators": dict(sorted(Counter(n.type for n in model.nodes).items())),
        "node_dtypes": node_dtypes(nodes),
        "node_modes": node_modes(nodes),
        "fused": len(fused(nodes)),
        "nodes": node_table(nodes),
        "random_ops": random_ops(model),
    }


def _counted(checked: Checked) -> dict[str, int]:
    return {"count": checked.count, "bytes": checked.bytes, "checked": checked.read}


READER = OmReader()
