"""diffusion_policy's replay buffers: Zarr stores with arrays ``data/<key>`` and ``meta/episode_ends``.

Source: real-stanford/diffusion_policy, diffusion_policy/common/replay_buffer.py: the first axis counts frames, and
``episode_ends`` says where each episode ends. Universal Manipulation Interface ships them as ``.zarr.zip``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from parity.artifact import Artifact
from parity.dataset.faults import SHOWN
from parity.dataset.model import Dataset, Feature
from parity.dataset.plain import Read, Stored, assemble
from parity.dataset.zarr_store import MAX_JSON, Store, ZarrArray, array_of, opened_store
from parity.errors import ArtifactError
from parity.finding import Finding

if TYPE_CHECKING:
    from parity.tensor import Array

CHUNKS, NOT_READ = "DATA017", "DATA010"
ENDS = "meta/episode_ends"
MAX_KEYS = 4096


@dataclass(frozen=True, slots=True)
class _Reader:
    rank: int = 50

    def matches(self, artifact: Artifact) -> bool:
        if artifact.kind not in ("folder", "zarr"):
            return False
        if artifact.kind == "folder" and not (artifact.path / "data").is_dir():
            return False
        with opened_store(artifact.path) as store:
            if not {"data", "meta"} & set(store.names("")):
                return False
            groups = (".zgroup", "data/.zgroup", "meta/.zgroup", "meta/episode_ends/.zarray")
            return any(store.read(name, MAX_JSON) is not None for name in groups)

    def open(self, artifact: Artifact, columns: Mapping[str, str] | None = None) -> Dataset:
        path = artifact.path
        with opened_store(path) as store:
            arrays = dict(_arrays(store, path))
            readable = {n: a for n, a in arrays.items() if a.codec.known and a.dtype.kind in "biuf"}
            for array in readable.values():
                array.codec.check()
            missing = {n: gone for n, a in readable.items() if (gone := a.missing(store))}
        if ENDS not in readable or len(readable) == 1:
            raise ArtifactError(
                f"{path}: {_why(arrays, readable)}",
                expected="data/<key> and meta/episode_ends, packed by blosc, zstd, lz4, zlib, gzip or not at all",
                remedy="write the store again with one of these",
            )
        named = {n.removeprefix("data/"): a for n, a in readable.items()}
        stored = {n: Stored(a.shape, a.dtype.newbyteorder("=")) for n, a in named.items()}
        dataset = assemble(path, "replay_buffer", stored, partial(_opened, path, named), columns)
        others = {n: a for n, a in arrays.items() if n not in readable}
        listed = {n.removeprefix("data/"): _listed(n.removeprefix("data/"), a) for n, a in others.items()}
        findings = (*dataset.findings, *_gone(readable, missing), *_unread(others))
        return replace(dataset, features={**dataset.features, **listed}, findings=findings)


def _arrays(store: Store, path: Path) -> Iterator[tuple[str, ZarrArray]]:
    """Yield the arrays of frames and where the episodes end.

    Raises:
        ArtifactError: there are none, or one is described wrongly.
    """
    keys = sorted(k for k in store.names("data") if not k.startswith("."))
    if len(keys) > MAX_KEYS:
        raise ArtifactError(f"{path}: data holds {len(keys):,} keys", expected=f"at most {MAX_KEYS:,}")
    for name in (*(f"data/{k}" for k in keys), ENDS):
        array = array_of(store, name)
        if array is not None:
            yield name, array
        elif name == ENDS:
            raise ArtifactError(
                f"{path}: {ENDS} is not there",
                expected="a replay buffer: data/<key> and meta/episode_ends, of Zarr version 2",
                remedy="copy the store again, whole; one of Zarr version 3 must be written again as version 2",
            )


@contextmanager
def _opened(path: Path, arrays: Mapping[str, ZarrArray]) -> Iterator[Read]:
    with opened_store(path) as store:

        def read(name: str, start: int, stop: int) -> Array:
            values = arrays[name].rows(store, start, stop)
            return values.astype(values.dtype.newbyteorder("="), copy=False)

        yield read


def _why(arrays: Mapping[str, ZarrArray], readable: Mapping[str, ZarrArray]) -> str:
    """Return why a store cannot be read whose frames or episodes cannot."""
    unread = [n for n in (ENDS, *arrays) if n in arrays and n not in readable]
    if not unread:
        return "it holds no array of frames"
    array = arrays[unread[0]]
    return f"{unread[0]} " + (f"is packed by {array.codec}" if not array.codec.known else f"holds {array.dtype}")


def _listed(name: str, array: ZarrArray) -> Feature:
    return Feature(name, array.shape[1:] or (1,), str(array.codec), storage="image")


def _gone(arrays: Mapping[str, ZarrArray], missing: Mapping[str, list[str]]) -> Iterator[Finding]:
    if missing:
        name, keys = next(iter(missing.items()))
        total = sum(len(k) for k in missing.values())
        yield Finding(
            CHUNKS,
            "error",
            f"{name}: {len(keys):,} of {_count(arrays[name]):,} chunks are not there, {name}/{keys[0]} first"
            + (f"; so of {len(missing) - 1} other arrays" if len(missing) > 1 else ""),
            where=name.removeprefix("data/"),
            detail="They are read as zarr does, as rows of the fill value: data that nobody recorded, if the store was "
            "copied in part.",
            evidence={"arrays": {n: k[:SHOWN] for n, k in list(missing.items())[:SHOWN]}, "count": total},
            remedy="copy the store again, whole; if these rows do hold nothing but the fill value, write them out",
        )


def _count(array: ZarrArray) -> int:
    count = 1
    for n in array.grid():
        count *= n
    return count


def _unread(others: Mapping[str, ZarrArray]) -> Iterator[Finding]:
    if others:
        said = ", ".join(f"{n.removeprefix('data/')} ({a.codec})" for n, a in list(others.items())[:8])
        yield Finding(
            NOT_READ,
            "info",
            f"{said}: packed in a way that is not read here: listed, not judged",
            where=next(iter(others)).removeprefix("data/"),
            evidence={"features": [n.removeprefix("data/") for n in others]},
        )


READER = _Reader()
