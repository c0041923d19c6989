"""A diffusion_policy workspace checkpoint: its configuration, the normalizer of what evaluation uses, its log.

The file holds ``cfg``, ``state_dicts`` (``model`` and, with ``training.use_ema``, ``ema_model``) and ``pickles``;
nothing of it is executed. Source: diffusion_policy/workspace/base_workspace.py of real-stanford/diffusion_policy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.checkpoint.checkpoint import epoch_and_step
from parity.checkpoint.torch_file import Payload, read_torch_file
from parity.checkpoint.tree import plain, weights_of
from parity.contract.hydra import resolve
from parity.contract.model import Contract
from parity.contract.ranges import MAX_ELEMENTS, diffusion_policy_statistics, with_range
from parity.contract.shape_meta import contract_of, raw_shape_meta
from parity.contract.training_log import read_training_log
from parity.errors import ArtifactError
from parity.finding import Finding
from parity.tensor import TensorSpec

if TYPE_CHECKING:
    from parity.checkpoint.weight import Weight
    from parity.tensor import Array

NO_EMA = "CONTRACT013"
MAX_AXES = 1024  # elements of a key whose scale and offset are told


def is_workspace(path: Path) -> bool:
    """Whether a checkpoint is a workspace whose configuration has a ``shape_meta``."""
    try:
        return _configuration(read_torch_file(path)) is not None
    except ArtifactError:
        return False


def _configuration(payload: Payload) -> dict[str, Any] | None:
    root = payload.root
    if not isinstance(root, dict) or "cfg" not in root or "state_dicts" not in root:
        return None
    cfg = plain(root["cfg"])
    return cfg if isinstance(cfg, dict) and raw_shape_meta(cfg) is not None else None


def read_workspace(path: Path) -> Contract:
    """Return the contract of a workspace checkpoint, with ranges from its normalizer.

    ``metadata`` has the weight sets (``trees``) and the one that is ``evaluated``, ``epoch`` and ``step``, the
    ``normalizer`` (``scale`` and ``offset`` by key), and ``training_log`` where the run's log lies beside it.

    Raises:
        ArtifactError: not a workspace, corrupt, or its configuration is not what this format says it is.
    """
    payload = read_torch_file(path)
    cfg = _configuration(payload)
    if cfg is None:
        raise ArtifactError(f"{path}: no diffusion_policy workspace", expected="cfg with a shape_meta, and state_dicts")
    loaded = resolve(cfg, str(path))
    contract = replace(contract_of(loaded.data, path, references=loaded.references), kind="diffusion_policy")
    weights = weights_of(payload.root, payload.storages, str(path))
    trees = sorted({w.tree for w in weights.values() if w.tree})
    use_ema = None if contract.sampler is None else contract.sampler.use_ema
    evaluated = "ema_model" if use_ema else "model" if use_ema is False or "ema_model" not in trees else None
    epoch, step = epoch_and_step(payload.root)
    told = {"trees": trees, "evaluated": evaluated, "epoch": epoch, "step": step}
    log = read_training_log(path, epoch, step)
    contract = replace(contract, metadata={**contract.metadata, **told, **({"training_log": log} if log else {})})
    if evaluated == "ema_model" and evaluated not in trees:
        return replace(contract, findings=(*contract.findings, _no_ema(path, trees)))
    # Both weight sets carry the same normalizer; where nothing tells which is evaluated, either serves.
    return _with_ranges(contract, weights, f"state_dicts.{evaluated or 'model'}.normalizer.", path.name)


def _with_ranges(contract: Contract, weights: Mapping[str, Weight], prefix: str, source: str) -> Contract:
    def read(name: str) -> Array:
        weight = weights[name]
        if math.prod(weight.shape) > MAX_ELEMENTS:
            raise ArtifactError(f"{source}: the statistic {name!r} has the shape {list(weight.shape)}")
        return weight.as_float()

    specs = (*contract.inputs, *contract.outputs)
    found = diffusion_policy_statistics(weights, read, source, prefix)
    findings: list[Finding] = []

    def ranged(spec: TensorSpec) -> TensorSpec:
        if spec.name not in found:
            return spec
        spec, finding = with_range(spec, found[spec.name], None)
        findings.extend([finding] if finding else [])
        return spec

    inputs, outputs = tuple(map(ranged, contract.inputs)), tuple(map(ranged, contract.outputs))
    stats = tuple(s.source for s in found.values())
    return replace(
        contract,
        inputs=inputs,
        outputs=outputs,
        metadata={**contract.metadata, "normalizer": _normalizer(specs, weights, f"{prefix}params_dict.")},
        normalization=replace(contract.normalization, stats=stats),
        findings=(*contract.findings, *findings),
    )


def _normalizer(
    specs: Sequence[TensorSpec], weights: Mapping[str, Weight], prefix: str
) -> dict[str, dict[str, list[float]]]:
    """Return ``scale`` and ``offset`` by key, ``normalized = value * scale + offset``, where they are finite."""
    found: dict[str, dict[str, list[float]]] = {}
    for key in (s.name for s in specs):
        pair = {n: weights.get(f"{prefix}{key}.{n}") for n in ("scale", "offset")}
        values = {n: w.as_float().reshape(-1).tolist() for n, w in pair.items() if w is not None and w.size <= MAX_AXES}
        if len(values) == 2 and all(math.isfinite(x) for numbers in values.values() for x in numbers):
            found[key] = values
    return found


def _no_ema(path: Path, trees: list[str]) -> Finding:
    return Finding(
        code=NO_EMA,
        severity="error",
        title="training.use_ema is true, but there are no averaged weights (ema_model): evaluation would use others",
        where=str(path),
        evidence={"trees": trees},
        remedy="take the checkpoint that the training run wrote, not one stripped of ema_model",
    )
