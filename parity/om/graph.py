"""The graph of an OM file: models, graphs, nodes and descriptors of ge_ir.proto, from the model definition's bytes.

Field numbers (ge_ir.proto of mindspore-ai/graphengine, Apache-2.0; netron's om.proto, MIT; confirmed on real files):
ModelDef: name 1, custom_version 3, graph 7, attr 11. GraphDef: name 1, op 6, attr 11. OpDef: name 1, type 2, input 5,
attr 10, src_name 24, src_index 25, input_desc 33, output_desc 34. TensorDescriptor: name 1, dtype 2, shape 3 {dim 1},
layout 4, attr 5, size 10, weight_size 11, data_offset 18, cmps_size 19.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from parity.errors import ArtifactError
from parity.om.attributes import (
    Attributes,
    Budget,
    Definition,
    Interned,
    Spans,
    as_integer,
    as_integers,
    as_text,
    as_texts,
)
from parity.om.enums import GRAPH_DTYPES, modes_of, named
from parity.om.model import OmDesc, OmNode
from parity.om.wire import BYTES, REMEDY, VARINT, DefinitionError, WireError, fields, signed, text, varints

MAX_RANK = 64
NODE, DESCRIPTOR, ENTRY, NUMBER, TEXT = 1000, 800, 20, 40, 150  # about what each takes in memory, in bytes
_SOURCES = ("_datadump_original_op_names", "original_op_names")
_MODE, _THEIRS = "_op_impl_mode_enum", "original_type"


@dataclass(frozen=True, slots=True)
class Placed:
    """A descriptor with where its bytes lie in the weights, where it has any."""

    desc: OmDesc
    size: int  # of the buffer on the device
    weight_size: int
    data_offset: int
    compressed: int  # bytes, 0 where it is not


@dataclass(frozen=True, slots=True)
class Op:
    """A node as read, with what `OmNode` has no place for."""

    node: OmNode
    attributes: Attributes
    sources: tuple[tuple[str, int], ...]  # (node, index) behind each input, from src_name and src_index
    input_sizes: tuple[int, ...]
    own_type: str  # of a node of another framework its own (``original_type``), else the node's


@dataclass(frozen=True, slots=True)
class ModelDef:
    """One model: its own attributes, those of its graphs (the main one first), and all nodes."""

    name: str
    custom_version: str
    attributes: Attributes
    graphs: tuple[Attributes, ...]
    main: tuple[Op, ...]
    ops: tuple[Op, ...]  # those of the main graph first
    definition: Definition


def read_model(path: Path, data: memoryview, budget: Budget) -> ModelDef:
    """Return a model from its definition.

    Raises:
        ArtifactError: the bytes are no ModelDef, or hold more than their size allows.
    """
    plain = Definition(path, data, budget)
    try:
        return _model(plain)
    except DefinitionError as e:
        raise plain.failed(e) from None


def _model(plain: Definition) -> ModelDef:
    path, data = plain.path, plain.data
    name = version = ""
    graphs, spans = [], Spans()
    for number, wire, start, stop in fields(data, 0, len(data)):
        if wire != BYTES:
            continue
        if number == 1:
            name = text(data, start, stop)
        elif number == 3:
            version = text(data, start, stop)
        elif number == 7:
            plain.budget.spend(NODE)
            graphs.append((start, stop))
        elif number == 11:
            spans.append(start, stop)
    definition = Definition(path, data, plain.budget, _interned(path, Attributes(plain, spans)))
    if not graphs:
        raise ArtifactError(f"{path}: the model definition holds no graph", expected="a compiled graph", remedy=REMEDY)
    read = [_graph(definition, at, end) for at, end in graphs]
    ops = tuple(op for found, _ in read for op in found)
    attributes = Attributes(definition, spans)
    return ModelDef(name, version, attributes, tuple(a for _, a in read), tuple(read[0][0]), ops, definition)


def _interned(path: Path, attributes: Attributes) -> Interned:
    version = attributes.get("om_compress_version", 0)
    if not version:
        return Interned()
    if version != 1:
        raise ArtifactError(
            f"{path}: attributes interned in version {version} (om_compress_version)",
            expected="version 1, the one that is known",
            remedy="compile with an older CANN, or report the file",
        )
    names, texts, as_text = (
        attributes.get(key) or [] for key in ("attr_name_enum", "attr_value_enum", "attrs_use_string_value")
    )
    if not all(isinstance(v, list) for v in (names, texts, as_text)):
        raise ArtifactError(f"{path}: tables of interned attributes that are no lists", remedy=REMEDY)
    if not all(isinstance(v, str) for v in (*names, *texts)):
        raise ArtifactError(f"{path}: tables of interned attributes that hold no texts", remedy=REMEDY)
    return Interned(names, texts, [bool(v) for v in as_text])


def _graph(definition: Definition, at: int, end: int) -> tuple[list[Op], Attributes]:
    ops, spans = [], Spans()
    for number, wire, start, stop in fields(definition.data, at, end):
        if wire == BYTES and number == 6:
            ops.append(_op(definition, start, stop))
        elif wire == BYTES and number == 11:
            definition.budget.spend(ENTRY)
            spans.append(start, stop)
    return ops, Attributes(definition, spans)


def _op(definition: Definition, at: int, end: int) -> Op:
    data, spend = definition.data, definition.budget.spend
    spend(NODE)
    name = kind = ""
    inputs: list[str] = []
    src_name: list[str] = []
    src_index: list[int] = []
    spans = Spans()
    ins: list[Placed] = []
    outs: list[Placed] = []
    for number, wire, start, stop in fields(data, at, end):
        if number == 25 and wire in (VARINT, BYTES):
            size = stop - start if wire == BYTES else 1
            spend(NUMBER * size)
            src_index += varints(data, wire, start, stop)
        elif wire != BYTES:
            continue
        elif number == 10:
            spend(ENTRY)
            spans.append(start, stop)
        elif number in (33, 34):
            (ins if number == 33 else outs).append(descriptor(definition, start, stop))
        elif number == 1:
            name = text(data, start, stop)
        elif number == 2:
            kind = text(data, start, stop)
        elif number in (5, 24):
            spend(TEXT)
            (inputs if number == 5 else src_name).append(text(data, start, stop))
    attributes = Attributes(definition, spans)
    picked = attributes.picked(*_SOURCES, _MODE, _THEIRS)
    node = OmNode(
        name,
        kind,
        tuple(i for i in inputs if not i.endswith(":-1")),
        tuple(p.desc for p in ins),
        tuple(p.desc for p in outs),
        next((found for key in _SOURCES if (found := as_texts(picked.get(key)))), ()),
        modes_of(as_integer(picked.get(_MODE)) or 0),
        attributes,
    )
    sources, sizes = tuple(zip(src_name, src_index, strict=False)), tuple(p.size for p in ins)
    return Op(node, attributes, sources, sizes, as_text(picked.get(_THEIRS)) or kind)


def descriptor(definition: Definition, at: int, end: int) -> Placed:
    """Return a tensor's descriptor.

    Raises:
        WireError: its bytes are no TensorDescriptor.
    """
    data, spend = definition.data, definition.budget.spend
    spend(DESCRIPTOR)
    name, layout, numbers = "", "", {}
    shape: tuple[int, ...] = ()
    spans = Spans()
    for number, wire, start, stop in fields(data, at, end):
        if wire == VARINT and number in (2, 10, 11, 18, 19):
            numbers[number] = start
        elif wire != BYTES:
            continue
        elif number == 1:
            name = text(data, start, stop)
        elif number == 3:
            shape = tuple(_dims(data, start, stop))
        elif number == 4:
            layout = text(data, start, stop)
        elif number == 5:
            spend(ENTRY)
            spans.append(start, stop)
    attributes = Attributes(definition, spans)
    picked = attributes.picked("origin_shape", "origin_format", "merged_offset")
    origin_shape = as_integers(picked.get("origin_shape")) or ()
    origin_format = as_text(picked.get("origin_format")) or ""
    dtype = named(GRAPH_DTYPES, numbers.get(2, 0))
    desc = OmDesc(shape, dtype, layout, name, origin_shape, origin_format, attributes)
    offset = as_integer(picked.get("merged_offset"))
    sizes = [signed(numbers.get(n, 0)) for n in (10, 11, 18, 19)]
    return Placed(desc, sizes[0], sizes[1], sizes[2] if offset is None else offset, sizes[3])


def _dims(data: memoryview, at: int, end: int) -> Iterator[int]:
    count = 0
    for number, wire, start, stop in fields(data, at, end):
        if number == 1 and wire in (VARINT, BYTES):
            if wire == BYTES and stop - start > 10 * MAX_RANK:
                raise WireError(at, f"a shape of {stop - start} bytes")
            for dim in varints(data, wire, start, stop):
                count += 1
                if count > MAX_RANK:
                    raise WireError(at, f"a shape of more than {MAX_RANK} axes")
                yield dim


def elements(shape: tuple[int, ...]) -> int | None:
    """Return the number of elements; None where an axis is dynamic."""
    return None if any(d < 0 for d in shape) else math.prod(shape)
