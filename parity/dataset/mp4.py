"""What the header of an MP4 file says of its video, read without a decoder.

Source: ISO/IEC 14496-12: boxes of size and type; ``moov`` holds a ``trak`` for each track, whose ``stsz`` counts
samples (a video's frames) and whose ``stsd`` gives width and height.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from parity.dataset.faults import CORRUPT, Fault, ends_of

EXPECTED = "an MP4 file with a video"
MAX_HEADER = 256 << 20  # bytes of ``moov``
MAX_BOXES = 100_000
_SAMPLE_SIZE = 40  # where width and height lie in ``stsd``: after its own 8 bytes and 32 of its first entry


@dataclass(frozen=True, slots=True)
class Mp4:
    """The first video of a file: how many frames it has, None where the header does not tell, and their size."""

    frames: int | None
    height: int
    width: int


def look_at_mp4(path: Path) -> Mp4 | Fault:
    """Return what a file's header says, or what is wrong with the file."""
    found = ends_of(path, EXPECTED)
    if isinstance(found, Fault):
        return found
    try:
        with path.open("rb") as f:
            header = _header(f, found[2])
        return header if isinstance(header, Fault) else _video(header)
    except (OSError, struct.error, ValueError) as e:
        return Fault(CORRUPT, f"its header cannot be read: {' '.join(str(e).split())[:120]}", EXPECTED)


def _header(file: IO[bytes], size: int) -> bytes | Fault:
    """Return the content of ``moov``."""
    at = 0
    for _ in range(MAX_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            break
        length, kind, start = _box(head, size - at)
        if not kind.isalnum() and kind != b"\xa9nam":
            return Fault(CORRUPT, f"it begins with {head[:8].hex(' ')}" if not at else "damaged", EXPECTED)
        if length < start or at + length > size:
            return Fault(CORRUPT, f"half-written: its {size:,} bytes end within {kind.decode('latin-1')!r}", EXPECTED)
        if kind == b"moov":
            if length > MAX_HEADER:
                return Fault(CORRUPT, f"its header claims {length:,} bytes", EXPECTED)
            file.seek(at + start)
            return file.read(length - start)
        at += length
    return Fault(CORRUPT, "half-written: it has no header, which is written last (moov)", EXPECTED)


def _box(head: bytes, rest: int) -> tuple[int, bytes, int]:
    """Return a box's length, its type, and where in it its content begins."""
    length, kind = struct.unpack(">I4s", head[:8])
    if length == 1 and len(head) >= 16:
        return int(struct.unpack(">Q", head[8:16])[0]), kind, 16
    return (length or rest), kind, 8


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and content of the boxes that follow one another."""
    at = 0
    while at + 8 <= len(data):
        length, kind, start = _box(data[at : at + 16], len(data) - at)
        if length < start or at + length > len(data):
            raise ValueError(f"{kind.decode('latin-1')!r} is longer than what it lies in")
        yield kind, data[at + start : at + length]
        at += length


def _inside(data: bytes, *path: bytes) -> bytes | None:
    for kind in path:
        found = next((content for k, content in _boxes(data) if k == kind), None)
        if found is None:
            return None
        data = found
    return data


def _video(header: bytes) -> Mp4 | Fault:
    fragmented = any(kind == b"mvex" for kind, _ in _boxes(header))
    for kind, track in _boxes(header):
        handler = _inside(track, b"mdia", b"hdlr") if kind == b"trak" else None
        table = _inside(track, b"mdia", b"minf", b"stbl") if handler and handler[8:12] == b"vide" else None
        if table is None:
            continue
        described = _inside(table, b"stsd") or b""
        sizes = _inside(table, b"stsz") or _inside(table, b"stz2")
        width, height = struct.unpack(">HH", described[_SAMPLE_SIZE : _SAMPLE_SIZE + 4])
        count = None if sizes is None or fragmented else int(struct.unpack(">I", sizes[8:12])[0])
        return Mp4(count, height, width)
    return Fault(CORRUPT, "it holds no video", EXPECTED)
