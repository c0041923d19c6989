"""The arrays of an ``.npz`` file as weights: a zip of NumPy's ``.npy`` format (NEP 1), arrays of objects refused.

Entries that are stored without compression (`numpy.savez`) are memory maps.
"""

from __future__ import annotations

import math
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from parity.checkpoint.archive import Archive
from parity.checkpoint.weight import Weight, is_statistics
from parity.errors import ArtifactError

if TYPE_CHECKING:
    from parity.tensor import Array

MAX_HEADER = 10_000  # bytes; NumPy's own limit
REMEDY = "write it again, with numpy.savez and plain numbers"


def read_npz_weights(path: str | Path) -> dict[str, Weight]:
    """Return the arrays of an ``.npz`` file by name, each read when it is asked for.

    Raises:
        ArtifactError: not a zip, corrupt, an array of objects, or one that does not fit its entry.
    """
    archive = Archive(path)
    found = {}
    for entry in archive.names:
        name = entry.removesuffix(".npy")
        if entry.endswith(".npy"):
            found[name] = _weight(archive, entry, name)
    return found


def _weight(archive: Archive, entry: str, name: str) -> Weight:
    import numpy as np
    from numpy.lib import format as npy

    size = archive.size(entry)
    head = BytesIO(archive.head(entry, min(size, MAX_HEADER + 16)))
    try:
        version = npy.read_magic(head)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(head, max_header_size=MAX_HEADER)
    except Exception as e:  # a header is a Python literal: its parser may raise almost anything, and runs nothing
        raise ArtifactError(
            f"{archive.path}: the array {name!r} has no readable header ({str(e)[:200]})", remedy=REMEDY
        ) from None
    if dtype.kind not in "biufcV" or dtype.hasobject or dtype.fields or dtype.subdtype or dtype.itemsize == 0:
        raise ArtifactError(
            f"{archive.path}: the array {name!r} is of {str(dtype)[:80]}", expected="plain numbers", remedy=REMEDY
        )
    sizes = tuple(int(n) for n in shape)
    start = head.tell()
    if any(n < 0 for n in sizes) or start + math.prod(sizes) * dtype.itemsize != size:
        raise ArtifactError(
            f"{archive.path}: the array {name!r} of shape {list(sizes)} does not fit its {size - start} bytes",
            remedy=REMEDY,
        )
    half = dtype.kind == "V" and dtype.itemsize == 2  # how NumPy writes ml_dtypes' bfloat16
    stored = np.dtype("<u2") if half else dtype

    def load() -> Array:
        raw = archive.map(entry)[start:]
        array: Array = raw.view(stored).reshape(sizes, order="F" if fortran else "C")
        return array.astype(stored.newbyteorder("="), copy=False)

    return Weight(name, sizes, "bfloat16" if half else stored.name, load, statistics=is_statistics(name))
