"""Finds the reader that fits a source of statistics. Readers are found by entry point, group ``parity.stats``."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from parity.artifact import Artifact, recognize
from parity.errors import ArtifactError
from parity.plugins import ranked
from parity.stats.model import NormStats


class StatsReader(Protocol):
    """Turns sources of one format into statistics.

    Readers are asked in order of ``rank`` (lowest first) and the first that matches reads; equal ranks go by name.
    A more specific format has a lower rank than a more general one that would match too.
    """

    rank: int

    def matches(self, artifact: Artifact) -> bool:
        """Whether this reader understands the source. Cheap, and False for what is merely similar."""
        ...

    def read(self, artifact: Artifact) -> tuple[NormStats, ...]:
        """Return the statistics, one for each set that the source holds (a robot, a dataset, an embodiment).

        Raises:
            ArtifactError: the source is of this format but truncated, corrupt or incomplete.
        """
        ...


def readers() -> tuple[StatsReader, ...]:
    """Return all registered readers, in the order in which they are asked.

    Raises:
        UsageError: one of them cannot be loaded.
    """
    return ranked("parity.stats", "statistics reader")


def read_stats(path: str | Path | Artifact) -> tuple[NormStats, ...]:
    """Return the normalization statistics that the source at ``path`` holds, at least one set.

    Raises:
        ArtifactError: it cannot be read, or holds no normalization statistics in a format that is known.
    """
    artifact = path if isinstance(path, Artifact) else recognize(path)
    for reader in readers():
        if reader.matches(artifact) and (found := reader.read(artifact)):
            return found
    raise ArtifactError(
        f"{artifact.path}: recognized as {artifact.kind}, in which no normalization statistics were found",
        expected="a LeRobot policy or dataset folder, stats.json, norm_stats.json, a checkpoint or graph with a "
        "normalizer, GR00T metadata, or arrays called <feature>.mean and so on",
    )
