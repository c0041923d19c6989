"""RLinf's configurations for embodied policies: how a VLA policy, such as openpi's, meets its environment.

The policy stands under ``actor.model`` or ``rollout.model``; the environments under ``env.train`` and ``env.eval``. The
policy is asked once for each chunk of ``num_action_chunks`` actions, so that the steps of an episode and of a rollout
must be multiples of it: RLinf asserts the second while it starts, and an episode that ends inside a chunk executes
actions of an episode that is over. Source: RLinf, rlinf/config.py and examples/embodiment/config.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from parity.artifact import Artifact
from parity.contract.fields import count, kind_of, mapping
from parity.contract.hydra import load_hydra
from parity.contract.model import Contract, Normalization, Sampler, Window
from parity.contract.text import load_yaml
from parity.errors import ArtifactError
from parity.finding import Finding

NO_MULTIPLE = "CONTRACT014"

_STEPS = ("max_episode_steps", "max_steps_per_rollout_epoch")


class _Reader:
    rank = 40

    def matches(self, artifact: Artifact) -> bool:
        if artifact.kind != "yaml":
            return False
        try:
            data = load_yaml(artifact.path)
        except ArtifactError:
            return False
        return _is_rlinf(data)

    def read(self, artifact: Artifact) -> Contract:
        """Return the contract, without tensors: a policy's own width differs from its environment's.

        Raises:
            ArtifactError: a number of steps is none, or a section is no mapping.
        """
        return _read(artifact.path)


def _is_rlinf(data: Any) -> bool:
    """Whether parsed YAML is a main configuration: a runner's task, environments, and a model of actor or rollout."""
    if not isinstance(data, dict) or not isinstance(data.get("env"), dict):
        return False
    runner = data.get("runner")
    task = runner.get("task_type") if isinstance(runner, dict) else None
    return isinstance(task, str) and task.startswith("embodied") and any(_models(data))


def _models(data: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the descriptions of the policy, the actor's first."""
    for part in ("actor", "rollout"):
        section = data.get(part)
        model = section.get("model") if isinstance(section, dict) else None
        if isinstance(model, dict):
            yield model


def _read(path: Path) -> Contract:
    loaded = load_hydra(path)
    data, where = loaded.data, str(path)
    if not _is_rlinf(data):
        raise ArtifactError(f"{path}: no RLinf configuration (it holds {kind_of(data)})")
    model: dict[str, Any] = {}
    for said in _models(data):
        model = {**said, **model}
    chunk = count(model.get("num_action_chunks"), where, "num_action_chunks")
    inner = mapping(model.get("openpi"), where, "openpi")
    steps = count(model.get("num_steps", inner.get("num_steps")), where, "num_steps")
    kind = model.get("model_type")
    flow = isinstance(kind, str) and kind.startswith("openpi")
    return Contract(
        path=path,
        kind="rlinf",
        policy=kind if isinstance(kind, str) else None,
        window=Window(n_action_steps=chunk),
        normalization=Normalization({}, _statistics(model)),
        sampler=Sampler(scheduler="flow_matching", inference_steps=steps) if flow and isinstance(steps, int) else None,
        complete=False,
        metadata={
            "environments": _environments(data),
            "config_name": inner.get("config_name"),
            "environment_action_dim": count(model.get("action_dim"), where, "action_dim"),  # the graph's is padded
        },
        findings=tuple(_no_multiples(data, chunk, where)),
    )


def _statistics(model: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the file of statistics that the configuration names, or the folder of the model that brings its own."""
    data = model.get("openpi_data")
    named = data.get("norm_stats_path") if isinstance(data, dict) else None
    found = named if isinstance(named, str) else model.get("model_path")
    return (found,) if isinstance(found, str) else ()


def _environments(data: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    sections = {split: data["env"].get(split) for split in ("train", "eval")}
    return {
        split: {key: env[key] for key in ("env_type", *_STEPS) if key in env}
        for split, env in sections.items()
        if isinstance(env, dict)
    }


def _no_multiples(data: Mapping[str, Any], chunk: int | str | None, where: str) -> Iterator[Finding]:
    """Yield a finding for every number of steps that is no multiple of the action chunk."""
    if not isinstance(chunk, int) or chunk < 1:
        return
    only_eval = mapping(data["runner"], where, "runner").get("only_eval") is True
    for split, env in _environments(data).items():
        for key in _STEPS:
            steps = count(env.get(key), where, key)
            if not isinstance(steps, int) or steps % chunk == 0:
                continue
            runs = not (only_eval and split == "train")
            yield Finding(
                code=NO_MULTIPLE,
                severity="error" if runs else "warning",
                title=f"env.{split}.{key} is {steps}, no multiple of the action chunk of {chunk}: "
                f"the last chunk would run {chunk - steps % chunk} steps past the end",
                where=f"env.{split}.{key}",
                evidence={"steps": steps, "num_action_chunks": chunk, "file": where},
                remedy=f"set it to {steps - steps % chunk or chunk} or {steps + chunk - steps % chunk}",
            )


READER = _Reader()
