"""The model's in/out info (partition type 8): inputs, outputs and gears in one table, as the runtime itself reads it.

A row of {u32 type, u32 length} and that many bytes (ModelIntroduction and GetModelDescInfoFromMem of CANN's public
graph engine): 0 inputs and 1 outputs; 2 batch gears; 3 image gears; 4 gears of all dynamic axes; 5 the outputs' shape
for each gear, as text; 6 the order of names in which gears are given. Types are of the ACL enumeration.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from parity.errors import ArtifactError
from parity.om.enums import ACL_DTYPES, FORMATS, named
from parity.om.model import Gears, OmTensor
from parity.om.wire import REMEDY

_TENSOR = struct.Struct("<QiiIIII")
MAX_TENSORS = 4096


@dataclass(frozen=True, slots=True)
class InOutInfo:
    """What the table says; ``dims_v2`` of an input is its shape behind AIPP, where that is another."""

    inputs: tuple[OmTensor, ...] = ()
    outputs: tuple[OmTensor, ...] = ()
    gears: Gears | None = None
    output_shapes: tuple[str, ...] = ()
    name_order: tuple[str, ...] = ()


class _Reader:
    """Takes numbers and texts from one block, in order; never more than is there."""

    def __init__(self, path: Path, data: memoryview) -> None:
        self._path, self._data, self._at = path, data, 0

    def take(self, count: int) -> memoryview:
        if count > len(self._data) - self._at:
            raise ArtifactError(
                f"{self._path}: the in/out info claims {count} bytes, of which {len(self._data) - self._at} are there",
                remedy=REMEDY,
            )
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self) -> int:
        return int(struct.unpack("<I", self.take(4))[0])

    def numbers(self, count: int, code: str = "q") -> tuple[int, ...]:
        return struct.unpack(f"<{count}{code}", self.take(count * struct.calcsize(f"<{code}")))

    def text(self, count: int) -> str:
        return str(self.take(count), "utf-8", "backslashreplace")

    @property
    def left(self) -> int:
        return len(self._data) - self._at


def read_info(path: Path, data: memoryview) -> InOutInfo:
    """Return what the in/out info says.

    Raises:
        ArtifactError: a block or tensor reaches beyond its end, or there are two kinds of gears.
    """
    outer = _Reader(path, data)
    blocks: dict[int, _Reader] = {}
    while outer.left:
        kind, length = outer.number(), outer.number()
        blocks.setdefault(kind, _Reader(path, outer.take(length)))

    batches = blocks[2].numbers(blocks[2].number(), "Q") if 2 in blocks else ()
    image, dims = (_lists(blocks[kind]) if kind in blocks else () for kind in (3, 4))
    found = [Gears("batch", tuple((b,) for b in batches))] if batches else []
    found += [Gears("image", image)] if image else []
    found += [Gears("dims", dims)] if dims else []
    if len(found) > 1:
        kinds = " and ".join(g.kind for g in found)
        raise ArtifactError(f"{path}: gears of two kinds at once ({kinds})", expected="one kind", remedy=REMEDY)
    inputs, outputs = (_tensors(blocks[kind]) if kind in blocks else () for kind in (0, 1))
    shapes, order = (_texts(blocks[kind]) if kind in blocks else () for kind in (5, 6))
    return InOutInfo(inputs, outputs, found[0] if found else None, shapes, order)


def _tensors(block: _Reader) -> tuple[OmTensor, ...]:
    return tuple(_tensor(block) for _ in range(_count(block)))


def _count(block: _Reader) -> int:
    count = block.number()
    if count > MAX_TENSORS:
        block.take(1 << 62)  # refuses
    return count


def _tensor(block: _Reader) -> OmTensor:
    size, form, dtype, name_len, dims_len, v2_len, range_len = _TENSOR.unpack(block.take(_TENSOR.size))
    name = block.text(name_len)
    shape = block.numbers(dims_len // 8)
    shape_v2 = block.numbers(v2_len // 8)
    limits = block.numbers(range_len // 16 * 2)
    other = bool(shape_v2) and shape_v2 != shape
    return OmTensor(
        name,
        shape,
        named(ACL_DTYPES, dtype),
        named(FORMATS, form),
        size,
        tuple(zip(limits[::2], limits[1::2], strict=True)),
        aipp=other,
        source={"shape": list(shape_v2)} if other else {},
    )


def _lists(block: _Reader) -> tuple[tuple[int, ...], ...]:
    lengths = block.numbers(block.number(), "I")
    return tuple(block.numbers(n, "Q") for n in lengths)


def _texts(block: _Reader) -> tuple[str, ...]:
    lengths = block.numbers(block.number(), "I")
    return tuple(block.text(n) for n in lengths)
