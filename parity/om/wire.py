"""Protobuf's wire format over a memoryview: fields are walked, not built; nothing is copied and nothing recurses.

Source: protobuf.dev/programming-guides/encoding. A message is a row of fields: a tag (number and wire type), then a
varint (0), eight bytes (1), a length and that many bytes (2), or four bytes (5). Each field is checked to end inside of
its message before anything is taken from it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from parity.errors import ArtifactError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
REMEDY = "it is truncated or corrupt: compile or fetch it again"


class DefinitionError(ArtifactError):
    """What is wrong with a model definition. Whoever opened the file says which file it is."""


class WireError(DefinitionError):
    """Bytes that are no protobuf message."""

    def __init__(self, at: int, what: str) -> None:
        super().__init__(f"byte {at} of the model definition begins {what}", remedy=REMEDY)


def fields(data: memoryview, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (number, wire type, value, stop) of each field of the message at ``data[at:end]``.

    For wire type 2, ``data[value:stop]`` is the content; for a varint ``value`` is the number, unsigned; for fixed
    numbers ``data[value:stop]`` are its bytes.

    Raises:
        WireError: a field reaches beyond the end, has no number, or is of a type that protobuf 3 does not have.
    """
    while at < end:
        start = at
        tag = data[at]
        at += 1
        if tag >= 0x80:
            tag, at = varint(data, start, end)
        wire, number = tag & 7, tag >> 3
        if wire == BYTES:
            if at >= end:
                raise WireError(start, "a field without a length")
            length = data[at]
            at += 1
            if length >= 0x80:
                length, at = varint(data, at - 1, end)
            stop = at + length
            value = at
        elif wire == VARINT:
            value, stop = varint(data, at, end)
        elif wire in (FIXED64, FIXED32):
            value, stop = at, at + (8 if wire == FIXED64 else 4)
        else:
            raise WireError(start, f"a field of wire type {wire}")
        if stop > end:
            raise WireError(start, f"a field that ends at {stop}, where its message ends at {end}")
        if not number:
            raise WireError(start, "a field without a number")
        yield number, wire, value, stop
        at = stop


def varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    """Return the unsigned number at ``at``, of at most 64 bits, and where it ends.

    Raises:
        WireError: it does not end inside of its message, or in ten bytes.
    """
    start, value, shift = at, 0, 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise WireError(start, "a number without an end")


def signed(value: int) -> int:
    """Return an int64 or int32 from the unsigned number that stands for it."""
    return value - (1 << 64) if value >> 63 else value


def varints(data: memoryview, wire: int, value: int, stop: int) -> list[int]:
    """Return the signed numbers of one field that is repeated: a single one, or all of a packed field.

    Raises:
        WireError: the packed bytes are no row of varints.
    """
    if wire == VARINT:
        return [signed(value)]
    found = []
    while value < stop:
        number, value = varint(data, value, stop)
        found.append(signed(number))
    return found


def floats(data: memoryview, wire: int, value: int, stop: int) -> list[float]:
    """Return the float32 numbers of one field that is repeated: a single one, or all of a packed field.

    Raises:
        WireError: the bytes are no row of four each.
    """
    if wire == VARINT or (stop - value) % 4:
        raise WireError(value, "numbers of four bytes each, which do not fit their field")
    return list(struct.unpack_from(f"<{(stop - value) // 4}f", data, value))


def text(data: memoryview, value: int, stop: int) -> str:
    r"""Return text; bytes that are no UTF-8 stand as ``\\xff``."""
    return str(data[value:stop], "utf-8", "backslashreplace")
