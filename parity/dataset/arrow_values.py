"""Values of arrow tables, as Parquet files and Arrow streams give them: what a column keeps, and its rows as arrays.

pyarrow is loaded when it is asked for. Nothing that it decodes is believed before its shape was checked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.dataset.model import Feature, Storage
from parity.errors import ArtifactError, UsageError

if TYPE_CHECKING:
    from parity.tensor import Array

_FLOATS = {"halffloat": "float16", "float": "float32", "double": "float64"}  # as arrow calls them; integers alike


def arrow() -> Any:
    """Return pyarrow, its Parquet part loaded.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageError(
            "pyarrow is not installed, which reads the Parquet files of a dataset",
            remedy="pip install 'policy-parity[data]'",
        ) from None
    return pyarrow


@dataclass(frozen=True, slots=True)
class Column:
    """How a file keeps a feature: the sizes of its lists, None where they vary, and what they hold."""

    sizes: tuple[int | None, ...]
    dtype: str
    storage: Storage
    leaf: int  # the column's number among those that hold values


def columns_of(pa: Any, schema: Any) -> dict[str, Column]:
    """Return what each column of an arrow schema keeps."""
    found: dict[str, Column] = {}
    leaf = 0
    for entry in schema:
        found[entry.name] = _column(pa, entry.type, leaf)
        leaf += _leaves(pa, entry.type)
    return found


def _leaves(pa: Any, kind: Any) -> int:
    if pa.types.is_struct(kind):
        return sum(_leaves(pa, kind.field(i).type) for i in range(kind.num_fields))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _leaves(pa, kind.value_type)
    if pa.types.is_map(kind):
        return _leaves(pa, kind.key_type) + _leaves(pa, kind.item_type)
    return 1


def _column(pa: Any, kind: Any, leaf: int) -> Column:
    sizes: list[int | None] = []
    while len(sizes) < 8:
        if pa.types.is_fixed_size_list(kind):
            sizes.append(kind.list_size)
        elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
            sizes.append(None)
        else:
            break
        kind = kind.value_type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return Column(tuple(sizes), np.dtype(_FLOATS.get(str(kind), str(kind))).name, "array", leaf)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return Column(tuple(sizes), str(kind)[:40], "text" if text else "image", leaf)


def as_array(values: Any, feature: Feature, path: Path) -> Array:
    """Return an arrow array of (lists of) numbers as ``(N, *shape)``, of the machine's own memory where it can be.

    Raises:
        ArtifactError: a row has another number of values, or a value is missing where it cannot be NaN.
    """
    count = len(values)
    while hasattr(values.type, "value_type"):  # a list, of one size or of any
        size = getattr(values.type, "list_size", None)
        if values.null_count or (size is None and not _even(values)):
            raise _ragged(path, feature)
        values = values.flatten() if size is None else values.values.slice(values.offset * size, len(values) * size)
    array: Array = values.to_numpy(zero_copy_only=False)  # a missing number becomes NaN
    if array.dtype != np.dtype(feature.dtype):
        if array.dtype.kind != "f" or np.dtype(feature.dtype).kind != "f":
            raise ArtifactError(
                f"{path}: {feature.name} holds {array.dtype.name}, with {values.null_count} values missing",
                expected=f"{feature.dtype} in every row",
                remedy="write the dataset again",
            )
        array = array.astype(feature.dtype)
    if array.size != count * math.prod(feature.shape):
        raise _ragged(path, feature)
    return array.reshape(count, *feature.shape)


def _even(lists: Any) -> bool:
    """Whether all lists have one length."""
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
    return bool((lengths == lengths[:1]).all())


def _ragged(path: Path, feature: Feature) -> ArtifactError:
    return ArtifactError(
        f"{path}: rows of {feature.name} do not all have one number of values",
        expected=f"{math.prod(feature.shape)} values, of shape {list(feature.shape)}, in every row",
        remedy="write the dataset again, or take out that episode",
    )


def one_line(error: Exception) -> str:
    """Return what an error says, in one line of bounded length."""
    return " ".join(str(error).split())[:200]
