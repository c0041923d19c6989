"""The constants of an OM file: where their bytes lie, and how they become arrays of the source model's shape.

A ``Const`` node's ``value`` is a tensor whose descriptor gives ``merged_offset`` (else ``data_offset``) and
``weight_size``: bytes of its model's weights partition. Confirmed on real files, where they are bit-exact float16 casts
of the weights that were compiled.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from parity.errors import ArtifactError
from parity.om.attributes import TensorDef
from parity.om.enums import NUMPY
from parity.om.graph import Op, Placed, descriptor
from parity.om.layouts import restored
from parity.om.model import OmConstant, OmDesc
from parity.om.wire import REMEDY, DefinitionError

if TYPE_CHECKING:
    from parity.tensor import Array

_FOLDED = ("_filter_host", "_bias_host")


@dataclass(frozen=True, slots=True)
class _Stored:
    """Where a constant's bytes are said to be."""

    path: Path
    name: str
    placed: Placed
    weights: memoryview
    inline: memoryview


def constants_of(path: Path, ops: tuple[Op, ...], weights: memoryview) -> Iterator[OmConstant]:
    """Yield the constants of a model, in the graph's order; their values are not read.

    Raises:
        ArtifactError: a constant without a value.
    """
    for op in ops:
        if op.node.type in ("Const", "Constant"):
            yield _constant(path, op, weights)
        elif op.node.type == "FileConstant":
            yield _elsewhere(path, op)


def _constant(path: Path, op: Op, weights: memoryview) -> OmConstant:
    value = op.attributes.get("value")
    if not isinstance(value, TensorDef):
        raise ArtifactError(f"{path}: the constant {op.node.name!r} has no value", remedy=REMEDY)
    try:
        placed = descriptor(value.definition, *value.descriptor)
    except DefinitionError as e:
        raise value.definition.failed(e) from None
    start, stop = value.inline
    stored = _Stored(path, op.node.name, placed, weights, value.definition.data[start:stop])
    return _described(op, placed.desc, partial(_read, stored))


def _described(op: Op, desc: OmDesc, read: partial[Array]) -> OmConstant:
    origin = next(
        (t for d in op.node.output_descs if isinstance(t := d.attributes.get("_datadump_origin_name"), str) and t),
        op.node.source_nodes[0] if op.node.source_nodes else "",
    )
    shape = _shape(desc)
    return OmConstant(op.node.name, shape, desc.dtype, desc.format, origin, origin.endswith(_FOLDED), read)


def _elsewhere(path: Path, op: Op) -> OmConstant:
    """Return a constant of a model compiled with ``--external_weight=1``: its bytes are in a folder beside the file."""
    desc = op.node.output_descs[0] if op.node.output_descs else OmDesc((), "undefined", "ND")
    return _described(op, desc, partial(_external, path, op.node.name))


def _external(path: Path, name: str) -> Array:
    raise ArtifactError(
        f"{path}: the constant {name!r} is kept outside of the file (atc --external_weight=1)",
        expected="weights inside the file",
        remedy="compile with --external_weight=0 where its weights are to be read",
    )


def _shape(desc: OmDesc) -> tuple[int, ...]:
    """Return the shape in the source model's layout: the origin's where it is told."""
    return desc.origin_shape or desc.shape


def _read(stored: _Stored) -> Array:
    try:
        return _restored(stored)
    except ArtifactError as e:
        raise ArtifactError(
            f"{stored.path}: the constant {stored.name!r}: {e.message}", expected=e.expected, remedy=e.remedy
        ) from None


def _restored(stored: _Stored) -> Array:
    import numpy as np

    desc = stored.placed.desc
    numpy_dtype = NUMPY.get(desc.dtype)
    if numpy_dtype is None or stored.placed.compressed > 0:
        how = "compressed" if stored.placed.compressed > 0 else f"of type {desc.dtype}"
        raise ArtifactError(f"it is {how}, which cannot be read", remedy="compare by outputs")
    if any(d < 0 for d in desc.shape):
        raise ArtifactError(f"its shape is {list(desc.shape)}", expected="sizes that are known", remedy=REMEDY)
    data = _bytes(stored, math.prod(desc.shape) * int(numpy_dtype[2:]))
    origin = desc.origin_format or desc.format
    try:
        array: Array = np.frombuffer(data, np.uint8).view(numpy_dtype).reshape(desc.shape)
        return np.asarray(restored(array, desc.format, _shape(desc), origin), order="C")
    except ValueError:  # nothing at all in a shape that no array can have, or too many axes
        told = f"stored as {desc.format} {list(desc.shape)} for {origin} {list(_shape(desc))}"
        raise ArtifactError(told, expected="shapes that an array can have", remedy=REMEDY) from None


def _bytes(stored: _Stored, expected: int) -> memoryview:
    placed, whole = stored.placed, stored.weights
    if placed.weight_size == 0 and len(stored.inline) == expected:
        return stored.inline
    if placed.weight_size != expected:
        raise ArtifactError(
            f"{placed.weight_size} bytes of {placed.desc.dtype} {list(placed.desc.shape)}",
            expected=f"{expected} bytes",
            remedy=REMEDY,
        )
    start = placed.data_offset
    if start < 0 or start + expected > len(whole):
        raise ArtifactError(
            f"bytes {start} to {start + expected} of the weights",
            expected=f"a place inside their {len(whole)} bytes",
            remedy=REMEDY,
        )
    return whole[start : start + expected]
