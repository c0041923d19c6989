"""An ONNX file without its large tensors: where their bytes lie is noted, and they are read when asked for.

A ModelProto (onnx.proto) is a protobuf message: fields of a tag, and a length with that many bytes, a varint or a fixed
number (protobuf.dev/programming-guides/encoding). The file is mapped and walked down to ``graph.initializer.raw_data``;
everything else is parsed by the onnx package. So a model of gigabytes takes no more memory than its graph, and a
truncated file is noticed at the field that reaches beyond the end.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.artifact import recognize
from parity.checkpoint.onnx_data import Span, external_span
from parity.checkpoint.onnx_text import check_texts
from parity.errors import ArtifactError

if TYPE_CHECKING:
    from parity.tensor import Array

MAX_GRAPH_BYTES = 1 << 30  # of everything but large initializers
LARGE = 1024
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # field numbers of ModelProto, GraphProto, TensorProto
REMEDY = "it is truncated or corrupt: export or fetch it again"


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """A parsed ONNX model. ``model`` is a ModelProto without large raw data; ``spans`` says where each of the main
    graph's initializers has its bytes: in this file, in an external one, or (None) in the parsed model.
    """

    path: Path
    model: Any
    spans: tuple[Span | None, ...]

    def initializers(self) -> Iterator[tuple[Any, Span | None]]:
        """Yield each initializer of the main graph (a TensorProto) and where its bytes are."""
        yield from zip(self.model.graph.initializer, self.spans, strict=True)


def open_onnx(path: str | Path) -> OnnxFile:
    """Return the model with every tensor's place known and checked; large tensors are not read.

    Raises:
        ArtifactError: missing, empty, a Git LFS pointer, truncated, not ONNX, without a graph or outputs, or with
            external data that is missing, too short, or outside the model's folder.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped,unused-ignore]

    path = Path(path)
    lean, spans = _split(path)
    if len(lean) > MAX_GRAPH_BYTES:
        raise ArtifactError(f"{path}: a graph of {len(lean)} bytes", expected=f"at most {MAX_GRAPH_BYTES}")
    try:
        import onnx

        model = onnx.ModelProto.FromString(lean)
    except (DecodeError, ValueError) as e:
        raise ArtifactError(
            f"{path}: not a readable ONNX model ({str(e) or 'corrupt protobuf'})", remedy=REMEDY
        ) from None
    check_texts(path, model)
    _check_model(path, model)
    initializers = model.graph.initializer
    if len(initializers) != len(spans):
        raise ArtifactError(
            f"{path}: {len(spans)} initializers, of which {len(initializers)} can be read", remedy=REMEDY
        )
    found = tuple(
        external_span(path, tensor) if tensor.data_location == 1 else span
        for tensor, span in zip(initializers, spans, strict=True)
    )
    return OnnxFile(path, model, found)


def _check_model(path: Path, model: Any) -> None:
    graph = model.graph
    if not graph.node and not graph.output:
        raise ArtifactError(f"{path}: holds no graph (no nodes, no outputs)", expected="an ONNX model", remedy=REMEDY)
    if not graph.output:
        raise ArtifactError(f"{path}: the graph has no outputs", expected="an ONNX model with outputs", remedy=REMEDY)
    if not model.opset_import or not model.ir_version:
        missing = "opset" if not model.opset_import else "IR version"
        raise ArtifactError(f"{path}: the model names no {missing}", expected="a complete ONNX model", remedy=REMEDY)


def _split(path: Path) -> tuple[bytes, list[Span | None]]:
    """Return the model's bytes without large raw data, and where each initializer's raw data was."""
    try:
        with path.open("rb") as f:
            head = f.read(64)
            if not head or head.startswith(b"version https://git-lfs"):
                recognize(path)  # raises, and says which of the two it is
            data = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as e:
        raise ArtifactError(f"{path}: cannot be read: {getattr(e, 'strerror', None) or e}") from None
    with data:
        return _Splitter(path, data).model()


class _Splitter:
    """Copies a model's fields but for large raw data."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self._path, self._data = path, data
        self._spans: list[Span | None] = []

    def model(self) -> tuple[bytes, list[Span | None]]:
        parts = []
        for field, start, at, stop in self._fields(0, len(self._data)):
            parts.append(_message(_GRAPH, self._graph(at, stop)) if field == _GRAPH else self._data[start:stop])
        return b"".join(parts), self._spans

    def _graph(self, begin: int, end: int) -> bytes:
        parts = []
        for field, start, at, stop in self._fields(begin, end):
            if field == _INITIALIZER:
                parts.append(_message(_INITIALIZER, self._tensor(at, stop)))
            else:
                parts.append(self._data[start:stop])
        return b"".join(parts)

    def _tensor(self, begin: int, end: int) -> bytes:
        self._spans.append(None)
        if end - begin <= LARGE:
            return self._data[begin:end]
        parts = []
        for field, start, at, stop in self._fields(begin, end):
            if field == _RAW_DATA and stop - at > LARGE // 2:
                self._spans[-1] = Span(self._path, at, stop - at)
            else:
                parts.append(self._data[start:stop])
        return b"".join(parts)

    def _fields(self, begin: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield (field number, start of the tag, start of the content, end) of each field of a message."""
        at = begin
        while at < end:
            start = at
            tag, at = self._varint(at, end)
            field, wire = tag >> 3, tag & 7
            content = at
            if wire == 0:
                _, at = self._varint(at, end)
            elif wire == 2:
                length, content = self._varint(at, end)
                at = content + length
            elif wire in (1, 5):
                at += 8 if wire == 1 else 4
            else:
                self._refuse(start, f"a field of wire type {wire}")
            if field == 0:
                self._refuse(start, "a field without a number")
            if at > end:
                self._refuse(
                    start, f"a field that claims {at - content} bytes, of which {max(end - content, 0)} are there"
                )
            if field in (_GRAPH, _INITIALIZER, _RAW_DATA) and wire != 2:
                field = -1  # not the field we know: let the parser judge it
            yield field, start, content, at

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while at < end and shift < 64:
            byte = self._data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
            shift += 7
        self._refuse(at, "a number without an end")
        raise AssertionError  # _refuse does not return

    def _refuse(self, at: int, what: str) -> None:
        raise ArtifactError(f"{self._path}: not a readable ONNX model: byte {at} begins {what}", remedy=REMEDY)


def _message(field: int, content: bytes) -> bytes:
    return _encoded(field << 3 | 2) + _encoded(len(content)) + content


def _encoded(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def read_initializer(file: OnnxFile, tensor: Any, span: Span | None) -> Array:
    """Return an initializer's values, from the file's map where they are large. See `onnx_data.tensor_array`.

    Raises:
        ArtifactError: the bytes do not fit its shape.
    """
    from parity.checkpoint.onnx_data import tensor_array

    return tensor_array(file.path, tensor, span)
