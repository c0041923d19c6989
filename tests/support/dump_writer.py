"""Writes dump files as Ascend's runtime does, with a protobuf writer of its own: an oracle for the reader."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

NUMBERS = {
    "float32": 1,
    "float16": 2,
    "int8": 3,
    "uint8": 4,
    "int16": 5,
    "uint16": 6,
    "int32": 7,
    "int64": 8,
    "uint32": 9,
    "uint64": 10,
    "bool": 11,
    "float64": 12,
}


def varint(value: int) -> bytes:
    out = bytearray()
    while True:
        out.append((value & 0x7F) | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def content(field: int, data: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(data)) + data


def tensor(array: np.ndarray, layout: int, size_field: int, shape: Sequence[int] | None) -> bytes:
    dims = b"".join(varint(d) for d in (array.shape if shape is None else shape))
    told = number(1, NUMBERS[array.dtype.name]) + number(2, layout) + content(3, content(1, dims))
    return told + number(size_field, array.nbytes)


def write_dump(
    path: Path,
    inputs: Sequence[np.ndarray] = (),
    outputs: Sequence[np.ndarray] = (),
    op_name: str = "op",
    layout: int = 2,
    shape: Sequence[int] | None = None,
    tail: bytes = b"",
) -> Path:
    """Write a dump of one operator; ``layout`` is the number of its format (2 is ND)."""
    header = content(1, b"2.0") + number(2, 1700000000000000)
    header += b"".join(content(3, tensor(a, layout, 6, shape)) for a in outputs)
    header += b"".join(content(4, tensor(a, layout, 5, shape)) for a in inputs)
    header += content(6, op_name.encode())
    values = b"".join(np.ascontiguousarray(a).tobytes() for a in (*inputs, *outputs))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(header).to_bytes(8, "little") + header + values + tail)
    return path
