"""Statistics written as JSON, ``{feature: {"mean": [...], "std": [...], ...}}``: the form that most formats share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from parity.contract.ranges import Statistics, from_config, is_statistic

# One of these pairs must be there: a mapping with a "count" alone, or a "min" of something else, is no statistics.
_ENOUGH = ({"mean", "std"}, {"min", "max"}, {"q01", "q99"})


def is_feature(value: Any) -> bool:
    """Whether parsed JSON is the statistics of one feature."""
    return isinstance(value, dict) and any(
        all(isinstance(value.get(name), list | int | float) for name in names) for names in _ENOUGH
    )


def is_features(value: Any) -> bool:
    """Whether parsed JSON maps features to their statistics: all of its mappings do, and there is one at least."""
    if not isinstance(value, dict):
        return False
    inner = [v for v in value.values() if isinstance(v, dict)]
    return bool(inner) and all(map(is_feature, inner))


def statistics_in(value: Mapping[str, Any], source: str) -> dict[str, Statistics]:
    """Return the statistics in such a mapping by feature; what is null was not computed, what is no statistic is left.

    Raises:
        ArtifactError: a statistic is no rectangular array of numbers.
    """
    told = {k: {s: v for s, v in f.items() if v is not None} for k, f in value.items() if isinstance(f, dict)}
    return {key: replace(one, source=f"{source}: {key}") for key, one in from_config(told, source).items()}


def unread(value: Mapping[str, Any]) -> list[str]:
    """Return the names beside the statistics that are none of them, such as ``mask``; sorted."""
    return sorted({str(s) for f in value.values() if isinstance(f, dict) for s in f if not is_statistic(str(s))})
