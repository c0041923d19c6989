"""Weights written as safetensors (one file, or several with an index) and as ``.pth``, and read back bit by bit.

Formats: https://github.com/huggingface/safetensors ("Format"); the index as transformers writes it. One tensor is in
memory at a time, but for ``.pth``, which torch writes from memory.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.checkpoint.weight import Weight
from parity.checkpoint.weights import read_weights
from parity.convert.destination import index_path
from parity.errors import ArtifactError, UsageError

if TYPE_CHECKING:
    from parity.tensor import Array

STORED = {
    "bool": ("BOOL", 1),
    "uint8": ("U8", 1),
    "int8": ("I8", 1),
    "float8_e4m3": ("F8_E4M3", 1),
    "float8_e5m2": ("F8_E5M2", 1),
    "uint16": ("U16", 2),
    "int16": ("I16", 2),
    "float16": ("F16", 2),
    "bfloat16": ("BF16", 2),
    "uint32": ("U32", 4),
    "int32": ("I32", 4),
    "float32": ("F32", 4),
    "uint64": ("U64", 8),
    "int64": ("I64", 8),
    "float64": ("F64", 8),
    "complex64": ("C64", 8),
}


@dataclass(frozen=True, slots=True)
class Written:
    """A tensor to write: its type, and its values when asked for (raw bits where NumPy has no such type)."""

    dtype: str
    shape: tuple[int, ...]
    values: Callable[[], Array]
    same_as: str | None = None  # the tensor that it was one with: `.pth` keeps that

    @property
    def nbytes(self) -> int:
        """The bytes that it takes."""
        size = STORED[self.dtype][1]
        for n in self.shape:
            size *= n
        return size


def check_types(weights: Mapping[str, Weight], target: Path) -> None:
    """Raise where a tensor's element type has no place in the format.

    Raises:
        UsageError: it has none.
    """
    odd = [(n, w.dtype) for n, w in weights.items() if w.dtype not in STORED]
    if odd:
        raise UsageError(
            f"{target}: {odd[0][0]!r} is {odd[0][1]}, which the format cannot hold",
            expected=", ".join(STORED),
        )


def write_safetensors(
    beside: Path, target: Path, tensors: Mapping[str, Written], meta: Mapping[str, Any], max_shard: int | None
) -> list[str]:
    """Write the tensors into the folder ``beside`` and return the names of the files, an index last.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    shards = _shards(tensors, max_shard)
    if len(shards) == 1:
        _one_file(beside / target.name, tensors, meta)
        return [target.name]
    stem = target.name.removesuffix(".safetensors")
    names = [f"{stem}-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
    for name, shard in zip(names, shards, strict=True):
        _one_file(beside / name, {t: tensors[t] for t in shard}, meta)
    index = {
        "metadata": {"total_size": sum(t.nbytes for t in tensors.values()), "parity": meta},
        "weight_map": {t: name for name, shard in zip(names, shards, strict=True) for t in shard},
    }
    path = beside / index_path(target).name
    path.write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", errors="backslashreplace")
    return [*names, path.name]


def _shards(tensors: Mapping[str, Written], max_shard: int | None) -> list[list[str]]:
    """Return the names by file, in order; a tensor larger than a file may be gets one of its own."""
    shards: list[list[str]] = [[]]
    room = max_shard
    for name, tensor in tensors.items():
        if room is not None and max_shard is not None:
            if tensor.nbytes > room and shards[-1]:
                shards.append([])
                room = max_shard
            room -= tensor.nbytes
        shards[-1].append(name)
    return shards


def _one_file(path: Path, tensors: Mapping[str, Written], meta: Mapping[str, Any]) -> None:
    order = sorted(tensors, key=lambda n: (-STORED[tensors[n].dtype][1], n))  # keeps every tensor aligned
    header: dict[str, Any] = {"__metadata__": {"format": "pt", "parity": json.dumps(meta, ensure_ascii=True)}}
    offset = 0
    for name in order:
        tensor = tensors[name]
        end = offset + tensor.nbytes
        header[name] = {
            "dtype": STORED[tensor.dtype][0],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, ensure_ascii=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("xb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            _append(f, tensors[name])
        f.flush()
        os.fsync(f.fileno())


def _append(f: Any, tensor: Written) -> None:
    import numpy as np

    values = np.ascontiguousarray(tensor.values())
    f.write(values.astype(values.dtype.newbyteorder("<"), copy=False).data if values.size else b"")


def need_torch() -> None:
    """Raise where torch is not installed.

    Raises:
        UsageError: it is not.
    """
    try:
        import torch  # noqa: F401
    except ImportError:
        raise UsageError(
            "a .pth file is written by torch, which is not installed here",
            remedy="pip install 'policy-parity[torch]', or write a .safetensors file, which needs no torch",
        ) from None


def write_pth(beside: Path, target: Path, tensors: Mapping[str, Written], meta: Mapping[str, Any]) -> list[str]:
    """Write ``{"state_dict": ..., "meta": ...}``, which ``torch.load(weights_only=True)`` reads.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    import numpy as np
    import torch

    state: dict[str, Any] = {}
    for name, tensor in tensors.items():
        if tensor.same_as is not None and tensor.same_as in state:
            state[name] = state[tensor.same_as]
            continue
        values = np.array(tensor.values(), order="C")  # a copy: torch wants memory that may be written
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = torch.from_numpy(values)
        special = {
            "bfloat16": torch.bfloat16,
            "float8_e4m3": torch.float8_e4m3fn,
            "float8_e5m2": torch.float8_e5m2,
        }.get(tensor.dtype)
        state[name] = made if special is None else made.view(special)
    try:
        torch.save({"state_dict": state, "meta": dict(meta)}, beside / target.name)
    except RuntimeError as e:  # what torch raises where the disk is full
        raise OSError(None, str(e).splitlines()[0]) from None
    return [target.name]


def read_back(path: Path, tensors: Mapping[str, Written], prefix: str = "") -> list[str]:
    """Return the names of tensors that a written file does not hold bit by bit; all is well where there are none."""
    try:
        found = read_weights(path)
    except ArtifactError:
        return list(tensors)
    extra = [n for n in found if n.removeprefix(prefix) not in tensors]
    return [n for n, t in tensors.items() if not _same(found.get(prefix + n), t)] + extra


def _same(found: Weight | None, tensor: Written) -> bool:
    import numpy as np

    if found is None or (found.shape, found.dtype) != (tensor.shape, tensor.dtype):
        return False
    return bool(np.array_equal(_bits(found.array), _bits(tensor.values())))


def _bits(array: Array) -> Array:
    import numpy as np

    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(np.uint8)
