"""A LeRobot policy's configuration, of any era, as a contract.

Features are named in one of two ways: ``input_features`` with a type and a shape each (JSON since 2025), or
``input_shapes`` with ``input_normalization_modes`` (Hydra YAML and the first config.json files). Shapes carry no batch
axis. Source: lerobot/configs/policies.py and the configurations kept in the corpus.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from parity.contract.fields import WINDOW_FIELDS, is_reference, kind_of, mapping, sampler, shape, window
from parity.contract.model import Contract, Normalization, Sampler, Window
from parity.errors import ArtifactError
from parity.finding import Finding
from parity.tensor import Role, Shape, TensorSpec

CHANNELS_LAST = "CONTRACT001"
NOTHING_DECLARED = "CONTRACT002"
UNRESOLVED = "CONTRACT003"

_ROLES: dict[str, Role] = {
    "VISUAL": "image",
    "STATE": "state",
    "ENV": "environment_state",
    "ACTION": "action",
    "LANGUAGE": "tokens",
}
_FLOW_MATCHING = {"pi0", "pi05", "smolvla"}  # these sample by flow matching in every version; they have no scheduler
_CONSUMED = {
    "type",
    "name",
    "input_features",
    "output_features",
    "normalization_mapping",
    "input_shapes",
    "output_shapes",
    "input_normalization_modes",
    "output_normalization_modes",
    *WINDOW_FIELDS,
}


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature as the configuration spells it; ``type`` is None in the eras that had no types."""

    name: str
    side: Literal["input", "output"]
    type: str | None
    shape: Shape | None

    def spec(self) -> TensorSpec:
        """Return the feature as a tensor without a batch axis."""
        return TensorSpec(name=self.name, shape=self.shape, role=self._role(), batched=False)

    def _role(self) -> Role | None:
        if self.type is not None:
            return _ROLES.get(self.type)
        if self.side == "output":
            return "action" if self.name == "action" else None
        prefixes: tuple[tuple[str, Role], ...] = (
            ("observation.image", "image"),
            ("observation.environment_state", "environment_state"),
            ("observation.state", "state"),
            ("text.input", "tokens"),
        )
        return next((role for prefix, role in prefixes if self.name.startswith(prefix)), None)

    def mode(self, normalization: Mapping[str, str]) -> str | None:
        """Return this feature's normalization mode in the artifact's own words, None where none is declared."""
        return normalization.get(self.name) or (normalization.get(self.type) if self.type else None)


def feature_of(spec: TensorSpec, side: Literal["input", "output"], kind: str | None) -> Feature:
    """Return a contract's tensor as the feature that it was read from."""
    return Feature(spec.name, side, kind, spec.shape)


def is_policy_config(data: Any) -> bool:
    """Whether parsed JSON or YAML is one policy's configuration, of any era."""
    if not isinstance(data, dict):
        return False
    if {"input_features", "output_features", "input_shapes", "output_shapes", "normalization_mapping"} & data.keys():
        return True
    return isinstance(data.get("type"), str) and bool(data.keys() & set(WINDOW_FIELDS))


def features_of(config: Mapping[str, Any], where: str) -> tuple[Feature, ...]:
    """Return the features of a policy's configuration, inputs first, in its own order.

    Raises:
        ArtifactError: a feature is not described as this format does.
    """
    found: list[Feature] = []
    sides: tuple[Literal["input", "output"], ...] = ("input", "output")
    for side in sides:
        typed = mapping(config.get(f"{side}_features"), where, f"{side}_features")
        if typed:
            found += [_typed_feature(str(name), side, value, where) for name, value in typed.items()]
            continue
        for name, value in mapping(config.get(f"{side}_shapes"), where, f"{side}_shapes").items():
            found.append(Feature(str(name), side, None, shape(value, where, str(name))))
    return tuple(found)


def _typed_feature(name: str, side: Literal["input", "output"], value: Any, where: str) -> Feature:
    if not isinstance(value, dict):
        raise ArtifactError(
            f"{where}: the feature {name!r} is {kind_of(value)}", expected='{"type": "STATE", "shape": [6]} or alike'
        )
    kind = value.get("type")
    if kind is not None and not isinstance(kind, str):
        raise ArtifactError(
            f"{where}: the type of {name!r} is {kind_of(kind)}", expected="VISUAL, STATE, ENV or ACTION"
        )
    tail = None if kind is None else kind.rsplit(".", 1)[-1].upper()  # some files hold "FeatureType.STATE"
    return Feature(name, side, tail, shape(value.get("shape"), where, name))


def modes_from(value: Any, where: str, what: str) -> dict[str, str]:
    """Return normalization modes by feature type or by feature, in the artifact's own words; nothing for None.

    Raises:
        ArtifactError: not a mapping, or a mode is not a text.
    """
    modes: dict[str, str] = {}
    for name, mode in mapping(value, where, what).items():
        if not isinstance(mode, str):
            raise ArtifactError(f"{where}: {what} of {name!r} is {kind_of(mode)}", expected="MEAN_STD or alike")
        modes[str(name)] = mode.rsplit(".", 1)[-1]  # some files hold "NormalizationMode.MEAN_STD"
    return modes


def modes_of(config: Mapping[str, Any], where: str) -> dict[str, str]:
    """Return all normalization modes of a policy's configuration, of any era.

    Raises:
        ArtifactError: a mode is not a text.
    """
    keys = ("normalization_mapping", "input_normalization_modes", "output_normalization_modes")
    return {name: mode for key in keys for name, mode in modes_from(config.get(key), where, key).items()}


def policy_contract(
    where: Path,
    kind: str,
    config: Mapping[str, Any],
    *,
    outer: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    control_hz: float | None = None,
) -> Contract:
    """Return the contract of one policy's configuration.

    Args:
        where: path of the artifact.
        kind: the contract's kind.
        config: the policy's own mapping; whatever is not read from it is kept in ``metadata["config"]``.
        outer: the file around it, where window and sampler may stand too (Hydra).
        metadata: more metadata.
        control_hz: control rate in hertz, where something around the policy tells it.

    Raises:
        ArtifactError: a field is not what this format says it is.
    """
    place, outer = str(where), outer or {}
    features = features_of(config, place)
    inputs = tuple(f.spec() for f in features if f.side == "input")
    outputs = tuple(f.spec() for f in features if f.side == "output")
    policy = config.get("type", config.get("name"))
    if policy is not None and not isinstance(policy, str):
        raise ArtifactError(f"{place}: the policy's type is {kind_of(policy)}", expected="its name, such as act")
    steps = window((config, outer), place, control_hz)
    complete = bool(inputs and outputs)
    return Contract(
        path=where,
        kind=kind,
        policy=policy,
        inputs=inputs,
        outputs=outputs,
        window=steps,
        normalization=Normalization(modes_of(config, place)),
        sampler=_sampler(config, outer, place),
        complete=complete,
        metadata={
            "feature_types": {f.name: f.type for f in features if f.type},
            **(metadata or {}),
            "config": {str(k): v for k, v in config.items() if k not in _CONSUMED},
        },
        findings=tuple(_findings(inputs, outputs, features, steps, place)),
    )


def _sampler(config: Mapping[str, Any], outer: Mapping[str, Any], where: str) -> Sampler | None:
    def inner(of: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        value = of.get(name)
        return value if isinstance(value, dict) else {}

    layers = [config, inner(config, "noise_scheduler"), inner(outer, "noise_scheduler")]
    layers.append({"use_ema": inner(outer, "training").get("use_ema")})
    if config.get("type") in _FLOW_MATCHING:
        layers.append({"noise_scheduler_type": "flow_matching", "num_inference_steps": config.get("num_steps")})
    return sampler(layers, where)


def _findings(
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    features: tuple[Feature, ...],
    steps: Window,
    where: str,
) -> Iterator[Finding]:
    for spec in inputs:
        if is_channels_last(spec):
            assert spec.shape is not None
            yield channels_last(spec.name, list(spec.shape))
    missing = [side for side, specs in (("inputs", inputs), ("outputs", outputs)) if not specs]
    if missing:
        yield nothing_declared(missing, where)
    yield from unresolved([f.spec() for f in features], steps, where)


def is_channels_last(spec: TensorSpec) -> bool:
    """Whether an image's declared shape is ``(H, W, C)`` where the contract's images are ``(C, H, W)``."""
    size = spec.shape
    return (
        spec.role == "image"
        and size is not None
        and len(size) == 3
        and size[2] in (1, 3, 4)
        and size[0] not in (1, 3, 4)
    )


def channels_last(name: str, size: list[Any]) -> Finding:
    """Return the finding that an image feature is declared channels last."""
    return Finding(
        code=CHANNELS_LAST,
        severity="warning",
        title=f"{name} is declared {size}, channels last; policies take images channels first",
        where=name,
        evidence={"shape": size},
        remedy="find out in which order the policy was trained to take this image, and feed it so",
    )


def nothing_declared(missing: list[str], where: str) -> Finding:
    """Return the finding that an artifact declares no inputs, no outputs, or neither."""
    return Finding(
        code=NOTHING_DECLARED,
        severity="info",
        title=f"no {' and no '.join(missing)} declared: they must come from a partner artifact or from you",
        where=where,
        remedy="give the ONNX file, the dataset's info.json or the configuration of a trained checkpoint beside it",
    )


def unresolved(specs: list[TensorSpec], steps: Window, where: str) -> Iterator[Finding]:
    """Yield one finding that names everything left as a ``${...}`` reference, if there is any."""
    open_: dict[str, Any] = {
        spec.name: list(spec.shape) for spec in specs if spec.shape and any(is_reference(d) for d in spec.shape)
    }
    for name in WINDOW_FIELDS:
        value = getattr(steps, name)
        if is_reference(value):
            open_[name] = value
    if open_:
        yield Finding(
            code=UNRESOLVED,
            severity="info",
            title=f"references that this file alone does not resolve: {', '.join(open_)}",
            where=where,
            evidence=open_,
            remedy="give the composed configuration (.hydra/config.yaml, or config.yaml in the checkpoint's folder)",
        )
