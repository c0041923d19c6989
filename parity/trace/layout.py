"""How a trace lies in HDF5, and the checks that a foreign one must pass before anything in it is believed.

    /                      attribute parity_trace = 1
    /meta                  JSON, as bytes
    /blocks/000000         cases whose inputs have equal shapes, stacked
        cases              JSON, as bytes: {"ids": [...], "profile": "nominal", "seeds": [...], "notes": [...]}
        inputs/0           (N, B, ...), attribute name
        outputs/0          (N, B, ...), or a group of N datasets where shapes differ from case to case; attribute name
        floors/0/0         (N, B, ...); attributes name on the group (the output) and on the dataset (the term)

bool is stored as bytes and bfloat16 as 16-bit integers; attribute dtype says so.
All datasets are contiguous and unfiltered, so that a reader needs only their offsets, and no plugin is ever loaded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.errors import ArtifactError

if TYPE_CHECKING:
    import numpy as np

VERSION = 1
MAX_JSON = 64 << 20  # bytes of meta, and of the description of one block
_KINDS = "biufc"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor lies in a file: ``shape`` and ``dtype`` of the whole, ``offset`` of its first byte.

    ``meaning`` is ``bool`` or ``bfloat16`` where the stored integers stand for these, else empty.
    """

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    meaning: str = ""

    @property
    def nbytes(self) -> int:
        """Bytes that the tensor takes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def row(self, index: int) -> Place:
        """Return where row ``index`` of the first axis lies."""
        shape = self.shape[1:]
        size = math.prod(shape) * self.dtype.itemsize
        return Place(self.path, self.offset + index * size, shape, self.dtype, self.meaning)


def place_of(path: Path, dataset: Any, file_size: int) -> Place:
    """Return where the values of an h5py dataset lie.

    Raises:
        ArtifactError: it is compressed, chunked, virtual, stored elsewhere, not of numbers, or larger than the file.
    """
    import h5py

    name = dataset.name
    properties = dataset.id.get_create_plist()
    if properties.get_layout() != h5py.h5d.CONTIGUOUS or properties.get_external_count() or properties.get_nfilters():
        raise ArtifactError(
            f"{path}: {name} is chunked, compressed, virtual or kept in another file",
            expected="a trace as parity writes it: contiguous, unfiltered datasets",
            remedy="write it with parity.trace.TraceWriter, or give an .npz",
        )
    dtype = dataset.dtype
    if dtype.hasobject or dtype.kind not in _KINDS or dtype.subdtype is not None:
        raise ArtifactError(f"{path}: {name} has dtype {dtype}, which is no plain number")
    shape = tuple(int(d) for d in dataset.shape or ())
    place = Place(path, dataset.id.get_offset() or 0, shape, dtype, _meaning(dataset, dtype))
    if place.nbytes and (place.offset == 0 or place.offset + place.nbytes > file_size):
        raise ArtifactError(
            f"{path}: {name} claims {place.nbytes:,} bytes of shape {shape}, but the file holds {file_size:,}",
            remedy="it is truncated or corrupt: record it again",
        )
    return place


def _meaning(dataset: Any, dtype: np.dtype[Any]) -> str:
    said = str(dataset.attrs.get("dtype", ""))
    return said if {"bool": "uint8", "bfloat16": "uint16"}.get(said) == dtype.name else ""


def children(path: Path, group: Any) -> dict[str, Any]:
    """Return the members of an h5py group by name.

    Raises:
        ArtifactError: one is a soft or external link, which may lead out of the file.
    """
    import h5py

    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ArtifactError(
                f"{path}: {group.name.rstrip('/')}/{name} is a link, which may lead out of the file",
                expected="a trace as parity writes it, without links",
            )
    return {name: group[name] for name in group}


def json_of(path: Path, dataset: Any, file_size: int) -> Any:
    """Return the JSON value that a dataset of bytes holds.

    Raises:
        ArtifactError: it is too large or not JSON.
    """
    import json

    place = place_of(path, dataset, file_size)
    if place.nbytes > MAX_JSON:
        raise ArtifactError(
            f"{path}: {dataset.name} claims {place.nbytes:,} bytes of JSON, at most {MAX_JSON:,} are read"
        )
    try:
        return json.loads(dataset[...].tobytes())
    except (ValueError, RecursionError) as e:
        raise ArtifactError(
            f"{path}: {dataset.name} is not JSON ({e})", remedy="the trace is corrupt: record it again"
        ) from None
