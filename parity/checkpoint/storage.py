"""Tensors over storages: torch writes a flat buffer once and describes each tensor as a view of it.

`torch._utils._rebuild_tensor_v2(storage, offset, size, stride, ...)` (torch 2.13, `torch/_utils.py`); offsets and
strides count elements. Every view is checked against its storage, and every storage against its file, before anything
is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from parity.checkpoint.pickle import Global, Persistent, Record
from parity.checkpoint.weight import Place, Weight
from parity.errors import ArtifactError

if TYPE_CHECKING:
    from parity.tensor import Array

MAX_EXPANDED_BYTES = 256 << 20  # a view may repeat its storage (stride 0), which must not make terabytes of kilobytes
MAX_AXES = 64
REMEDY = "it is truncated or corrupt: save or fetch it again"

# torch's name: (our name, NumPy's dtype that holds the bytes)
DTYPES: dict[str, tuple[str, str]] = {
    "float64": ("float64", "f8"),
    "float32": ("float32", "f4"),
    "float16": ("float16", "f2"),
    "bfloat16": ("bfloat16", "u2"),
    "int64": ("int64", "i8"),
    "int32": ("int32", "i4"),
    "int16": ("int16", "i2"),
    "int8": ("int8", "i1"),
    "uint8": ("uint8", "u1"),
    "uint16": ("uint16", "u2"),
    "uint32": ("uint32", "u4"),
    "uint64": ("uint64", "u8"),
    "bool": ("bool", "?"),
    "complex64": ("complex64", "c8"),
    "complex128": ("complex128", "c16"),
    "quint8": ("uint8", "u1"),
    "qint8": ("int8", "i1"),
    "qint32": ("int32", "i4"),
    "float8_e4m3fn": ("float8_e4m3", "u1"),
    "float8_e5m2": ("float8_e5m2", "u1"),
}
_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "QUInt8Storage": "quint8",
    "QInt8Storage": "qint8",
    "QInt32Storage": "qint32",
}
_UNTYPED = {"UntypedStorage", "storage.UntypedStorage"}
_TENSORS = {
    *("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3"),
    "torch._utils._rebuild_qtensor",
}
_WRAPPERS = {
    "torch._utils._rebuild_parameter": 0,
    "torch._utils._rebuild_parameter_with_state": 0,
    "torch.nn.parameter.Buffer": 0,
    "torch.nn.parameter.Parameter": 0,
}


@dataclass(frozen=True, slots=True)
class Storage:
    """A flat buffer of a file: how many bytes it has, and how to get at them as a 1-D array of bytes."""

    size: int
    read: Callable[[], Array]
    big_endian: bool = False
    name: str = ""  # unique in its file


class Storages(Protocol):
    """Where a pickle's storages are kept: a zip archive, or behind the pickle in torch's legacy format."""

    def find(self, key: str, claimed: int) -> Storage:
        """Return the storage called ``key``, which the pickle claims to hold ``claimed`` bytes.

        Raises:
            ArtifactError: there is none.
        """
        ...


def tensor_of(record: Any, name: str, storages: Storages, where: str) -> Weight | None:
    """Return the tensor that a record describes, called ``name``; None where it describes something else.

    Raises:
        ArtifactError: the tensor does not fit its storage, or the storage its file.
    """
    if not isinstance(record, Record):
        return None
    try:
        if record.name in _WRAPPERS and record.args:
            return tensor_of(record.args[_WRAPPERS[record.name]], name, storages, where)
        if record.name == "torch._tensor._rebuild_from_type_v2" and isinstance(record.args[0], Global):
            return tensor_of(Record(record.args[0].name, record.args[2]), name, storages, where)
        if record.name in _TENSORS:
            return _rebuild(record, name, storages, where)
    except (IndexError, TypeError, ValueError, AttributeError, OverflowError) as e:
        raise ArtifactError(f"{where}: the tensor {name!r} is described wrongly ({e})", remedy=REMEDY) from None
    return None


def _rebuild(record: Record, name: str, storages: Storages, where: str) -> Weight:
    storage_id, offset, shape, strides = record.args[:4]
    if not isinstance(storage_id, Persistent) or storage_id.id[0] not in ("storage", b"storage"):
        raise ValueError("it has no storage")
    _, kind, key, _, count = storage_id.id[:5]
    stored = kind.name.removeprefix("torch.")
    if record.name.endswith("_v3"):
        torch_dtype = record.args[6].name.removeprefix("torch.")
    elif stored in _UNTYPED:
        torch_dtype = "uint8"
    else:
        torch_dtype = _STORAGES.get(stored, stored)
    if torch_dtype not in DTYPES:
        raise ArtifactError(
            f"{where}: the tensor {name!r} has the element type {torch_dtype!r}, which parity cannot read"
        )
    dtype, numpy_dtype = DTYPES[torch_dtype]
    itemsize = _itemsize(numpy_dtype)
    _check_counts((offset, count, *shape, *strides), len(shape) == len(strides) <= MAX_AXES)
    claimed = count if stored in _UNTYPED else count * itemsize
    view = storage_id.id[5] if len(storage_id.id) > 5 else None
    storage = storages.find(str(key), claimed if view is None else 0)
    base = 0
    if view is not None:  # torch < 0.4 wrote views of storages
        _check_counts((view[1], view[2]), True)
        base, claimed = view[1] * itemsize, view[2] * itemsize
    if base + claimed > storage.size:
        raise ArtifactError(
            f"{where}: the storage {str(key)!r} of {name!r} claims {base + claimed} bytes",
            expected=f"at most the {storage.size} bytes that are there",
            remedy=REMEDY,
        )
    _check_view(name, offset, shape, strides, claimed // itemsize, itemsize, where)
    start = base + offset * itemsize

    def load() -> Array:
        return _view(storage, start, tuple(shape), tuple(strides), numpy_dtype, where)

    reach = sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + 1 if math.prod(shape) else 0
    place = Place(storage.name, start, start + reach * itemsize, tuple(strides))
    return Weight(name, tuple(shape), dtype, load, place=place)


def element_size(storage: str) -> int:
    """Return the bytes per element of a torch storage type such as ``torch.FloatStorage``; 1 for unknown ones."""
    known = DTYPES.get(_STORAGES.get(storage.removeprefix("torch."), ""))
    return 1 if known is None else _itemsize(known[1])


def _itemsize(numpy_dtype: str) -> int:
    return 1 if numpy_dtype == "?" else int(numpy_dtype[1:])


def _check_counts(values: tuple[Any, ...], fits: bool) -> None:
    if not fits or not all(type(v) is int and 0 <= v < 1 << 62 for v in values):
        raise ValueError("sizes, strides and offsets must be whole numbers from 0 to 2^62, one stride per axis")


def _check_view(
    name: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], count: int, itemsize: int, where: str
) -> None:
    size = math.prod(shape)
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) if size else offset - 1
    if last >= count or offset > count:
        raise ArtifactError(
            f"{where}: the tensor {name!r} of shape {list(shape)} reaches beyond its storage",
            expected=f"elements 0 to {count - 1}, not {last}",
            remedy=REMEDY,
        )
    if size > count and size * itemsize > MAX_EXPANDED_BYTES:
        raise ArtifactError(
            f"{where}: the tensor {name!r} of shape {list(shape)} repeats a storage of {count} elements to {size}",
            expected=f"at most {MAX_EXPANDED_BYTES} bytes of repetition",
        )


def _view(
    storage: Storage, start: int, shape: tuple[int, ...], strides: tuple[int, ...], numpy_dtype: str, where: str
) -> Array:
    import numpy as np

    dtype = np.dtype(numpy_dtype if numpy_dtype == "?" else (">" if storage.big_endian else "<") + numpy_dtype)
    if math.prod(shape) == 0:
        return np.empty(shape, dtype=dtype.newbyteorder("="))
    data = storage.read()
    if data.size < storage.size:
        raise ArtifactError(f"{where}: a storage holds {data.size} bytes, not {storage.size}", remedy=REMEDY)
    steps = tuple(s * dtype.itemsize for s in strides)
    array: Array = np.ndarray(shape, dtype, buffer=data.data, offset=start, strides=steps)
    array.flags.writeable = False
    return array.astype(dtype.newbyteorder("=")) if storage.big_endian else array
