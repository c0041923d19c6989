"""Pre- and post-processing of a policy as ordered steps, read from its files and applied without its framework.

What is read: a LeRobot policy folder (processor files, or the buffers in the weights of earlier versions), and
whatever holds normalization statistics that belong to one framework (openpi's ``norm_stats.json``, a diffusion_policy
checkpoint, an rsl_rl checkpoint). Nothing of it is executed. A step that is not known is an error, never skipped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.artifact import Artifact, recognize
from parity.contract.model import Contract
from parity.stats.steps import Arrays, Step

if TYPE_CHECKING:
    from parity.tensor import Array


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What happens to raw observations before a graph, and to its outputs after it.

    Attributes:
        path: the artifact that it was read from.
        era: which formulas apply: a key of `parity.stats.formula.FORMULAS`.
        before: steps from raw observations to what the graph takes, in order.
        after: steps from what the graph gives to physical actions, in order.
        contract: what the policy as a whole takes and gives, where the artifact says it.
        notes: remarks on what was read.
        widths: numbers in the last axis of raw arrays by name, where the user says them: the graph's are padded.
    """

    path: Path
    era: str
    before: tuple[Step, ...]
    after: tuple[Step, ...]
    contract: Contract | None = None
    notes: tuple[str, ...] = field(default=())
    widths: Mapping[str, int] = field(default_factory=dict)

    def inputs(self, raw: Mapping[str, Array]) -> Arrays:
        """Return what the graph takes, from raw observations ``(B, ...)`` or ``(N, B, ...)`` by name.

        Raises:
            ArtifactError: an observation or a statistic is missing, or does not fit.
        """
        return applied(self.before, raw)

    def outputs(self, given: Mapping[str, Array]) -> Arrays:
        """Return physical actions, and any other output as it is, from what the graph gave.

        Raises:
            ArtifactError: an output or a statistic is missing, or does not fit.
        """
        return applied(self.after, given)

    def as_json(self) -> dict[str, Any]:
        """Return the pipeline, JSON-able, without the statistics themselves."""
        return {
            "path": str(self.path),
            "era": self.era,
            "before": [s.as_json() for s in self.before],
            "after": [s.as_json() for s in self.after],
            "notes": list(self.notes),
        }


def applied(steps: Sequence[Step], arrays: Mapping[str, Array]) -> Arrays:
    """Return the arrays after all steps, in order."""
    result: Arrays = dict(arrays)
    for step in steps:
        result = step.apply(result)
    return result


def read_pipeline(path: str | Path | Artifact, settings: Mapping[str, Any] | None = None) -> Pipeline:
    """Return the pipeline that the artifact at ``path`` describes.

    ``settings`` say what the artifact does not: ``mode`` (openpi's z-score or quantiles), ``inputs`` and ``outputs``
    (key of the statistics by name of the array).

    Raises:
        ArtifactError: it holds no pipeline that is understood, a step is not known, or statistics are missing.
        UsageError: ``settings`` that this format does not have.
    """
    from parity.stats.pipeline_lerobot import is_policy_folder, lerobot_pipeline
    from parity.stats.pipeline_stats import pipeline_of_statistics

    artifact = path if isinstance(path, Artifact) else recognize(path)
    if artifact.kind == "folder" and is_policy_folder(artifact.path):
        return lerobot_pipeline(artifact, settings or {})
    return pipeline_of_statistics(artifact, settings or {})
