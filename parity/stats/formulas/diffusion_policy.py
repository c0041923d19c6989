"""diffusion_policy's `LinearNormalizer`: diffusion_policy/model/common/normalizer.py, function `_normalize`.

What it was fitted with (limits, Gaussian) is not applied again: ``y = x · scale + offset``, in the dtype of ``scale``
(float32). ``scale`` is flat over the last axes of the data; the upstream code folds the data to its length, whatever
their own last axis is, which is refused here unless the axes really make it up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from parity.errors import ArtifactError
from parity.stats.formulas.values import check_mode, no_loss, take
from parity.stats.model import FeatureStats

if TYPE_CHECKING:
    from parity.tensor import Array


@dataclass(frozen=True, slots=True)
class _Linear:
    """``LINEAR``: scale and offset."""

    upstream: str = "diffusion_policy, diffusion_policy/model/common/normalizer.py"
    modes: frozenset[str] = frozenset({"IDENTITY", "LINEAR"})

    def forward(self, x: Array, stats: FeatureStats, mode: str) -> Array:
        """Return ``x · scale + offset`` as float32."""
        check_mode(mode, self.modes, "diffusion_policy", stats.name)
        if mode == "IDENTITY":
            return x
        scale, offset = _taken(x, stats)
        return (x.astype(np.float32).reshape(-1, scale.size) * scale + offset).reshape(x.shape)

    def backward(self, y: Array, stats: FeatureStats, mode: str) -> Array:
        """Return ``(y − offset)/scale`` as float32."""
        check_mode(mode, self.modes, "diffusion_policy", stats.name)
        if mode == "IDENTITY":
            return y
        scale, offset = _taken(y, stats)
        if not scale.all():
            raise ArtifactError(
                f"{stats.name}: scale is 0 in {int(np.count_nonzero(scale == 0))} dimensions, which has no way back",
                remedy="fit the normalizer again: its own code gives a constant dimension the scale 1",
            )
        return ((y.astype(np.float32).reshape(-1, scale.size) - offset) / scale).reshape(y.shape)

    def loss(self, stats: FeatureStats, mode: str) -> Array:
        """Return zeros: one way is the inverse of the other."""
        return no_loss(stats, "scale") if mode == "LINEAR" else np.zeros(())


def _taken(x: Array, stats: FeatureStats) -> tuple[Array, Array]:
    """Return scale and offset, flat, as float32.

    Raises:
        ArtifactError: missing, not finite, of different length, or not made up by the last axes of the data.
    """
    scale, offset = (take(stats, n, np.float32).reshape(-1) for n in ("scale", "offset"))
    if scale.size != offset.size:
        raise ArtifactError(f"{stats.name}: {scale.size} scales and {offset.size} offsets", expected="as many of both")
    trailing = [int(np.prod(x.shape[k:], dtype=np.int64)) for k in range(x.ndim + 1)]
    if scale.size not in trailing:
        raise ArtifactError(
            f"{stats.name}: {scale.size} scales do not fit data of shape {tuple(x.shape)}",
            expected="as many as the last axes of the data have elements, or one for all",
            remedy="check that the normalizer belongs to this feature",
        )
    return scale, offset


LINEAR = _Linear()
