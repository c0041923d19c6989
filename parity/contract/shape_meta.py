"""diffusion_policy and UMI configurations: ``shape_meta`` with or without the training configuration around it.

Observations are ``{key: {shape, type: rgb | depth | low_dim}}``, images channels first, without batch and time axes; a
missing type means ``low_dim`` in this format. UMI adds ``horizon`` and ``rotation_rep`` to each key. Of a training
configuration the window (the policy's own fields first), the noise scheduler and ``training.use_ema`` are read.
Source: diffusion_policy/config/*.yaml of real-stanford/diffusion_policy and universal_manipulation_interface.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parity.artifact import Artifact
from parity.contract.fields import count, is_reference, kind_of, mapping, sampler, shape, window
from parity.contract.hydra import load_hydra
from parity.contract.lerobot_policy import channels_last, is_channels_last, nothing_declared, unresolved
from parity.contract.model import Contract, Window
from parity.contract.text import load_yaml
from parity.errors import ArtifactError
from parity.finding import Finding
from parity.tensor import Role, TensorSpec

_ROLES: dict[str, Role] = {"rgb": "image", "depth": "image", "low_dim": "state"}


class _Reader:
    """Reads YAML with a ``shape_meta``, and the workspace checkpoints that carry such a configuration inside."""

    rank = 40

    def matches(self, artifact: Artifact) -> bool:
        if artifact.kind == "checkpoint":
            from parity.contract.workspace import is_workspace

            return is_workspace(artifact.path)
        if artifact.kind != "yaml":
            return False
        try:
            data = load_yaml(artifact.path)
        except ArtifactError:
            return False  # whoever is asked last says why it cannot be parsed
        policy = data.get("policy") if isinstance(data, dict) else None
        if isinstance(policy, dict) and "_target_" not in policy and isinstance(policy.get("name"), str):
            return False  # LeRobot's own, with a shape_meta inside
        return isinstance(data, dict) and raw_shape_meta(data) is not None

    def read(self, artifact: Artifact) -> Contract:
        if artifact.kind == "checkpoint":
            from parity.contract.workspace import read_workspace

            return read_workspace(artifact.path)
        loaded = load_hydra(artifact.path)
        if not isinstance(loaded.data, dict):
            raise ArtifactError(f"{artifact.path}: holds {kind_of(loaded.data)}", expected="a mapping with shape_meta")
        return contract_of(
            loaded.data,
            artifact.path,
            references=loaded.references,
            sources=tuple(p.name for p in loaded.sources),
        )


def raw_shape_meta(data: Mapping[str, Any]) -> Any:
    """Return ``shape_meta`` from where this format keeps it: at the top, in the task, or in the policy."""
    for place in (data, data.get("task"), data.get("policy")):
        if isinstance(place, dict) and place.get("shape_meta") is not None:
            return place["shape_meta"]
    return None


def contract_of(
    data: Mapping[str, Any],
    path: Path,
    *,
    references: Mapping[str, str] | None = None,
    sources: tuple[str, ...] = (),
) -> Contract:
    """Return the contract of a configuration as plain data: a YAML file, or the ``cfg`` inside a workspace checkpoint.

    Raises:
        ArtifactError: a field is not what this format says it is.
    """
    where = str(path)
    raw = raw_shape_meta(data)
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    findings: tuple[Finding, ...] = ()
    steps = _window(data, raw if isinstance(raw, dict) else {}, where)
    if isinstance(raw, dict):
        inputs, outputs, findings = tensors_of(raw, where)
    elif not is_reference(raw):
        raise ArtifactError(f"{path}: shape_meta is {kind_of(raw)}", expected="a mapping of obs and action")
    if missing := [side for side, specs in (("inputs", inputs), ("outputs", outputs)) if not specs]:
        findings = (*findings, nothing_declared(missing, where))
    policy = _inner(data, "policy")
    target = policy.get("_target_")
    layers = (policy, _inner(policy, "noise_scheduler"), _inner(data, "noise_scheduler"), _ema(data))
    return Contract(
        path=path,
        kind="shape_meta",
        policy=target.rsplit(".", 1)[-1] if isinstance(target, str) else None,
        inputs=inputs,
        outputs=outputs,
        window=steps,
        sampler=sampler(layers, where),
        complete=bool(inputs and outputs),
        metadata={
            "shape_meta": raw,
            "references": dict(references or {}),
            "sources": list(sources),
            "around": {str(k): v for k, v in data.items() if k not in ("shape_meta", "policy")},
            "config": {str(k): v for k, v in policy.items() if k != "shape_meta"},
        },
        findings=(*findings, *unresolved([*inputs, *outputs], steps, where)),
    )


def _inner(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def _ema(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return whether evaluation uses the averaged weights, which is what ``training.use_ema`` decides."""
    return {"use_ema": _inner(data, "training").get("use_ema")}


def _window(data: Mapping[str, Any], shape_meta: Mapping[str, Any], where: str) -> Window:
    """Return the window: the policy's fields, then the file's, then UMI's horizons per key where they all agree."""
    steps = {
        count(attributes["horizon"], where, f"horizon of {key}")
        for key, attributes in _inner(shape_meta, "obs").items()
        if isinstance(attributes, dict) and attributes.get("horizon") is not None
    }
    umi: dict[str, Any] = {"horizon": _inner(shape_meta, "action").get("horizon")}
    if len(steps) == 1:
        umi["n_obs_steps"] = steps.pop()
    return window((_inner(data, "policy"), data, umi), where)


def tensors_of(
    shape_meta: Mapping[str, Any], where: str
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...], tuple[Finding, ...]]:
    """Return inputs, outputs and findings of a ``shape_meta`` mapping.

    Raises:
        ArtifactError: an observation or the action is not described as this format does.
    """
    inputs = []
    for key, attributes in mapping(shape_meta.get("obs"), where, "shape_meta.obs").items():
        if not isinstance(attributes, dict):
            raise ArtifactError(f"{where}: the observation {key!r} is {kind_of(attributes)}", expected="shape and type")
        kind = attributes.get("type", "low_dim")
        role = _ROLES.get(kind) if isinstance(kind, str) else None
        inputs.append(TensorSpec(str(key), shape(attributes.get("shape"), where, str(key)), role=role, batched=False))
    outputs: tuple[TensorSpec, ...] = ()
    if shape_meta.get("action") is not None:
        action = mapping(shape_meta["action"], where, "shape_meta.action")
        outputs = (TensorSpec("action", shape(action.get("shape"), where, "action"), role="action", batched=False),)
    findings = tuple(channels_last(s.name, list(s.shape or ())) for s in inputs if is_channels_last(s))
    return tuple(inputs), outputs, findings


READER = _Reader()
