"""LeRobot's first era: statistics as buffers of the policy, inside ``model.safetensors``.

``normalize_inputs.buffer_observation_state.mean``: the dots of a feature's name became underscores, so that
``wrist_cam`` and ``wrist.cam`` share one name. ``normalize_targets`` is the training loss's own copy and no way in or
out. A policy trained on several datasets has buffers for each: ``so100_buffer_action``, ``so100.buffer.action``.
Source: lerobot/policies/normalize.py and lerobot/policies/smolvla/modeling_smolvla.py (0.3.3).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from parity.checkpoint.safetensors import SafetensorsFile
from parity.contract.lerobot_stats import Buffer, legacy_buffers, legacy_key
from parity.stats.feature import features_of
from parity.stats.lerobot_policy import Policy
from parity.stats.model import FeatureStats, NormStats

KIND, ERA = "lerobot_legacy", "lerobot-0.3"
EPS = 1e-8  # a constant of that era's code
_TAKEN_AWAY = re.compile(r"so\d+(-\w+)?_buffer_")  # what 0.3.3 takes away before it looks a buffer up


def legacy_sets(file: SafetensorsFile, path: Path, label: str, policy: Policy) -> tuple[NormStats, ...]:
    """Return one set of statistics for each dataset whose buffers the weights hold; none where they hold none.

    Which of several applies nobody has chosen (0.3.3 keeps the first of the file, later versions none).

    Args:
        file: the opened weights.
        path: the artifact that is read: the weights, or the folder that holds them.
        label: what it is called.
        policy: what the configuration beside the weights declares.

    Raises:
        ArtifactError: a buffer holds more than 2^20 elements.
    """
    sides = legacy_buffers(file, file.path.name)
    datasets = list(dict.fromkeys(b.dataset for side in sides.values() for b in side))
    modes = {legacy_key(d.name): d.mode for d in policy.declared}

    def side(module: str, dataset: str) -> dict[str, FeatureStats]:
        buffers = {_key(b): b for b in sides[module] if b.dataset == dataset}
        return features_of(
            {key: b.statistics for key, b in buffers.items()},
            mode=lambda key: modes.get(legacy_key(buffers[key].name)),
            eps=EPS,
        )

    def facts(dataset: str) -> dict[str, Any]:
        return {**policy.facts, **({"dataset": dataset, "datasets": datasets} if datasets != [""] else {})}

    return tuple(
        NormStats(
            path=path,
            label=f"{label} [{dataset}]" if dataset else label,
            kind=KIND,
            era=ERA,
            features=side("normalize_inputs", dataset),
            outputs=side("unnormalize_outputs", dataset),
            declared=policy.looked_up(legacy_key),
            chunk=policy.chunk,
            facts=facts(dataset),
        )
        for dataset in datasets
    )


def _key(buffer: Buffer) -> str:
    """Return the key that 0.3.3 would find a buffer under; where it would not, the key as it is stored."""
    if not buffer.dataset or _TAKEN_AWAY.match(buffer.stored):
        return buffer.name
    return buffer.stored
