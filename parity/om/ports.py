"""Inputs, outputs and gears of the whole model: from the in/out info, or, in older files, from the graph itself.

Without the table the runtime reads ``Data`` nodes (their first input descriptor, ordered by ``index``), ``NetOutput``
(its input descriptors, named by the model's ``attr_model_out_nodes_name``) and the ``Case`` node that chooses among
gears (ModelIntroduction of CANN's public graph engine). What AIPP prepares is only ever told by the ``Data`` nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from parity.errors import ArtifactError
from parity.om.enums import NUMPY
from parity.om.graph import ModelDef, Op, elements
from parity.om.info import InOutInfo, read_info
from parity.om.model import Gears, OmDesc, OmTensor
from parity.om.wire import REMEDY

MAX_GEARS = 10_000
_KINDS: dict[int, Literal["batch", "image", "dims"]] = {1: "batch", 2: "image", 3: "dims"}
_SWITCHES = ("Case", "StreamSwitchN", "SwitchN")
_DATA, _OUTPUT = ("Data", "AnnData", "AippData", "RefData"), "NetOutput"


def ports(path: Path, model: ModelDef, info: memoryview | None) -> InOutInfo:
    """Return inputs, outputs and gears of a model.

    Raises:
        ArtifactError: the in/out info is corrupt, or the graph has no output.
    """
    told = InOutInfo() if info is None else read_info(path, info)
    if told.inputs or told.outputs:
        return replace(told, inputs=tuple(_with_aipp(told.inputs, model)))
    return InOutInfo(
        _inputs(model),
        _outputs(path, model),
        told.gears or _gears(path, model),
        told.output_shapes or _texts(model, _OUTPUT, "_dynamic_output_dims"),
        told.name_order or _texts(model, "Case", "user_designate_shape_order"),
    )


def _texts(model: ModelDef, kind: str, name: str) -> tuple[str, ...]:
    return tuple(text for op in model.main if op.node.type == kind for text in op.attributes.texts(name))


def _inputs(model: ModelDef) -> tuple[OmTensor, ...]:
    found = [op for op in model.main if op.node.type in _DATA]
    order = [op.attributes.integer("index") for op in found]
    if all(i is not None for i in order) and len(set(order)) == len(order):
        found.sort(key=lambda op: op.attributes.integer("index") or 0)
    return tuple(_input(op) for op in found if op.node.input_descs)


def _input(op: Op) -> OmTensor:
    desc = op.node.input_descs[0]
    shape = (
        op.attributes.integers("_dynamic_aipp_input_dims")
        or op.attributes.integers("_mbatch_origin_input_dims")
        or desc.shape
    )
    ranges = desc.attributes.get("shape_range")
    aipp = aipp_of(op)
    return OmTensor(
        op.node.name,
        tuple(shape),
        desc.dtype,
        desc.format,
        op.input_sizes[0] if op.input_sizes and op.input_sizes[0] > 0 else None,
        tuple((r[0], r[1]) for r in ranges if len(r) == 2) if isinstance(ranges, list) else (),
        aipp is not None,
        aipp or {},
    )


def aipp_of(op: Op) -> dict[str, Any] | None:
    """Return what AIPP makes of an input, ``{"mode": …}`` and what is known of the model's own; None without AIPP.

    ``_aipp_inputs`` reads ``NCHW:DT_FLOAT:name:bytes:rank:1,3,224,224``, the tensor as it was before AIPP.
    """
    mode = op.attributes.text("_data_related_aipp_mode")
    before = op.attributes.texts("_aipp_inputs")
    known = [key for key in ("aipp", "_dynamic_aipp_input_dims") if key in op.attributes]
    dims = op.attributes.integers("input_dims")
    if not (before or known or dims is not None or (mode and mode != "undefined")):
        return None
    found: dict[str, Any] = {"mode": mode or "unknown"}
    parts = before[0].split(":") if before else []
    if len(parts) == 6:
        shape = [int(v) for v in parts[5].split(",") if v.lstrip("-").isdigit()]
        dtype = parts[1].removeprefix("DT_").lower()
        found |= {"name": parts[2], "format": parts[0], "shape": shape}
        found["dtype"] = {"float": "float32", "double": "float64", "bf16": "bfloat16"}.get(dtype, dtype)
    elif dims:
        found["shape"] = list(dims)
    return found


def _with_aipp(inputs: tuple[OmTensor, ...], model: ModelDef) -> Iterator[OmTensor]:
    data = {op.node.name: op for op in model.main if op.node.type in _DATA}
    for tensor in inputs:
        aipp = aipp_of(data[tensor.name]) if tensor.name in data else None
        yield tensor if aipp is None else replace(tensor, aipp=True, source={**tensor.source, **aipp})


def _outputs(path: Path, model: ModelDef) -> tuple[OmTensor, ...]:
    ends = [op for op in model.main if op.node.type == _OUTPUT]
    if not ends:
        raise ArtifactError(
            f"{path}: the graph has no output (no NetOutput node)", expected="a compiled model", remedy=REMEDY
        )
    named = model.attributes.texts("attr_model_out_nodes_name")
    count = sum(len(op.node.input_descs) for op in ends)
    names = list(named) if len(named) == count else []
    found: list[OmTensor] = []
    for op in ends:
        for i, desc in enumerate(op.node.input_descs):
            source, index = op.sources[i] if i < len(op.sources) else _behind(op, i)
            name = names[len(found)] if names else f"output_{i}_{source}_{index}"
            if names and ":" not in name:
                name = f"{name}:{index}"
            found.append(OmTensor(name, desc.shape, desc.dtype, desc.format, _bytes(desc)))
    return tuple(found)


def _bytes(desc: OmDesc) -> int | None:
    """Return what an output takes, as the runtime counts it: elements times their size, without the graph's padding."""
    special = desc.attributes.get("_special_input_size")
    if isinstance(special, int) and special > 0:
        return special
    count, dtype = elements(desc.shape), NUMPY.get(desc.dtype)
    return None if count is None or dtype is None else count * int(dtype[2:])


def _behind(op: Op, i: int) -> tuple[str, int]:
    name, _, index = op.node.inputs[i].rpartition(":") if i < len(op.node.inputs) else ("", "", "")
    return name, int(index) if index.isdigit() else 0


def _gears(path: Path, model: ModelDef) -> Gears | None:
    for op in model.main:
        number = op.attributes.integer("mbatch_dynamic_type") or 0
        if op.node.type not in _SWITCHES or "_batch_num" not in op.attributes or number == 0:
            continue  # 0: a Case of the model's own
        count = op.attributes.integer("_batch_num") or 0
        if not 0 <= count <= MAX_GEARS:
            raise ArtifactError(f"{path}: {count} gears", expected=f"at most {MAX_GEARS}", remedy=REMEDY)
        kind = _KINDS.get(number)
        values = [op.attributes.integers(f"_pred_value_{i}") for i in range(count)]
        if kind is None or None in values:
            raise ArtifactError(
                f"{path}: gears of kind {number}, or some without sizes",
                expected="kind 1 (batch), 2 (image) or 3 (dims), with sizes for each",
                remedy=REMEDY,
            )
        sizes = tuple(v for v in values if v is not None)
        return Gears(kind, tuple(v[:1] for v in sizes) if kind == "batch" else sizes)
    return None


def output_shapes(told: tuple[str, ...]) -> Mapping[int, Mapping[int, tuple[int, ...]]]:
    """Return shapes by output and gear, from texts ``<gear>,<output>,<dims…>``; empty where one reads otherwise.

    Gear -1 is an output that has no gears. Source: GetDynamicOutputShape in mindspore-ai/graphengine (Apache-2.0).
    """
    found: dict[int, dict[int, tuple[int, ...]]] = {}
    for line in told:
        parts = line.removesuffix(",").split(",")  # a scalar has no dims
        if len(parts) < 2 or not all(p.lstrip("-").isdigit() for p in parts):
            return {}
        gear, output, *dims = (int(p) for p in parts)
        found.setdefault(output, {})[gear] = tuple(dims)
    return found
