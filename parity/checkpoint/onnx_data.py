"""The values of an ONNX TensorProto: inside the message, elsewhere in the model's file, or in an external data file.

External data (onnx/docs/ExternalData.md): ``location`` relative to the model, ``offset`` and ``length`` in bytes. It
must lie inside the model's folder, links followed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.errors import ArtifactError

if TYPE_CHECKING:
    from parity.tensor import Array

# TensorProto.DataType: (our name, NumPy's dtype that holds the bytes, elements per byte group as (elements, bytes))
DTYPES: dict[int, tuple[str, str]] = {
    1: ("float32", "<f4"),
    2: ("uint8", "|u1"),
    3: ("int8", "|i1"),
    4: ("uint16", "<u2"),
    5: ("int16", "<i2"),
    6: ("int32", "<i4"),
    7: ("int64", "<i8"),
    8: ("str", ""),
    9: ("bool", "|b1"),
    10: ("float16", "<f2"),
    11: ("float64", "<f8"),
    12: ("uint32", "<u4"),
    13: ("uint64", "<u8"),
    14: ("complex64", "<c8"),
    15: ("complex128", "<c16"),
    16: ("bfloat16", "<u2"),
    17: ("float8_e4m3", "|u1"),
    18: ("float8_e4m3fnuz", "|u1"),
    19: ("float8_e5m2", "|u1"),
    20: ("float8_e5m2fnuz", "|u1"),
    21: ("uint4", ""),
    22: ("int4", ""),
    23: ("float4_e2m1", ""),
}
REMEDY = "it is truncated or corrupt: export or fetch it again"
MAX_LISTED = 1 << 28  # elements of a tensor that is written as a list of numbers


@dataclass(frozen=True, slots=True)
class Span:
    """Where a tensor's bytes are."""

    path: Path
    offset: int
    length: int


def dtype_name(data_type: int) -> str | None:
    """Return our name of a TensorProto.DataType, such as ``float32``; None where it is undefined or new."""
    known = DTYPES.get(data_type)
    return None if known is None else known[0]


def external_span(model: Path, tensor: Any) -> Span:
    """Return where a tensor's external data is.

    Raises:
        ArtifactError: it names no file, the file is missing, too short, or outside the model's folder.
    """
    entries = {e.key: e.value for e in tensor.external_data}
    location = entries.get("location", "")
    place = _inside(model, location, tensor.name)
    try:
        offset = int(entries.get("offset") or 0)
        size = place.stat().st_size
        length = int(entries["length"]) if entries.get("length") else _claimed_bytes(tensor) or size - offset
    except (OSError, ValueError) as e:
        raise ArtifactError(
            f"{model}: the external data {location!r} of {tensor.name!r} cannot be read ({e})"
        ) from None
    with place.open("rb") as f:
        pointer = f.read(23) == b"version https://git-lfs"
    if pointer:
        raise ArtifactError(
            f"{place}: this is a Git LFS pointer, not the external data of {model.name}",
            remedy=f"run `git lfs pull --include {location}` in its repository",
        )
    if offset < 0 or length < 0 or offset + length > size:
        raise ArtifactError(
            f"{model}: the tensor {tensor.name!r} is said to be bytes {offset} to {offset + length} of {location!r}",
            expected=f"a place inside its {size} bytes",
            remedy=f"{location} is truncated or belongs to another export: export again and copy both files",
        )
    return Span(place, offset, length)


def _inside(model: Path, location: str, name: str) -> Path:
    """Return the path of an external data file, which must be beside or below the model."""
    folder = model.parent.resolve()
    place = model.parent / location
    if not location or "\0" in location:
        raise ArtifactError(f"{model}: the tensor {name!r} has external data without a file name", remedy=REMEDY)
    try:
        real = place.resolve()
    except (OSError, RuntimeError) as e:
        raise ArtifactError(f"{model}: the external data {location!r} of {name!r} cannot be found ({e})") from None
    if Path(location).is_absolute() or not real.is_relative_to(folder):
        raise ArtifactError(
            f"{model}: the external data {location!r} of {name!r} is outside of the model's folder",
            expected="a file in the folder of the model or below it",
            remedy="copy the data file beside the model and export with a relative location",
        )
    if not real.is_file():
        raise ArtifactError(
            f"{model}: the external data file {location!r} is missing (tensor {name!r} is stored in it)",
            expected=f"{place}",
            remedy=f"copy {location} from where the model was exported into the same folder, or export to one file",
        )
    return real


def _claimed_bytes(tensor: Any) -> int | None:
    known = DTYPES.get(tensor.data_type)
    if known is None or not known[1]:
        return None
    return math.prod(int(d) for d in tensor.dims) * _itemsize(known[1])


def _itemsize(numpy_dtype: str) -> int:
    return int(numpy_dtype[2:])


def tensor_array(path: Path, tensor: Any, span: Span | None = None) -> Array:
    """Return a tensor's values: a view of the file's map for a span, else read from the message.

    bfloat16 comes as ``uint16`` bits, float8 as ``uint8``; types of less than a byte as their packed bytes, 1-D.

    Raises:
        ArtifactError: the bytes do not fit its shape, or its type is text or unknown.
    """
    import numpy as np

    name, shape = tensor.name, tuple(tensor.dims)
    known = DTYPES.get(tensor.data_type)
    if known is None or known[0] == "str" or any(n < 0 for n in shape):
        raise ArtifactError(
            f"{path}: the tensor {name!r} has type {tensor.data_type} and shape {list(shape)}", remedy=REMEDY
        )
    numpy_dtype = known[1]
    if span is None and not tensor.raw_data:
        return _listed(path, tensor, shape, numpy_dtype)
    length = span.length if span else len(tensor.raw_data)
    count = math.prod(shape)
    expected = count * _itemsize(numpy_dtype) if numpy_dtype else -(-count // 2)
    if length != expected:
        raise ArtifactError(
            f"{path}: the tensor {name!r} of shape {list(shape)} and type {known[0]} has {length} bytes",
            expected=f"{expected} bytes",
            remedy=REMEDY,
        )
    if span is None:
        data: Array = np.frombuffer(tensor.raw_data, dtype=np.uint8)
    elif length == 0:
        data = np.empty(0, dtype=np.uint8)
    else:
        data = np.memmap(span.path, dtype=np.uint8, mode="r", offset=span.offset, shape=(length,)).view(np.ndarray)
    return data.view(numpy_dtype).reshape(shape) if numpy_dtype else data


def _listed(path: Path, tensor: Any, shape: tuple[int, ...], numpy_dtype: str) -> Array:
    """Return the values of a tensor that is written as a list of numbers (``float_data`` and the like)."""
    import numpy as np

    kind = tensor.data_type
    if kind in (1, 14):
        values = tensor.float_data
    elif kind in (11, 15):
        values = tensor.double_data
    elif kind == 7:
        values = tensor.int64_data
    elif kind in (12, 13):
        values = tensor.uint64_data
    else:
        values = tensor.int32_data
    per_element = 2 if kind in (14, 15) else 1
    if not numpy_dtype or len(values) != math.prod(shape) * per_element or len(values) > MAX_LISTED:
        raise ArtifactError(
            f"{path}: the tensor {tensor.name!r} of shape {list(shape)} lists {len(values)} values",
            expected=f"{math.prod(shape) * per_element} values",
            remedy=REMEDY,
        )
    if kind in (1, 14, 11, 15):
        parts = np.array(values, dtype="<f4" if kind in (1, 14) else "<f8")
        return parts.view(numpy_dtype).reshape(shape)
    integers = np.array(values, dtype=np.uint64 if kind in (12, 13) else np.int64)
    if kind in (10, 16):  # half types are listed as their bits
        return integers.astype(np.uint16).view(numpy_dtype).reshape(shape)
    return integers.astype(numpy_dtype).reshape(shape)
