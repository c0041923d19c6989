"""`MANIFEST.json` of a packed folder: what lies in it, by SHA-256 and size, whence it comes, whether it may be signed.

Its own ``digest`` (SHA-256 of its other fields as sorted, compact JSON) tells an edited manifest. Whoever edits may
write another digest too: only the SHA-256 of the manifest itself, kept elsewhere, tells that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from parity.checkpoint.safetensors import named_once

NAME = "MANIFEST.json"
MADE_BY = "parity pack"
MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a packed folder, by its path with slashes."""

    path: str
    sha256: str
    bytes: int


def encode(fields: Mapping[str, Any], files: list[Entry]) -> bytes:
    """Return a manifest as JSON, with its digest, one file a line."""
    listed = [{"path": e.path, "sha256": e.sha256, "bytes": e.bytes} for e in sorted(files, key=lambda e: e.path)]
    document = {"schema": 1, "made_by": MADE_BY, **fields, "files": listed}
    document["digest"] = digest_of(document)
    lines = [f" {json.dumps(k)}: {json.dumps(v)}" for k, v in document.items() if k not in ("files", "digest")]
    lines.append(' "files": [\n' + ",\n".join(f"  {json.dumps(e)}" for e in listed) + "\n ]")
    lines.append(f' "digest": {json.dumps(document["digest"])}')
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode("ascii")


def digest_of(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest's fields but for the digest itself."""
    rest = {k: v for k, v in document.items() if k != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode("ascii")).hexdigest()


def parse(data: bytes) -> dict[str, Any]:
    """Return a manifest as plain data, of the right form; its paths and its digest are not checked.

    Raises:
        ValueError: it is none, in words.
    """
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=named_once)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(document, dict) or document.get("made_by") != MADE_BY or document.get("schema") != 1:
        raise ValueError(f"it was not written by `{MADE_BY}`")
    files = document.get("files")
    if not isinstance(files, list) or not all(_is_entry(e) for e in files):
        raise ValueError("its list of files is not one")
    if len({e["path"] for e in files}) != len(files):
        raise ValueError("a file is listed twice")
    return document


def entries(document: Mapping[str, Any]) -> list[Entry]:
    """Return the files of a parsed manifest."""
    return [Entry(e["path"], e["sha256"], e["bytes"]) for e in document["files"]]


def is_inside(path: str) -> bool:
    """Whether a listed path stays in its folder: relative, normalized, without ``..`` or backslashes."""
    parts = PurePosixPath(path).parts
    plain = bool(parts) and not path.startswith("/") and "\\" not in path and "\0" not in path
    return plain and ".." not in parts and PurePosixPath(path).as_posix() == path and path not in (".", NAME)


def _is_entry(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("path"), str)
        and isinstance(value.get("sha256"), str)
        and type(value.get("bytes")) is int
    )


def manifest_path(folder: Path) -> Path:
    """Return where the manifest of a packed folder is."""
    return folder / NAME
