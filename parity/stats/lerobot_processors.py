"""A LeRobot policy's pre- and postprocessor as one `NormStats`: the way in in ``features``, the way out in ``outputs``.

What is stored applies only where a step looks it up: an observation under its own name if the step's ``features`` (and
``normalize_observation_keys``, where given) list it, an action under ``action``; the mode is the step's ``norm_map`` of
the feature's type, the identity where it has none. Source: lerobot/processor/normalize_processor.py (0.4.4).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from parity.contract.fields import kind_of
from parity.contract.lerobot_policy import Feature
from parity.contract.lerobot_processor import Processor
from parity.errors import ArtifactError
from parity.finding import Finding
from parity.stats.feature import features_of
from parity.stats.lerobot_policy import Policy, declare
from parity.stats.model import Declared, FeatureStats, NormStats

KIND, ERA, ACTION, IDENTITY = "lerobot_processor", "lerobot-0.4", "action", "IDENTITY"
_DATASET = re.compile(r"(?P<data>.+?)[._]buffer[._].+")  # what migration makes of a legacy buffer of one dataset


def processor_sets(
    before: Processor | None, after: Processor | None, path: Path, label: str, policy: Policy
) -> tuple[NormStats, ...]:
    """Return the statistics of two processors; a set for each dataset, where their keys are prefixed by datasets.

    Raises:
        ArtifactError: a state file is there but corrupt, or a feature is not described as this format does.
    """
    findings: list[Finding] = []
    there = [p for p in (before, after) if p is not None]
    declared = _declared(there, policy)
    sides = [_side(p, declared, findings) for p in (before, after)]
    datasets = list(dict.fromkeys(_dataset(key) for side in sides for key in side)) or [""]
    many = {} if datasets == [""] else {"datasets": datasets}

    def of(side: Mapping[str, FeatureStats], dataset: str) -> dict[str, FeatureStats]:
        return {key: one for key, one in side.items() if _dataset(key) == dataset}

    return tuple(
        NormStats(
            path=path,
            label=f"{label} [{dataset}]" if dataset else label,
            kind=KIND,
            era=ERA,
            features=of(sides[0], dataset),
            outputs=of(sides[1], dataset),
            declared=declared,
            chunk=policy.chunk,
            findings=tuple(findings),
            facts={**policy.facts, **_facts(there), **many, **({"dataset": dataset} if many else {})},
        )
        for dataset in datasets
    )


def _dataset(key: str) -> str:
    match = _DATASET.fullmatch(key)
    return match["data"] if match else ""


def _declared(processors: list[Processor], policy: Policy) -> tuple[Declared, ...]:
    """Return the features that the configuration declares, and those that only a processor knows."""
    found = {d.name: d for d in policy.declared}
    for processor in processors:
        for feature in processor.features():
            found.setdefault(feature.name, declare(feature, _mode(feature.type, processor)))
    return tuple(replace(d, key=ACTION) if d.type == "ACTION" else d for d in found.values())


def _side(
    processor: Processor | None, declared: tuple[Declared, ...], findings: list[Finding]
) -> dict[str, FeatureStats]:
    """Return one side's statistics by key; what is wrong with its state file goes into ``findings``."""
    step = None if processor is None else processor.normalizer
    if processor is None or step is None:
        return {}
    found, said = processor.statistics()
    findings += said
    eps = _eps(step.config.get("eps"), str(processor.path))
    listed = {f.name: f for f in processor.features()}
    only = step.config.get("normalize_observation_keys")
    names = {d.name for d in declared}

    def mode(key: str) -> str | None:
        if key == ACTION:
            return _mode("ACTION", processor)
        if not isinstance(only, list) or key in only:
            applied = _applied(listed.get(key), processor)
        else:
            applied = IDENTITY
        return applied or (IDENTITY if key in names else None)

    return features_of(found or {}, mode=mode, eps=eps)


def _eps(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise ArtifactError(f"{where}: the normalizer's eps is {kind_of(value)}", expected="a small number, as 1e-8")
    return float(value)


def _applied(feature: Feature | None, processor: Processor) -> str | None:
    return None if feature is None else _mode(feature.type, processor)


def _mode(kind: str | None, processor: Processor) -> str:
    """Return the mode that a processor's normalizer applies to features of a type."""
    return processor.modes.get(kind or "", IDENTITY).upper()


def _facts(processors: list[Processor]) -> dict[str, Any]:
    renamed = {a: b for p in processors for a, b in p.rename_map.items()}
    steps = {p.path.name: [s.name for s in p.steps] for p in processors}
    return {"steps": steps, **({"rename_map": renamed} if renamed else {})}
