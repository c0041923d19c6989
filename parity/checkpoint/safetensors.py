"""Safetensors files, read without the safetensors package: a header of JSON, then the tensors' bytes.

Format: 8 bytes header length (little endian), the header, then one buffer in which every byte belongs to exactly one
tensor (https://github.com/huggingface/safetensors, "Format"). Each statement of the header is checked against the
file's size before any memory is taken; tensors are views of a read-only memory map.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from parity.artifact import recognize
from parity.errors import ArtifactError

if TYPE_CHECKING:
    from parity.tensor import Array

MAX_HEADER_BYTES = 100_000_000  # the format's own limit
_REMEDY = "it is truncated or corrupt: fetch or export it again"

# The format's name: (our name, NumPy's dtype that holds the bytes, bytes per element).
_DTYPES: dict[str, tuple[str, str, int]] = {
    "BOOL": ("bool", "|b1", 1),
    "U8": ("uint8", "|u1", 1),
    "I8": ("int8", "|i1", 1),
    "F8_E4M3": ("float8_e4m3", "|u1", 1),
    "F8_E5M2": ("float8_e5m2", "|u1", 1),
    "F8_E8M0": ("float8_e8m0", "|u1", 1),
    "U16": ("uint16", "<u2", 2),
    "I16": ("int16", "<i2", 2),
    "F16": ("float16", "<f2", 2),
    "BF16": ("bfloat16", "<u2", 2),
    "U32": ("uint32", "<u4", 4),
    "I32": ("int32", "<i4", 4),
    "F32": ("float32", "<f4", 4),
    "U64": ("uint64", "<u8", 8),
    "I64": ("int64", "<i8", 8),
    "F64": ("float64", "<f8", 8),
    "C64": ("complex64", "<c8", 8),
}


@dataclass(frozen=True, slots=True)
class _Entry:
    stored: str  # the format's name of the dtype
    shape: tuple[int, ...]
    start: int  # of the first byte, from the beginning of the file
    stop: int


@dataclass(frozen=True, slots=True)
class SafetensorsFile:
    """An opened safetensors file. ``metadata`` is the header's own map of texts; ``names`` are in the file's order."""

    path: Path
    metadata: Mapping[str, str]
    _entries: Mapping[str, _Entry]
    _bytes: Array

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all tensors, in the order of the header."""
        return tuple(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def spec(self, name: str) -> tuple[str, tuple[int, ...]]:
        """Return dtype (NumPy's name, ``bfloat16`` or ``float8_...``) and shape of a tensor.

        Raises:
            ArtifactError: no tensor of this name.
        """
        entry = self._entry(name)
        return _DTYPES[entry.stored][0], entry.shape

    def read(self, name: str, *, as_float32: bool = False) -> Array:
        """Return a tensor as a read-only view of the file, in its declared shape.

        ``bfloat16`` comes as its raw ``uint16`` bits and float8 as ``uint8``, since NumPy has neither. With
        ``as_float32`` the values are converted (bfloat16 exactly, by a shift of 16 bits); float8 is refused then.

        Raises:
            ArtifactError: no tensor of this name, or float8 asked for as float32.
        """
        import numpy as np

        entry = self._entry(name)
        known, numpy_dtype, _ = _DTYPES[entry.stored]
        array: Array = self._bytes[entry.start : entry.stop].view(numpy_dtype).reshape(entry.shape)
        if not as_float32:
            return array
        if known == "bfloat16":
            return (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
        if known.startswith(("float8", "complex")):
            raise ArtifactError(f"{self.path}: {name!r} is {known}, which is not converted to float32")
        return array.astype(np.float32)

    def _entry(self, name: str) -> _Entry:
        if name not in self._entries:
            raise ArtifactError(f"{self.path}: no tensor called {name!r} ({len(self._entries)} others)")
        return self._entries[name]


def open_safetensors(path: str | Path) -> SafetensorsFile:
    """Return the file with its header read and checked; no tensor is read yet.

    Raises:
        ArtifactError: missing, empty, a Git LFS pointer, not safetensors, truncated, or a header that lies: above
            100 MB, not JSON, a name twice, an unknown dtype, a shape that does not fit its bytes, offsets that overlap,
            leave gaps or point outside the file.
    """
    import numpy as np

    path = Path(path)
    if path.is_dir():
        raise ArtifactError(f"{path}: a folder", expected="a .safetensors file")
    try:
        with path.open("rb") as f:
            head = f.read(8)
            size = path.stat().st_size
            if len(head) < 8 or head.startswith(b"version "):
                recognize(path)  # raises where the file is empty or a Git LFS pointer, and says so
                raise ArtifactError(f"{path}: {size} bytes, too short for a safetensors file", remedy=_REMEDY)
            length = int.from_bytes(head, "little")
            if length > MAX_HEADER_BYTES or length + 8 > size:
                raise ArtifactError(
                    f"{path}: claims a safetensors header of {length} bytes in a file of {size} bytes",
                    expected=f"a header of at most {min(MAX_HEADER_BYTES, max(size - 8, 0))} bytes",
                    remedy=_REMEDY,
                )
            header = f.read(length)
        buffer: Array = np.memmap(path, dtype=np.uint8, mode="r")
    except OSError as e:
        raise ArtifactError(f"{path}: cannot be read: {e.strerror or e}") from None
    metadata, entries = _entries(path, _parse(path, header), 8 + length, size)
    return SafetensorsFile(path, metadata, entries, buffer.view(np.ndarray))


def named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs of a JSON object; for ``json.loads(..., object_pairs_hook=...)``.

    Raises:
        ValueError: a name appears twice, of which Python's reader would keep the last in silence.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice")
    return found


def _parse(path: Path, header: bytes) -> dict[str, Any]:
    try:
        data = json.loads(header.decode("utf-8"), object_pairs_hook=named_once)
    except (ValueError, RecursionError) as e:
        raise ArtifactError(f"{path}: the safetensors header is not valid JSON: {e}", remedy=_REMEDY) from None
    if not isinstance(data, dict):
        raise ArtifactError(f"{path}: the safetensors header is a {type(data).__name__}", expected="a JSON object")
    return data


def _entries(
    path: Path, header: dict[str, Any], base: int, size: int
) -> tuple[Mapping[str, str], Mapping[str, _Entry]]:
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict):
        raise ArtifactError(
            f"{path}: the safetensors metadata is a {type(metadata).__name__}", expected="a map of texts"
        )
    entries = {name: _entry(path, name, value, base) for name, value in header.items()}
    end = base
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].stop)):
        if entry.start != end:
            how = "overlaps the tensor before it" if entry.start < end else f"leaves {entry.start - end} bytes unused"
            raise ArtifactError(
                f"{path}: tensor {name!r} {how}", expected="tensors without overlap or gaps", remedy=_REMEDY
            )
        end = entry.stop
    if end != size:
        raise ArtifactError(f"{path}: {size} bytes", expected=f"{end} bytes, as its header says", remedy=_REMEDY)
    return {str(k): str(v) for k, v in metadata.items()}, entries


def _entry(path: Path, name: str, value: Any, base: int) -> _Entry:
    if not isinstance(value, dict):
        raise ArtifactError(f"{path}: tensor {name!r} is described by a {type(value).__name__}", expected="an object")
    stored, shape, offsets = value.get("dtype"), value.get("shape"), value.get("data_offsets")
    if not isinstance(stored, str) or stored not in _DTYPES:
        raise ArtifactError(f"{path}: tensor {name!r} has the dtype {stored!r}", expected=", ".join(_DTYPES))
    if not _counts(shape):
        raise ArtifactError(f"{path}: tensor {name!r} has the shape {shape!r}", expected="a list of sizes")
    if not _counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ArtifactError(f"{path}: tensor {name!r} has the offsets {offsets!r}", expected="[begin, end]")
    claimed = math.prod(shape) * _DTYPES[stored][2]
    if claimed != offsets[1] - offsets[0]:
        raise ArtifactError(
            f"{path}: tensor {name!r} of shape {shape} and dtype {stored} has {offsets[1] - offsets[0]} bytes",
            expected=f"{claimed} bytes",
            remedy=_REMEDY,
        )
    return _Entry(stored, tuple(shape), base + offsets[0], base + offsets[1])


def _counts(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(v) is int and v >= 0 for v in value)
