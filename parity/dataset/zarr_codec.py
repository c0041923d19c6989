"""How chunks of a Zarr array are unpacked: not at all, by Python itself (zlib, gzip), or by numcodecs.

A chunk's claim of its own size is checked before it is unpacked. Source of the headers: c-blosc, README_HEADER.rst
(bytes 4 to 8: the size unpacked); numcodecs, lz4.pyx (the first four bytes).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from parity.errors import ArtifactError, UsageError

OWN = ("zlib", "gzip")
NUMCODECS = {"blosc": 4, "zstd": None, "lz4": 0}  # and at which byte a chunk says its size
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

    def unpack(self, data: bytes, size: int, where: str) -> bytes:
        """Return the bytes of a chunk, which ought to be ``size``.

        Raises:
            ArtifactError: it is damaged, or claims another size.
            UsageError: numcodecs is not installed, which it takes.
        """
        if self.name is None:
            return data
        if self.name in OWN:
            return _inflated(data, size, where)
        at = NUMCODECS.get(self.name)
        if at is not None and (len(data) < at + 4 or int.from_bytes(data[at : at + 4], "little") != size):
            raise ArtifactError(
                f"{where}: the chunk does not claim to unpack to {size:,} bytes",
                expected=f"a chunk packed by {self.name}",
                remedy=_REMEDY,
            )
        codecs = _numcodecs(self.name)
        out = bytearray(size)
        try:
            codecs.get_codec({"id": self.name}).decode(data, out)
        except (RuntimeError, ValueError, TypeError) as e:
            raise _damaged(where, self.name, e) from None
        return bytes(out)


def codec_of(said: Mapping[str, Any]) -> Codec:
    """Return what ``.zarray`` says of compressor and filters; a name that is none of ours is kept for messages."""
    compressor, filters = said.get("compressor"), said.get("filters")
    name = compressor.get("id") if isinstance(compressor, dict) else None if compressor is None else "?"
    listed = filters if isinstance(filters, list) else []
    names = tuple(str(f.get("id") if isinstance(f, dict) else f)[:40] for f in listed)
    return Codec(None if name is None else str(name)[:40], names)


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
