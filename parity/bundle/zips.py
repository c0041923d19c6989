"""Zips that are written the same way every time, and zips of unknown origin, read without believing what they claim.

Both are uncompressed: the bytes do not hang on a version of zlib, and nothing can unpack to more than lies there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

from parity.checkpoint.safetensors import named_once
from parity.errors import ArtifactError, OutputError

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold
_PIECE = 4 << 20
_LARGE = 1 << 31
MAX_JSON = 64 << 20
MAX_ENTRIES = 1 << 20


class ZipWriter:
    """A zip being written. A context manager: left without an exception the file is complete, else not there."""

    def __init__(self, path: Path) -> None:
        """Begin the zip that is to lie at ``path``.

        Raises:
            OutputError: the folder cannot be written.
        """
        self.path = path
        self._part = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
        with self._output_errors():
            self._zip = zipfile.ZipFile(self._part, "x", zipfile.ZIP_STORED)

    def add(self, name: str, pieces: Iterable[bytes | memoryview], size: int) -> str:
        """Add an entry of ``size`` bytes and return its SHA-256.

        Raises:
            OutputError: the disk is full, or the pieces were not of that size.
        """
        info = zipfile.ZipInfo(name, _EPOCH)
        info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
        info.file_size = size
        sha, written = hashlib.sha256(), 0
        with self._output_errors(), self._zip.open(info, "w", force_zip64=size >= _LARGE) as entry:
            for piece in pieces:
                entry.write(piece)
                sha.update(piece)
                written += len(piece)
        if written != size:
            raise OutputError(f"{name}: {written:,} bytes, of {size:,}: it changed while it was read")
        return sha.hexdigest()

    def add_file(self, name: str, path: Path) -> str:
        """Add a file as an entry and return its SHA-256.

        Raises:
            ArtifactError: it cannot be read.
            OutputError: the disk is full.
        """
        try:
            with path.open("rb") as f:
                return self.add(name, _pieces(f), os.fstat(f.fileno()).st_size)
        except OSError as e:
            raise ArtifactError(f"{path}: cannot be read: {e.strerror or e}") from None

    def __enter__(self) -> ZipWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                with self._output_errors():
                    self._zip.close()
                    self._part.replace(self.path)
        finally:
            with contextlib.suppress(OSError, ValueError):
                self._zip.close()
            self._part.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _output_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, zipfile.LargeZipFile) as e:
            raise OutputError(
                f"{self.path}: cannot be written: {getattr(e, 'strerror', None) or e}",
                remedy="free some disk space, or write elsewhere with -o",
            ) from None


def _pieces(f: Any) -> Iterator[bytes]:
    while piece := f.read(_PIECE):
        yield piece


class ZipReader:
    """A zip of unknown origin, open for reading. A context manager.

    ``odd`` says, by name, what is wrong with entries: these are never read.
    """

    def __init__(self, path: Path) -> None:
        """Open the zip.

        Raises:
            ArtifactError: it cannot be read as a zip.
        """
        self.path = path
        self.odd: list[tuple[str, str]] = []
        self._entries: dict[str, zipfile.ZipInfo] = {}
        if not path.is_file():  # opening a pipe would wait for ever
            what = "is a device, pipe or folder" if path.exists() else "no such file"
            raise ArtifactError(f"{path}: {what}", expected="a zip", remedy="check the path")
        try:
            self._zip = zipfile.ZipFile(path)
            infos, size = self._zip.infolist(), path.stat().st_size
        except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile, struct.error) as e:
            raise ArtifactError(
                f"{path}: cannot be read as a zip ({getattr(e, 'strerror', None) or e})",
                remedy="it is truncated or no zip: copy it again",
            ) from None
        if len(infos) > MAX_ENTRIES:
            self._zip.close()
            raise ArtifactError(f"{path}: lists {len(infos):,} entries, at most {MAX_ENTRIES:,} are read")
        for info in infos:
            wrong = _wrong(info, size)
            if wrong is None and info.filename in self._entries:
                wrong = "is there twice"
            if wrong is not None:
                self.odd.append((info.filename, wrong))
            else:
                self._entries[info.filename] = info

    @property
    def names(self) -> list[str]:
        """The entries that are what an entry should be."""
        return list(self._entries)

    def size(self, name: str) -> int | None:
        """Return the bytes of an entry, None where there is none of that name."""
        info = self._entries.get(name)
        return None if info is None else info.file_size

    def read(self, name: str, limit: int) -> bytes:
        """Return the bytes of an entry, at most ``limit``.

        Raises:
            ArtifactError: it is not there, larger, or damaged.
        """
        size = self.size(name)
        if size is None:
            raise ArtifactError(f"{self.path}: {name} is not in it")
        if size > limit:
            raise ArtifactError(f"{self.path}: {name} claims {size:,} bytes, at most {limit:,} are expected")
        return b"".join(self.pieces(name))

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of an entry piece by piece.

        Raises:
            ArtifactError: it is damaged.
        """
        try:
            with self._zip.open(self._entries[name]) as f:
                yield from _pieces(f)
        except (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as e:
            raise ArtifactError(f"{self.path}: {name} is damaged ({e})", remedy="copy the zip again") from None

    def document(self, name: str) -> dict[str, Any]:
        """Return the JSON object in an entry.

        Raises:
            ArtifactError: it is not there or none.
        """
        data = self.read(name, MAX_JSON)
        try:
            found = json.loads(data.decode("utf-8"), object_pairs_hook=named_once)
        except (ValueError, RecursionError) as e:
            raise ArtifactError(f"{self.path}: {name} is not JSON ({e})") from None
        if not isinstance(found, dict):
            raise ArtifactError(f"{self.path}: {name} holds no JSON object")
        return found

    def __enter__(self) -> ZipReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()


def _wrong(info: zipfile.ZipInfo, size: int) -> str | None:
    """Return what is wrong with an entry by what the zip's directory says of it, None if nothing is."""
    name, kind = info.filename, stat.S_IFMT(info.external_attr >> 16)
    if not is_plain(name):
        return "leads out of its folder, or is no file"
    if kind not in (0, stat.S_IFREG):
        return "is a link or a special file"
    if info.flag_bits & 1:
        return "is encrypted"
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        return "is compressed, which no zip of parity is"
    if info.file_size > size:
        return f"claims {info.file_size:,} bytes, in a file of {size:,}"
    return None


def is_plain(name: str) -> bool:
    """Whether a name in a zip or manifest stays in its folder: relative, normalized, no ``..`` and no backslash."""
    inside = bool(name) and not name.startswith("/") and not set(name) & set("\\:\0") and len(name) <= 1024
    return inside and ".." not in PurePosixPath(name).parts and PurePosixPath(name).as_posix() == name and name != "."


def as_json(document: Mapping[str, Any]) -> bytes:
    """Return a manifest as JSON with stable bytes, one case a line."""
    cases = document.get("cases", [])
    head = {k: v for k, v in document.items() if k != "cases"}
    lines = [f" {json.dumps(k)}: {json.dumps(v)}" for k, v in head.items()]
    lines.append(' "cases": [\n' + ",\n".join(f"  {json.dumps(c)}" for c in cases) + "\n ]")
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode("ascii")
