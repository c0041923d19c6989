"""Writes OM files: header, tables, in/out info or its older form, graph, interned attributes, weights in their layouts.

Nothing of parity is used, so that a mistake in the reader is not made here too. Formats: docs/formats.md.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ACL = {"float32": 0, "float16": 1, "int8": 2, "int32": 3, "uint8": 4, "int64": 9, "bool": 12, "bfloat16": 27}
PROTO = {"float32": 1, "float16": 2, "int8": 3, "uint8": 4, "int32": 7, "int64": 8, "bool": 11, "bfloat16": 27}
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
    pad_weights: int = 0  # bytes of zeros behind the weights, not written where the file is sparse


def write(path: Path, om: Om) -> Path:
    """Write a file; a hole stands for what is padded."""
    parts = [b"".join(_model(om, i)) for i in range(om.models)]
    body = b"".join(parts)
    length = len(body) + om.pad_weights
    with path.open("wb") as f:
        f.write(header(om, length) + body)
        if om.pad_weights:
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


def _model(om: Om, index: int) -> list[bytes]:
    interning = Interning() if om.interned else None
    weights, consts = bytearray(), []
    for constant in om.constants:
        consts.append(_const(constant, weights, interning))
    definition = _definition(om, consts, interning)
    parts = [(0, definition), *([(8, _info(om))] if om.info and index == 0 else []), *om.extra]
    parts += [(1, bytes(weights))]
    return [table(parts, om.large, om.pad_weights), *(data for _, data in parts)]


def table(parts: Sequence[tuple[int, bytes]], large: bool, padded: int = 0) -> bytes:
    """Return the table of partitions; the last of them is ``padded`` bytes longer than its data."""
    found, at = [struct.pack("<I4x" if large else "<I", len(parts))], 0
    for i, (kind, data) in enumerate(parts):
        size = len(data) + (padded if i == len(parts) - 1 else 0)
        found.append(struct.pack("<I4xQQ" if large else "<III", kind, at, size))
        at += size
    return b"".join(found)


# --- protobuf


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def number(tag: int, value: int) -> bytes:
    return varint(tag << 3) + varint(value)


def chunk(tag: int, content: bytes | str) -> bytes:
    content = content.encode() if isinstance(content, str) else content
    return varint(tag << 3 | 2) + varint(len(content)) + content


class Interning:
    """Collects names and texts, as the compiler does where om_compress_version is 1."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.texts: list[str] = []
        self.as_text: list[bool] = []

    def key(self, name: str, textual: bool) -> bytes:
        if name not in self.names:
            self.names.append(name)
            self.as_text.append(textual)
        index = self.names.index(name)
        digits = bytearray(b"\0")
        while True:
            digits.append(index % 127 + 1)
            index //= 127
            if not index:
                return bytes(digits)

    def text(self, text: str) -> int:
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text)


def attributes(tag: int, given: Mapping[str, Any], interning: Interning | None = None) -> bytes:
    """Return a map of attributes, one entry each."""
    return b"".join(chunk(tag, _entry(name, value, interning)) for name, value in given.items())


def _entry(name: str, value: Any, interning: Interning | None) -> bytes:
    textual = isinstance(value, str) or (isinstance(value, (list, tuple)) and any(isinstance(v, str) for v in value))
    key: bytes = name.encode() if interning is None else interning.key(name, textual)
    if interning is not None and textual and interning.as_text[interning.names.index(name)]:
        value = interning.text(value) if isinstance(value, str) else [interning.text(v) for v in value]
    return chunk(1, key) + chunk(2, attribute(value))


def attribute(value: Any) -> bytes:
    """Return an AttrDef. Lists of lists are of ints; `Raw` is content that is there already."""
    if isinstance(value, Raw):
        return value.content
    if isinstance(value, bool):
        return number(5, value)
    if isinstance(value, int):
        return number(3, value)
    if isinstance(value, float):
        return varint(4 << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, str):
        return chunk(2, value)
    if isinstance(value, bytes):
        return chunk(7, value)
    if any(isinstance(v, (list, tuple)) for v in value):
        return chunk(14, b"".join(chunk(1, chunk(1, b"".join(map(varint, v)))) for v in value))
    return chunk(1, _listed(value))


def _listed(values: Iterable[Any]) -> bytes:
    values = list(values)
    if all(isinstance(v, bool) for v in values) and values:
        return chunk(5, bytes(values)) + number(20, 4)
    if all(isinstance(v, int) for v in values):
        return (chunk(3, b"".join(map(varint, values))) if values else b"") + number(20, 2)
    if all(isinstance(v, float) for v in values):
        return chunk(4, struct.pack(f"<{len(values)}f", *values)) + number(20, 3)
    return b"".join(chunk(2, v) for v in values) + number(20, 1)


@dataclass(frozen=True)
class Raw:
    content: bytes


def descriptor(
    shape: Sequence[int],
    dtype: str,
    layout: str = "ND",
    given: Mapping[str, Any] | None = None,
    interning: Interning | None = None,
    **sizes: int,
) -> bytes:
    dims = chunk(1, b"".join(map(varint, shape))) if shape else b""
    found = number(2, PROTO[dtype]) + chunk(3, dims) + chunk(4, layout)
    found += attributes(5, given or {}, interning)
    tags = {"size": 10, "weight_size": 11, "data_offset": 18, "cmps_size": 19}
    return found + b"".join(number(tags[name], value) for name, value in sizes.items() if value)


# --- the graph


def _const(constant: Constant, weights: bytearray, interning: Interning | None) -> bytes:
    stored = constant.stored if constant.stored is not None else pack(constant.values, constant.layout, constant.origin)
    weights += bytes(-len(weights) % 512)
    offset = len(weights)
    origin = {"origin_shape": list(constant.values.shape), "origin_format": constant.origin}
    named = {"_datadump_origin_name": constant.origin_name} if constant.origin_name else {}
    out = descriptor(stored.shape, constant.kind, constant.layout, {**origin, **named}, interning)
    if constant.external:
        return chunk(1, constant.name) + chunk(2, "FileConstant") + chunk(34, out)
    weights += stored.tobytes()
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
    return chunk(1, constant.name) + chunk(2, "Const") + attributes(10, {"value": value}, interning) + chunk(34, out)


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


# --- layouts, element by element as Ascend's documentation describes them


def pack(values: np.ndarray, layout: str, origin: str, c0: int = 16) -> np.ndarray:
    """Return values as they lie on the device."""
    if layout == "FRACTAL_NZ":
        return _to_nz(values, c0)
    if layout == "FRACTAL_Z":
        return _to_z(np.transpose(values, [origin.index(a) for a in "NCHW"]), c0)
    if layout == "NC1HWC0":
        return _to_nc1hwc0(np.transpose(values, [origin.index(a) for a in "NCHW"]), c0)
    if layout != origin and sorted(layout) == sorted(origin):
        return np.ascontiguousarray(np.transpose(values, [origin.index(a) for a in layout]))
    return values


def _to_nz(values: np.ndarray, n0: int) -> np.ndarray:
    m, n = values.shape[-2:]
    found = np.zeros((*values.shape[:-2], -(-n // n0), -(-m // 16), 16, n0), values.dtype)
    for i in range(m):
        for j in range(n):
            found[..., j // n0, i // 16, i % 16, j % n0] = values[..., i, j]
    return found


def _to_z(values: np.ndarray, c0: int) -> np.ndarray:
    n, c, h, w = values.shape
    found = np.zeros((-(-c // c0) * h * w, -(-n // 16), 16, c0), values.dtype)
    for i, j, y, x in np.ndindex(n, c, h, w):
        found[(j // c0 * h + y) * w + x, i // 16, i % 16, j % c0] = values[i, j, y, x]
    return found


def _to_nc1hwc0(values: np.ndarray, c0: int) -> np.ndarray:
    n, c, h, w = values.shape
    found = np.zeros((n, -(-c // c0), h, w, c0), values.dtype)
    for i, j, y, x in np.ndindex(n, c, h, w):
        found[i, j // c0, y, x, j % c0] = values[i, j, y, x]
    return found
