"""Finds the reader that fits an artifact. Readers are found by entry point, group ``parity.contracts``."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from parity.artifact import Artifact, recognize
from parity.checkpoint.torch_file import read_torch_file
from parity.contract.model import Contract
from parity.errors import ArtifactError
from parity.plugins import ranked


class ContractReader(Protocol):
    """Turns artifacts of one format into contracts.

    Readers are asked in order of ``rank`` (lowest first) and the first that matches reads; equal ranks go by name.
    A more specific format has a lower rank than a more general one that would match too.
    """

    rank: int

    def matches(self, artifact: Artifact) -> bool:
        """Whether this reader understands the artifact. Cheap, and False for what is merely similar."""
        ...

    def read(self, artifact: Artifact) -> Contract:
        """Return the contract.

        Raises:
            ArtifactError: the artifact is of this format but truncated, corrupt or incomplete.
        """
        ...


def readers() -> tuple[ContractReader, ...]:
    """Return all registered readers, in the order in which they are asked.

    Raises:
        UsageError: one of them cannot be loaded.
    """
    return ranked("parity.contracts", "contract reader")


def read_contract(path: str | Path | Artifact) -> Contract:
    """Return the contract of the artifact at ``path``.

    Raises:
        ArtifactError: it cannot be read, or no reader knows the format.
    """
    artifact = path if isinstance(path, Artifact) else recognize(path)
    for reader in readers():
        if reader.matches(artifact):
            return reader.read(artifact)
    if artifact.kind == "checkpoint":
        read_torch_file(artifact.path)  # raises where it is damaged or a whole workspace, and says so
    raise ArtifactError(
        f"{artifact.path}: recognized as {artifact.kind}, which describes no policy that parity can read",
        expected="ONNX, TorchScript, .pt2, a LeRobot folder or config, a Hydra, shape_meta or deployment YAML",
    )
