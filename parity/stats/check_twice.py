"""A normalizer in the graph and in the pipeline before it: what the graph is given was normalized already."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from parity.finding import Finding
from parity.stats.model import FeatureStats, NormStats
from parity.stats.subject import READ, Entry, Subject

TWICE = "STATS034"


def twice_findings(subject: Subject, graph: NormStats) -> Iterator[Finding]:
    """Yield features that the subject normalizes and the graph after it normalizes again.

    Only a normalizer that does something counts, and of which the graph's has as many numbers as the subject's.
    """
    for feature in graph.features.values():
        values = _pair(feature)
        if values is None or not _moves(*values):
            continue
        for entry in subject.entries():
            skipped = entry.output or entry.mode == "IDENTITY" or entry.is_metadata or "critic" in entry.name
            ours = None if skipped else _sizes(entry)
            if ours is None or ours != np.size(values[0]) or not _applies(entry):
                continue
            yield Finding(
                TWICE,
                "error",
                f"{entry.name} is normalized twice: by {subject.stats.label}, and again inside {graph.label}",
                where=entry.name,
                evidence={"pipeline": str(subject.stats.path), "graph": str(graph.path), "input": feature.name},
                remedy="normalize in one place: export without the normalizer, or leave it out of the pipeline",
            )


def _pair(feature: FeatureStats) -> tuple[np.ndarray, np.ndarray] | None:
    mean, std = feature.values.get("mean"), feature.values.get("std")
    return None if mean is None or std is None else (np.asarray(mean), np.asarray(std))


def _moves(mean: np.ndarray, std: np.ndarray) -> bool:
    return bool(np.any(mean != 0) or np.any(std != 1))


def _applies(entry: Entry) -> bool:
    return entry.mode is not None and all(name in entry.stats.values for name in READ.get(entry.mode, ()))


def _sizes(entry: Entry) -> int | None:
    shapes = [np.size(entry.stats.values[n]) for n in READ.get(entry.mode or "", ()) if n in entry.stats.values]
    return shapes[0] if shapes else None
