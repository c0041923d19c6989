"""Deployment YAML of robots: what runs around the policy. Sizes, joint order, scales, clips, history and control rate.

The formats are in `deploy_formats`. A file of one robot's policy in rl_sar's layout is completed by the ``base.yaml``
beside or above it, as rl_sar itself loads it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from parity.artifact import Artifact
from parity.contract.deploy_formats import FORMATS, Deployment, Fields
from parity.contract.model import Contract, Window
from parity.contract.text import load_yaml_lenient
from parity.errors import ArtifactError
from parity.tensor import TensorSpec

# Numbers of an observation term, where a robot's configuration names it; 0 stands for the number of joints.
TERM_SIZES = {
    **dict.fromkeys(("lin_vel", "ang_vel", "ang_vel_body", "ang_vel_world", "gravity_vec", "commands"), 3),
    **dict.fromkeys(("dof_pos", "dof_vel", "actions"), 0),
}
MAX_BASE_LEVELS = 3
MAX_BASE_BYTES = 4 << 20


class _Reader:
    """Reads the deployment and training configurations of legged and wheeled robots."""

    rank = 60

    def matches(self, artifact: Artifact) -> bool:
        """Whether the YAML is of one of the known formats."""
        if artifact.kind != "yaml":
            return False
        try:
            return _deployment(artifact.path) is not None
        except ArtifactError:
            return _looks_known(artifact.path)

    def read(self, artifact: Artifact) -> Contract:
        """Return the contract; never ``complete``, since tensors have no names here.

        Raises:
            ArtifactError: not YAML, a size or rate that is none, or a joint mapping that is no order of the joints.
        """
        found = _deployment(artifact.path)
        if found is None:
            raise ArtifactError(f"{artifact.path}: no deployment configuration that parity knows")
        return _contract(artifact.path, found)


def _looks_known(path: Path) -> bool:
    """Whether a file that a format refused is YAML at all, so that `read` says what is wrong with it."""
    try:
        data = load_yaml_lenient(path)
    except ArtifactError:
        return False
    return isinstance(data, dict)


def _deployment(path: Path) -> Deployment | None:
    data = load_yaml_lenient(path)
    if not isinstance(data, dict) or not all(isinstance(k, str) for k in data):
        return None
    fields = Fields(str(path))
    base = _base(path, data)
    for recognize in FORMATS:
        found = recognize(base or data, fields)
        if found is not None:
            return found
    return None


def _base(path: Path, data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return an rl_sar policy configuration over its robot's ``base.yaml``, if that lies beside or above it."""
    if len(data) != 1:
        return None
    name, body = next(iter(data.items()))
    robot, slash, _ = name.partition("/")
    if not slash or not isinstance(body, dict) or "joint_mapping" not in body:
        return None
    folder = path.parent
    for _ in range(MAX_BASE_LEVELS):
        candidate = folder / "base.yaml"
        if candidate.is_file() and candidate.stat().st_size <= MAX_BASE_BYTES:
            found = load_yaml_lenient(candidate)
            common = found.get(robot) if isinstance(found, dict) else None
            if isinstance(common, dict):
                return {name: {**common, **body, "base": str(candidate)}}
        folder = folder.parent
    return None


def _contract(path: Path, found: Deployment) -> Contract:
    stacked = found.history or 1
    width = None if found.observations is None else found.observations * stacked
    inputs: tuple[TensorSpec, ...] = ()
    if width is not None:
        elements = _elements(found, width) if stacked == 1 else None
        inputs = (TensorSpec("obs", (width,), role="state", elements=elements, batched=False),)
    outputs: tuple[TensorSpec, ...] = ()
    if found.actions is not None:
        joints = found.joints if found.joints and len(found.joints) == found.actions else None
        outputs = (TensorSpec("actions", (found.actions,), role="action", elements=joints, batched=False),)
    facts = _jsonable(found.facts)
    if found.joints:
        facts["joint_names"] = list(found.joints)
    if found.terms:
        facts["observation_terms"] = list(found.terms)
    return Contract(
        path=path,
        kind="yaml",
        policy=found.policy,
        inputs=inputs,
        outputs=outputs,
        window=Window(n_obs_steps=found.history, control_hz=found.control_hz),
        complete=False,
        metadata={"format": found.format, **facts},
    )


def _elements(found: Deployment, width: int) -> tuple[str, ...] | None:
    """Return the names of the observation's elements, if the sizes of all its terms are known and add up to it."""
    joints: Sequence[str] = found.joints or [str(i) for i in range(found.actions or 0)]
    names: list[str] = []
    for term in found.terms:
        size = TERM_SIZES.get(term)
        if size is None:
            return None
        parts = list(joints) if size == 0 else [str(i) for i in range(size)]
        names.extend(f"{term}[{part}]" for part in parts)
    return tuple(names) if len(names) == width else None


def _jsonable(value: Any) -> Any:
    """Return plain data in which every number is finite and every key a text."""
    if isinstance(value, Mapping):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_jsonable(v) for v in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


READER = _Reader()
