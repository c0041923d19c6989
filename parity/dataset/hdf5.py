"""Datasets of plain arrays in an HDF5 file, called by their paths in it (``obs/state``).

The file is of foreign origin: links are refused, which may lead out of it, and so are arrays kept in other files, views
of others, and compression that HDF5 would load a plugin for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.artifact import Artifact
from parity.dataset.model import Dataset
from parity.dataset.plain import Read, Stored, assemble
from parity.errors import ArtifactError

if TYPE_CHECKING:
    from parity.tensor import Array

MAX_ARRAYS = 4096
MAX_DEPTH = 16
MAX_CHUNK = 256 << 20  # bytes that are unpacked at once
BUILT_IN = 255  # filters up to here are HDF5's own: deflate, shuffle, fletcher32, szip, nbit, scaleoffset
_REMEDY = "write the arrays into a file of their own, without links, contiguous or compressed with gzip"


@dataclass(frozen=True, slots=True)
class _Reader:
    rank: int = 90  # any other reader of HDF5 files knows better what its arrays are

    def matches(self, artifact: Artifact) -> bool:
        return artifact.kind == "hdf5"

    def open(self, artifact: Artifact, columns: Mapping[str, str] | None = None) -> Dataset:
        path = artifact.path
        with _file(path) as file:
            found = dict(_arrays(path, file, "", 0))
            stored = {name: _checked(path, array) for name, array in found.items()}
        arrays = {name: s for name, s in stored.items() if s.dtype.kind in "biuf"}
        return assemble(path, "hdf5", arrays, partial(_opened, path), columns)


@contextmanager
def _file(path: Path) -> Iterator[Any]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as e:
        raise ArtifactError(
            f"{path}: cannot be read as HDF5: {' '.join(str(e).split())[:200]}",
            remedy="it is truncated or corrupt: fetch or write it again",
        ) from None


def _arrays(path: Path, group: Any, prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Yield the arrays of a group and of those in it, by their paths."""
    import h5py

    if depth > MAX_DEPTH or len(group) > MAX_ARRAYS:
        raise ArtifactError(f"{path}: {prefix or '/'} holds too many or too deep groups", expected="plain arrays")
    for name in group:
        here = f"{prefix}{name}"
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ArtifactError(
                f"{path}: {here} is a link, which may lead out of the file",
                expected="a file without links",
                remedy=_REMEDY,
            )
        item = group[name]
        if isinstance(item, h5py.Dataset):
            yield here, item
        elif isinstance(item, h5py.Group):
            yield from _arrays(path, item, f"{here}/", depth + 1)


def _checked(path: Path, array: Any) -> Stored:
    """Return what an array is, once nothing that reading it would do can lead out of the file.

    Raises:
        ArtifactError: it is kept elsewhere, a view, needs a plugin, or claims more than the file holds.
    """
    import h5py

    properties = array.id.get_create_plist()
    layout, name = properties.get_layout(), array.name
    if layout == h5py.h5d.VIRTUAL or properties.get_external_count():
        raise ArtifactError(f"{path}: {name} is kept in another file", expected="arrays in this file", remedy=_REMEDY)
    filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    if any(number > BUILT_IN for number in filters):
        number = max(filters)
        raise ArtifactError(
            f"{path}: {name} is compressed by filter {number}, for which HDF5 would load a plugin",
            expected="HDF5's own compression, such as gzip",
            remedy=_REMEDY,
        )
    dtype, shape = array.dtype, tuple(int(n) for n in array.shape or ())
    size = math.prod(shape) * dtype.itemsize
    if layout == h5py.h5d.CONTIGUOUS and size > path.stat().st_size:
        raise ArtifactError(
            f"{path}: {name} claims {size:,} bytes, the file holds {path.stat().st_size:,}",
            remedy="it is truncated: fetch or write it again",
        )
    if array.chunks and math.prod(array.chunks) * dtype.itemsize > MAX_CHUNK:
        raise ArtifactError(f"{path}: {name} has chunks of more than {MAX_CHUNK >> 20} MiB", remedy=_REMEDY)
    plain = dtype.kind in "biuf" and not dtype.hasobject and dtype.subdtype is None
    return Stored(shape, dtype.newbyteorder("=") if plain else np.dtype("V1"))


@contextmanager
def _opened(path: Path) -> Iterator[Read]:
    with _file(path) as file:

        def read(name: str, start: int, stop: int) -> Array:
            array: Array = np.asarray(file[name][start:stop])
            if len(array) != stop - start:
                raise ArtifactError(f"{path}: {name} ends early", remedy="it changed while it was read")
            return array.astype(array.dtype.newbyteorder("="), copy=False)

        yield read


READER = _Reader()
