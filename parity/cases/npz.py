"""Reads `.npz` and `.npy` files of untrusted origin: no pickle, and sizes are checked before memory is taken.

A zip member is NumPy's `.npy` format (NEP 1). Its size is bounded three times before anything is allocated: by the
zip's directory, by its compressed size times deflate's largest ratio, and by the array's own header.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

from parity.artifact import recognize
from parity.errors import ArtifactError

if TYPE_CHECKING:
    from parity.tensor import Array

MAX_BYTES = 4 << 30
MAX_ARRAYS = 1024

_DEFLATE_RATIO = 1032  # the largest that deflate reaches
_READABLE = "biufV"  # bool, integers, floats, and void: how NumPy stores bfloat16


def read_arrays(path: Path) -> dict[str, Array]:
    """Return the arrays of an `.npz` by name; that of an `.npy` under the empty name.

    Raises:
        ArtifactError: the file is not there, of another kind, truncated or corrupt, holds Python objects, or claims
            more than 4 GiB or more than the file can hold.
    """
    kind = recognize(path).kind
    if kind not in ("npz", "npy"):
        raise ArtifactError(
            f"{path}: this is {kind}, not an .npz file of observations",
            expected="an .npz file with one array per input, the first axis counting observations",
            remedy='write one with numpy.savez("inputs.npz", **{"observation.state": states})',
        )
    try:
        if kind == "npy":
            with path.open("rb") as f:
                return {"": _array(f, path.stat().st_size, str(path))}
        return _members(path)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as e:
        raise ArtifactError(
            f"{path}: cannot be read as {kind}: {e}", remedy="write it again, with numpy.savez and plain numbers"
        ) from None
    except Exception as e:  # zlib.error and what else a corrupt stream may raise has no common base
        raise ArtifactError(f"{path}: corrupt: {type(e).__name__}: {e}", remedy="write the file again") from None


def _members(path: Path) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    with zipfile.ZipFile(path) as archive:
        infos = [i for i in archive.infolist() if not i.is_dir()]
        if len(infos) > MAX_ARRAYS:
            raise ValueError(f"it lists {len(infos)} arrays, {MAX_ARRAYS} at most are read")
        _check_claims(infos, path.stat().st_size)
        for info in infos:
            name = info.filename.removesuffix(".npy")
            if name in arrays:
                raise ValueError(f"two arrays are called {name!r}")
            with archive.open(info) as f:
                arrays[name] = _array(f, info.file_size, f"array {name!r}")
                if f.read(1):
                    raise ValueError(f"array {name!r} is followed by more data")
    return arrays


def _check_claims(infos: list[zipfile.ZipInfo], on_disk: int) -> None:
    total = 0
    for info in infos:
        ratio = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: _DEFLATE_RATIO}.get(info.compress_type)
        if ratio is None:
            raise ValueError(f"{info.filename!r} is compressed by method {info.compress_type}, unknown to NumPy")
        if info.compress_size > on_disk or info.file_size > info.compress_size * ratio + 64:
            raise ValueError(
                f"{info.filename!r} claims {info.file_size:,} bytes out of {info.compress_size:,}, "
                f"in a file of {on_disk:,}"
            )
        total += info.file_size
    if total > MAX_BYTES:
        raise ValueError(f"it unpacks to {total / 2**30:,.1f} GiB, at most {MAX_BYTES >> 30} GiB are read")


def _array(f: IO[bytes], size: int, where: str) -> Array:
    """Return the array whose `.npy` bytes, ``size`` of them, begin here."""
    version = npy.read_magic(f)
    header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if header is None:
        raise ValueError(f"{where} has .npy version {version}, which holds no plain numbers")
    shape, fortran, dtype = header(f)
    if dtype.hasobject or dtype.kind not in _READABLE or dtype.names is not None or dtype.subdtype is not None:
        raise ValueError(f"{where} holds {_kind_in_words(dtype)}, not numbers")
    claimed = math.prod(shape) * dtype.itemsize
    if any(d < 0 for d in shape) or claimed > size or claimed > MAX_BYTES:
        raise ValueError(f"{where} claims shape {shape} of {dtype} ({claimed:,} bytes) and holds {size:,} bytes")
    data = f.read(claimed)
    if len(data) != claimed:
        raise ValueError(f"{where} claims {claimed:,} bytes and ends after {len(data):,}")
    flat = np.frombuffer(data, dtype=dtype)
    return flat.reshape(shape[::-1]).transpose() if fortran else flat.reshape(shape)


def _kind_in_words(dtype: np.dtype[Any]) -> str:
    if dtype.hasobject:
        return "Python objects (which would have to be unpickled)"
    return f"values of dtype {dtype}"
