"""Files that ``torch.save`` and ``torch.jit.save`` write, read without torch: a zip archive, or the legacy format.

The zip holds ``<name>/data.pkl`` and one entry per storage in ``<name>/data/``; TorchScript adds ``constants.pkl`` with
its own ``constants/`` and the program in ``code/``. The legacy format (before torch 1.6) is a row of pickles - magic
number, protocol, system, the object, the storages' keys - and then each storage as its element count and its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from parity.artifact import recognize
from parity.checkpoint.archive import Archive
from parity.checkpoint.pickle import Persistent, Record, read_pickle
from parity.checkpoint.snapshot import refuse_workspace
from parity.checkpoint.storage import REMEDY, Storage, Storages
from parity.checkpoint.tree import is_known
from parity.errors import ArtifactError

if TYPE_CHECKING:
    from parity.tensor import Array

MAX_PICKLE = 1 << 30
MIN_PICKLE = 1 << 16
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


@dataclass(frozen=True, slots=True)
class Payload:
    """What one pickle of a file holds, and where its tensors' bytes are."""

    root: Any
    storages: Storages
    imports: frozenset[str] = frozenset()

    @property
    def classes(self) -> tuple[str, ...]:
        """What the pickle wanted imported beyond the constructors that are known, sorted; it stayed inert."""
        return tuple(sorted(n for n in self.imports if not is_known(n)))


class _ZipStorages:
    def __init__(self, archive: Archive, folder: str) -> None:
        self._archive, self._folder = archive, folder
        order = folder.split("/", 1)[0] + "/byteorder"
        self._big = order in archive and archive.read(order, 64).strip() == b"big"

    def find(self, key: str, claimed: int) -> Storage:
        name = f"{self._folder}{key}"
        return Storage(self._archive.size(name), lambda: self._archive.map(name), self._big)


class _FileStorages:
    """Storages of the legacy format: positions in one file."""

    def __init__(self, path: Path, places: dict[str, tuple[int, int]], big_endian: bool) -> None:
        self._path, self._places, self._big = path, places, big_endian

    def find(self, key: str, claimed: int) -> Storage:
        if key not in self._places:
            raise ArtifactError(f"{self._path}: the storage {key!r} is not in the file", remedy=REMEDY)
        offset, size = self._places[key]
        return Storage(size, lambda: _mapped(self._path, offset, size), self._big)


class _NoStorages:
    def find(self, key: str, claimed: int) -> Storage:
        raise ArtifactError(f"a plain pickle refers to a torch storage {key!r}", remedy=REMEDY)


def _mapped(path: Path, offset: int, size: int) -> Array:
    import numpy as np

    return np.memmap(path, dtype=np.uint8, mode="r", offset=offset, shape=(size,)).view(np.ndarray)


def archive_prefix(archive: Archive, entry: str) -> str:
    """Return the folder, with its slash, that holds ``entry`` (such as ``data.pkl``) at the top of an archive.

    Raises:
        ArtifactError: no such entry, or several.
    """
    found = [
        n for n in archive.names if n == entry or (n.endswith("/" + entry) and n.count("/") == entry.count("/") + 1)
    ]
    if len(found) != 1:
        raise ArtifactError(
            f"{archive.path}: {len(found) or 'no'} entries {entry!r} in the archive", expected="one", remedy=REMEDY
        )
    return found[0].removesuffix(entry)


def read_zip_payload(archive: Archive, stem: str = "data") -> Payload:
    """Return what ``<stem>.pkl`` of a torch archive holds; its storages are the entries of the folder ``<stem>/``.

    Raises:
        ArtifactError: missing, truncated or corrupt.
    """
    prefix = archive_prefix(archive, f"{stem}.pkl")
    # torch stores its pickles without compression: one that unpacks to more than this is a bomb
    limit = min(MAX_PICKLE, max(MIN_PICKLE, 2 * archive.path.stat().st_size))
    data = archive.read(f"{prefix}{stem}.pkl", limit)
    imports: set[str] = set()
    root = read_pickle(BytesIO(data), len(data), f"{archive.path}: {stem}.pkl", imports)
    return Payload(root, _ZipStorages(archive, f"{prefix}{stem}/"), frozenset(imports))


def read_torch_file(path: str | Path) -> Payload:
    """Return what a checkpoint holds: a torch zip, torch's legacy format, or a plain pickle. Nothing is executed.

    Raises:
        ArtifactError: missing, empty, a Git LFS pointer, half-written, corrupt, or a whole training workspace.
    """
    path = Path(path)
    payload = _read(path)
    refuse_workspace(payload.root, path)
    return payload


def _read(path: Path) -> Payload:
    try:
        with path.open("rb") as f:
            size = path.stat().st_size
            head = f.read(4)
            f.seek(0)
            if head == b"PK\x03\x04":
                return read_zip_payload(Archive(path))
            if head[:1] != b"\x80":
                recognize(path)
                raise ArtifactError(f"{path}: neither a torch archive nor a pickle", remedy=REMEDY)
            return _read_pickles(path, f, size)
    except OSError as e:
        raise ArtifactError(f"{path}: cannot be read: {e.strerror or e}") from None


def _read_pickles(path: Path, f: BinaryIO, size: int) -> Payload:
    imports: set[str] = set()
    first = read_pickle(f, size, str(path), imports)
    if first != LEGACY_MAGIC:
        return Payload(first, _NoStorages(), frozenset(imports))
    protocol = read_pickle(f, size, str(path))
    system = read_pickle(f, size, str(path))
    if protocol != 1001 or not isinstance(system, dict):
        raise ArtifactError(f"{path}: a legacy torch file of another protocol than 1001", remedy=REMEDY)
    root = read_pickle(f, size, str(path), imports)
    keys = read_pickle(f, size, str(path))
    if not isinstance(keys, list) or not all(isinstance(k, str) for k in keys):
        raise ArtifactError(f"{path}: the list of storages is not one of names", remedy=REMEDY)
    places = _legacy_places(path, f, size, keys, _element_sizes(root))
    return Payload(root, _FileStorages(path, places, system.get("little_endian") is False), frozenset(imports))


def _legacy_places(
    path: Path, f: BinaryIO, size: int, keys: list[str], itemsizes: dict[str, int]
) -> dict[str, tuple[int, int]]:
    places: dict[str, tuple[int, int]] = {}
    for key in keys:
        count = int.from_bytes(f.read(8), "little", signed=True)
        start = f.tell()
        length = count * itemsizes.get(key, 1)
        if count < 0 or start + length > size:
            raise ArtifactError(
                f"{path}: half-written: the storage {key!r} claims {count} elements from byte {start} on",
                expected=f"a file of at least {start + max(length, 0)} bytes, not {size}",
                remedy=REMEDY,
            )
        places[key] = (start, length)
        f.seek(start + length)
    return places


def _element_sizes(root: Any) -> dict[str, int]:
    """Return the bytes per element of each storage that the legacy format's object refers to."""
    from parity.checkpoint.storage import element_size

    sizes: dict[str, int] = {}
    pending, seen = [root], set()
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Persistent) and isinstance(node.id, tuple) and len(node.id) >= 5:
            sizes[str(node.id[2])] = element_size(getattr(node.id[1], "name", ""))
        elif isinstance(node, dict):
            pending.extend(node.values())
        elif isinstance(node, list | tuple):
            pending.extend(node)
        elif isinstance(node, Record):
            pending.extend((node.args, node.state, node.elements, node.pairs))
    return sizes
