"""What a format's own reader found about a feature, as `FeatureStats`: count told apart, every value's source kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from parity.contract.ranges import Statistics
from parity.stats.model import FeatureStats

if TYPE_CHECKING:
    from parity.tensor import Array

ModeOf = Callable[[str], str | None]


def features_of(
    found: Mapping[str, Statistics],
    *,
    mode: ModeOf | None = None,
    eps: float | None = None,
    stored: Callable[[str, str], str] | None = None,
) -> dict[str, FeatureStats]:
    """Return the statistics that a reader found, by key as stored.

    Args:
        found: by key.
        mode: returns how the source's policy uses a key's statistics, None where it does not.
        eps: of every feature.
        stored: returns where a statistic was taken from, of a key and the statistic's name; otherwise the source of
            the key and its name.
    """
    return {key: _feature(key, one, mode(key) if mode else None, eps, stored) for key, one in found.items()}


def _feature(
    key: str, one: Statistics, mode: str | None, eps: float | None, stored: Callable[[str, str], str] | None
) -> FeatureStats:
    values = {name: array for name, array in one.values.items() if name != "count"}
    sources = {name: stored(key, name) if stored else f"{one.source}.{name}" for name in values}
    return FeatureStats(key, values, sources, count_of(one.values.get("count")), mode, eps)


def count_of(count: Array | None) -> int | None:
    """Return the number of samples that a stored count tells; None where it tells none, or several that differ."""
    import numpy as np

    if count is None or count.size == 0 or not np.isfinite(count).all():
        return None
    first = float(count.reshape(-1)[0])
    return int(first) if (count == first).all() and 0 <= first < 2**63 else None


def unbatched(array: Array) -> Array:
    """Return statistics without the axis of one sample that some formats store: ``(1, D)`` and ``(1, C, 1, 1)``."""
    return array[0] if array.ndim in (2, 4) and array.shape[0] == 1 else array
