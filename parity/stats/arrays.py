"""Plain arrays in ``.json``, ``.npz``, ``.pt`` or safetensors, of whoever wrote them: the last to be asked.

``<feature>.mean``, ``<feature>/mean`` or ``<feature>_mean`` (ACT's ``dataset_stats.pkl``), nested mappings, or ``mean``
and ``std`` alone. JSON of two levels, ``{dataset: {"action": {"q01": ...}}}``, is a set for each dataset, as OpenVLA's
``dataset_statistics.json``. Mean and standard deviation, minimum and maximum, or two quantiles must be there together,
of one shape: an array that is merely called ``mean`` is none of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from parity.artifact import Artifact
from parity.checkpoint.weight import Weight
from parity.checkpoint.weights import read_weights
from parity.contract.ranges import MAX_ELEMENTS, Statistics, is_statistic
from parity.stats.feature import features_of, unbatched
from parity.stats.json_features import is_feature, is_features, statistics_in, unread
from parity.stats.json_file import read_json
from parity.stats.model import NormStats
from parity.stats.tensors import reading

UNNAMED = "unnamed"
_NAME = re.compile(r"(?:(?P<feature>.+?)(?P<mark>[./_]))?(?P<statistic>[a-z]+\d*)")
_PAIRS = (("mean", "std"), ("min", "max"), ("q01", "q99"), ("q10", "q90"))


class _Reader:
    """Reads what no reader of a known format claimed."""

    rank = 90

    def matches(self, artifact: Artifact) -> bool:
        return artifact.kind in ("json", "npz", "safetensors", "checkpoint")

    def read(self, artifact: Artifact) -> tuple[NormStats, ...]:
        if artifact.kind == "json":
            return tuple(_of_json(artifact))
        path = artifact.path
        found = _of_arrays(read_weights(artifact), path.name)
        return (NormStats(path, str(path), artifact.kind, features_of(found)),) if found else ()


def _of_json(artifact: Artifact) -> Iterator[NormStats]:
    path = artifact.path
    data = read_json(path)
    if not isinstance(data, dict):
        return
    groups = {k: v for k, v in data.items() if is_features(v)}
    if groups and all(isinstance(v, dict) for v in data.values()):
        for group, value in groups.items():
            facts: dict[str, Any] = {str(k): v for k, v in value.items() if isinstance(v, int | float | str)}
            facts = {**facts, "dataset": group, **({"beside": extra} if (extra := unread(value)) else {})}
            features = features_of(statistics_in(value, f"{path.name}: {group}"))
            label = f"{path} [{group}]" if len(groups) > 1 else str(path)
            yield NormStats(path, label, "dataset_statistics", features, facts=facts)
        return
    if is_feature(data):
        data = {UNNAMED: data}
    elif not is_features(data):
        data = _nested(data)
    if data:
        yield NormStats(path, str(path), "json", features_of(statistics_in(data, path.name)))


def _nested(data: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return ``{"a.mean": ..., "a.std": ...}`` as ``{"a": {"mean": ..., "std": ...}}``."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in data.items():
        match = _NAME.fullmatch(str(name))
        if match and match["feature"] and is_statistic(match["statistic"]) and isinstance(value, list | int | float):
            found.setdefault(match["feature"], {})[match["statistic"]] = value
    return {feature: entries for feature, entries in found.items() if is_feature(entries)}


def _of_arrays(weights: Mapping[str, Weight], file: str) -> dict[str, Statistics]:
    named: dict[str, dict[str, str]] = {}
    for name, weight in weights.items():
        match = _NAME.fullmatch(name)
        if match is None or not is_statistic(match["statistic"]) or weight.size > MAX_ELEMENTS:
            continue
        feature = match["feature"] or UNNAMED
        if match["mark"] == "_" and ("." in feature or feature.endswith("running")):
            continue  # a layer's own, such as BatchNorm's running_mean
        named.setdefault(feature, {})[match["statistic"]] = name
    read = reading(weights, file)
    return {
        feature: Statistics(feature, {s: unbatched(read(n)) for s, n in names.items()}, f"{file}: {feature}")
        for feature, names in named.items()
        if _enough({s: weights[n] for s, n in names.items()})
    }


def _enough(found: Mapping[str, Weight]) -> bool:
    return any(a in found and b in found and found[a].shape == found[b].shape for a, b in _PAIRS)


READER = _Reader()
