"""Writes OM files: header, tables, in/out info or its older form, graph, interned attributes, weights in their layouts.

Nothing of parity is used, so that a mistake in the reader is not made here too. Formats: docs/formats.md.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from om_layouts import pack
from om_protobuf import Interning, Raw, attributes, chunk, descriptor, number

ACL = {"float32": 0, "float16": 1, "int8": 2, "int32": 3, "uint8": 4, "int64": 9, "bool": 12, "bfloat16": 27}
FORMATS = {"NCHW": 0, "NHWC": 1, "ND": 2, "NC1HWC0": 3, "FRACTAL_Z": 4, "HWCN": 16, "FRACTAL_NZ": 29}
SIZES = {"float32": 4, "float16": 2, "int8": 1, "int32": 4, "uint8": 1, "int64": 8, "bool": 1, "bfloat16": 2}


@dataclass(frozen=True)
class Port:
    """An input or output of the model. ``aipp`` is the shape behind AIPP; ``source`` is ``node:index`` of an output."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    format: str = "ND"
    source: str = ""
    aipp: tuple[int, ...] | None = None
    ranges: tuple[tuple[int, int], ...] = ()

    @property
    def bytes(self) -> int:
        return math.prod(max(d, 1) for d in self.shape) * SIZES[self.dtype]


@dataclass(frozen=True)
class Constant:
    """A constant: values in the source model's layout, and the layout in which they are stored."""

    name: str
    values: np.ndarray
    layout: str = "ND"
    origin: str = "ND"
    dtype: str = ""  # where NumPy's is not it: bfloat16
    origin_name: str = ""
    merged: bool = False  # whether the offset is the attribute merged_offset
    stored: np.ndarray | None = None  # as it lies in the file, where that is not what the layout says
    external: bool = False
    hole: bool = False  # its bytes are a hole in the file: zeros that take no space

    @property
    def kind(self) -> str:
        return self.dtype or str(self.values.dtype)


@dataclass(frozen=True)
class Node:
    """A node of the graph; ``inputs`` are ``node:index`` each."""

    name: str
    type: str
    inputs: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ("float16",)  # of its outputs
    shape: tuple[int, ...] = (1, 4)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    mode: int = 0


@dataclass(frozen=True)
class Om:
    """A whole file."""

    inputs: tuple[Port, ...] = (Port("obs", (1, 4)),)
    outputs: tuple[Port, ...] = (Port("out:0:action", (1, 2), source="out:0"),)
    nodes: tuple[Node, ...] = (Node("out", "MatMulV2", ("obs:0",)),)
    constants: tuple[Constant, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    graph_attributes: Mapping[str, Any] = field(default_factory=dict)
    gears: tuple[str, tuple[tuple[int, ...], ...]] | None = None
    output_shapes: tuple[str, ...] = ()
    name: str = "policy"
    version: int = 0x20000000
    large: bool = True  # the kind of table
    info: bool = True  # type 8, or the older form
    interned: bool = False
    encrypted: bool = False
    models: int = 1
    extra: tuple[tuple[int, bytes], ...] = ()


def write(path: Path, om: Om) -> Path:
    """Write a file; with holes, which come last, of one model only."""
    made = [_model(om, i) for i in range(om.models)]
    body = b"".join(b"".join(parts) for parts, _ in made)
    length = len(body) + sum(hole for _, hole in made)
    with path.open("wb") as f:
        f.write(header(om, length) + body)
        f.truncate(256 + length)
    return path


def header(om: Om, length: int) -> bytes:
    head = bytearray(256)
    struct.pack_into("<4sII", head, 0, b"IMOD", 256, om.version)
    struct.pack_into("<I", head, 76, 0 if om.large and length >> 32 else length)
    head[80] = om.encrypted
    head[84 : 84 + len(om.name)] = om.name.encode()
    struct.pack_into("<I", head, 152, 2)
    if om.version >= 0x20000000:
        struct.pack_into("<I", head, 156, om.models)
        head[160:168] = b"1.11.z.0"
        struct.pack_into("<Q", head, 184, length if om.large else 0)
    else:
        head[156:164] = b"1.11.z.0"
    return bytes(head)


def _model(om: Om, index: int) -> tuple[list[bytes], int]:
    """Return a model's table and partitions, and how many bytes of zeros follow its weights."""
    interning = Interning() if om.interned else None
    weights, consts, end = bytearray(), [], 0
    for constant in sorted(om.constants, key=lambda c: c.hole):
        made, end = _const(constant, weights, end, interning)
        consts.append(made)
    definition = _definition(om, consts, interning)
    parts = [(0, definition), *([(8, _info(om))] if om.info and index == 0 else []), *om.extra]
    parts += [(1, bytes(weights))]
    hole = end - len(weights)
    return [table(parts, om.large, hole), *(data for _, data in parts)], hole


def table(parts: Sequence[tuple[int, bytes]], large: bool, padded: int = 0) -> bytes:
    """Return the table of partitions; the last of them is ``padded`` bytes longer than its data."""
    found, at = [struct.pack("<I4x" if large else "<I", len(parts))], 0
    for i, (kind, data) in enumerate(parts):
        size = len(data) + (padded if i == len(parts) - 1 else 0)
        found.append(struct.pack("<I4xQQ" if large else "<III", kind, at, size))
        at += size
    return b"".join(found)


def _const(constant: Constant, weights: bytearray, end: int, interning: Interning | None) -> tuple[bytes, int]:
    """Return a constant's node, and where its bytes end; they are put behind the weights so far."""
    stored = constant.stored if constant.stored is not None else pack(constant.values, constant.layout, constant.origin)
    offset = end + -end % 512
    origin = {"origin_shape": list(constant.values.shape), "origin_format": constant.origin}
    named = {"_datadump_origin_name": constant.origin_name} if constant.origin_name else {}
    out = descriptor(stored.shape, constant.kind, constant.layout, {**origin, **named}, interning)
    if constant.external:
        return chunk(1, constant.name) + chunk(2, "FileConstant") + chunk(34, out), end
    if not constant.hole:
        weights += bytes(offset - len(weights)) + stored.tobytes()
    placed = {"merged_offset": offset} if constant.merged else {}
    desc = descriptor(
        stored.shape,
        constant.kind,
        constant.layout,
        {**origin, **placed},
        interning,
        weight_size=stored.nbytes,
        data_offset=0 if constant.merged else offset,
    )
    value = Raw(chunk(12, chunk(1, desc)))
    given = attributes(10, {"value": value}, interning)
    return chunk(1, constant.name) + chunk(2, "Const") + given + chunk(34, out), offset + stored.nbytes


def _definition(om: Om, consts: Sequence[bytes], interning: Interning | None) -> bytes:
    ops = [_data(i, port, interning) for i, port in enumerate(om.inputs)]
    ops += [*consts, *(_node(n, interning) for n in om.nodes)]
    if om.gears is not None and not om.info:
        ops.append(_case(om.gears, interning))
    ops.append(_net_output(om, interning))
    graph = chunk(1, "graph") + b"".join(chunk(6, op) for op in ops)
    graph += attributes(11, om.graph_attributes, interning)
    own: dict[str, Any] = {"attr_model_out_nodes_name": [p.name for p in om.outputs], **om.attributes}
    if interning is not None:
        own |= {"om_compress_version": 1, "attr_name_enum": interning.names, "attr_value_enum": interning.texts}
        own["attrs_use_string_value"] = interning.as_text
    return chunk(1, om.name) + number(2, 2) + chunk(7, graph) + attributes(11, own)


def _data(index: int, port: Port, interning: Interning | None) -> bytes:
    dynamic = any(d < 0 for d in port.shape)
    given: dict[str, Any] = {"index": index}
    if dynamic:
        given["_mbatch_origin_input_dims"] = list(port.shape)
    if port.aipp is not None:
        dims = ",".join(map(str, port.aipp))
        given |= {"input_dims": list(port.aipp), "_data_related_aipp_mode": "static_aipp"}
        given["_aipp_inputs"] = [f"NCHW:DT_FLOAT:{port.name}:4:{len(port.aipp)}:{dims}"]
    shape = [max(d, 1) for d in port.shape]
    desc = descriptor(
        shape,
        port.dtype,
        port.format,
        {"shape_range": [list(r) for r in port.ranges]} if port.ranges else {},
        interning,
        size=port.bytes,
    )
    return chunk(1, port.name) + chunk(2, "Data") + attributes(10, given, interning) + chunk(33, desc) + chunk(34, desc)


def _node(node: Node, interning: Interning | None) -> bytes:
    given = {**node.attributes, **({"_op_impl_mode_enum": node.mode} if node.mode else {})}
    if node.sources:
        given["_datadump_original_op_names"] = list(node.sources)
    outs = b"".join(chunk(34, descriptor(node.shape, d, "ND", {}, interning)) for d in node.dtypes)
    inputs = b"".join(chunk(5, i) for i in node.inputs)
    return chunk(1, node.name) + chunk(2, node.type) + inputs + attributes(10, given, interning) + outs


def _case(gears: tuple[str, tuple[tuple[int, ...], ...]], interning: Interning | None) -> bytes:
    kind, values = gears
    given = {"_batch_num": len(values), "mbatch_dynamic_type": ("", "batch", "image", "dims").index(kind)}
    given |= {f"_pred_value_{i}": list(v) for i, v in enumerate(values)}  # type: ignore[misc]
    return chunk(1, "case") + chunk(2, "Case") + attributes(10, given, interning)


def _net_output(om: Om, interning: Interning | None) -> bytes:
    found = chunk(1, "Node_Output") + chunk(2, "NetOutput")
    if om.output_shapes and not om.info:
        found += attributes(10, {"_dynamic_output_dims": list(om.output_shapes)}, interning)
    for port in om.outputs:
        name, _, index = port.source.rpartition(":")
        found += chunk(5, port.source) + chunk(24, name) + number(25, int(index or 0))
        found += chunk(33, descriptor(port.shape, port.dtype, port.format, {}, interning, size=port.bytes + 32))
    return found


# --- the in/out info


def _info(om: Om) -> bytes:
    blocks = [(0, _ports(om.inputs)), (1, _ports(om.outputs))]
    if om.gears is not None:
        kind, values = om.gears
        if kind == "batch":
            blocks.append((2, struct.pack(f"<I{len(values)}Q", len(values), *(v[0] for v in values))))
        else:
            lists = struct.pack(f"<I{len(values)}I", len(values), *map(len, values))
            numbers = b"".join(struct.pack(f"<{len(v)}Q", *v) for v in values)
            blocks.append((3 if kind == "image" else 4, lists + numbers))
    if om.output_shapes:
        lengths = struct.pack(f"<I{len(om.output_shapes)}I", len(om.output_shapes), *map(len, om.output_shapes))
        blocks.append((5, lengths + "".join(om.output_shapes).encode()))
    return b"".join(struct.pack("<II", kind, len(data)) + data for kind, data in blocks)


def _ports(ports: Sequence[Port]) -> bytes:
    found = struct.pack("<I", len(ports))
    for port in ports:
        name, behind = port.name.encode(), port.aipp or port.shape
        lengths = (len(name), 8 * len(port.shape), 8 * len(behind), 16 * len(port.ranges))
        found += struct.pack("<Qii4I", port.bytes, FORMATS[port.format], ACL[port.dtype], *lengths) + name
        found += struct.pack(f"<{len(port.shape)}q{len(behind)}q", *port.shape, *behind)
        found += b"".join(struct.pack("<2q", *r) for r in port.ranges)
    return found
