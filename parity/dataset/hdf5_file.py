"""Foreign HDF5 files: links are refused, which may lead out of the file, and so are arrays kept in other files, views
of others, and compression that HDF5 would load a plugin for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.dataset.plain import Read, Stored
from parity.errors import ArtifactError

if TYPE_CHECKING:
    from parity.tensor import Array

MAX_ARRAYS = 4096
MAX_DEPTH = 16
MAX_CHUNK = 256 << 20  # bytes that are unpacked at once
BUILT_IN = 255  # filters up to here are HDF5's own: deflate, shuffle, fletcher32, szip, nbit, scaleoffset
_REMEDY = "write the arrays into a file of their own, without links, contiguous or compressed with gzip"


@contextmanager
def opened_file(path: Path) -> Iterator[Any]:
    """Open a file for reading.

    Raises:
        ArtifactError: it, or what is read of it while it is open, is no sound HDF5.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as e:
        raise ArtifactError(
            f"{path}: cannot be read as HDF5: {' '.join(str(e).split())[:200]}",
            remedy="it is truncated or corrupt: fetch or write it again",
        ) from None


def arrays_of(path: Path, group: Any, prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
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
            yield from arrays_of(path, item, f"{here}/", depth + 1)


def checked(path: Path, array: Any) -> Stored:
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
def opened(path: Path) -> Iterator[Read]:
    """Open a file whose arrays were `checked`, and give what reads rows of one by its name."""
    with opened_file(path) as file:

        def read(name: str, start: int, stop: int) -> Array:
            array: Array = np.asarray(file[name][start:stop])
            if len(array) != stop - start:
                raise ArtifactError(f"{path}: {name} ends early", remedy="it changed while it was read")
            return array.astype(array.dtype.newbyteorder("="), copy=False)

        yield read
