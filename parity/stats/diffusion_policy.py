"""diffusion_policy's LinearNormalizer inside a state dict: ``y = x * scale + offset`` for each key.

``normalizer.params_dict.<key>.{scale,offset}`` and the ``input_stats`` of the data it was fitted to, in a workspace
checkpoint below ``state_dicts.model`` and ``state_dicts.ema_model``, in converted weights at the top.
Source: diffusion_policy/model/common/normalizer.py of real-stanford/diffusion_policy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from parity.artifact import Artifact
from parity.checkpoint.checkpoint import Checkpoint, read_checkpoint
from parity.checkpoint.weight import Weight
from parity.contract.model import Contract
from parity.contract.ranges import diffusion_policy_statistics
from parity.contract.workspace import is_workspace, read_workspace
from parity.errors import ArtifactError
from parity.stats.model import Declared, FeatureStats, NormStats
from parity.stats.tensors import reading
from parity.tensor import TensorSpec

KIND = ERA = "diffusion_policy"
MODE = "LINEAR"
_NORMALIZER = re.compile(r"(?P<prefix>(?:.*\.)?)params_dict\.(?P<key>.+)\.(?P<part>scale|offset)")
_TYPES = {"image": "VISUAL", "state": "STATE", "action": "ACTION", "environment_state": "ENV"}


class _Reader:
    """Reads workspaces, and any weights that hold such a normalizer."""

    rank = 30

    def matches(self, artifact: Artifact) -> bool:
        if artifact.kind not in ("checkpoint", "safetensors", "torchscript", "npz"):
            return False
        try:
            return any(_NORMALIZER.fullmatch(name) for name in read_checkpoint(artifact).weights)
        except ArtifactError:
            return False

    def read(self, artifact: Artifact) -> tuple[NormStats, ...]:
        path = artifact.path
        checkpoint = read_checkpoint(artifact)
        declared, chunk = _declared(artifact)
        found: list[NormStats] = []
        for prefix in _prefixes(checkpoint):
            features = _features(checkpoint.weights, prefix, path.name)
            tree = next((w.tree for n, w in checkpoint.weights.items() if n.startswith(f"{prefix}params_dict.")), "")
            if any(_same(features, other.features) for other in found):
                continue  # both weight sets of a workspace carry the normalizer
            label = f"{path} [{tree or prefix.rstrip('.')}]" if found else str(path)
            facts: dict[str, Any] = {"weight_set": tree} if tree else {}
            found.append(NormStats(path, label, KIND, features, ERA, declared=declared, chunk=chunk, facts=facts))
        return tuple(found)


def _prefixes(checkpoint: Checkpoint) -> list[str]:
    """Return what stands before ``params_dict`` of each normalizer, that of the weights that evaluation takes first."""
    matches = [m for m in map(_NORMALIZER.fullmatch, checkpoint.weights) if m is not None]
    prefixes = list(dict.fromkeys(m["prefix"] for m in matches))
    evaluated = "ema_model" if checkpoint.uses_ema else "model"
    return sorted(prefixes, key=lambda p: f".{evaluated}." not in f".{p}")


def _features(weights: Mapping[str, Weight], prefix: str, file: str) -> dict[str, FeatureStats]:
    read = reading(weights, file)
    start = f"{prefix}params_dict."
    stats = diffusion_policy_statistics(weights, read, file, prefix)
    keys = dict.fromkeys(m["key"] for m in map(_NORMALIZER.fullmatch, weights) if m and m["prefix"] == prefix)
    features = {}
    for key in (*keys, *(k for k in stats if k not in keys)):
        places = {p: f"{start}{key}.{p}" for p in ("scale", "offset") if f"{start}{key}.{p}" in weights}
        values = {part: read(place) for part, place in places.items()}
        fitted = stats[key].values if key in stats else {}
        sources = {part: f"{file}: {place}" for part, place in places.items()}
        sources |= {name: f"{file}: {start}{key}.input_stats.{name}" for name in fitted}
        features[key] = FeatureStats(key, {**values, **fitted}, sources, mode=MODE)
    return features


def _same(a: Mapping[str, FeatureStats], b: Mapping[str, FeatureStats]) -> bool:
    import numpy as np

    return a.keys() == b.keys() and all(
        a[key].values.keys() == b[key].values.keys()
        and all(np.array_equal(v, b[key].values[name], equal_nan=True) for name, v in a[key].values.items())
        for key in a
    )


def _declared(artifact: Artifact) -> tuple[tuple[Declared, ...], int | None]:
    """Return the features that a workspace's ``shape_meta`` declares, and its horizon; nothing for other files."""
    if artifact.kind != "checkpoint" or not is_workspace(artifact.path):
        return (), None
    contract: Contract = read_workspace(artifact.path)
    horizon = contract.window.horizon
    inputs = [_declare(spec, output=False) for spec in contract.inputs]
    outputs = [_declare(spec, output=True) for spec in contract.outputs]
    return (*inputs, *outputs), horizon if isinstance(horizon, int) else None


def _declare(spec: TensorSpec, *, output: bool) -> Declared:
    sizes = tuple(d for d in spec.shape or () if isinstance(d, int))
    known = spec.shape is not None and len(sizes) == len(spec.shape)
    return Declared(spec.name, spec.name, sizes if known else None, _TYPES.get(spec.role or ""), MODE, output)


READER = _Reader()
