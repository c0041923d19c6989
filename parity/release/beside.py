"""What the user names beside a side: the checkpoint with its weights, and the artifact behind what only answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from parity.artifact import Artifact, digest, recognize
from parity.contract import Contract, read_contract
from parity.errors import ArtifactError, UsageError

CHECKPOINT = " checkpoint"  # what the report calls the weights that the user names beside a side: "ort checkpoint"
BEHIND = " artifact"  # what it calls the artifact behind a recording or a command: "board artifact"
GRAPHS = ("onnx", "torchscript", "pt2", "om", "om2")  # kinds that tell what they take and give


@dataclass(frozen=True, slots=True)
class Weights:
    """Where the weights of a side lie, as the user says: read to name a cause, never to judge."""

    of: str
    artifact: Artifact
    given: str
    sha256: str
    bytes: int

    def artifact_json(self) -> dict[str, object]:
        """Return its entry in the report's ``artifacts``."""
        told = {"path": self.given, "kind": self.artifact.kind, "sha256": self.sha256, "bytes": self.bytes}
        return {**told, "side": f"{self.of}{CHECKPOINT}"}


@dataclass(frozen=True, slots=True)
class Behind:
    """The artifact that answered, where a side is a recording or a command: what is shipped.

    Its outputs are the side's; what can be told without running it (weights, contract, chip, precision) is judged too.
    ``contract`` is None where nothing of it is known; ``problem`` says why, where it should be.
    """

    of: str
    artifact: Artifact
    given: str
    sha256: str
    bytes: int
    contract: Contract | None = None
    problem: str | None = None

    def artifact_json(self) -> dict[str, object]:
        """Return its entry in the report's ``artifacts``."""
        told = {"path": self.given, "kind": self.artifact.kind, "sha256": self.sha256, "bytes": self.bytes}
        return {**told, "side": f"{self.of}{BEHIND}"}


def checkpoint_of(path: str | None, name: str, root: Path) -> Weights | None:
    """Return the artifact that holds the side's weights and its hash, None where the user names none.

    Raises:
        UsageError: there is none: a mistyped path must not silence the explanation.
    """
    found = _named(path, name, root, "checkpoint")
    return None if found is None or path is None else Weights(name, found, path, *digest(found))


def behind_of(path: str | None, name: str, root: Path) -> Behind | None:
    """Return the artifact behind a side, its hash and contract, None where the user names none.

    Raises:
        UsageError: there is none: a mistyped path must not let the artifact pass unseen.
    """
    found = _named(path, name, root, "artifact")
    if found is None or path is None:
        return None
    sha256, size = digest(found)
    try:
        return Behind(name, found, path, sha256, size, read_contract(found))
    except ArtifactError as e:
        return Behind(name, found, path, sha256, size, problem=e.message if found.kind in GRAPHS else None)


def _named(path: str | None, name: str, root: Path, key: str) -> Artifact | None:
    if path is None:
        return None
    try:
        return recognize(root / Path(path).expanduser(), foreign=key == "artifact")
    except ArtifactError as e:
        raise UsageError(f"[{name}] {key}: {e.message}", expected=e.expected, remedy=e.remedy) from None
