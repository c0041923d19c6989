"""Writes a trace. The file appears under its name only when it is complete; equal content gives equal bytes."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from parity.errors import OutputError
from parity.tensor import Array, Block, Profile
from parity.trace.layout import VERSION

if TYPE_CHECKING:
    Tensors = Mapping[str, Array | list[Array]]

_SLICE = 16 << 20  # bytes written at once, so that a memory-mapped output of gigabytes passes through


class TraceWriter:
    """A trace being written. A context manager: left without an exception the file is complete, else not there."""

    def __init__(self, path: Path, meta: Mapping[str, Any]) -> None:
        """Begin the trace at ``path``; ``meta`` is JSON-able.

        Raises:
            OutputError: the folder cannot be written.
        """
        import h5py

        self.path = Path(path)
        self._temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        self._count = 0
        self._ids: set[str] = set()
        self._file: Any = None
        with self._output_errors():
            self._file = h5py.File(self._temporary, "w", libver=("earliest", "v110"), locking=False)
            self._file.attrs["parity_trace"] = VERSION
            self._blocks = self._file.create_group("blocks")
            self._json(self._file, "meta", dict(meta))

    def add(
        self,
        block: Block,
        profile: Profile,
        seeds: Sequence[int],
        notes: Sequence[str],
        outputs: Mapping[str, Array | list[Array]],
        floors: Mapping[str, Mapping[str, Array]] | None = None,
    ) -> None:
        """Append the cases of ``block``, all of one profile, with what came out.

        ``outputs[name]`` is ``(N, B, ...)`` or a list of N arrays; ``floors[output][term]`` is ``(N, B, ...)``.

        Raises:
            OutputError: the disk is full, or the file cannot be written.
            ValueError: lengths do not agree, or a case is there already.
        """
        n = len(block)
        self._check(block, n, seeds, notes, outputs, floors or {})
        with self._output_errors():
            group = self._blocks.create_group(f"{self._count:06d}")
            self._count += 1
            described = {
                "ids": list(block.ids),
                "profile": profile,
                "seeds": [int(s) for s in seeds],
                "notes": list(notes),
            }
            self._json(group, "cases", described)
            self._tensors(group.create_group("inputs"), block.inputs)
            self._tensors(group.create_group("outputs"), outputs)
            if floors:
                parts = group.create_group("floors")
                for k, (output, terms) in enumerate(floors.items()):
                    part = parts.create_group(str(k))
                    part.attrs["name"] = output
                    self._tensors(part, terms)
        self._ids.update(block.ids)

    def close(self) -> None:
        """Complete the file and give it its name.

        Raises:
            OutputError: the disk is full, or the file cannot be written.
        """
        with self._output_errors():
            self._file.close()
            self._temporary.replace(self.path)

    def discard(self) -> None:
        """Give up; nothing is left of the file."""
        with contextlib.suppress(OSError, RuntimeError):
            if self._file is not None:
                self._file.close()
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> TraceWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def _check(
        self,
        block: Block,
        n: int,
        seeds: Sequence[int],
        notes: Sequence[str],
        outputs: Mapping[str, Array | list[Array]],
        floors: Mapping[str, Mapping[str, Array]],
    ) -> None:
        lengths = {"seeds": len(seeds), "notes": len(notes)}
        lengths |= {f"input {k}": len(v) for k, v in block.inputs.items()}
        lengths |= {f"output {k}": len(v) for k, v in outputs.items()}
        lengths |= {f"floor {o}/{t}": len(v) for o, terms in floors.items() for t, v in terms.items()}
        wrong = [f"{name} has {length}" for name, length in lengths.items() if length != n]
        if wrong:
            raise ValueError(f"{n} cases, but {', '.join(wrong)}")
        again = self._ids.intersection(block.ids)
        if again or len(set(block.ids)) != n:
            raise ValueError(f"cases recorded twice: {', '.join(sorted(again)) or 'within one block'}")

    def _tensors(self, group: Any, tensors: Mapping[str, Array | list[Array]]) -> None:
        for k, (name, value) in enumerate(tensors.items()):
            if isinstance(value, list):
                member = group.create_group(str(k))
                for i, row in enumerate(value):
                    self._tensor(member, str(i), row)
            else:
                member = self._tensor(group, str(k), value)
            member.attrs["name"] = name

    def _tensor(self, group: Any, key: str, array: Array) -> Any:
        import numpy as np

        array = np.asarray(array)
        bfloat16 = array.dtype.name == "bfloat16"
        stored = array.view(np.uint16) if bfloat16 else array
        if stored.dtype.kind not in "biufc":
            raise ValueError(f"a tensor of dtype {array.dtype} cannot be stored")
        dtype = np.dtype(np.uint8) if stored.dtype.kind == "b" else stored.dtype.newbyteorder("<")
        dataset = group.create_dataset(key, shape=stored.shape, dtype=dtype, track_times=False)
        if bfloat16 or stored.dtype.kind == "b":
            dataset.attrs["dtype"] = "bfloat16" if bfloat16 else "bool"
        if stored.size == 0:
            return dataset
        if stored.ndim == 0:
            dataset[()] = stored
            return dataset
        rows = max(1, _SLICE // max(1, stored[:1].nbytes))
        for start in range(0, len(stored), rows):
            dataset[start : start + rows] = stored[start : start + rows]
        return dataset

    @staticmethod
    def _json(group: Any, name: str, value: Any) -> None:
        import numpy as np

        data = json.dumps(value, sort_keys=True, ensure_ascii=True).encode()
        group.create_dataset(name, data=np.frombuffer(data, np.uint8), track_times=False)

    @contextlib.contextmanager
    def _output_errors(self) -> Any:
        try:
            yield
        except (OSError, RuntimeError) as e:  # h5py reports a full disk as either
            self.discard()
            raise OutputError(f"{self.path}: the trace cannot be written: {e}", remedy="free some disk space") from None
