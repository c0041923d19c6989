"""Reads a trace: parity's own store, or a plain `.npz`. Foreign files are checked before they are believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from parity.artifact import recognize
from parity.errors import ArtifactError
from parity.tensor import PROFILES, Array, ArraySource, Profile, TensorSource
from parity.trace.layout import VERSION, Place, children, json_of, place_of
from parity.trace.npz import npz_arrays

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class TraceCase:
    """One recorded case: its id, profile, seed, and the note that says how it was made."""

    id: str
    profile: Profile
    seed: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class FileSource:
    """A tensor in a file as a `parity.tensor.TensorSource`: read in pieces, nothing held."""

    place: Place

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.place.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype as it is read: float32 for bfloat16, every value of which it holds."""
        import numpy as np

        return np.dtype({"bfloat16": np.float32, "bool": np.bool_}.get(self.place.meaning, self.place.dtype))

    def read(self, start: int, stop: int) -> Array:
        """Return elements ``start:stop`` of the flattened tensor."""
        import numpy as np

        place = self.place
        size = int(np.prod(place.shape, dtype=np.int64))
        start, stop, _ = slice(start, stop).indices(size)
        values = np.fromfile(
            place.path, place.dtype, max(0, stop - start), offset=place.offset + start * place.dtype.itemsize
        )
        if len(values) != max(0, stop - start):
            raise ArtifactError(f"{place.path}: truncated while it was read", remedy="record it again")
        if place.meaning == "bfloat16":
            return cast("Array", (values.astype(np.uint32) << 16).view(np.float32))
        return values != 0 if place.meaning == "bool" else values

    def array(self) -> Array:
        """Return the whole tensor."""
        import numpy as np

        return self.read(0, int(np.prod(self.shape, dtype=np.int64))).reshape(self.shape)


_MAP_FROM = 1 << 20  # bytes from which on an output is mapped, not read

Stored = Place | tuple[Place, ...] | Array


@dataclass(frozen=True, slots=True)
class _Block:
    inputs: Mapping[str, Stored]
    outputs: Mapping[str, Stored]
    floors: Mapping[str, Mapping[str, Stored]] = field(default_factory=dict)


class Trace:
    """A recorded trace, open for reading. A context manager."""

    def __init__(self, path: Path, meta: Mapping[str, Any], rows: Mapping[str, tuple[TraceCase, _Block, int]]) -> None:
        """Use `Trace.open`."""
        self.path, self.meta = path, meta
        self._rows = rows

    @classmethod
    def open(cls, path: str | Path) -> Trace:
        """Return the trace at ``path``: parity's own HDF5 store, or an `.npz` of ``inputs/<name>``, ``outputs/<name>``.

        Raises:
            ArtifactError: it cannot be read, is no trace, holds links or compressed data, or claims more than it holds.
        """
        path = Path(path)
        kind = recognize(path).kind
        if kind == "npz":
            return cls(path, {}, _npz_rows(path))
        if kind != "trace":
            raise ArtifactError(
                f"{path}: this is {kind}, not a trace",
                expected="a trace that parity recorded, or an .npz with arrays inputs/<name> and outputs/<name>",
            )
        return cls(path, *_stored(path))

    @property
    def cases(self) -> tuple[TraceCase, ...]:
        """The recorded cases, in the order in which they were added."""
        return tuple(case for case, _, _ in self._rows.values())

    def inputs(self, case_id: str) -> dict[str, Array]:
        """Return the inputs of a case by name, ``(B, ...)``."""
        _, block, row = self._row(case_id)
        return {name: _array(stored, row) for name, stored in block.inputs.items()}

    def output_names(self, case_id: str) -> tuple[str, ...]:
        """Return the names of what came out of a case."""
        return tuple(self._row(case_id)[1].outputs)

    def output(self, case_id: str, name: str) -> TensorSource:
        """Return one output of a case, ``(B, ...)``, to be read in pieces.

        Raises:
            KeyError: the case has no such output.
        """
        _, block, row = self._row(case_id)
        return _source(block.outputs[name], row)

    def mapped(self, case_id: str, name: str) -> Array:
        """Return one output of a case, ``(B, ...)``, as an array that lies in the file and not in memory, where it can.

        Raises:
            KeyError: the case has no such output.
        """
        _, block, row = self._row(case_id)
        return _mapped(block.outputs[name], row)

    def sources(self, case_id: str) -> dict[tuple[str, str], TensorSource]:
        """Return all tensors of a case, ``(B, ...)``, to be read in pieces, by ``inputs`` or ``outputs`` and name."""
        _, block, row = self._row(case_id)
        sides = {"inputs": block.inputs, "outputs": block.outputs}
        return {(side, n): _source(stored, row) for side, held in sides.items() for n, stored in held.items()}

    def floor(self, case_id: str, name: str) -> dict[str, Array]:
        """Return the floor terms of one output of a case; empty where none were recorded."""
        _, block, row = self._row(case_id)
        return {t: _array(stored, row) for t, stored in block.floors.get(name, {}).items()}

    def shapes(self, kind: str) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]] | None]:
        """Return shape ``(B, ...)`` and dtype of all ``inputs`` or ``outputs``; None where they differ by case."""
        found: dict[str, tuple[tuple[int, ...], np.dtype[Any]] | None] = {}
        for _, block, row in self._rows.values():
            tensors = block.inputs if kind == "inputs" else block.outputs
            for name, stored in tensors.items():
                source = _source(stored, row)
                seen = (source.shape, source.dtype)
                found[name] = seen if found.get(name, seen) == seen else None
        return found

    def close(self) -> None:
        """Nothing is held open; here so that a trace can be used like a file."""

    def __enter__(self) -> Trace:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _row(self, case_id: str) -> tuple[TraceCase, _Block, int]:
        return self._rows[case_id]


def _source(stored: Stored, row: int) -> FileSource | ArraySource:
    if isinstance(stored, Place):
        return FileSource(stored.row(row))
    part = stored[row]
    return FileSource(part) if isinstance(part, Place) else ArraySource(part)


def _array(stored: Stored, row: int) -> Array:
    source = _source(stored, row)
    return source.array() if isinstance(source, FileSource) else source.array


def _mapped(stored: Stored, row: int) -> Array:
    """Return a tensor as a memory map; small ones, and those whose stored form must be converted, are read."""
    import numpy as np

    source = _source(stored, row)
    if isinstance(source, ArraySource):
        return source.array
    place = source.place
    if place.meaning or place.nbytes < _MAP_FROM:
        return source.array()
    return np.memmap(place.path, place.dtype, mode="r", offset=place.offset, shape=place.shape)


def _npz_rows(path: Path) -> dict[str, tuple[TraceCase, _Block, int]]:
    """Return the cases of an `.npz`: arrays ``inputs/<name>`` and ``outputs/<name>``, each ``(N, B, ...)``; ids, seeds
    and notes are made up as ``dataset-0000`` and on.
    """
    parts: dict[str, dict[str, Stored]] = {"inputs": {}, "outputs": {}}
    other = []
    for name, stored in npz_arrays(path).items():
        kind, _, rest = name.partition("/")
        if kind in parts and rest:
            parts[kind][rest] = stored
        else:
            other.append(name)
    everything = [*parts["inputs"].values(), *parts["outputs"].values()]
    counts = {stored.shape[0] if stored.shape else -1 for stored in everything if not isinstance(stored, tuple)}
    if other or not parts["outputs"] or len(counts) != 1 or -1 in counts:
        found = f"it holds {', '.join(other)}" if other else f"first axes of {sorted(counts)}"
        raise ArtifactError(
            f"{path}: an .npz that is no trace ({found if parts['outputs'] else 'no array is called outputs/...'})",
            expected="arrays called inputs/<name> and outputs/<name>, each (N, B, ...) for the same N cases",
            remedy='write it with numpy.savez(path, **{"inputs/obs": obs, "outputs/action": action})',
        )
    block = _Block(parts["inputs"], parts["outputs"])
    ids = [f"dataset-{i:04d}" for i in range(counts.pop())]
    return {i: (TraceCase(i, "dataset", 0, f"row {row} of {path.name}"), block, row) for row, i in enumerate(ids)}


def _stored(path: Path) -> tuple[Mapping[str, Any], dict[str, tuple[TraceCase, _Block, int]]]:
    import h5py

    size = path.stat().st_size
    try:
        with h5py.File(path, "r", locking=False) as file:
            version = file.attrs.get("parity_trace")
            if version != VERSION:
                raise ArtifactError(
                    f"{path}: a trace of version {version}", expected=f"version {VERSION}", remedy="update parity"
                )
            top = children(path, file)
            if "meta" not in top or "blocks" not in top:
                raise ArtifactError(f"{path}: an incomplete trace (no meta or blocks in it)", remedy="record it again")
            meta = json_of(path, top["meta"], size)
            rows: dict[str, tuple[TraceCase, _Block, int]] = {}
            for _, group in sorted(children(path, top["blocks"]).items()):
                for row, (case, block) in enumerate(_read_block(path, group, size)):
                    rows[case.id] = (case, block, row)
            return (meta if isinstance(meta, dict) else {}), rows
    except ArtifactError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as e:
        raise ArtifactError(
            f"{path}: a trace that cannot be read ({type(e).__name__}: {e})", remedy="it is corrupt: record it again"
        ) from None


def _read_block(path: Path, group: Any, size: int) -> list[tuple[TraceCase, _Block]]:
    parts = children(path, group)
    described = json_of(path, parts["cases"], size)
    ids, seeds, notes, profile = (described[k] for k in ("ids", "seeds", "notes", "profile"))
    if not len(ids) == len(seeds) == len(notes) or profile not in PROFILES:
        raise ArtifactError(f"{path}: {group.name} describes its cases wrongly", remedy="record it again")
    n = len(ids)
    floors = (
        {
            str(g.attrs["name"]): _tensors(path, g, n, size)
            for _, g in sorted(children(path, parts["floors"]).items(), key=_number)
        }
        if "floors" in parts
        else {}
    )
    block = _Block(_tensors(path, parts["inputs"], n, size), _tensors(path, parts["outputs"], n, size), floors)
    return [(TraceCase(str(i), profile, int(s), str(t)), block) for i, s, t in zip(ids, seeds, notes, strict=True)]


def _tensors(path: Path, group: Any, n: int, size: int) -> dict[str, Stored]:
    import h5py

    found: dict[str, Stored] = {}
    for _, member in sorted(children(path, group).items(), key=_number):
        name = str(member.attrs["name"])
        if isinstance(member, h5py.Group):
            rows = [place_of(path, d, size) for _, d in sorted(children(path, member).items(), key=_number)]
            found[name] = tuple(rows)
            length = len(rows)
        else:
            place = place_of(path, member, size)
            found[name] = place
            length = place.shape[0] if place.shape else -1
        if length != n:
            raise ArtifactError(f"{path}: {member.name} holds {length} rows for {n} cases", remedy="record it again")
    return found


def _number(item: tuple[str, Any]) -> int:
    return int(item[0])
