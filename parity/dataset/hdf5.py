"""Datasets of plain arrays in an HDF5 file, called by their paths in it (``obs/state``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from parity.artifact import Artifact
from parity.dataset.hdf5_file import arrays_of, checked, opened, opened_file
from parity.dataset.model import Dataset
from parity.dataset.plain import assemble


@dataclass(frozen=True, slots=True)
class _Reader:
    rank: int = 90  # any other reader of HDF5 files knows better what its arrays are

    def matches(self, artifact: Artifact) -> bool:
        return artifact.kind == "hdf5"

    def open(self, artifact: Artifact, columns: Mapping[str, str] | None = None) -> Dataset:
        path = artifact.path
        with opened_file(path) as file:
            found = dict(arrays_of(path, file, "", 0))
            stored = {name: checked(path, array) for name, array in found.items()}
        arrays = {name: s for name, s in stored.items() if s.dtype.kind in "biuf"}
        return assemble(path, "hdf5", arrays, partial(opened, path), columns)


READER = _Reader()
