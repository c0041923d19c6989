"""LeRobot policies since 2025: a policy folder, a bare ``config.json`` of any era, or a ``train_config.json``.

A folder is read as what it would run: its configuration, the processors beside it, and the normalization statistics of
whichever era it is from. A bare file says what it says and nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from parity.artifact import Artifact
from parity.contract.fields import kind_of, mapping, rate
from parity.contract.lerobot_folder import with_processors
from parity.contract.lerobot_policy import is_policy_config, policy_contract
from parity.contract.model import Contract
from parity.contract.ranges import Statistics, from_config, with_range
from parity.contract.text import load_json, load_yaml
from parity.errors import ArtifactError
from parity.finding import Finding

CONFIGS_DISAGREE = "CONTRACT009"

_CONFIG, _TRAIN, _INNER = "config.json", "train_config.json", "pretrained_model"


class _Reader:
    """Reads LeRobot JSON and policy folders; the last to be asked about JSON that cannot be parsed."""

    rank = 20

    def matches(self, artifact: Artifact) -> bool:
        if artifact.kind == "folder":
            return config_in(artifact.path) is not None
        if artifact.kind != "json":
            return False
        return _is_lerobot(artifact.path)

    def read(self, artifact: Artifact) -> Contract:
        if artifact.kind == "folder":
            return _read_folder(artifact.path)
        return _read_file(artifact.path)


def _is_lerobot(path: Path) -> bool:
    """Whether a JSON file is a policy or a training configuration, or cannot be parsed (reading it then says why)."""
    try:
        data = load_json(path)
    except ArtifactError:
        return True
    return is_policy_config(data) or (isinstance(data, dict) and is_policy_config(data.get("policy")))


def config_in(folder: Path) -> Path | None:
    """Return the file that holds a policy folder's configuration, None where there is none."""
    for base in (folder, folder / _INNER):
        for name in (_CONFIG, _TRAIN):
            if (base / name).is_file() and _is_lerobot(base / name):
                return base / name
    return None


def _read_file(path: Path) -> Contract:
    """Return the contract of one JSON file.

    Raises:
        ArtifactError: it cannot be parsed, or is no policy's configuration.
    """
    data = load_json(path)
    if not isinstance(data, dict):
        raise ArtifactError(f"{path}: holds {kind_of(data)}", expected="a LeRobot config.json or train_config.json")
    if not is_policy_config(data) and is_policy_config(data.get("policy")):
        return _train_contract(path, data)
    if not is_policy_config(data):
        raise ArtifactError(
            f"{path}: describes no policy (it holds {', '.join(list(data)[:6]) or 'nothing'})",
            expected="a LeRobot config.json with input_features, or a train_config.json with a policy",
        )
    return _with_written_statistics(policy_contract(path, "lerobot", data), data, "dataset_stats", path.name)


def _train_contract(path: Path, data: Mapping[str, Any]) -> Contract:
    policy = data["policy"]
    env = mapping(data.get("env"), str(path), "env")
    hertz = rate(env.get("fps", data.get("fps")), str(path), "fps")
    around = {k: v for k, v in data.items() if k not in ("policy", "dataset", "env")}
    metadata = {"dataset": data.get("dataset"), "env": data.get("env"), "train_config": around}
    if renamed := mapping(data.get("rename_map"), str(path), "rename_map"):
        metadata["rename_map"] = renamed
    contract = policy_contract(path, "lerobot", policy, metadata=metadata, control_hz=hertz)
    return _with_written_statistics(contract, policy, "dataset_stats", f"{path.name}: policy")


def _with_written_statistics(contract: Contract, config: Mapping[str, Any], key: str, source: str) -> Contract:
    """Return the contract with ranges from statistics that are written in the configuration itself (SAC)."""
    return with_written_ranges(contract, from_config(config.get(key), f"{source}: {key}"))


def with_written_ranges(contract: Contract, found: Mapping[str, Statistics]) -> Contract:
    """Return the contract with the range of every tensor that has none yet and for which statistics are given."""
    findings: list[Finding] = []
    types = contract.metadata.get("feature_types", {})

    def ranged(specs: tuple[Any, ...]) -> tuple[Any, ...]:
        result = []
        for spec in specs:
            modes = contract.normalization.modes
            mode = modes.get(spec.name) or modes.get(types.get(spec.name, ""))
            if spec.range is None and spec.name in found:
                spec, finding = with_range(spec, found[spec.name], mode)
                findings.extend([finding] if finding else [])
            result.append(spec)
        return tuple(result)

    inputs, outputs = ranged(contract.inputs), ranged(contract.outputs)
    return replace(contract, inputs=inputs, outputs=outputs, findings=(*contract.findings, *findings))


def _read_folder(folder: Path) -> Contract:
    """Return the contract of a policy folder: configuration, processors and statistics together.

    Raises:
        ArtifactError: a file in it cannot be parsed or is not what it claims to be.
    """
    config = config_in(folder)
    if config is None:
        raise ArtifactError(f"{folder}: holds no LeRobot configuration", expected=f"{_CONFIG} or {_TRAIN}")
    base = config.parent
    contract = replace(_read_file(config), path=folder)
    training = base / _TRAIN
    if config.name == _CONFIG and training.is_file():
        contract = _with_training(contract, _read_file(training), training)
    if contract.policy is None and (base / "config.yaml").is_file():
        contract = replace(contract, policy=_policy_name(base / "config.yaml"))
    return with_processors(contract, base)


def _policy_name(path: Path) -> str | None:
    """Return the policy's name from the Hydra configuration that the first LeRobot folders carried."""
    data = load_yaml(path)
    policy = data.get("policy") if isinstance(data, dict) else None
    name = policy.get("name") if isinstance(policy, dict) else None
    return name if isinstance(name, str) else None


def _with_training(contract: Contract, training: Contract, path: Path) -> Contract:
    """Return the folder's contract with what only the training configuration tells, and where the two contradict."""
    kept = {k: training.metadata[k] for k in ("dataset", "env", "train_config", "rename_map") if k in training.metadata}
    pairs = {
        "policy": (contract.policy, training.policy),
        "inputs": ([t.as_json() for t in contract.inputs], [t.as_json() for t in training.inputs]),
        "outputs": ([t.as_json() for t in contract.outputs], [t.as_json() for t in training.outputs]),
        "window": (replace(contract.window, control_hz=None), replace(training.window, control_hz=None)),
        "normalization": (dict(contract.normalization.modes), dict(training.normalization.modes)),
        "sampler": (contract.sampler, training.sampler),
    }
    differ = [name for name, (ours, theirs) in pairs.items() if ours != theirs]
    found: tuple[Finding, ...] = ()
    if differ:
        found = (configs_disagree(_CONFIG, path.name, differ, {n: [str(v) for v in pairs[n]] for n in differ}),)
    return replace(
        contract,
        window=replace(contract.window, control_hz=training.window.control_hz),
        metadata={**contract.metadata, **kept},
        findings=(*contract.findings, *found),
    )


def configs_disagree(ours: str, theirs: str, fields: list[str], evidence: dict[str, Any]) -> Finding:
    """Return the finding that two configurations in one folder contradict each other."""
    return Finding(
        code=CONFIGS_DISAGREE,
        severity="warning",
        title=f"{ours} and {theirs} disagree about {', '.join(fields)}",
        where=ours,
        evidence=evidence,
        remedy="find out which of the two belongs to the weights in this folder",
    )


READER = _Reader()
