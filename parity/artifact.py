"""A file or folder that defines or records a policy, recognized by its content (never by its suffix alone), and its hash.

Recognizing reads a few kilobytes and executes nothing.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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
    "om",
    "om2",
    "openvino",
    "json",
    "yaml",
    "folder",
    "factory",  # "package.module:function"
]

_ZIP, _HDF5, _NPY, _LFS = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"\x93NUMPY", b"version https://git-lfs"


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
    named = bool(colon) and function.isidentifier() and all(p.isidentifier() for p in module.split("."))
    return named and not Path(text).exists()


def recognize(path: str | Path) -> Artifact:
    """Return the artifact at ``path`` with its kind.

    Raises:
        ArtifactError: nothing is there, it is empty, a Git LFS pointer, unreadable, or of no known kind.
    """
    if is_factory(str(path)):
        return Artifact(Path(str(path)), "factory")
    path = Path(path)
    try:
        if path.is_dir():
            return Artifact(path, "folder")
        with path.open("rb") as f:
            head = f.read(4096)
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such file or folder", remedy="check the path") from None
    except OSError as e:
        raise ArtifactError(f"{path}: cannot be read: {e.strerror or e}") from None
    if not head:
        raise ArtifactError(f"{path}: the file is empty (0 bytes)", remedy="fetch or export it again")
    if head.startswith(_LFS):
        raise ArtifactError(
            f"{path}: this is a Git LFS pointer ({path.stat().st_size} bytes of text), not the file itself",
            remedy=f"run `git lfs pull --include {path.name}` in its repository",
        )
    return Artifact(path, _kind(path, head))


def _kind(path: Path, head: bytes) -> Kind:
    if head.startswith(_ZIP):
        return _zip_kind(path)
    if head.startswith(_HDF5):
        return _hdf5_kind(path)
    if head.startswith(_NPY):
        return "npy"
    if head.startswith(b"IMOD"):
        return "om"
    if _looks_like_safetensors(path, head):
        return "safetensors"
    if head[:1] == b"\x80" or head.startswith(b"\x8a\x0al\xfc\x9cF\xf9"):  # pickle protocol 2+, torch's legacy magic
        return "checkpoint"
    text = _text(head)
    if text is not None:
        stripped = text.lstrip()
        if stripped.startswith(("{", "[")):
            return "json"
        if stripped.startswith("<?xml") or stripped.startswith("<net"):
            return "openvino"
        if path.suffix.lower() in {".yaml", ".yml"} or ":" in text:
            return "yaml"
    if head[:1] in (b"\x08", b"\x12", b"\x1a", b"\x3a", b"\x42", b"\x0a") and path.suffix.lower() not in {".pt", ".pth"}:
        return "onnx"  # the first field of a protobuf ModelProto; the reader checks the rest
    if path.suffix.lower() == ".onnx":
        return "onnx"
    raise ArtifactError(
        f"{path}: not recognized by its content (first bytes {head[:8].hex(' ')})",
        expected="ONNX, TorchScript, .pt2, a checkpoint, safetensors, a LeRobot folder, a trace, .npz, JSON or YAML",
        remedy="if it should be one of these it is truncated or corrupt: export or fetch it again",
    )


def _text(head: bytes) -> str | None:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as e:
        if e.start < len(head) - 4:  # not merely cut in the middle of a character
            return None
        text = head[: e.start].decode("utf-8")
    return None if any(c < " " and c not in "\t\r\n\f" for c in text) else text


def _zip_kind(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as z:
            names = z.namelist()
    except (zipfile.BadZipFile, OSError, ValueError) as e:
        raise ArtifactError(
            f"{path}: a zip archive that cannot be opened ({e})", remedy="it is truncated or corrupt: export or fetch it again"
        ) from None
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
    raise ArtifactError(f"{path}: a zip archive of no known kind (holds {', '.join(names[:4]) or 'nothing'})")


def _hdf5_kind(path: Path) -> Kind:
    import h5py

    try:
        with h5py.File(path, "r") as f:
            return "trace" if "parity_trace" in f.attrs else "hdf5"
    except OSError as e:
        raise ArtifactError(f"{path}: an HDF5 file that cannot be opened ({e})") from None


def _looks_like_safetensors(path: Path, head: bytes) -> bool:
    length = int.from_bytes(head[:8], "little")
    return 2 <= length <= 100_000_000 and head[8:9] == b"{" and length + 8 <= path.stat().st_size


def files_of(artifact: Artifact) -> Iterator[Path]:
    """Yield every file whose bytes make the artifact: a folder's tree, an ONNX file's external data beside it."""
    path = artifact.path
    if artifact.kind == "factory":
        return
    if artifact.kind == "folder":
        yield from sorted(p for p in path.rglob("*") if p.is_file())
        return
    yield path
    if artifact.kind == "onnx":
        yield from _onnx_data_files(path)
    if artifact.kind == "openvino" and path.with_suffix(".bin").is_file():
        yield path.with_suffix(".bin")


def _onnx_data_files(path: Path) -> list[Path]:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, OSError, ValueError):
        return []
    names = {e.value for t in model.graph.initializer for e in t.external_data if e.key == "location"}
    inside = [path.parent / n for n in sorted(names) if Path(n).name == n or ".." not in Path(n).parts]
    return [p for p in inside if not p.is_absolute() or p.is_relative_to(path.parent) if p.is_file()]


def digest(artifact: Artifact) -> tuple[str, int]:
    """Return the SHA-256 of all bytes of the artifact and their number.

    One file: the plain SHA-256 of its content, as `sha256sum` prints it. Several: the SHA-256 over
    ``<relative path> NUL <sha256 of the file> LF`` of each, sorted, so that a moved or renamed part changes it.
    """
    files = list(files_of(artifact))
    if not files:
        return hashlib.sha256(str(artifact.path).encode()).hexdigest(), 0
    base = artifact.path if artifact.kind == "folder" else artifact.path.parent
    parts = [(f.relative_to(base).as_posix(), *_file_digest(f)) for f in files]
    if len(parts) == 1 and artifact.kind != "folder":
        return parts[0][1], parts[0][2]
    tree = hashlib.sha256()
    for name, sha, _ in parts:
        tree.update(f"{name}\0{sha}\n".encode())
    return tree.hexdigest(), sum(size for _, _, size in parts)


def _file_digest(path: Path) -> tuple[str, int]:
    try:
        with path.open("rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest(), path.stat().st_size
    except OSError as e:
        raise ArtifactError(f"{path}: cannot be read: {e.strerror or e}") from None
