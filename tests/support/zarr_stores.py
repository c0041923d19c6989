"""Zarr stores of version 2 as diffusion_policy writes them, made without the zarr package."""

from __future__ import annotations

import gzip
import itertools
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PACKERS = ("none", "zlib", "gzip", "blosc", "zstd", "lz4")


def packed(data: bytes, packer: str) -> bytes:
    """Return bytes as a codec of numcodecs packs them; without numcodecs the test is skipped where it takes that."""
    if packer in ("none", "zlib", "gzip"):
        return {"none": bytes, "zlib": zlib.compress, "gzip": gzip.compress}[packer](data)
    codec: bytes = pytest.importorskip("numcodecs").get_codec({"id": packer}).encode(data)
    return bytes(codec)


def array_files(
    name: str, values: np.ndarray, chunks: tuple[int, ...], packer: str = "zlib", **changes: Any
) -> dict[str, bytes]:
    """Return the files of an array, by their paths in the store; ``changes`` go into ``.zarray``."""
    said = {
        "zarr_format": 2,
        "shape": list(values.shape),
        "chunks": list(chunks),
        "dtype": values.dtype.str,
        "compressor": None if packer == "none" else {"id": packer, "level": 1},
        "fill_value": 0,
        "order": "C",
        "filters": None,
    } | changes
    files = {f"{name}/.zarray": json.dumps(said).encode()}
    separator = said.get("dimension_separator", ".")
    grid = [range(-(-n // c)) for n, c in zip(values.shape, chunks, strict=True)]
    for at in itertools.product(*grid):
        chunk = np.zeros(chunks, values.dtype)
        part = values[tuple(slice(i * c, (i + 1) * c) for i, c in zip(at, chunks, strict=True))]
        chunk[tuple(slice(n) for n in part.shape)] = part
        files[f"{name}/{separator.join(map(str, at))}"] = packed(chunk.tobytes(order=said["order"]), packer)
    return files


def replay_buffer(
    arrays: Mapping[str, np.ndarray], ends: np.ndarray, packer: str = "zlib", rows: int = 7, **changes: Any
) -> dict[str, bytes]:
    """Return the files of a replay buffer, ``rows`` frames in a chunk."""
    files = {".zgroup": b'{"zarr_format": 2}', "data/.zgroup": b'{"zarr_format": 2}'}
    files |= {"meta/.zgroup": b'{"zarr_format": 2}', "data/.zattrs": b"{}"}
    for key, values in arrays.items():
        files |= array_files(f"data/{key}", values, (rows, *values.shape[1:]), packer, **changes)
    return files | array_files("meta/episode_ends", ends, (max(1, len(ends)),), packer)


def write_folder(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write files as a store in a folder."""
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write files as a store in a zip file, as zarr's ZipStore does."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path
