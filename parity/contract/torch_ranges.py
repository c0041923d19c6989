"""The range of a policy's observation, from a normalizer's buffers inside a torch file.

rsl_rl: ``_mean``, ``_std`` and ``eps`` of EmpiricalNormalization, ``(x - mean) / (std + eps)``; others keep
``running_mean`` and ``running_var``, or ``mean`` and ``std``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from parity.checkpoint.weight import Weight
from parity.tensor import Range

# (mean, spread, whether the spread is a variance)
PAIRS = (
    ("_mean", "_std", False),
    ("mean", "std", False),
    ("obs_mean", "obs_std", False),
    ("running_mean", "running_std", False),
    ("running_mean", "running_var", True),
    ("mean", "var", True),
    ("_mean", "_var", True),
)
DEFAULT_EPS = 0.0


def normalizer_range(
    path: Path, weights: Mapping[str, Weight], width: int | None, epsilons: Mapping[str, float]
) -> Range | None:
    """Return the mean and standard deviation that a normalizer's buffers hold, if their length fits the input.

    Args:
        width: length of the observation, where it is known; a normalizer of another length is not the input's.
        epsilons: what each module adds to its standard deviation, by the module's name.

    Raises:
        ArtifactError: a buffer's bytes cannot be read.
    """
    for mean_name, spread_name, is_variance in PAIRS:
        for name, mean in weights.items():
            prefix, _, last = name.rpartition(".")
            spread = weights.get(f"{prefix}.{spread_name}" if prefix else spread_name)
            if last != mean_name or spread is None or "critic" in prefix or not (mean.statistics or _bare(mean, width)):
                continue
            if mean.size != spread.size or (width is not None and mean.size != width):
                continue
            found = _range(path, mean, spread, is_variance, epsilons.get(prefix, DEFAULT_EPS))
            if found is not None:
                return found
    return None


def _bare(mean: Weight, width: int | None) -> bool:
    """Whether ``mean`` is a vector as long as the input that the policy's own class holds, not a BatchNorm's."""
    vector = len(mean.shape) == 1 or (len(mean.shape) == 2 and mean.shape[0] == 1)
    return vector and mean.size == width and not mean.name.rpartition(".")[2].startswith("running")


def _range(path: Path, mean: Weight, spread: Weight, is_variance: bool, eps: float) -> Range | None:
    import numpy as np

    center = mean.as_float().astype(np.float64).reshape(-1)
    width = spread.as_float().astype(np.float64).reshape(-1)
    with np.errstate(all="ignore"):
        width = np.sqrt(width + eps) if is_variance else width + eps
    if not (np.isfinite(center).all() and np.isfinite(width).all() and (width >= 0).all()):
        return None
    source = f"{path}: {mean.name}, {spread.name}"
    return Range("mean_std", tuple(center.tolist()), tuple(width.tolist()), (center.size,), source)
