"""Frames out of Parquet files: what their footers claim, and their rows as arrays, a block after the other.

pyarrow is loaded when a file is read. Nothing it decodes is believed before its shape was checked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.dataset.faults import CORRUPT, Fault, error_of, look
from parity.dataset.model import Feature, Storage, block_rows
from parity.errors import ArtifactError, UsageError

if TYPE_CHECKING:
    from parity.tensor import Array

_FLOATS = {"halffloat": "float16", "float": "float32", "double": "float64"}  # as arrow calls them; integers alike
KEPT_FOOTERS = 1024  # that are kept for reading; with more files each is parsed again
_CHANGED = "it changed while it was read: read it again when nothing writes to it"


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


@dataclass(frozen=True, slots=True)
class Footer:
    """What a file's footer says."""

    rows: int
    columns: Mapping[str, Column]
    meta: Any = field(repr=False, compare=False)

    def width(self, name: str) -> int | None:
        """Return how many values a row of a feature has, from the footer alone; None where rows differ."""
        column = self.columns[name]
        if None not in column.sizes:
            return math.prod(n for n in column.sizes if n is not None)
        values = sum(self.meta.row_group(i).column(column.leaf).num_values for i in range(self.meta.num_row_groups))
        return values // self.rows if self.rows and values % self.rows == 0 else None


class Footers:
    """Reads footers; files of one schema, as all of a dataset are, have it worked out once."""

    def __init__(self) -> None:
        self._schema: Any = None
        self._columns: dict[str, Column] = {}

    def read(self, path: Path) -> Footer | Fault:
        """Return what a file's footer says, or what is wrong with the file."""
        fault = look(path)
        if fault is not None:
            return fault
        pa = arrow()
        try:
            with pa.OSFile(str(path)) as file:
                meta = pa.parquet.read_metadata(file)
            if self._schema is None or not meta.schema.equals(self._schema):
                self._schema, self._columns = meta.schema, _columns(pa, meta.schema.to_arrow_schema())
        except (pa.ArrowException, OSError, ValueError) as e:
            return Fault(CORRUPT, f"its footer cannot be read: {one_line(e)}")
        return Footer(meta.num_rows, self._columns, meta)


def _columns(pa: Any, schema: Any) -> dict[str, Column]:
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


@dataclass(frozen=True, slots=True)
class ParquetRows:
    """A `Source` over Parquet files in order: ``files`` with how many rows of each count, and its footer if kept."""

    files: Sequence[Path]
    rows_of: Sequence[int]
    features: Mapping[str, Feature]
    footers: Mapping[int, Footer] = field(default_factory=dict)

    def rows(self, names: Sequence[str], start: int, stop: int) -> Iterator[Mapping[str, Array]]:
        """Yield rows ``start:stop`` of the features; see `Source.rows`. Rows of small files come together."""
        wanted = [self.features[name] for name in names]
        at_once = block_rows(wanted)
        yield from _gathered(self._pieces(wanted, start, stop, at_once), at_once)

    def _pieces(self, wanted: Sequence[Feature], start: int, stop: int, at_once: int) -> Iterator[Mapping[str, Array]]:
        upto = np.cumsum(self.rows_of)
        first = int(np.searchsorted(upto, start, side="right"))
        for i in range(first, len(self.files)):
            begin = int(upto[i]) - self.rows_of[i]
            if begin >= stop:
                return
            low, high = max(start - begin, 0), min(stop - begin, self.rows_of[i])
            yield from _file_rows(self.files[i], self.footers.get(i), wanted, low, high, at_once)


def _gathered(pieces: Iterator[Mapping[str, Array]], at_once: int) -> Iterator[Mapping[str, Array]]:
    """Yield pieces put together to at most ``at_once`` rows."""
    waiting: list[Mapping[str, Array]] = []
    rows = 0
    for piece in pieces:
        count = len(next(iter(piece.values())))
        if waiting and rows + count > at_once:
            yield _joined(waiting)
            waiting, rows = [], 0
        waiting.append(piece)
        rows += count
    if waiting:
        yield _joined(waiting)


def _joined(pieces: Sequence[Mapping[str, Array]]) -> Mapping[str, Array]:
    if len(pieces) == 1:
        return pieces[0]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _file_rows(
    path: Path, footer: Footer | None, features: Sequence[Feature], start: int, stop: int, at_once: int
) -> Iterator[Mapping[str, Array]]:
    """Yield rows ``start:stop`` of one file, ``at_once`` of them."""
    pa = arrow()
    at = 0
    try:
        with pa.OSFile(str(path)) as raw:
            file = pa.parquet.ParquetFile(raw, metadata=footer.meta if footer else None)
            groups, at = _groups(file.metadata, start, stop)
            for batch in _batches(file, groups, features, at_once):
                low, high = max(start - at, 0), min(stop - at, batch.num_rows)
                at += batch.num_rows
                if low < high:
                    yield {f.name: _array(batch.column(f.name), f, path)[low:high] for f in features}
    except FileNotFoundError:
        raise ArtifactError(f"{path}: the file is gone since the dataset was opened", remedy=_CHANGED) from None
    except (pa.ArrowException, OSError, ValueError, KeyError) as e:
        raise error_of(path, Fault(CORRUPT, one_line(e))) from None
    if at < stop:
        raise ArtifactError(f"{path}: {at} rows were read", expected=f"{stop} rows", remedy=_CHANGED)


def _groups(meta: Any, start: int, stop: int) -> tuple[list[int], int]:
    """Return the row groups that hold rows ``start:stop``, and the row that the first of them begins with."""
    groups: list[int] = []
    first = at = 0
    for i in range(meta.num_row_groups):
        rows = meta.row_group(i).num_rows
        if at < stop and at + rows > start:
            first = first if groups else at
            groups.append(i)
        at += rows
    return groups, first


def _batches(file: Any, groups: list[int], features: Sequence[Feature], at_once: int) -> Iterator[Any]:
    if groups:
        columns = [f.name for f in features]
        yield from file.iter_batches(at_once, row_groups=groups, columns=columns, use_threads=False)


def _array(values: Any, feature: Feature, path: Path) -> Array:
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


def stored(feature: Feature, footer: Footer) -> Feature:
    """Return a feature as a file really keeps it: its dtype, and its shape where the number of values differs."""
    column = footer.columns[feature.name]
    if column.storage != "array":
        return replace(feature, storage=column.storage)
    width = footer.width(feature.name)
    shape = feature.shape
    if width is not None and width != math.prod(shape):
        shape = (width,)
    names = feature.names if shape == feature.shape else ()
    return replace(feature, shape=shape, dtype=column.dtype, names=names, storage="array")


def one_line(error: Exception) -> str:
    """Return what an error says, in one line of bounded length."""
    return " ".join(str(error).split())[:200]
