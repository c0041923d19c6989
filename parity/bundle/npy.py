"""Writes `.npy` so that equal arrays give equal bytes under every NumPy, and reads what came back, strictly.

The format is NEP 1, version 1.0. NumPy itself pads its headers differently from release to release.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

from parity.errors import ArtifactError
from parity.trace.npz import npy_place

if TYPE_CHECKING:
    from parity.tensor import Array

MAX_HEADER = 4096


def encoded(array: Array) -> tuple[bytes, memoryview]:
    """Return the header and the values of ``array`` as `.npy`; bfloat16 as the 16-bit integers that hold it."""
    import numpy as np

    plain: Array = array.view(np.uint16) if array.dtype.name == "bfloat16" else array
    plain = np.ascontiguousarray(plain, plain.dtype.newbyteorder("<")).reshape(array.shape)
    shape = str(tuple(int(d) for d in array.shape))
    text = f"{{'descr': '{plain.dtype.str}', 'fortran_order': False, 'shape': {shape}, }}"
    padded = text + " " * (-(len(text) + 11) % 64) + "\n"
    header = b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded.encode("ascii")
    return header, plain.reshape(-1).view(np.uint8).data


def decoded(data: bytes, where: str, dtype: str | None = None) -> Array:
    """Return the array in the bytes of a whole `.npy`; ``dtype`` is what its values stand for (``bfloat16``).

    Raises:
        ArtifactError: it is not `.npy` of plain numbers, or claims another size than it has.
    """
    from pathlib import Path

    import numpy as np

    place = npy_place(Path(where), io.BytesIO(data), 0, len(data), where)
    values: Array = np.frombuffer(data, place.dtype, offset=place.offset).reshape(place.shape)
    if dtype == "bfloat16" and place.dtype == np.dtype("<u2"):
        import ml_dtypes

        return values.view(ml_dtypes.bfloat16)
    return values


def size_of(dtype: str, shape: tuple[int, ...]) -> int:
    """Return the bytes of the values of a tensor.

    Raises:
        ArtifactError: a dtype that is none.
    """
    import numpy as np

    try:
        item = 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
    except TypeError:
        raise ArtifactError(f"{dtype!r:.40} is no element type") from None
    return math.prod(shape) * item
