"""Checkpoints of an actor that can be rebuilt: what it takes and gives, from its weights, without running anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parity.artifact import Artifact
from parity.contract.actor import Actor
from parity.contract.actor_config import read_actor
from parity.contract.model import Contract, Normalization
from parity.errors import ArtifactError


class CheckpointReader:
    """Reads checkpoints of rsl_rl, Isaac Lab and ``VisionActorCritic`` actors."""

    rank = 60

    def matches(self, artifact: Artifact) -> bool:
        """Whether the artifact is a file of weights in torch's own format."""
        return artifact.kind == "checkpoint"

    def read(self, artifact: Artifact) -> Contract:
        """Return the contract of the actor inside.

        Raises:
            ArtifactError: unreadable, or weights of no actor that parity can rebuild.
        """
        return actor_contract(artifact)


def actor_contract(artifact: Artifact, kwargs: Mapping[str, Any] | None = None) -> Contract:
    """Return the contract of the actor in a checkpoint; ``kwargs`` settle what its weights leave open.

    Raises:
        ArtifactError: as `CheckpointReader.read`.
        UsageError: a keyword argument that the actor has not, or a value that it cannot take.
    """
    actor = read_actor(artifact.path, kwargs)
    return Contract(
        path=artifact.path,
        kind="checkpoint",
        inputs=actor.inputs,
        outputs=actor.outputs,
        normalization=Normalization(stats=_statistics(actor)),
        precision="float32",
        metadata={
            "actor": actor.what,
            "stateful": [s["name"] for s in actor.steps if s["op"] in ("lstm", "gru")],
            "settled": {k: v[0] for k, v in actor.options.items() if len(v) == 1},
            "told_by_config": dict(actor.told),
            "open": {k: list(v) for k, v in actor.open.items()},
            "parameters": sum(w.size for w in actor.weights.values()),
            "notes": list(actor.notes),
        },
    )


def holds_actor(artifact: Artifact) -> bool:
    """Whether a checkpoint holds an actor that can be rebuilt."""
    try:
        read_actor(artifact.path)
    except ArtifactError:
        return False
    return True


def _statistics(actor: Actor) -> tuple[str, ...]:
    return tuple(n for s in actor.steps if s["op"] == "normalize" for n in s["weights"].values())


READER = CheckpointReader()
