"""Rows of Arrow IPC streams, as Hugging Face `datasets` saves tables (``save_to_disk``): ``train/data-*.arrow``.

Source: Apache Arrow, "IPC Streaming Format"; datasets, arrow_writer.py. Files are mapped, so that a row is found by
going over the headers of the batches before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.dataset.arrow_values import arrow, as_array, one_line
from parity.dataset.faults import CORRUPT, Fault, ends_of, error_of
from parity.dataset.gather import gathered
from parity.dataset.model import Feature, block_rows
from parity.dataset.parquet import CHANGED
from parity.errors import ArtifactError

if TYPE_CHECKING:
    from parity.tensor import Array

EXPECTED = "an Arrow stream, as `datasets` saves it"


def look_at_stream(path: Path) -> tuple[int, Any] | Fault:
    """Return how many rows a file holds and their arrow schema, or what is wrong with it."""
    found = ends_of(path, EXPECTED)
    if isinstance(found, Fault):
        return found
    pa = arrow()
    try:
        with pa.memory_map(str(path)) as raw, pa.ipc.open_stream(raw) as stream:
            return sum(batch.num_rows for batch in stream), stream.schema
    except (pa.ArrowException, OSError, ValueError) as e:
        return Fault(CORRUPT, one_line(e), EXPECTED)


@dataclass(frozen=True, slots=True)
class StreamRows:
    """A `Source` over Arrow streams in order: ``files`` with how many rows each has."""

    files: Sequence[Path]
    rows_of: Sequence[int]
    features: Mapping[str, Feature]

    def rows(self, names: Sequence[str], start: int, stop: int) -> Iterator[Mapping[str, Array]]:
        """Yield rows ``start:stop`` of the features; see `Source.rows`."""
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
        for i in range(int(np.searchsorted(upto, start, side="right")), len(self.files)):
            begin = int(upto[i]) - self.rows_of[i]
            if begin >= stop:
                return
            low, high = max(start - begin, 0), min(stop - begin, self.rows_of[i])
            for batch in _file_batches(self.files[i], names, low, high):
                for at in range(0, batch.num_rows, at_once):
                    yield self.files[i], batch.slice(at, min(at_once, batch.num_rows - at))


def _file_batches(path: Path, names: Sequence[str], start: int, stop: int) -> Iterator[Any]:
    """Yield rows ``start:stop`` of one file, in the batches that it was written in."""
    pa = arrow()
    at = 0
    try:
        with pa.memory_map(str(path)) as raw, pa.ipc.open_stream(raw) as stream:
            for batch in stream:
                low, high = max(start - at, 0), min(stop - at, batch.num_rows)
                at += batch.num_rows
                if low < high:
                    part = batch.select(list(names)).slice(low, high - low)
                    part.validate(full=True)
                    yield part
                if at >= stop:
                    return
    except FileNotFoundError:
        raise ArtifactError(f"{path}: the file is gone since the dataset was opened", remedy=CHANGED) from None
    except (pa.ArrowException, OSError, ValueError, KeyError) as e:
        raise error_of(path, Fault(CORRUPT, one_line(e), EXPECTED)) from None
    raise ArtifactError(f"{path}: {at} rows were read", expected=f"{stop} rows", remedy=CHANGED)
