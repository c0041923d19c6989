"""Reads what Ascend's runtime dumps of one operator: its inputs and outputs, checked before anything is believed.

    u64                 bytes of the header, little-endian
    header              protobuf ``DumpData``: version 1, time 2, output 3, input 4, buffer 5, op_name 6
    values              of all inputs, then of all outputs, then of buffers and work spaces

``OpOutput``: dtype 1, format 2, shape 3, original_op 4, data 5, size 6, original_shape 7. ``OpInput``: dtype 1, format
2, shape 3, data 4, size 5, original_shape 6. ``Shape``: dim 1. Sources: the protobuf definitions and the reader of
Ascend's accuracy tools (``BigDumpDataParser``); numbers of element types and formats: ``OutputDataType`` and
``OutputFormat`` of HiSilicon's ``dump_data.proto``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from parity.errors import ArtifactError
from parity.om.enums import GRAPH_DTYPES
from parity.om.wire import VARINT, WireError, fields, varints

if TYPE_CHECKING:
    from parity.tensor import Array

DTYPES = {number: GRAPH_DTYPES[number] for number in (*range(1, 13), 27)}  # those whose values NumPy holds
PLAIN = {0: "NCHW", 1: "NHWC", 2: "ND", 27: "NDHWC", 30: "NCDHW"}  # formats whose values lie as the shape says
BLOCKED = {3: "NC1HWC0", 4: "FRACTAL_Z", 12: "NC1HWC0_C04", 29: "FRACTAL_NZ", 32: "NDC1HWC0"}
MAX_HEADER = 16 << 20
MAX_DIMS = 128
_SIZE = 8  # bytes of the header's length


@dataclass(frozen=True, slots=True)
class DumpTensor:
    """One input or output: where its values lie in ``path``."""

    path: Path
    dtype: str
    format: int
    shape: tuple[int, ...]
    offset: int
    size: int

    def array(self) -> Array:
        """Return the values.

        Raises:
            ArtifactError: they are not laid out as the shape says, or are not as many.
        """
        import numpy as np

        if self.format not in PLAIN:
            layout = BLOCKED.get(self.format, f"format {self.format}")
            raise ArtifactError(
                f"{self.path.name}: laid out as {layout}, which only the device's own operators read",
                expected=", ".join(PLAIN.values()),
                remedy="convert the dump with Ascend's msaccucmp, or take the outputs of the model itself",
            )
        stored = np.dtype("<u2") if self.dtype == "bfloat16" else np.dtype(self.dtype).newbyteorder("<")
        if math.prod(self.shape) * stored.itemsize != self.size:
            raise ArtifactError(f"{self.path.name}: {self.size:,} bytes are not those of {self.dtype} {self.shape}")
        values = np.fromfile(self.path, stored, self.size // stored.itemsize, offset=self.offset)
        if values.nbytes != self.size:
            raise ArtifactError(f"{self.path.name}: truncated while it was read", remedy="copy it again")
        if self.dtype == "bfloat16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        found: Array = values.reshape(self.shape)
        return found


@dataclass(frozen=True, slots=True)
class Dump:
    """What one operator took and gave. ``op_name`` is empty where the file does not say it."""

    op_name: str
    inputs: tuple[DumpTensor, ...]
    outputs: tuple[DumpTensor, ...]


def read_dump(path: Path) -> Dump:
    """Return what lies in a dump file; values are read when they are asked for.

    Raises:
        ArtifactError: it is truncated, damaged, or no dump.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as f:
            length = int.from_bytes(f.read(_SIZE), "little")
            if not 0 < length <= min(size - _SIZE, MAX_HEADER):
                raise ValueError(f"its header claims {length:,} bytes, in a file of {size:,}")
            return _dump(path, memoryview(f.read(length)), _SIZE + length, size)
    except (OSError, ValueError, WireError) as e:
        said = "its header is no protobuf message" if isinstance(e, WireError) else getattr(e, "strerror", None) or e
        raise ArtifactError(
            f"{path}: cannot be read as a dump of Ascend's runtime ({said})",
            remedy="copy it again; an .npy that it was converted to is read as well",
        ) from None


def _dump(path: Path, header: memoryview, start: int, size: int) -> Dump:
    parts: dict[int, list[memoryview]] = {3: [], 4: [], 5: []}
    name, more = "", False
    for number, value in _fields(header):
        if number in parts and isinstance(value, memoryview):
            parts[number].append(value)
        elif number == 6 and isinstance(value, memoryview):
            name = bytes(value).decode("utf-8", "replace")
        more = more or number > 6
    offset = start
    found: dict[int, list[DumpTensor]] = {}
    for number, at in ((4, 5), (3, 6)):  # inputs lie first
        found[number] = []
        for part in parts[number]:
            tensor = _tensor(path, part, at, offset)
            offset += tensor.size
            found[number].append(tensor)
    end = offset + sum(_number(part, 3) for part in parts[5])
    if offset > size or (end != size and not more):
        raise ValueError(f"its tensors take {end - start:,} bytes, and {size - start:,} follow the header")
    return Dump(name, tuple(found[4]), tuple(found[3]))


def _tensor(path: Path, part: memoryview, size_at: int, offset: int) -> DumpTensor:
    dtype = DTYPES.get(_number(part, 1))
    if dtype is None:
        raise ValueError(f"an element type with the number {_number(part, 1)}")
    shape: tuple[int, ...] = ()
    for number, value in _fields(part):
        if number == 3 and isinstance(value, memoryview):
            shape = _shape(value)
    return DumpTensor(path, dtype, _number(part, 2), shape, offset, _number(part, size_at))


def _shape(part: memoryview) -> tuple[int, ...]:
    """Return the dims of a shape, packed or one by one; every one takes a byte at least."""
    dims: list[int] = []
    if len(part) <= 11 * MAX_DIMS:
        for number, wire, value, stop in fields(part, 0, len(part)):
            dims += varints(part, wire, value, stop) if number == 1 else []
    if len(part) > 11 * MAX_DIMS or len(dims) > MAX_DIMS or any(d < 0 for d in dims):
        raise ValueError(f"a shape of more than {MAX_DIMS} dimensions, or with a negative one")
    return tuple(dims)


def _number(part: memoryview, wanted: int) -> int:
    """Return a field that is a number, 0 where it is not there (proto3 leaves zeros out)."""
    return next((v for n, v in _fields(part) if n == wanted and isinstance(v, int)), 0)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the fields of a protobuf message: number, and a value or bytes.

    Raises:
        ValueError: it is none.
    """
    try:
        for number, wire, value, stop in fields(data, 0, len(data)):
            yield number, value if wire == VARINT else data[value:stop]
    except WireError:
        raise ValueError("its header is no protobuf message") from None
