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

from parity.dataset.arrow_values import Column, arrow, as_array, columns_of, one_line
from parity.dataset.faults import CORRUPT, Fault, error_of, look
from parity.dataset.gather import gathered
from parity.dataset.model import Feature, block_rows
from parity.errors import ArtifactError

if TYPE_CHECKING:
    from parity.tensor import Array

KEPT_FOOTERS = 1024  # that are kept for reading; with more files each is parsed again
CHANGED = "it changed while it was read: read it again when nothing writes to it"


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
                self._schema, self._columns = meta.schema, columns_of(pa, meta.schema.to_arrow_schema())
        except (pa.ArrowException, OSError, ValueError) as e:
            return Fault(CORRUPT, f"its footer cannot be read: {one_line(e)}")
        return Footer(meta.num_rows, self._columns, meta)


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
        pieces = (
            {f.name: as_array(batch.column(f.name), f, path) for f in wanted}
            for path, batch in self.batches(names, start, stop, at_once)
        )
        yield from gathered(pieces, at_once)

    def batches(self, names: Sequence[str], start: int, stop: int, at_once: int) -> Iterator[tuple[Path, Any]]:
        """Yield rows ``start:stop`` of columns as arrow batches of at most ``at_once`` rows, each with its file.

        Raises:
            ArtifactError: a file is damaged, or not what it was when it was opened.
        """
        upto = np.cumsum(self.rows_of)
        first = int(np.searchsorted(upto, start, side="right"))
        for i in range(first, len(self.files)):
            begin = int(upto[i]) - self.rows_of[i]
            if begin >= stop:
                return
            low, high = max(start - begin, 0), min(stop - begin, self.rows_of[i])
            for batch in _file_batches(self.files[i], self.footers.get(i), names, low, high, at_once):
                yield self.files[i], batch


def _file_batches(
    path: Path, footer: Footer | None, names: Sequence[str], start: int, stop: int, at_once: int
) -> Iterator[Any]:
    """Yield rows ``start:stop`` of one file, ``at_once`` of them."""
    pa = arrow()
    at = 0
    try:
        with pa.OSFile(str(path)) as raw:
            file = pa.parquet.ParquetFile(raw, metadata=footer.meta if footer else None)
            groups, at = _groups(file.metadata, start, stop)
            for batch in _batches(file, groups, names, at_once):
                low, high = max(start - at, 0), min(stop - at, batch.num_rows)
                at += batch.num_rows
                if low < high:
                    yield batch.slice(low, high - low)
    except FileNotFoundError:
        raise ArtifactError(f"{path}: the file is gone since the dataset was opened", remedy=CHANGED) from None
    except (pa.ArrowException, OSError, ValueError, KeyError) as e:
        raise error_of(path, Fault(CORRUPT, one_line(e))) from None
    if at < stop:
        raise ArtifactError(f"{path}: {at} rows were read", expected=f"{stop} rows", remedy=CHANGED)


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


def _batches(file: Any, groups: list[int], names: Sequence[str], at_once: int) -> Iterator[Any]:
    if groups:
        yield from file.iter_batches(at_once, row_groups=groups, columns=list(names), use_threads=False)


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
