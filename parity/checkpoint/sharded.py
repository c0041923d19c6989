"""Safetensors in several files, with an index of which tensor lies where (``model.safetensors.index.json``).

Format: ``{"metadata": {"total_size": ...}, "weight_map": {tensor: file}}`` as transformers and huggingface_hub write
it. Files are beside the index, by plain names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from parity.checkpoint.safetensors import SafetensorsFile, open_safetensors
from parity.errors import ArtifactError

SUFFIX = ".safetensors.index.json"
MAX_INDEX_BYTES = 64 << 20
REMEDY = "fetch the whole set again: the index and every file that it names"


def is_index(path: Path) -> bool:
    """Whether a path is, by its name, the index of a sharded safetensors set."""
    return path.name.endswith(SUFFIX)


def open_sharded(index: Path) -> Mapping[str, SafetensorsFile]:
    """Return for each tensor, in the order of the index, the opened file that holds it.

    Raises:
        ArtifactError: the index is none, names a file outside of its folder, or does not agree with its files.
    """
    names = _weight_map(index)
    files: dict[str, SafetensorsFile] = {}
    for name in sorted(set(names.values())):
        if Path(name).name != name or name in ("", ".", ".."):
            raise ArtifactError(f"{index}: names the file {name!r}", expected="a file beside the index", remedy=REMEDY)
        files[name] = open_safetensors(index.parent / name)
    for name, file in files.items():
        listed = {tensor for tensor, place in names.items() if place == name}
        if listed != set(file.names):
            odd = sorted(listed ^ set(file.names))
            raise ArtifactError(
                f"{index}: {name} holds other tensors than the index says, {odd[0]!r} is one of {len(odd)}",
                remedy=REMEDY,
            )
    return {tensor: files[name] for tensor, name in names.items()}


def _weight_map(index: Path) -> dict[str, str]:
    try:
        if index.stat().st_size > MAX_INDEX_BYTES:
            raise ArtifactError(f"{index}: an index of {index.stat().st_size} bytes, above {MAX_INDEX_BYTES}")
        data = json.loads(index.read_text(encoding="utf-8"))
    except OSError as e:
        raise ArtifactError(f"{index}: cannot be read: {e.strerror or e}") from None
    except (ValueError, RecursionError) as e:
        raise ArtifactError(f"{index}: not valid JSON ({e})", remedy=REMEDY) from None
    found = data.get("weight_map") if isinstance(data, dict) else None
    if not isinstance(found, dict) or not found or not all(isinstance(v, str) for v in found.values()):
        raise ArtifactError(f"{index}: no index of tensors", expected='"weight_map": {tensor: file}', remedy=REMEDY)
    return found
