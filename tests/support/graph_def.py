"""Just enough of TensorFlow's GraphDef to read the constants of a frozen ``.pb``, apart from parity's own reader.

Fields (tensorflow/core/framework/*.proto): GraphDef.node 1; NodeDef: name 1, op 2, attr 5 {key 1, value 2};
AttrValue.tensor 8; TensorProto: dtype 1, tensor_shape 2 {dim 2 {size 1}}, tensor_content 4, float_val 5, int_val 7.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

DTYPES = {1: "<f4", 3: "<i4", 9: "<i8"}


def constants(path: Path) -> dict[str, np.ndarray]:
    """Return the constants of float32, int32 and int64 by the name of their node."""
    found = {}
    for node in messages(path.read_bytes(), 1):
        if text(node, 2) != "Const":
            continue
        for entry in messages(node, 5):
            if text(entry, 1) == "value":
                tensor = messages(messages(entry, 2)[0], 8)[0]
                array = _array(tensor)
                if array is not None:
                    found[text(node, 1)] = array
    return found


def _array(tensor: bytes) -> np.ndarray | None:
    kinds = [v for n, v in fields(tensor) if n == 1]
    dtype = DTYPES.get(kinds[0]) if kinds else None
    if dtype is None:
        return None
    dims = messages(messages(tensor, 2)[0], 2) if messages(tensor, 2) else []
    shape = [next((v for n, v in fields(d) if n == 1), 0) for d in dims]
    content = messages(tensor, 4)
    if content:
        return np.frombuffer(content[0], dtype).reshape(shape)
    if dtype == "<f4":
        listed = np.frombuffer(b"".join(messages(tensor, 5)), dtype)
    else:
        listed = np.array(_varints(tensor, 7), dtype)
    count = int(np.prod(shape))
    if listed.size < count:  # the last value stands for the rest
        listed = np.concatenate([listed, np.full(count - listed.size, listed[-1])])
    return listed.reshape(shape)


def _varints(message: bytes, number: int) -> list[int]:
    values = []
    for n, v in fields(message):
        if n == number and isinstance(v, int):
            values.append(v)
        elif n == number:
            at = 0
            while at < len(v):
                value, at = varint(v, at)
                values.append(value)
    return [v - (1 << 64) if v >> 63 else v for v in values]


def fields(message: bytes) -> list[tuple[int, int | bytes]]:
    """Return (number, value) of each field; of fixed numbers their bytes."""
    found, at = [], 0
    while at < len(message):
        tag, at = varint(message, at)
        value: int | bytes
        if tag & 7 == 0:
            value, at = varint(message, at)
        else:
            size = {1: 8, 5: 4}.get(tag & 7)
            if size is None:
                size, at = varint(message, at)
            value, at = message[at : at + size], at + size
        found.append((tag >> 3, value))
    return found


def messages(message: bytes, number: int) -> list[bytes]:
    return [v for n, v in fields(message) if n == number and isinstance(v, bytes)]


def text(message: bytes, number: int) -> str:
    return b"".join(messages(message, number)[-1:]).decode()


def varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at, value, shift = at + 1, value | (byte & 0x7F) << shift, shift + 7
        if byte < 0x80:
            return value, at
