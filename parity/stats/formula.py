"""How each framework and era applies normalization statistics, to the letter: forward and backward.

`FORMULAS` is keyed by era. A formula never guesses: a statistic that is missing, not finite or of a shape that would
silently spread over the data is an error, where some frameworks would go on as if nothing were to be done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from parity.errors import UsageError
from parity.stats.formulas.diffusion_policy import LINEAR
from parity.stats.formulas.gr00t import N1, N16
from parity.stats.formulas.lerobot import LEGACY, PROCESSOR
from parity.stats.formulas.openpi import OPENPI
from parity.stats.formulas.rsl_rl import EMPIRICAL
from parity.stats.model import FeatureStats

if TYPE_CHECKING:
    from parity.tensor import Array


class Formula(Protocol):
    """A pair of functions, the way in and the way out, as one framework and era computes them.

    Both take and give arrays of the data's shape: ``(..., D)``, ``(B, T, D)`` or ``(B, C, H, W)``.

    Attributes:
        upstream: the source that was read.
        modes: the normalization modes that exist there.
    """

    @property
    def upstream(self) -> str: ...

    @property
    def modes(self) -> frozenset[str]: ...

    def forward(self, x: Array, stats: FeatureStats, mode: str) -> Array:
        """Return ``x`` normalized.

        Raises:
            ArtifactError: a statistic that ``mode`` needs is missing, not finite, or does not fit the data's shape.
            UsageError: ``mode`` does not exist in this framework.
        """
        ...

    def backward(self, y: Array, stats: FeatureStats, mode: str) -> Array:
        """Return ``y`` unnormalized. Raises as `forward` does."""
        ...

    def loss(self, stats: FeatureStats, mode: str) -> Array:
        """Return what the pair itself loses, as a share of the distance from its anchor (mean, or lower end).

        In exact arithmetic ``backward(forward(x))`` is ``anchor + (1 - loss) · (x - anchor)``: 0 where the two are
        inverse, ``eps/(std + eps)`` where only one of them adds eps, 1 where a dimension is flattened. Of the
        statistics' own shape. Clipping comes on top.
        """
        ...


FORMULAS: Mapping[str, Formula] = {
    "lerobot-0.3": LEGACY,
    "lerobot-0.4": PROCESSOR,
    "lerobot-0.6": PROCESSOR,
    "openpi": OPENPI,
    "rlinf": OPENPI,
    "diffusion_policy": LINEAR,
    "rsl_rl": EMPIRICAL,
    "gr00t": N1,
    "gr00t-1.6": N16,
}


def formula_of(era: str) -> Formula:
    """Return the formulas of an era.

    Raises:
        UsageError: none is known for it.
    """
    if era not in FORMULAS:
        raise UsageError(f"no normalization formulas are known for {era!r}", expected=", ".join(FORMULAS))
    return FORMULAS[era]
