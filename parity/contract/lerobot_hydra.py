"""LeRobot policies of the Hydra era (2024): YAML whose ``policy`` names input and output shapes.

References such as ``${env.state_dim}`` are looked up in the same file and in what its defaults list names beside it;
what is not there stays as it is written, a dimension nobody knows yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from parity.artifact import Artifact
from parity.contract.fields import WINDOW_FIELDS, kind_of, rate
from parity.contract.hydra import load_hydra
from parity.contract.lerobot import with_written_ranges
from parity.contract.lerobot_policy import NOTHING_DECLARED, policy_contract
from parity.contract.model import Contract
from parity.contract.ranges import Statistics, from_config
from parity.contract.shape_meta import tensors_of
from parity.contract.text import load_yaml, load_yaml_lenient
from parity.errors import ArtifactError

_WRITTEN = ("input_normalization_params", "output_normalization_params")


class _Reader:
    """Reads Hydra YAML; the last to be asked about YAML that cannot be parsed."""

    rank = 90

    def matches(self, artifact: Artifact) -> bool:
        if artifact.kind != "yaml":
            return False
        try:
            data = load_yaml(artifact.path)
        except ArtifactError:
            return not _readable(artifact.path)
        return _policy(data) is not None

    def read(self, artifact: Artifact) -> Contract:
        return _read(artifact.path)


def _readable(path: Path) -> bool:
    """Whether the YAML can be read as inert data, so that another reader may know it."""
    try:
        load_yaml_lenient(path)
    except ArtifactError:
        return False
    return True


def _policy(data: Any) -> Mapping[str, Any] | None:
    """Return the LeRobot policy inside parsed YAML, None where there is none."""
    if not isinstance(data, dict):
        return None
    for policy in (data.get("policy"), data):
        if not isinstance(policy, dict) or "_target_" in policy:
            continue
        if "input_shapes" in policy or "output_shapes" in policy:
            return policy
        known = {"dataset_repo_id", "offline_steps"} & data.keys() or policy.keys() & set(WINDOW_FIELDS)
        if policy is not data and isinstance(policy.get("name"), str) and known:
            return policy
    defaults = data.get("defaults")
    if isinstance(defaults, list) and "_target_" not in data and "shape_meta" not in data:
        named = any(isinstance(d, dict) and "policy" in d for d in defaults)
        return {} if named and "dataset_repo_id" in data else None
    return None


def _read(path: Path) -> Contract:
    """Return the contract of a Hydra YAML.

    Raises:
        ArtifactError: it cannot be parsed, or its policy is not described as this format does.
    """
    loaded = load_hydra(path)
    data = loaded.data
    policy = _policy(data)
    if not policy:
        raise ArtifactError(
            f"{path}: describes no LeRobot policy (it holds {kind_of(data)})",
            expected="a `policy` with input_shapes and output_shapes, here or in policy/<name>.yaml beside a main file",
        )
    env = data.get("env")
    hertz = rate((env if isinstance(env, dict) else {}).get("fps", data.get("fps")), str(path), "fps")
    around = {str(k): v for k, v in data.items() if k != "policy"} if policy is not data else {}
    metadata: dict[str, Any] = {
        "shapes_from": "input_shapes" if policy.get("input_shapes") or policy.get("output_shapes") else None,
        "references": dict(loaded.references),
        "sources": [p.name for p in loaded.sources],
        "around": around,
    }
    contract = policy_contract(path, "lerobot_hydra", policy, outer=around, metadata=metadata, control_hz=hertz)
    if not contract.inputs and not contract.outputs and isinstance(data.get("shape_meta"), dict):
        contract = _with_shape_meta(contract, data["shape_meta"])
    return with_written_ranges(contract, _statistics(policy, around, path.name))


def _with_shape_meta(contract: Contract, shape_meta: Mapping[str, Any]) -> Contract:
    """Return the contract with the tensors of the ``shape_meta`` that stands where the shapes would be."""
    inputs, outputs, findings = tensors_of(shape_meta, str(contract.path))
    declared = [f for f in contract.findings if f.code != NOTHING_DECLARED]
    return replace(
        contract,
        inputs=inputs,
        outputs=outputs,
        complete=bool(inputs and outputs),
        metadata={**contract.metadata, "shapes_from": "shape_meta"},
        findings=(*declared, *findings),
    )


def _statistics(policy: Mapping[str, Any], around: Mapping[str, Any], source: str) -> dict[str, Statistics]:
    found = from_config(around.get("override_dataset_stats"), f"{source}: override_dataset_stats")
    for key in _WRITTEN:
        found.update(from_config(policy.get(key), f"{source}: policy.{key}"))
    return found


READER = _Reader()
