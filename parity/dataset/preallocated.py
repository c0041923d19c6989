"""HDF5 of fused features and their labels, whose space was reserved before it was filled: the racing quadcopter's.

``features`` ``(N, 192)`` and ``supervision`` ``(N, 1)`` are made for a fixed number of rows and filled from the first
on; a recording that stops early leaves the rest as it was made. Those rows are no frames. Source: the collector of the
offline fine-tuning that the project was given (``standalone/offline/data_collector.py``), which counts what it wrote in
a variable and stores the count nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.artifact import Artifact
from parity.dataset.hdf5_file import arrays_of, checked, opened, opened_file
from parity.dataset.model import BLOCK, Dataset
from parity.dataset.plain import Stored, assemble
from parity.errors import ArtifactError
from parity.finding import Finding

if TYPE_CHECKING:
    from parity.tensor import Array

UNTOUCHED = "DATA016"
FEATURES, SUPERVISION = "features", "supervision"


@dataclass(frozen=True, slots=True)
class _Reader:
    rank: int = 60

    def matches(self, artifact: Artifact) -> bool:
        if artifact.kind != "hdf5":
            return False
        with opened_file(artifact.path) as file:
            if set(file) != {FEATURES, SUPERVISION}:
                return False
            shapes = [getattr(a, "shape", None) for _, a in arrays_of(artifact.path, file, "", 0)]
        two = [s for s in shapes if s is not None and len(s) == 2]
        return len(two) == 2 and two[0][0] == two[1][0]

    def open(self, artifact: Artifact, columns: Mapping[str, str] | None = None) -> Dataset:
        path = artifact.path
        with opened_file(path) as file:
            found = dict(arrays_of(path, file, "", 0))
            if not any(array.id.get_storage_size() for array in found.values()):
                raise _nothing(path, max(len(array) for array in found.values()))
            stored = {name: checked(path, array) for name, array in found.items()}
            arrays = {name: s for name, s in stored.items() if s.dtype.kind in "biuf"}
            made = {name: found[name].fillvalue for name in arrays}
        total = min((s.shape[0] for s in arrays.values()), default=0)
        filled = _filled(path, made, total)
        if total and not filled:
            raise _nothing(path, total)
        arrays = {name: Stored((filled, *s.shape[1:]), s.dtype) for name, s in arrays.items()}
        dataset = assemble(path, "features_hdf5", arrays, partial(opened, path), columns)
        facts = {**dataset.facts, "reserved": total}
        return replace(dataset, facts=facts, findings=(*dataset.findings, *_said(path, filled, total)))


def _filled(path: Path, made: Mapping[str, Any], total: int) -> int:
    """Return how many rows there are up to the last that is not as it was made, in any of the arrays."""
    with opened(path) as read:
        for stop in range(total, 0, -BLOCK):
            start = max(0, stop - BLOCK)
            touched = np.zeros(stop - start, bool)
            for name, value in made.items():
                rows: Array = read(name, start, stop)
                touched |= (rows != value).reshape(len(rows), -1).any(1)
            if touched.any():
                return start + int(np.flatnonzero(touched)[-1]) + 1
    return 0


def _nothing(path: Path, total: int) -> ArtifactError:
    return ArtifactError(
        f"{path}: space for {total:,} rows was reserved and none was filled",
        expected="rows that are not all as they were made",
        remedy="record again: the collector stopped before it wrote anything",
    )


def _said(path: Path, filled: int, total: int) -> list[Finding]:
    if filled == total:
        return []
    return [
        Finding(
            UNTOUCHED,
            "info",
            f"{path.name}: {total - filled:,} of {total:,} rows at its end were reserved and never filled: left out",
            where=FEATURES,
            detail="A recording that stops early leaves them; who reads the whole file trains on rows of zeros.",
            evidence={"rows": total, "filled": filled},
            remedy=f"cut the arrays to {filled:,} rows before something else reads them",
        )
    ]


READER = _Reader()
