"""The statistics in a v3.0 dataset's episode tables: columns ``stats/<feature>/<statistic>``, a list per episode."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.artifact import recognize
from parity.contract.ranges import MAX_ELEMENTS, is_statistic
from parity.errors import ArtifactError, UsageError

if TYPE_CHECKING:
    from parity.tensor import Array

PREFIX, INDEX = "stats/", "episode_index"
MAX_GROUP_BYTES = 1 << 30  # of one row group, unpacked
_REMEDY = "it is truncated or corrupt: fetch the dataset's meta folder again"

Table = tuple[Path, list[int], dict[str, dict[str, "Array"]]]


def can_read() -> bool:
    """Whether pyarrow is installed, which is an extra."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        return False
    return True


def tables(folder: Path) -> Iterator[Table]:
    """Yield, for each row group of each table in order, its path, its episodes, and ``(N, ...)`` arrays by feature.

    Raises:
        ArtifactError: a table is empty, a Git LFS pointer or corrupt.
        UsageError: pyarrow is not installed.
    """
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise UsageError(
            f"{folder}: reading parquet needs pyarrow, which is not installed",
            remedy="pip install 'policy-parity[data]'",
        ) from None
    for path in sorted(p for p in folder.rglob("*.parquet") if p.is_file()):
        recognize(path, foreign=True)  # raises where the file is empty or a Git LFS pointer
        try:
            yield from _groups(path, parquet)
        except (OSError, ValueError, TypeError, KeyError, ArithmeticError) as e:  # pyarrow's own are among these
            raise ArtifactError(f"{path}: cannot be read as parquet: {str(e)[:200]}", remedy=_REMEDY) from None


def _groups(path: Path, parquet: Any) -> Iterator[Table]:
    with parquet.ParquetFile(path) as file:
        names = [f.name for f in file.schema_arrow]
        wanted = [n for n in names if n.startswith(PREFIX) and is_statistic(n.rpartition("/")[2])]
        if not wanted or INDEX not in names:
            return
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).total_byte_size
            if size > MAX_GROUP_BYTES:
                raise ArtifactError(f"{path}: a row group of {size} bytes", expected=f"at most {MAX_GROUP_BYTES}")
            table = file.read_row_group(group, columns=[INDEX, *wanted])
            columns: dict[str, dict[str, Array]] = {}
            for name in wanted:
                feature, _, statistic = name.removeprefix(PREFIX).rpartition("/")
                array = _array(table.column(name).combine_chunks(), f"{path}: {name}")
                if array is not None:
                    columns.setdefault(feature, {})[statistic] = array
            yield path, [int(i) for i in table.column(INDEX).to_pylist()], columns


def _array(column: Any, where: str) -> Array | None:
    """Return a column of nested lists of equal lengths as one array, None where it holds no value at all."""
    import numpy as np
    import pyarrow as pa

    if column.null_count == len(column):
        return None
    shape: list[int] = [len(column)]
    kinds = pa.types
    while kinds.is_list(column.type) or kinds.is_large_list(column.type) or kinds.is_fixed_size_list(column.type):
        if column.null_count:
            raise ArtifactError(f"{where}: episodes without a value among others that have one")
        inner = column.flatten()
        if len(shape) > 8 or not len(column) or len(inner) % len(column):
            raise ArtifactError(f"{where}: lists of unequal lengths")
        lengths = column.value_lengths().to_numpy(zero_copy_only=False) if hasattr(column, "value_lengths") else None
        if lengths is not None and len(set(lengths.tolist())) > 1:
            raise ArtifactError(f"{where}: lists of unequal lengths")
        shape.append(len(inner) // len(column))
        column = inner
    values = column.to_numpy(zero_copy_only=False)
    if values.dtype.kind not in "biuf" or values.size > MAX_ELEMENTS * max(shape[0], 1):
        raise ArtifactError(f"{where}: holds {column.type}", expected="numbers")
    result: Array = values.astype(np.float64).reshape(shape)
    return result
