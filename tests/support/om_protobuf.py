"""Protobuf for `om_writer`: attributes, interned where it is asked for, and descriptors of ge_ir.proto."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PROTO = {"float32": 1, "float16": 2, "int8": 3, "uint8": 4, "int32": 7, "int64": 8, "bool": 11, "bfloat16": 27}


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
