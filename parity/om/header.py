"""The outside of an OM file: header, partition tables, and what cannot be read although it is recognized.

Layout, little-endian (netron's om.js, MIT; ModelFileHeader and OmFileLoadHelper of CANN's public graph engine;
confirmed on real files): a header of 256 bytes, then for each model a table of partitions and the partitions
themselves, whose offsets count from the end of their table.
"""

from __future__ import annotations

import mmap
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from parity.errors import ArtifactError
from parity.om.enums import PARTITIONS, named
from parity.om.wire import REMEDY

HEADER = 256
MODEL_DEFINITION, WEIGHTS, FLOW_MODEL, IN_OUT_INFO, BUNDLE = 0, 1, 6, 8, 24
_KINDS = {3: "a flow of several models", 5: "a bundle of several models"}  # the header's kind of model
_ALONE = "give each model's own .om file"
MAX_PARTITIONS, MAX_MODELS = 4096, 1024
SOURCE_REMEDY = (
    "give the ONNX file that atc compiled (its --model), and judge what atc made of it by its outputs: "
    "`parity compare` with what the device recorded"
)


@dataclass(frozen=True, slots=True)
class Header:
    """What the first 256 bytes say that somebody may want to know."""

    version: int
    name: str
    platform: str  # of the tools, such as 1.11.z.0
    models: int


@dataclass(frozen=True, slots=True)
class OmFile:
    """A mapped file: for each of its models the partitions by type."""

    path: Path
    header: Header
    models: tuple[dict[int, memoryview], ...]
    size: int  # in bytes

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each kind of partition, over all models, by name."""
        found: dict[str, int] = {}
        for model in self.models:
            for kind, data in model.items():
                found[named(PARTITIONS, kind)] = found.get(named(PARTITIONS, kind), 0) + len(data)
        return found


def open_file(path: str | Path) -> OmFile:
    """Map an OM file and find its partitions; nothing of them is read.

    Raises:
        ArtifactError: missing, truncated, corrupt, or recognized but not readable (encrypted, OM2, PICO, flow, bundle).
    """
    path = Path(path)
    data = memoryview(_mapped(path))
    header, small = _header(path, data)
    models, at = [], HEADER
    for _ in range(header.models):
        partitions, at = _partitions(path, data, at, small)
        models.append(partitions)
    if any(kind in models[0] for kind in (FLOW_MODEL, BUNDLE)):
        _unreadable(path, "a flow or bundle of several models", _ALONE)
    for model in models:
        if MODEL_DEFINITION not in model:
            told = ", ".join(named(PARTITIONS, k) for k in model) or "none"
            raise ArtifactError(
                f"{path}: an OM file without a model definition (partitions: {told})",
                expected="a model that atc compiled",
                remedy=REMEDY,
            )
    return OmFile(path, header, tuple(models), len(data))


def _mapped(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as f:
            head = f.read(4)
            if head == b"IMOD":
                return mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as e:
        raise ArtifactError(f"{path}: cannot be read: {getattr(e, 'strerror', None) or e}") from None
    if head == b"PICO":
        _unreadable(path, "PICO, the variant of OM for SVP and NNN chips", SOURCE_REMEDY)
    if zipfile.is_zipfile(path):
        _unreadable(path, "OM2, the zip form of OM", SOURCE_REMEDY)
    raise ArtifactError(
        f"{path}: not an OM file (first bytes {head.hex(' ') or 'none'})",
        expected="the bytes IMOD first",
        remedy=REMEDY,
    )


def _unreadable(path: Path, what: str, remedy: str) -> NoReturn:
    raise ArtifactError(
        f"{path}: recognized, not readable: {what}", expected="a plain OM file, as atc writes it", remedy=remedy
    )


def _header(path: Path, data: memoryview) -> tuple[Header, bool]:
    """Return the header, and whether the tables are of the small kind."""
    if len(data) < HEADER:
        raise ArtifactError(f"{path}: {len(data)} bytes, less than an OM's header of {HEADER}", remedy=REMEDY)
    size, version = struct.unpack_from("<II", data, 4)
    if size != HEADER:
        raise ArtifactError(f"{path}: an OM header of {size} bytes", expected=f"{HEADER} bytes", remedy=REMEDY)
    if data[80] not in (0, 1):
        raise ArtifactError(f"{path}: the header's mark of encryption is {data[80]}", expected="0 or 1", remedy=REMEDY)
    if data[80]:
        _unreadable(path, "encrypted (its header says so)", "give the model as it was before it was encrypted")
    if data[82] in _KINDS:
        _unreadable(path, _KINDS[data[82]], _ALONE)
    length = struct.unpack_from("<I", data, 76)[0]
    newer = version >= 0x20000000
    models, long_length = 1, 0
    if newer:
        models, long_length = struct.unpack_from("<I", data, 156)[0], struct.unpack_from("<Q", data, 184)[0]
    told = HEADER + (long_length or length)
    if told != len(data):
        state = "truncated" if len(data) < told else "longer than it says, so not what was written"
        raise ArtifactError(
            f"{path}: {len(data)} bytes, where its header tells of {told}: it is {state}",
            expected=f"{told} bytes (the runtime refuses it too)",
            remedy=REMEDY,
        )
    if not 0 <= models <= MAX_MODELS:
        raise ArtifactError(
            f"{path}: an OM header that tells of {models} models", expected=f"at most {MAX_MODELS}", remedy=REMEDY
        )
    platform = _text(data[160:180] if newer else data[156:176])
    return Header(version, _text(data[84:116]), platform, max(models, 1)), long_length == 0


def _text(data: memoryview) -> str:
    return bytes(data).split(b"\0", 1)[0].decode("utf-8", "replace")


def _partitions(path: Path, data: memoryview, at: int, small: bool) -> tuple[dict[int, memoryview], int]:
    """Return a model's partitions by type, from the table at ``at``, and where the last of them ends."""
    head, entry = (4, struct.Struct("<III")) if small else (8, struct.Struct("<I4xQQ"))
    if at + head > len(data):
        raise ArtifactError(f"{path}: a table of partitions at byte {at}, behind the file's end", remedy=REMEDY)
    count = struct.unpack_from("<I", data, at)[0]
    base = at + head + count * entry.size
    if count > MAX_PARTITIONS or base > len(data):
        raise ArtifactError(
            f"{path}: a table of {count} partitions at byte {at} of {len(data)}",
            expected="a table that fits",
            remedy=REMEDY,
        )
    found: dict[int, memoryview] = {}
    end = base
    for i in range(count):
        kind, offset, size = entry.unpack_from(data, at + head + i * entry.size)
        name = named(PARTITIONS, kind)
        if base + offset < end or base + offset + size > len(data):
            raise ArtifactError(
                f"{path}: the partition {name} is said to be bytes {base + offset} to {base + offset + size}",
                expected=f"a place between {end}, where the one before it ends, and {len(data)}, the file's end",
                remedy=REMEDY,
            )
        if kind in found and kind in (MODEL_DEFINITION, WEIGHTS, IN_OUT_INFO):
            raise ArtifactError(f"{path}: two partitions {name} in one model", expected="one", remedy=REMEDY)
        end = base + offset + size
        found.setdefault(kind, data[base + offset : end])
    return found, end
