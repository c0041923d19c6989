"""The table of a LeRobot dataset v1.x: ``train/*.arrow`` as `datasets` saved it, ``data/train-*.parquet`` of the hub.

Source: datasets, arrow_dataset.py, `save_to_disk`: ``state.json`` lists the files in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parity.contract.text import load_json
from parity.dataset.arrow_stream import EXPECTED, StreamRows, look_at_stream
from parity.dataset.arrow_values import arrow, columns_of
from parity.dataset.faults import MISSING, Fault, error_of
from parity.dataset.model import Feature
from parity.dataset.parquet import Footers, ParquetRows
from parity.errors import ArtifactError

TRAIN, HUB = "train", "data"
STATE = "state.json"


@dataclass(frozen=True, slots=True)
class Table:
    """The rows that can be read, how many of what number of files, and what is wrong with the others."""

    folder: str
    rows: StreamRows | ParquetRows
    files: int
    faults: Mapping[str, Fault]

    @property
    def held(self) -> int:
        """How many rows there are."""
        return sum(self.rows.rows_of)


def open_table(root: Path) -> Table:
    """Return the table of a dataset, up to the first file that cannot be read: rows are counted over all files.

    Raises:
        ArtifactError: there is no file, or the first cannot be read.
    """
    folder = TRAIN if (root / TRAIN).is_dir() else HUB
    paths = _saved(root / TRAIN) if folder == TRAIN else sorted((root / HUB).glob("train-*.parquet"))
    if not paths:
        raise error_of(root / TRAIN / "data-00000-of-00001.arrow", Fault(MISSING, expected=EXPECTED))
    sound: list[Path] = []
    counts: list[int] = []
    faults: dict[str, Fault] = {}
    schema: Any = None
    for path, seen in _looked_at(paths, folder):
        if isinstance(seen, Fault):
            faults[path.relative_to(root).as_posix()] = seen
            break
        sound.append(path)
        counts.append(seen[0])
        schema = schema if schema is not None else seen[1]
    if schema is None:
        raise error_of(paths[0], next(iter(faults.values())))
    kind = StreamRows if folder == TRAIN else ParquetRows
    rows = kind(tuple(sound), tuple(counts), {})
    features = _features(root / folder, schema, rows) if sum(counts) else {}
    if not features:
        raise ArtifactError(f"{root / folder}: the table has no rows", expected="a row for every frame")
    return Table(folder, kind(tuple(sound), tuple(counts), features), len(paths), faults)


def _looked_at(paths: Sequence[Path], folder: str) -> Iterator[tuple[Path, tuple[int, Any] | Fault]]:
    """Yield of each file its rows and schema, or what is wrong with it."""
    footers = Footers()
    for path in paths:
        if folder == TRAIN:
            yield path, look_at_stream(path)
            continue
        footer = footers.read(path)
        yield path, footer if isinstance(footer, Fault) else (footer.rows, footer.meta.schema.to_arrow_schema())


def _saved(folder: Path) -> list[Path]:
    """Return the files of a saved table, in order."""
    if not (folder / STATE).is_file():
        return sorted(folder.glob("*.arrow"))
    said = load_json(folder / STATE)
    listed = said.get("_data_files") if isinstance(said, dict) else None
    names = [f.get("filename") for f in listed if isinstance(f, dict)] if isinstance(listed, list) else []
    if not names or any(not isinstance(n, str) or not n or Path(n).name != n or "\0" in n for n in names):
        raise ArtifactError(
            f"{folder / STATE}: it does not list the files of the table",
            expected="_data_files, each with the name of a file beside it",
            remedy="fetch train/ of this dataset again",
        )
    return [folder / str(n) for n in names]


def _features(folder: Path, schema: Any, rows: StreamRows | ParquetRows) -> dict[str, Feature]:
    """Return the columns as features; lists that may be of any length have that of the first row."""
    pa = arrow()
    columns = columns_of(pa, schema)
    _, first = next(iter(rows.batches(list(columns), 0, 1, 1)))
    found: dict[str, Feature] = {}
    for name, column in columns.items():
        kind = schema.field(name).type
        struct = {kind.field(i).name for i in range(kind.num_fields)} if pa.types.is_struct(kind) else set()
        if struct == {"path", "timestamp"}:
            found[name] = Feature(name, (), "video", storage="video")
        elif column.storage != "array":
            found[name] = Feature(name, (), column.storage, storage=column.storage)
        else:
            found[name] = Feature(name, _shape(first.column(name)) or (1,), column.dtype)
    return found


def _shape(values: Any) -> tuple[int, ...]:
    """Return the lengths of the lists of a row, from the outermost in."""
    shape: list[int] = []
    while hasattr(values.type, "value_type"):
        values = values[0]
        shape.append(len(values))
        values = values.values
        if not shape[-1]:
            break
    return tuple(shape)
