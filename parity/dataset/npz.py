"""Datasets of plain arrays in an `.npz`. Uncompressed arrays (`numpy.savez`) are read in pieces where they lie."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from parity.artifact import Artifact
from parity.dataset.model import Dataset
from parity.dataset.plain import Read, Stored, assemble
from parity.errors import ArtifactError
from parity.trace.layout import Place
from parity.trace.npz import npz_arrays

if TYPE_CHECKING:
    from parity.tensor import Array


@dataclass(frozen=True, slots=True)
class _Reader:
    rank: int = 90  # any other reader of .npz files knows better what its arrays are

    def matches(self, artifact: Artifact) -> bool:
        return artifact.kind == "npz"

    def open(self, artifact: Artifact, columns: Mapping[str, str] | None = None) -> Dataset:
        arrays = npz_arrays(artifact.path)
        stored = {name: Stored(a.shape, a.dtype) for name, a in arrays.items() if a.dtype.kind in "biuf"}
        return assemble(artifact.path, "npz", stored, partial(_opened, artifact.path, arrays), columns)


@contextmanager
def _opened(path: Path, arrays: Mapping[str, Place | Array]) -> Iterator[Read]:
    with path.open("rb") as file:

        def read(name: str, start: int, stop: int) -> Array:
            array = arrays[name]
            if isinstance(array, Place):
                width = math.prod(array.shape[1:])
                file.seek(array.offset + start * width * array.dtype.itemsize)
                data = file.read((stop - start) * width * array.dtype.itemsize)
                if len(data) != (stop - start) * width * array.dtype.itemsize:
                    raise ArtifactError(f"{path}: array {name!r} ends early", remedy="it changed while it was read")
                array = np.frombuffer(data, array.dtype).reshape(stop - start, *array.shape[1:])
            else:
                array = array[start:stop]
            return array.astype(array.dtype.newbyteorder("="), copy=False)

        yield read


READER = _Reader()
