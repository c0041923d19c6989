"""Reads `.npy` headers and `.npz` archives of untrusted origin: no pickle, every claim checked before it is believed.

The format is NEP 1 (NumPy's `.npy`), in a zip archive for `.npz`. An array that is stored uncompressed, as by
`numpy.savez`, is read from where it lies, in pieces.
"""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO

from parity.errors import ArtifactError
from parity.tensor import Array
from parity.trace.layout import Place

MAX_COMPRESSED = 4 << 30  # bytes that compressed arrays may unpack to, all together
MAX_ARRAYS = 4096
_DEFLATE_RATIO = 1032  # the largest that deflate reaches
_LOCAL_HEADER = 30  # bytes of a zip member's local header before its name


def npy_place(path: Path, file: IO[bytes], start: int, size: int, where: str) -> Place:
    """Return where the array lies whose `.npy` bytes, ``size`` of them, begin at byte ``start`` of the open file.

    Raises:
        ArtifactError: it is not `.npy`, holds Python objects or records, is in Fortran order (and not 1-D), or claims
            more than there is.
    """
    from numpy.lib import format as npy

    try:
        file.seek(start)
        version = npy.read_magic(file)
        reader = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if reader is None:
            raise ValueError(f"version {version}")
        shape, fortran, dtype = reader(file)
    except (ValueError, OSError, EOFError, OverflowError) as e:
        raise ArtifactError(
            f"{where}: not a readable .npy array ({e})", remedy="write it again with numpy.save"
        ) from None
    if dtype.hasobject or dtype.kind not in "biufc" or dtype.subdtype is not None:
        what = "Python objects, which would have to be unpickled" if dtype.hasobject else f"values of dtype {dtype}"
        raise ArtifactError(f"{where}: holds {what}", expected="plain numbers")
    if fortran and sum(d != 1 for d in shape) > 1:
        raise ArtifactError(
            f"{where}: is in Fortran order", expected="C order", remedy="save numpy.ascontiguousarray(array)"
        )
    header = file.tell() - start
    claimed = math.prod(shape) * dtype.itemsize
    if any(d < 0 for d in shape) or claimed != size - header:
        raise ArtifactError(
            f"{where}: claims shape {shape} of {dtype} ({claimed:,} bytes) and holds {size - header:,} bytes",
            remedy="it is truncated or corrupt: write it again",
        )
    return Place(path, start + header, tuple(int(d) for d in shape), dtype)


def npz_arrays(path: Path) -> dict[str, Place | Array]:
    """Return the arrays of an `.npz` by name: where they lie if stored uncompressed, else unpacked.

    Raises:
        ArtifactError: it is corrupt, holds something else than plain arrays, or claims more than it can hold.
    """
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            members = [i for i in archive.infolist() if not i.is_dir()]
            _check_claims(path, members)
            found: dict[str, Place | Array] = {}
            for info in members:
                name = info.filename.removesuffix(".npy")
                where = f"{path}: array {name!r}"
                if info.compress_type == zipfile.ZIP_STORED:
                    found[name] = npy_place(path, file, _start(file, info, where), info.file_size, where)
                else:
                    found[name] = _unpacked(archive, info, path, where)
            return found
    except (OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as e:
        raise ArtifactError(f"{path}: cannot be read as .npz ({e})", remedy="write it again with numpy.savez") from None


def _check_claims(path: Path, members: list[zipfile.ZipInfo]) -> None:
    size = path.stat().st_size
    names = [i.filename for i in members]
    if len(members) > MAX_ARRAYS or len(set(names)) != len(names):
        raise ValueError(f"{len(members)} arrays, or two of the same name")
    packed = [i for i in members if i.compress_type != zipfile.ZIP_STORED]
    for info in members:
        ratio = 1 if info.compress_type == zipfile.ZIP_STORED else _DEFLATE_RATIO
        if info.compress_size > size or info.file_size > info.compress_size * ratio + 64:
            raise ValueError(f"{info.filename!r} claims {info.file_size:,} bytes in a file of {size:,}")
    if sum(i.file_size for i in packed) > MAX_COMPRESSED:
        raise ValueError(f"it unpacks to more than {MAX_COMPRESSED >> 30} GiB; write it with numpy.savez, uncompressed")


def _start(file: IO[bytes], info: zipfile.ZipInfo, where: str) -> int:
    """Return where a stored member's bytes begin: after its local header, whose name and extra field vary in length."""
    file.seek(info.header_offset)
    header = file.read(_LOCAL_HEADER)
    if len(header) != _LOCAL_HEADER or header[:4] != b"PK\x03\x04" or info.flag_bits & 1:
        raise ArtifactError(f"{where}: damaged or encrypted", remedy="write it again with numpy.savez")
    name, extra = struct.unpack("<HH", header[26:30])
    return info.header_offset + _LOCAL_HEADER + int(name) + int(extra)


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, where: str) -> Array:
    import io

    import numpy as np

    data = archive.read(info)
    place = npy_place(path, io.BytesIO(data), 0, len(data), where)
    values: Array = np.frombuffer(data, place.dtype, offset=place.offset)
    return values.reshape(place.shape)
