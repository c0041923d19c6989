"""Normalizers that a policy keeps while it learns: running mean and variance, as buffers in a file of torch.

rsl_rl's EmpiricalNormalization computes ``(x - mean) / (std + eps)`` with eps 1e-2. Where it lies depends on the
version: 2.x beside the policy (``obs_norm_state_dict``, ``privileged_obs_norm_state_dict``), 3.x inside
(``model_state_dict.actor_obs_normalizer``), 4.x and 5.x inside each network (``actor_state_dict.obs_normalizer``); an
exported TorchScript has its own. The observation of the actor is called ``obs``, the critic's ``critic_obs``.
Source: rsl_rl/modules/normalizer.py (2.3.3), networks/normalization.py (3.3.0), modules/normalization.py (5.5.1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.artifact import Artifact
from parity.checkpoint.checkpoint import read_checkpoint
from parity.checkpoint.weight import Weight
from parity.contract.torch_ranges import PAIRS
from parity.contract.torchscript import module_epsilons
from parity.errors import ArtifactError
from parity.stats.feature import count_of, unbatched
from parity.stats.model import FeatureStats, NormStats
from parity.stats.tensors import reading

if TYPE_CHECKING:
    from parity.tensor import Array

ERA, EPS = "rsl_rl", 1e-2
_NO_OBSERVATION = re.compile(r"(^|[._])(rnd|reward|value|returns?)([._]|$)")  # what rewards are scaled by
_COUNTS = ("count", "current_count", "num_batches_tracked")


class _Reader:
    """Reads checkpoints of rsl_rl and its like, and TorchScript files with a normalizer."""

    rank = 40

    def matches(self, artifact: Artifact) -> bool:
        if artifact.kind not in ("checkpoint", "torchscript", "pt2"):
            return False
        try:
            return bool(running_normalizers(read_checkpoint(artifact).weights, bare=artifact.kind != "checkpoint"))
        except ArtifactError:
            return False

    def read(self, artifact: Artifact) -> tuple[NormStats, ...]:
        path = artifact.path
        checkpoint = read_checkpoint(artifact)
        ours = checkpoint.layout.startswith("rsl_rl")
        epsilons = module_epsilons(path) if artifact.kind == "torchscript" else {}
        features: dict[str, FeatureStats] = {}
        found = running_normalizers(checkpoint.weights, bare=artifact.kind != "checkpoint")
        for prefix, names in found.items():
            name = _observation(prefix, features)
            eps = epsilons.get(prefix, EPS if ours else None)
            features[name] = _feature(name, names, checkpoint.weights, path, eps)
        facts: dict[str, Any] = {"layout": checkpoint.layout}
        if checkpoint.step is not None:
            facts["step"] = checkpoint.step
        kind = "rsl_rl" if ours else checkpoint.layout.replace(" ", "_")
        plain = all(mean.endswith("_mean") and not is_variance for mean, _, is_variance in found.values())
        return (NormStats(path, str(path), kind, features, ERA if plain else None, facts=facts),)


Names = tuple[str, str, bool]  # mean, spread, and whether that is a variance


def running_normalizers(weights: Mapping[str, Weight], *, bare: bool) -> dict[str, Names]:
    """Return (mean, spread, whether that is a variance) of each normalizer by what stands before their names.

    BatchNorm's statistics, and those a normalizer of another format holds, are none; with ``bare`` a policy's own
    ``obs_mean`` and ``obs_std`` are one.
    """
    found: dict[str, Names] = {}
    for name, mean in weights.items():
        prefix, _, last = name.rpartition(".")
        if prefix in found or not (mean.statistics or (bare and last == "obs_mean")) or "params_dict" in prefix:
            continue
        for mean_name, spread_name, is_variance in PAIRS:
            spread = weights.get(f"{prefix}.{spread_name}" if prefix else spread_name)
            if last == mean_name and spread is not None and spread.shape == mean.shape and not _is_legacy(prefix):
                found[prefix] = (name, spread.name, is_variance)
                break
    return found


def _is_legacy(prefix: str) -> bool:
    """Whether a normalizer is LeRobot's, which keeps one for each feature."""
    return re.search(r"(^|\.)(un)?normalize_\w+(\.|$)", prefix) is not None


def _observation(prefix: str, taken: Mapping[str, FeatureStats]) -> str:
    """Return what a normalizer normalizes: ``obs``, ``critic_obs``; what stands before it where that is taken."""
    if _NO_OBSERVATION.search(prefix):
        name = prefix
    elif "teacher" in prefix:
        name = "teacher_obs"
    else:
        name = "critic_obs" if "critic" in prefix or "privileged" in prefix else "obs"
    return prefix if name in taken else name


def _feature(name: str, names: Names, weights: Mapping[str, Weight], path: Path, eps: float | None) -> FeatureStats:
    import numpy as np

    read = reading(weights, str(path))
    mean_name, spread_name, is_variance = names
    prefix = mean_name.rpartition(".")[0]
    spread = unbatched(read(spread_name))
    with np.errstate(invalid="ignore"):
        std: Array = np.sqrt(spread) if is_variance else spread
    counts = (f"{prefix}.{c}" if prefix else c for c in _COUNTS)
    count = next((count_of(read(c)) for c in counts if c in weights), None)
    sources = {"mean": f"{path.name}: {mean_name}", "std": f"{path.name}: {spread_name}"}
    return FeatureStats(name, {"mean": unbatched(read(mean_name)), "std": std}, sources, count, "MEAN_STD", eps)


READER = _Reader()
