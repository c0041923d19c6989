"""A zip archive that was written by someone else: entries are read by name and never unpacked to disk.

Whatever an entry claims is checked before memory is taken: it lies inside the file, and a compressed one is no larger
than its compression allows. Entries that are stored without compression (all of torch's tensors) are memory maps.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from parity.artifact import recognize, unopened_zip
from parity.errors import ArtifactError

if TYPE_CHECKING:
    from parity.tensor import Array

MAX_DEFLATE_RATIO = 1032  # what the format can reach (zlib technical details)
MAX_INFLATED = 1 << 30  # of one compressed entry; torch compresses source code only
MAX_ENTRIES = 1_000_000
REMEDY = "it is truncated or corrupt: export or fetch it again"
_LOCAL_HEADER = 30


class Archive:
    """An opened zip archive.

    Raises:
        ArtifactError: not a zip, truncated, encrypted, or with two entries of one name (readers disagree which counts).
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._entries: dict[str, zipfile.ZipInfo] = {}
        try:
            self._size = self.path.stat().st_size
            with zipfile.ZipFile(self.path) as z:
                listed = z.infolist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError, IndexError, OverflowError, struct.error) as e:
            raise unopened_zip(self.path, e) from None
        except OSError as e:
            recognize(path)  # names the usual reasons
            raise ArtifactError(f"{path}: cannot be read: {e.strerror or e}") from None
        if len(listed) > MAX_ENTRIES:
            raise ArtifactError(f"{path}: {len(listed)} entries", expected=f"at most {MAX_ENTRIES}")
        for info in listed:
            if info.filename in self._entries:
                raise ArtifactError(
                    f"{path}: two entries are called {info.filename!r}, so it is ambiguous which counts", remedy=REMEDY
                )
            self._entries[info.filename] = info

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all entries."""
        return tuple(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def size(self, name: str) -> int:
        """Return the number of bytes that an entry claims to hold."""
        return self._info(name).file_size

    def read(self, name: str, limit: int = MAX_INFLATED) -> bytes:
        """Return the bytes of an entry of at most ``limit`` bytes, with its checksum verified.

        Raises:
            ArtifactError: no such entry, larger than the limit, corrupt, or larger than its compression allows.
        """
        info = self._info(name)
        self._check_claim(info, limit)
        try:
            with zipfile.ZipFile(self.path) as z, z.open(info) as f:
                data = f.read(info.file_size)
                f.read(1)  # reading to the end verifies the checksum
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as e:
            raise ArtifactError(f"{self.path}: the entry {name!r} cannot be read ({e})", remedy=REMEDY) from None
        if len(data) != info.file_size:
            raise ArtifactError(
                f"{self.path}: the entry {name!r} holds {len(data)} bytes",
                expected=f"{info.file_size} bytes, as its index says",
                remedy=REMEDY,
            )
        return data

    def head(self, name: str, n: int) -> bytes:
        """Return the first ``n`` bytes of an entry, or all of a shorter one; its checksum is not verified.

        Raises:
            ArtifactError: as `read`.
        """
        info = self._info(name)
        self._check_claim(info, self._size * MAX_DEFLATE_RATIO)
        try:
            with zipfile.ZipFile(self.path) as z, z.open(info) as f:
                return f.read(n)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as e:
            raise ArtifactError(f"{self.path}: the entry {name!r} cannot be read ({e})", remedy=REMEDY) from None

    def map(self, name: str) -> Array:
        """Return an entry as a read-only 1-D array of bytes; stored entries are mapped, not copied.

        Raises:
            ArtifactError: as `read`.
        """
        import numpy as np

        info = self._info(name)
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            return np.frombuffer(self.read(name), dtype=np.uint8)
        if info.file_size == 0:
            return np.empty(0, dtype=np.uint8)
        offset = self._data_offset(info)
        mapped = np.memmap(self.path, dtype=np.uint8, mode="r", offset=offset, shape=(info.file_size,))
        return mapped.view(np.ndarray)

    def _info(self, name: str) -> zipfile.ZipInfo:
        if name not in self._entries:
            raise ArtifactError(f"{self.path}: the archive has no entry {name!r}", remedy=REMEDY)
        return self._entries[name]

    def _check_claim(self, info: zipfile.ZipInfo, limit: int) -> None:
        stored = info.compress_type == zipfile.ZIP_STORED
        possible = info.compress_size if stored else info.compress_size * MAX_DEFLATE_RATIO + 1024
        if info.file_size > possible or info.compress_size > self._size:
            raise ArtifactError(
                f"{self.path}: the entry {info.filename!r} claims {info.file_size} bytes in {info.compress_size}",
                expected="a size that its compression can reach",
                remedy=REMEDY,
            )
        if info.file_size > limit:
            raise ArtifactError(
                f"{self.path}: the entry {info.filename!r} unpacks to {info.file_size} bytes",
                expected=f"at most {limit} bytes",
            )

    def _data_offset(self, info: zipfile.ZipInfo) -> int:
        """Return where the bytes of a stored entry begin; its local header and size must lie inside the file."""
        with self.path.open("rb") as f:
            f.seek(info.header_offset)
            header = f.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
            raise ArtifactError(
                f"{self.path}: the entry {info.filename!r} has no header where it should", remedy=REMEDY
            )
        name, extra = int.from_bytes(header[26:28], "little"), int.from_bytes(header[28:30], "little")
        offset = info.header_offset + _LOCAL_HEADER + name + extra
        if offset + info.file_size > self._size:
            raise ArtifactError(
                f"{self.path}: the entry {info.filename!r} claims {info.file_size} bytes from byte {offset} on",
                expected=f"a file of at least {offset + info.file_size} bytes, not {self._size}",
                remedy=REMEDY,
            )
        return offset
