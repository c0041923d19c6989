"""Finds the reader that fits a dataset. Readers are found by entry point, group ``parity.datasets``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol

from parity.artifact import Artifact, recognize
from parity.dataset.model import Dataset
from parity.errors import ArtifactError, UsageError


class DatasetReader(Protocol):
    """Opens datasets of one format.

    Readers are asked in order of ``rank`` (lowest first) and the first that matches opens; equal ranks go by name.
    A more specific format has a lower rank than a more general one that would match too.
    """

    rank: int

    def matches(self, artifact: Artifact) -> bool:
        """Whether this reader understands the dataset. Cheap, and False for what is merely similar."""
        ...

    def open(self, artifact: Artifact, columns: Mapping[str, str] | None = None) -> Dataset:
        """Return the dataset, its index checked against its files.

        Args:
            artifact: its folder or file.
            columns: for files of plain arrays, which array each feature is (feature: name of the array); formats that
                name their features themselves take none.

        Raises:
            ArtifactError: it is of this format but cannot be read, or none of its frames can.
            UsageError: ``columns`` do not fit.
        """
        ...


@cache
def readers() -> tuple[DatasetReader, ...]:
    """Return all registered readers, in the order in which they are asked.

    Raises:
        UsageError: one of them cannot be loaded.
    """
    points = sorted(entry_points(group="parity.datasets"), key=lambda p: p.name)
    return tuple(sorted((_load(p) for p in points), key=lambda r: r.rank))


def _load(point: EntryPoint) -> DatasetReader:
    try:
        reader: DatasetReader = point.load()
    except Exception as e:  # whatever a third party's module does when it is imported
        raise UsageError(
            f"the dataset reader {point.name!r} ({point.value}) cannot be loaded: {type(e).__name__}: {e}",
            remedy="mend or uninstall the package that brings it",
        ) from e
    return reader


def open_dataset(path: str | Path | Artifact, columns: Mapping[str, str] | None = None) -> Dataset:
    """Return the dataset at ``path``, its index checked against its files; see `DatasetReader.open`.

    Raises:
        ArtifactError: it cannot be read, or no reader knows the format.
        UsageError: ``columns`` do not fit, or a package is missing that reads it.
    """
    artifact = path if isinstance(path, Artifact) else recognize(path)
    for reader in readers():
        if reader.matches(artifact):
            return reader.open(artifact, columns)
    raise ArtifactError(
        f"{artifact.path}: recognized as {artifact.kind}, in which no dataset was found",
        expected="a LeRobot dataset (a folder with meta/info.json, or meta_data/info.json before v2.0), "
        "a replay buffer (.zarr, .zarr.zip), HDF5 of demonstrations or arrays, an .npz of arrays, a trace",
    )
