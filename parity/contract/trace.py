"""Reads the contract of a trace: the inputs and outputs that were recorded, and what its meta says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from parity.artifact import Artifact
from parity.contract.model import Contract
from parity.tensor import TensorSpec
from parity.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np


class TraceReader:
    """Contract of a trace in parity's own store or an `.npz` with ``inputs/<name>`` and ``outputs/<name>``."""

    rank = 50

    def matches(self, artifact: Artifact) -> bool:
        """Whether the artifact is a trace."""
        return artifact.kind in ("trace", "npz")

    def read(self, artifact: Artifact) -> Contract:
        """Return the contract: shapes ``(B, ...)`` and dtypes as recorded; a tensor whose shape differs from case to
        case has none.

        Raises:
            ArtifactError: the trace cannot be read.
        """
        with Trace.open(artifact.path) as trace:
            metadata: dict[str, Any] = {"cases": len(trace.cases), **trace.meta}
            return Contract(
                path=artifact.path,
                kind="trace",
                inputs=_specs(trace.shapes("inputs")),
                outputs=_specs(trace.shapes("outputs")),
                precision=_precision(trace.meta),
                metadata=metadata,
            )


def _precision(meta: Mapping[str, Any]) -> str | None:
    """Return the class that the artifact computes in, where the recording came back from a device with its name."""
    captured = meta.get("captured")
    artifact = captured.get("artifact") if isinstance(captured, dict) else None
    found = artifact.get("precision") if isinstance(artifact, dict) else None
    return found if isinstance(found, str) else None


def _specs(found: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]] | None]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name, None if seen is None else seen[0], None if seen is None else seen[1].name)
        for name, seen in found.items()
    )


READER = TraceReader()
