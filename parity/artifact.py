"""A file or folder that defines or records a policy, recognized by its content (never by suffix alone), and its hash.

Recognizing reads a few kilobytes and executes nothing.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import re
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from parity.errors import ArtifactError

Kind = Literal[
    "onnx",
    "torchscript",
    "pt2",
    "checkpoint",  # a pickle-based file of weights, zip or legacy; never executed
    "safetensors",
    "trace",  # parity's own HDF5 store
    "hdf5",
    "npz",
    "npy",
    "zarr",  # a Zarr store in a zip file
    "om",
    "om2",
    "openvino",
    "json",
    "yaml",
    "folder",
    "factory",  # "package.module:function"
    "other",  # of no kind that parity knows; a third party's runner may run it
]

_ZIP, _HDF5, _NPY, _LFS = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"\x93NUMPY", b"version https://git-lfs"
_HEAD = 4096  # bytes that are read to recognize a file
UNFINISHED = "it is still being saved, its saving was cut short, or it is truncated: wait, save or fetch it again"
_YAML_LINE = re.compile(r"""\s*(?:(---|%YAML)(\s|$)|- |["']?[\w.$/-]+["']?\s*:(\s|$))""")
# ModelProto's fields by number with their wire types: 0 a number, 2 bytes, text or a message.
_MODEL_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}


@dataclass(frozen=True, slots=True)
class Artifact:
    """A recognized artifact. ``path`` is as the user gave it; ``kind`` is what its content says."""

    path: Path
    kind: Kind

    def __str__(self) -> str:
        return str(self.path)


def is_factory(text: str) -> bool:
    """Whether ``text`` has the form ``package.module:function`` and names no existing file."""
    module, colon, function = text.partition(":")
    if not (colon and function.isidentifier() and all(p.isidentifier() for p in module.split("."))):
        return False
    try:
        return not Path(text).exists()
    except OSError:  # longer than a file name can be
        return True


def recognize(path: str | Path, *, foreign: bool = False) -> Artifact:
    """Return the artifact at ``path`` with its kind; ``foreign`` lets content of no known kind be of kind ``other``.

    Raises:
        ArtifactError: nothing is there, it is empty, a Git LFS pointer, unreadable, or of no known kind.
    """
    if is_factory(str(path)):
        return Artifact(Path(str(path)), "factory")
    path = Path(path)
    try:
        if path.is_dir():
            return Artifact(path, "folder")
        if path.exists() and not path.is_file():  # opening a pipe would wait for ever
            raise ArtifactError(f"{path}: a device, pipe or socket", expected="a file or a folder")
        with path.open("rb") as f:
            head = f.read(_HEAD)
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such file or folder", remedy="check the path") from None
    except (OSError, ValueError) as e:
        raise ArtifactError(f"{path}: cannot be read: {getattr(e, 'strerror', None) or e}") from None
    if not head:
        raise ArtifactError(f"{path}: the file is empty (0 bytes)", remedy="fetch or export it again")
    if head.startswith(_LFS):
        raise ArtifactError(
            f"{path}: this is a Git LFS pointer ({path.stat().st_size} bytes of text), not the file itself",
            remedy=f"run `git lfs pull --include {path.name}` in its repository",
        )
    try:
        return Artifact(path, _kind(path, head))
    except ArtifactError:
        if not foreign:
            raise
        return Artifact(path, "other")


def _kind(path: Path, head: bytes) -> Kind:
    if head.startswith(_ZIP):
        return _zip_kind(path)
    if head.startswith(_HDF5):
        return _hdf5_kind(path)
    if head.startswith(_NPY):
        return "npy"
    if head.startswith((b"IMOD", b"PICO")):  # PICO is a variant for other chips, which the reader refuses
        return "om"
    if _looks_like_safetensors(head):
        return "safetensors"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):  # a pickle and its protocol
        return "checkpoint"
    text = _text(head)
    kind = _text_kind(path, text) if text is not None else None
    if kind is not None:
        return kind
    if len(head) >= 16 and not head.strip(b"\0"):
        raise ArtifactError(
            f"{path}: half-written: it begins with {len(head)} zero bytes, space that was reserved and never filled",
            remedy=UNFINISHED,
        )
    if path.suffix.lower() == ".onnx" or looks_like_onnx(head):
        return "onnx"  # the reader checks the rest
    raise ArtifactError(
        f"{path}: not recognized by its content (first bytes {head[:8].hex(' ')})",
        expected="ONNX, TorchScript, .pt2, a checkpoint, safetensors, a LeRobot folder, a trace, .npz, JSON or YAML",
        remedy="if it should be one of these it is truncated or corrupt: export or fetch it again",
    )


def _text(head: bytes) -> str | None:
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        if len(head) < _HEAD or e.start < len(head) - 4:  # not merely cut in the middle of a character
            return None
        text = head[: e.start].decode("utf-8-sig")
    return None if any(c < " " and c not in "\t\r\n\f" for c in text) else text


def _text_kind(path: Path, text: str) -> Kind | None:
    start, suffix = text.lstrip(), path.suffix.lower()
    if start[:14].lower().startswith(("<!doctype html", "<html")):
        raise ArtifactError(
            f"{path}: this is a web page, not the file itself", remedy="download it again; the link may need a login"
        )
    if start.startswith(("<?xml", "<net")):
        return "openvino"
    if suffix in (".yaml", ".yml"):
        return "yaml"
    if start.startswith(("{", "[")) or suffix == ".json":
        return "json"
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    return "yaml" if _YAML_LINE.match(next(lines, "")) else None


def looks_like_onnx(head: bytes) -> bool:
    """Whether bytes start as a protobuf ``ModelProto`` does: fields that it has, each with its wire type.

    Source: onnx/onnx.proto3. A TensorFlow graph starts with field 1 as a message, which here is a number.
    """
    position, fields = 0, 0
    while position < len(head):
        tag, position = _varint(head, position)
        number, wire = tag >> 3, tag & 7
        if _MODEL_FIELDS.get(number) != wire:
            return False
        fields += 1
        value, position = _varint(head, position)
        if number == 1 and not 1 <= value <= 1000:  # ir_version
            return False
        if wire == 2:
            position += value
    return fields >= 2


def _varint(head: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(head):
            break
        byte = head[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    return value, position


def _zip_kind(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as z:
            names = z.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as e:
        raise unopened_zip(path, e) from None
    tails = {n.split("/", 1)[-1] for n in names}
    if "archive_format" in tails or any(t.startswith("models/") for t in tails):
        return "pt2"
    if "constants.pkl" in tails or any(t.startswith("code/") for t in tails):
        return "torchscript"
    if "data.pkl" in tails:
        return "checkpoint"
    if "manifest.json" in names and any(n.startswith("data/model") for n in names):
        return "om2"
    if names and all(n.endswith(".npy") for n in names):
        return "npz"
    if "serialized_exported_program.json" in tails:
        return "pt2"
    if any(n.rpartition("/")[2] in (".zgroup", ".zarray") for n in names):
        return "zarr"
    raise ArtifactError(f"{path}: a zip archive of no known kind (holds {', '.join(names[:4]) or 'nothing'})")


def unopened_zip(path: Path, reason: Exception) -> ArtifactError:
    """Return the error about a zip archive that cannot be opened: half-written where its index is missing.

    The index is written last, so a file that a trainer's thread did not finish, or that was cut, has none.
    """
    try:
        has_index = zipfile.is_zipfile(path)
    except (OSError, zipfile.BadZipFile, struct.error):
        has_index = True
    if has_index:
        return ArtifactError(
            f"{path}: a zip archive that cannot be opened ({reason})",
            remedy="it is truncated or corrupt: export or fetch it again",
        )
    return ArtifactError(
        f"{path}: half-written: a zip archive that cannot be opened: its index, written last, is not there",
        remedy=UNFINISHED,
    )


def _hdf5_kind(path: Path) -> Kind:
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as f:
            return "trace" if "parity_trace" in f.attrs else "hdf5"
    except (OSError, RuntimeError, KeyError, ValueError) as e:
        raise ArtifactError(
            f"{path}: an HDF5 file that cannot be opened ({e})",
            remedy="it is truncated or corrupt: record or fetch it again",
        ) from None


def _looks_like_safetensors(head: bytes) -> bool:
    """Whether a header length and the start of a JSON object stand first; the reader checks whether they fit."""
    return 2 <= int.from_bytes(head[:8], "little") <= 100_000_000 and head[8:10] in (b'{"', b"{}")


def files_of(artifact: Artifact) -> Iterator[Path]:
    """Yield every file whose bytes make the artifact: a folder's tree, an ONNX's or OM's external weights beside it.

    Raises:
        ArtifactError: a folder holds a link that leads nowhere.
    """
    path = artifact.path
    if artifact.kind == "factory":
        return
    if artifact.kind == "folder":
        for p in sorted(path.rglob("*")):
            if p.is_file():
                yield p
            elif p.is_symlink() and not p.exists():
                raise ArtifactError(f"{p}: a link that leads nowhere", remedy="fetch the whole folder again")
        return
    yield path
    if artifact.kind == "onnx":
        yield from _onnx_data_files(path)
    if artifact.kind == "om":
        yield from _om_weight_files(path)
    if artifact.kind == "json" and path.name.endswith(".safetensors.index.json"):
        yield from _shards(path)
    if artifact.kind == "openvino" and path.with_suffix(".bin").is_file():
        yield path.with_suffix(".bin")


def _shards(index: Path) -> list[Path]:
    """Return the files that an index of sharded safetensors names, those that are there, beside it."""
    try:
        named = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        names = sorted({n for n in named if isinstance(n, str) and Path(n).name == n})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
    return [f for f in (index.parent / n for n in names) if f.is_file()]


def _onnx_data_files(path: Path) -> list[Path]:
    """Return the external data files of an ONNX file that are there, inside its folder."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, OSError, ValueError):
        return []
    names = {e.value for t in _tensors(model) for e in t.external_data if e.key == "location"}
    files = [path.parent / n for n in sorted(names) if not Path(n).is_absolute() and ".." not in Path(n).parts]
    return [f for f in files if f.is_file() and f != path]


def _om_weight_files(path: Path) -> list[Path]:
    """Return the files in the folder ``weight`` beside an OM compiled with ``--external_weight=1``: FileConstant nodes.

    Which of them a node means is not told apart: the runtime looks there.
    """
    folder = path.parent / "weight"
    if not folder.is_dir():
        return []
    try:
        with path.open("rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data.find(b"FileConstant") < 0:
                return []
    except (OSError, ValueError):
        return []
    return sorted(p for p in folder.rglob("*") if p.is_file())


def _tensors(model: Any) -> Iterator[Any]:
    """Yield every tensor that may have external data: initializers, and constants in nodes, subgraphs and functions."""
    nodes = [n for f in model.functions for n in f.node]
    graphs = [model.graph]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            nodes.extend(graph.node)
            continue
        for attribute in nodes.pop().attribute:
            yield from (attribute.t, *attribute.tensors)
            graphs.extend([*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs])


def digest(artifact: Artifact) -> tuple[str, int]:
    """Return the SHA-256 of all bytes of the artifact and their number.

    One file: the plain SHA-256 of its content, as `sha256sum` prints it. Several: the SHA-256 over
    ``<relative path> NUL <sha256 of the file> LF`` of each, sorted, so that a moved or renamed part changes it.
    """
    files = list(files_of(artifact))
    if not files:
        return hashlib.sha256(str(artifact.path).encode()).hexdigest(), 0
    base = artifact.path if artifact.kind == "folder" else artifact.path.parent
    parts = sorted((f.relative_to(base).as_posix(), *file_digest(f)) for f in files)
    if len(parts) == 1 and artifact.kind != "folder":
        return parts[0][1], parts[0][2]
    tree = hashlib.sha256()
    for name, sha, _ in parts:
        tree.update(f"{name}\0{sha}\n".encode("utf-8", "surrogateescape"))
    return tree.hexdigest(), sum(size for _, _, size in parts)


def file_digest(path: Path) -> tuple[str, int]:
    """Return the SHA-256 of one file's bytes, as `sha256sum` prints it, and their number."""
    try:
        with path.open("rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest(), path.stat().st_size
    except OSError as e:
        raise ArtifactError(f"{path}: cannot be read: {e.strerror or e}") from None
