"""Statistics of a LeRobot policy of any era: its processors, the buffers in its weights, its ``_migrated`` folder.

Since 0.4 the statistics lie in a state file of each processor (``policy_preprocessor.json``,
``policy_postprocessor.json``) under ``<feature>.<statistic>``. Before, they were buffers in the weights; LeRobot's
migration of such a folder writes ``<dir>_migrated/`` beside it.
Source: lerobot/processor/{normalize_processor,migrate_policy_normalization}.py (0.4.4).
"""

from __future__ import annotations

from pathlib import Path

from parity.artifact import Artifact
from parity.checkpoint.safetensors import open_safetensors
from parity.contract.lerobot import config_in
from parity.contract.lerobot_folder import AFTER, BEFORE, WEIGHTS, processors_in
from parity.contract.lerobot_processor import is_processor, read_processor
from parity.errors import ArtifactError
from parity.stats.feature import features_of
from parity.stats.json_features import is_features
from parity.stats.json_file import read_json
from parity.stats.lerobot_legacy import EPS, ERA, legacy_sets
from parity.stats.lerobot_policy import Policy, read_policy
from parity.stats.lerobot_processors import processor_sets
from parity.stats.model import NormStats

KIND, CONFIG, INNER = "lerobot", "config.json", "pretrained_model"


class _Reader:
    """Reads policy folders, and processor files on their own."""

    rank = 10

    def matches(self, artifact: Artifact) -> bool:
        if artifact.kind == "folder":
            return _base(artifact.path) is not None
        return artifact.kind == "json" and _is_ours(artifact.path)

    def read(self, artifact: Artifact) -> tuple[NormStats, ...]:
        path = artifact.path
        if artifact.kind == "json" and is_processor(read_json(path)):
            return _of_file(path)
        if artifact.kind == "json":
            policy = read_policy(path)
            return (_written(path, str(path), policy),) if policy.written else ()
        base = _base(path)
        return () if base is None else _of_folder(path, base, str(path))


class _Weights:
    """Reads the legacy buffers of a weights file on its own, with the modes of the ``config.json`` beside it."""

    rank = 10

    def matches(self, artifact: Artifact) -> bool:
        if artifact.kind != "safetensors":
            return False
        try:
            names = open_safetensors(artifact.path).names
        except ArtifactError:
            return False
        return any(n.startswith(("normalize_inputs.", "unnormalize_outputs.")) for n in names)

    def read(self, artifact: Artifact) -> tuple[NormStats, ...]:
        path = artifact.path
        return legacy_sets(open_safetensors(path), path, str(path), read_policy(path.parent / CONFIG))


def _base(folder: Path) -> Path | None:
    """Return the folder that holds a policy's files, itself or ``pretrained_model`` in it; None where there is none."""
    config = config_in(folder)
    if config is not None:
        return config.parent
    for base in (folder, folder / INNER):
        if any((base / name).is_file() for name in (*BEFORE, *AFTER)):
            return base
    return None


def _is_ours(path: Path) -> bool:
    """Whether a file is a processor, or a policy's configuration that holds statistics itself."""
    try:
        data = read_json(path)
    except ArtifactError:
        return False
    if not isinstance(data, dict) or is_processor(data):
        return isinstance(data, dict)
    policy = data.get("policy")
    return is_features(data.get("dataset_stats") or (policy.get("dataset_stats") if isinstance(policy, dict) else None))


def _of_file(path: Path) -> tuple[NormStats, ...]:
    processor = read_processor(path)
    step = processor.normalizer
    if step is None:
        return ()
    out = "unnormalizer" in step.name.lower()
    before, after = (None, processor) if out else (processor, None)
    return processor_sets(before, after, path, str(path), read_policy(path.parent / CONFIG))


def _of_folder(folder: Path, base: Path, label: str) -> tuple[NormStats, ...]:
    """Return what the folder applies first, then what else lies in it or beside it."""
    config = config_in(base)
    policy = Policy() if config is None else read_policy(config)
    before, after = processors_in(base)
    weights = base / WEIGHTS
    legacy = legacy_sets(open_safetensors(weights), folder, label, policy) if weights.is_file() else ()
    if before is not None or after is not None:
        return (*processor_sets(before, after, folder, label, policy), *legacy)
    if legacy:
        return (*legacy, *_migrated(folder))
    if policy.written or (weights.is_file() and policy.declared):
        return (_written(folder, label, policy), *_migrated(folder))
    return _migrated(folder)


def _written(path: Path, label: str, policy: Policy) -> NormStats:
    """Return the statistics that stand in the configuration itself, none where there are none, and what it declares."""
    modes = {d.name: d.mode for d in policy.declared}
    features = features_of(policy.written, mode=modes.get, eps=EPS)
    era = ERA if features else None
    return NormStats(path, label, KIND, features, era, declared=policy.declared, chunk=policy.chunk, facts=policy.facts)


def _migrated(folder: Path) -> tuple[NormStats, ...]:
    """Return the statistics of ``<dir>_migrated/`` beside a folder without processors; nothing where it is not there.

    A link that leads out of the folder that holds both is not followed.
    """
    name = folder.name or folder.resolve().name
    beside = folder.parent / f"{name}_migrated" if folder.name else folder.resolve().parent / f"{name}_migrated"
    if not name or not beside.is_dir() or beside.resolve().parent != folder.resolve().parent:
        return ()
    base = _base(beside)
    return () if base is None else _of_folder(beside, base, str(beside))


READER = _Reader()
WEIGHTS_READER = _Weights()
