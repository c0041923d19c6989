"""Finds the reader that fits a dataset. Readers are found by entry point, group ``parity.datasets``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from parity.artifact import Artifact, recognize
from parity.dataset.model import Dataset
from parity.errors import ArtifactError
from parity.plugins import ranked


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


def readers() -> tuple[DatasetReader, ...]:
    """Return all registered readers, in the order in which they are asked.

    Raises:
        UsageError: one of them cannot be loaded.
    """
    return ranked("parity.datasets", "dataset reader")


def open_dataset(path: str | Path | Artifact, columns: Mapping[str, str] | None = None) -> Dataset:
    """Return the dataset at ``path``, its index checked against its files; see `DatasetReader.open`.

    Raises:
        ArtifactError: it cannot be read, holds no frame, or no reader knows the format.
        UsageError: ``columns`` do not fit, or a package is missing that reads it.
    """
    artifact = path if isinstance(path, Artifact) else recognize(path)
    for reader in readers():
        if reader.matches(artifact):
            return _with_frames(reader.open(artifact, columns))
    raise ArtifactError(
        f"{artifact.path}: recognized as {artifact.kind}, in which no dataset was found",
        expected="a LeRobot dataset (a folder with meta/info.json, or meta_data/info.json before v2.0), "
        "a replay buffer (.zarr, .zarr.zip), HDF5 of demonstrations or arrays, an .npz of arrays, a trace",
    )


def _with_frames(dataset: Dataset) -> Dataset:
    """Return the dataset, whatever its format: one without a frame says nothing, and nothing agrees with it.

    Raises:
        ArtifactError: it has no frames.
    """
    if dataset.episodes.frames == 0:
        raise ArtifactError(
            f"{dataset.path}: its {len(dataset.episodes)} episodes hold no frames",
            expected="at least one",
            remedy="record it, or fetch it, again",
        )
    return dataset
