"""Tensors that share memory in a checkpoint (tied embeddings, views): who shares with whom.

Safetensors has no sharing, so each is written in full, on purpose, and the record says which were one.
"""

from __future__ import annotations

from collections.abc import Mapping

from parity.checkpoint.weight import Weight
from parity.finding import Finding

SHARED = "CONVERT003"


def shared_groups(weights: Mapping[str, Weight]) -> list[list[str]]:
    """Return the names of weights whose bytes overlap, in groups of two and more, in the file's order."""
    spans: dict[str, list[tuple[int, int, str]]] = {}
    for name, weight in weights.items():
        if weight.place is not None and weight.place.stop > weight.place.start:
            spans.setdefault(weight.place.storage, []).append((weight.place.start, weight.place.stop, name))
    groups = []
    for found in spans.values():
        group: list[str] = []
        end = -1
        for start, stop, name in sorted(found):
            if start >= end:
                groups.append(group)
                group = []
            group.append(name)
            end = max(end, stop)
        groups.append(group)
    return [g for g in groups if len(g) > 1]


def sharing(groups: list[list[str]], where: str) -> list[Finding]:
    """Return a finding about the groups, none where nothing is shared."""
    if not groups:
        return []
    first = ", ".join(groups[0][:4]) + (", …" if len(groups[0]) > 4 else "")
    return [
        Finding(
            SHARED,
            "info",
            f"{sum(map(len, groups))} tensors share memory in {len(groups)} groups ({first}); each is written in full",
            where=where,
            evidence={"shared": groups},
        )
    ]
