"""What a bundle says of the artifact that goes along, and what is known of it here when results come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from parity.artifact import Artifact, file_digest, files_of
from parity.bundle.question import Question
from parity.errors import ArtifactError
from parity.om.reading import open_om
from parity.runner.exchange import file_names


def artifact_told(question: Question) -> dict[str, Any]:
    """Return kind, files with their hashes, and what a recording must not lose of it: chip, class, noise, outputs.

    Raises:
        ArtifactError: it cannot be read.
    """
    side, contract = question.side, question.side.graph
    assert side.artifact is not None
    files = [
        {"path": _inside(side.artifact, file), **dict(zip(("sha256", "bytes"), file_digest(file), strict=True))}
        for file in files_of(side.artifact)
    ]
    metadata = contract.metadata if contract else {}
    told = {
        "kind": side.artifact.kind,
        "main": files[0]["path"],
        "sha256": side.sha256,
        "files": files,
        "soc": side.spec.options.get("soc"),
        "precision": contract.precision if contract else None,
        "random_ops": [str(o) for o in metadata.get("random_ops", ())],
        "output_nodes": [],
        "input_order": [],
    }
    return {**told, **_om(side.artifact, told)} if side.artifact.kind == "om" else told


def _om(artifact: Artifact, told: dict[str, Any]) -> dict[str, Any]:
    """Return what an OM file says of itself; what the user says of its chip goes first."""
    try:
        model = open_om(artifact.path)
    except ArtifactError:
        return {}  # the device may still read it; its runtime then tells inputs and outputs
    ends = [node for node in model.nodes if node.type == "NetOutput"]
    sources = [source.rpartition(":") for source in ends[0].inputs] if len(ends) == 1 else []
    known = all(index.isdigit() for _, _, index in sources)
    return {
        "soc": told["soc"] or model.soc,
        "random_ops": told["random_ops"] or list(model.random_ops),
        "input_order": list(model.name_order),
        "output_nodes": [[name, int(index)] for name, _, index in sources] if known else [],
    }


def _inside(artifact: Artifact, file: Path) -> str:
    """Return a file's path in the bundle's artifact folder; the artifact's own name is free of surprises."""
    relative = file.relative_to(artifact.path.parent).as_posix()
    return relative if file != artifact.path else file_names([relative])[relative]
