"""Zarr stores of version 2 in a folder or a zip file, read without the zarr package.

An array is a folder with ``.zarray`` (JSON) and a file for each chunk, ``0.0``, ``0.1`` and on; a chunk is of full size
at the edges too. Source: the Zarr storage specification, version 2 (zarr-specs, docs/v2/v2.0.rst).

A store is not trusted: nothing outside of it is opened, links are refused, sizes are checked before memory is taken,
and a chunk must unpack to exactly what its array says.
"""

from __future__ import annotations

import itertools
import math
import os
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from parity.contract.text import parse_json
from parity.dataset.zarr_codec import Codec, codec_of
from parity.errors import ArtifactError

if TYPE_CHECKING:
    from parity.tensor import Array

MAX_CHUNK = 256 << 20  # bytes that one chunk unpacks to, and of one row
MAX_CHUNKS = 1 << 22  # of an array
MAX_JSON = 1 << 20
_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_LFS = b"version https://git-lfs"
_REMEDY = "copy the store again, whole"


class Store(Protocol):
    """Named bytes of a store, by paths with slashes."""

    @property
    def path(self) -> Path: ...

    def read(self, name: str, limit: int) -> bytes | None:
        """Return what is stored, None where nothing is.

        Raises:
            ArtifactError: it is larger than ``limit``, a link, or cannot be read.
        """
        ...

    def names(self, folder: str) -> Collection[str]:
        """Return the names in a folder; none where there is no such folder."""
        ...


@dataclass(frozen=True, slots=True)
class FolderStore:
    """A store in a folder."""

    path: Path

    def read(self, name: str, limit: int) -> bytes | None:
        """Return what is stored; see `Store.read`."""
        at = self.path / name
        if any(p.is_symlink() for p in (at, *at.parents) if self.path in p.parents):
            raise ArtifactError(f"{at}: a link, which may lead out of the store", remedy=_REMEDY)
        try:
            if not at.is_file():
                return None
            with at.open("rb") as f:
                data = f.read(limit + 1)
        except OSError as e:
            raise ArtifactError(f"{at}: cannot be read: {e.strerror or e}", remedy=_REMEDY) from None
        return _within(f"{at}", data, limit)

    def names(self, folder: str) -> Collection[str]:
        """Return the names in a folder."""
        try:
            with os.scandir(self.path / folder) as there:
                return frozenset(entry.name for entry in there)
        except OSError:
            return frozenset()


@dataclass(frozen=True, slots=True)
class ZipStore:
    """A store in a zip file that is open, whole or in its only folder, whose name is ``prefix`` with a slash."""

    path: Path
    archive: zipfile.ZipFile
    folders: Mapping[str, frozenset[str]]
    prefix: str = ""

    def read(self, name: str, limit: int) -> bytes | None:
        """Return what is stored; see `Store.read`."""
        try:
            info = self.archive.getinfo(self.prefix + name)
        except KeyError:
            return None
        if info.file_size > limit:
            raise ArtifactError(f"{self.path}: {name} claims {info.file_size:,} bytes", expected=f"at most {limit:,}")
        try:
            return _within(f"{self.path}: {name}", self.archive.read(info), limit)
        except (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as e:
            raise ArtifactError(f"{self.path}: {name} cannot be read: {str(e)[:200]}", remedy=_REMEDY) from None

    def names(self, folder: str) -> Collection[str]:
        """Return the names in a folder."""
        return self.folders.get(f"{self.prefix}{folder}".rstrip("/"), frozenset())


@contextmanager
def opened_store(path: Path) -> Iterator[Store]:
    """Open a store in a folder or a zip file.

    Raises:
        ArtifactError: the zip file cannot be opened.
    """
    if path.is_dir():
        yield FolderStore(path)
        return
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, ValueError, zipfile.BadZipFile) as e:
        raise ArtifactError(f"{path}: cannot be opened as a zip file: {str(e)[:200]}", remedy=_REMEDY) from None
    with archive:
        folders: dict[str, set[str]] = {}
        for name in archive.namelist():
            parts = PurePosixPath(name).parts
            for i, part in enumerate(parts):
                folders.setdefault("/".join(parts[:i]), set()).add(part)
        top = folders.get("", set())
        prefix = f"{next(iter(top))}/" if len(top) == 1 and not top & {"data", "meta"} else ""
        yield ZipStore(path, archive, {k: frozenset(v) for k, v in folders.items()}, prefix)


def _within(where: str, data: bytes, limit: int) -> bytes:
    if len(data) > limit:
        raise ArtifactError(f"{where}: holds more than {limit:,} bytes", remedy=_REMEDY)
    if data.startswith(_LFS):
        raise ArtifactError(
            f"{where}: a Git LFS pointer, not the file itself", remedy="run `git lfs pull` in its repository"
        )
    return data


@dataclass(frozen=True, slots=True)
class ZarrArray:
    """An array of a store: ``name`` is its folder; ``fill`` is what chunks that are not stored hold."""

    name: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    order: str
    fill: Any
    separator: str
    codec: Codec

    def grid(self) -> tuple[int, ...]:
        """Return how many chunks there are along each axis."""
        return tuple(-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True))

    def missing(self, store: Store) -> list[str]:
        """Return the chunks that are not stored, by their names."""
        keys = (self.separator.join(map(str, at)) for at in itertools.product(*map(range, self.grid())))
        listed: dict[str, Collection[str]] = {}
        absent = []
        for key in keys:
            folder, _, last = f"{self.name}/{key}".rpartition("/")
            if folder not in listed:
                listed[folder] = store.names(folder)
            if last not in listed[folder]:
                absent.append(key)
        return absent

    def rows(self, store: Store, start: int, stop: int) -> Array:
        """Return rows ``start:stop``.

        Raises:
            ArtifactError: a chunk is truncated, damaged, or unpacks to another size.
        """
        found = np.empty((stop - start, *self.shape[1:]), self.dtype)
        first, last = start // self.chunks[0], -(-stop // self.chunks[0])
        for at in itertools.product(range(first, last), *map(range, self.grid()[1:])):
            low = [i * c for i, c in zip(at, self.chunks, strict=True)]
            high = [min(a + c, n) for a, c, n in zip(low, self.chunks, self.shape, strict=True)]
            high[0] = min(high[0], stop)
            begin = [max(low[0], start), *low[1:]]
            to = (slice(begin[0] - start, high[0] - start), *map(slice, low[1:], high[1:]))
            chunk = self._chunk(store, self.separator.join(map(str, at)))
            part = tuple(slice(b - a, h - a) for a, b, h in zip(low, begin, high, strict=True))
            found[to] = self.fill if chunk is None else chunk[part]
        return found

    def _chunk(self, store: Store, key: str) -> Array | None:
        size = math.prod(self.chunks) * self.dtype.itemsize
        data = store.read(f"{self.name}/{key}", size + (size >> 3) + (1 << 16))
        if data is None:
            return None
        where = f"{store.path}: {self.name}/{key}"
        unpacked = self.codec.unpack(data, size, where)
        if len(unpacked) != size:
            raise ArtifactError(
                f"{where}: the chunk unpacks to {len(unpacked):,} bytes",
                expected=f"{size:,}, as .zarray says",
                remedy=_REMEDY,
            )
        values: Array = np.frombuffer(unpacked, self.dtype)
        return values.reshape(self.chunks, order="F" if self.order == "F" else "C")


def array_of(store: Store, name: str) -> ZarrArray | None:
    """Return the array in folder ``name`` of a store, None where there is none.

    Raises:
        ArtifactError: what ``.zarray`` says cannot be, or is of another version.
    """
    data = store.read(f"{name}/.zarray", MAX_JSON)
    if data is None:
        return None
    where = f"{store.path}: {name}/.zarray"
    try:
        said = parse_json(data.decode("utf-8"), where)
        version, order, separator = said["zarr_format"], said["order"], said.get("dimension_separator", ".")
        shape, chunks = tuple(said["shape"]), tuple(said["chunks"])
        dtype = np.dtype(str(said["dtype"]))
        sizes = all(type(n) is int and 0 <= n < 1 << 40 for n in (*shape, *chunks)) and all(chunks)
        if version != 2 or order not in ("C", "F") or separator not in (".", "/") or len(shape) != len(chunks):
            raise ValueError("version, order, separator or number of axes")
        if not sizes or not shape or dtype.hasobject or dtype.subdtype is not None or dtype.kind not in "biufSU":
            raise ValueError("shape, chunks or dtype")
        fill = _fill(said.get("fill_value"), dtype)
    except (OverflowError, UnicodeDecodeError, KeyError, TypeError, ValueError, AttributeError) as e:
        raise ArtifactError(
            f"{where}: does not describe an array: {str(e)[:120]}",
            expected="an array of plain numbers of Zarr version 2",
            remedy=_REMEDY,
        ) from None
    count = math.prod(-(-n // c) for n, c in zip(shape, chunks, strict=True))
    if max(math.prod(chunks), math.prod(shape[1:])) * dtype.itemsize > MAX_CHUNK or count > MAX_CHUNKS:
        raise ArtifactError(
            f"{where}: shape {list(shape)} in {count:,} chunks of {list(chunks)}",
            expected=f"chunks and rows of at most {MAX_CHUNK >> 20} MiB, at most {MAX_CHUNKS:,} chunks",
        )
    return ZarrArray(name, shape, chunks, dtype, order, fill, separator, codec_of(said))


def _fill(said: Any, dtype: np.dtype[Any]) -> Any:
    """Return what chunks that are not stored hold; zeros where the store leaves it open."""
    number = said if isinstance(said, int | float) else _NUMBERS.get(str(said), 0)
    return np.array(number, dtype) if dtype.kind in "biuf" else np.zeros((), dtype)
