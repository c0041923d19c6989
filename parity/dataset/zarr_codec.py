"""How chunks of a Zarr array are unpacked: not at all, by Python itself (zlib, gzip), or by numcodecs.

A chunk's claim of its own size is checked before it is unpacked. Source of the headers: c-blosc,
README_CHUNK_FORMAT.rst: bytes 4 to 8 say the size unpacked, 12 to 16 packed; numcodecs, lz4.pyx: the first four bytes;
RFC 8878, 3.1.1.1.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from parity.errors import ArtifactError, UsageError

OWN = ("zlib", "gzip")
NUMCODECS = ("blosc", "zstd", "lz4")
_ZSTD = b"\x28\xb5\x2f\xfd"
_REMEDY = "copy the store again, whole"


@dataclass(frozen=True, slots=True)
class Codec:
    """What unpacks the chunks of an array: ``name`` is None where they are stored as they are."""

    name: str | None
    filters: tuple[str, ...] = ()
    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def known(self) -> bool:
        """Whether parity reads it, with numcodecs where it takes that."""
        return not self.filters and (self.name is None or self.name in OWN or self.name in NUMCODECS)

    def __str__(self) -> str:
        return " after ".join([self.name or "nothing", *self.filters])

    def check(self) -> None:
        """Make sure that chunks can be unpacked here.

        Raises:
            UsageError: numcodecs is not installed, which it takes.
        """
        if self.name in NUMCODECS:
            _numcodecs(self.name)

    def unpack(self, data: bytes, size: int, where: str) -> bytes | bytearray:
        """Return the bytes of a chunk, which ought to be ``size``.

        Raises:
            ArtifactError: it is damaged, or claims another size.
            UsageError: numcodecs is not installed, which it takes.
        """
        if self.name is None:
            return data
        if self.name in OWN:
            return _inflated(data, size, where)
        claimed = _claimed(self.name, data)
        if claimed != size:
            raise ArtifactError(
                f"{where}: the chunk "
                + (
                    "is truncated or damaged"
                    if claimed is None
                    else f"claims to unpack to {claimed:,} bytes, not {size:,}"
                ),
                expected=f"a chunk packed by {self.name}",
                remedy=_REMEDY,
            )
        codecs = _numcodecs(self.name)
        out = bytearray(size)
        try:
            codecs.get_codec({"id": self.name}).decode(data, out)
        except (RuntimeError, ValueError, TypeError) as e:
            raise _damaged(where, self.name, e) from None
        return out


def codec_of(said: Mapping[str, Any]) -> Codec:
    """Return what ``.zarray`` says of compressor and filters; a name that is none of ours is kept for messages."""
    compressor, filters = said.get("compressor"), said.get("filters")
    name = compressor.get("id") if isinstance(compressor, dict) else None if compressor is None else "?"
    listed = filters if isinstance(filters, list) else []
    names = tuple(str(f.get("id") if isinstance(f, dict) else f)[:40] for f in listed)
    return Codec(None if name is None else str(name)[:40], names)


def _claimed(name: str, data: bytes) -> int | None:
    """Return how many bytes a chunk says that it unpacks to, None where its header cannot be."""
    if name == "lz4":
        return int.from_bytes(data[:4], "little") if len(data) > 4 else None
    if name == "blosc":
        whole = len(data) >= 16 and int.from_bytes(data[12:16], "little") == len(data)
        return int.from_bytes(data[4:8], "little") if whole else None
    if data[:4] != _ZSTD or len(data) < 6:
        return None
    flag, single = data[4] >> 6, data[4] >> 5 & 1
    width = (single, 2, 4, 8)[flag]
    at = 5 + (0 if single else 1) + (0, 1, 2, 4)[data[4] & 3]
    if not width or len(data) < at + width:
        return None
    return int.from_bytes(data[at : at + width], "little") + (256 if width == 2 else 0)


def _inflated(data: bytes, size: int, where: str) -> bytes:
    unpacker = zlib.decompressobj(wbits=47)  # zlib's header or gzip's
    try:
        found = unpacker.decompress(data, size + 1)
    except zlib.error as e:
        raise _damaged(where, "zlib", e) from None
    if not unpacker.eof:
        raise _damaged(where, "zlib", "it ends early" if len(found) <= size else "it holds more than its array says")
    return found


def _damaged(where: str, codec: str, reason: object) -> ArtifactError:
    return ArtifactError(
        f"{where}: the chunk cannot be unpacked: {' '.join(str(reason).split())[:120]}",
        expected=f"a whole chunk packed by {codec}",
        remedy=_REMEDY,
    )


def _numcodecs(name: str) -> Any:
    try:
        import numcodecs
    except ImportError:
        raise UsageError(
            f"numcodecs is not installed, which unpacks chunks that {name} packed",
            remedy="pip install 'policy-parity[zarr]'",
        ) from None
    return numcodecs


__all__ = ["Codec", "codec_of"]
