"""What exporters write into an ONNX model's ``metadata_props``: JSON, or lists separated by commas, as text.

rsl_rl, mjlab and whole_body_tracking write joint names, default positions, stiffness, damping and action scales.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from parity.tensor import TensorSpec

MAX_TEXT = 1 << 20
_NUMBER = re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")
_WORD = re.compile(r"^[A-Za-z_][\w./:-]{0,99}$")

# Which keys name the elements of which vector, best first.
ACTION_NAMES = ("action_names", "joint_names", "dof_names", "policy_joint_names", "joint_order", "actuator_names")
OBSERVATION_NAMES = ("observation_element_names", "obs_names", "observation_names")


def parsed(text: str) -> Any:
    """Return a metadata value as plain data where it is JSON or a list separated by commas, else as it is.

    One word or number alone stays text or becomes a number as JSON says.
    """
    if len(text) > MAX_TEXT:
        return text
    stripped = text.strip()
    if stripped[:1] in "[{" or _NUMBER.match(stripped) or stripped in ("true", "false", "null"):
        try:
            return _finite(json.loads(stripped))
        except (ValueError, RecursionError):
            return text
    parts = [p.strip() for p in stripped.split(",")]
    if len(parts) > 1 and all(_NUMBER.match(p) for p in parts):
        return [float(p) for p in parts]
    if len(parts) > 1 and all(_WORD.match(p) for p in parts):
        return parts
    return text


def _finite(value: Any) -> Any:
    """Return parsed JSON with NaN and Infinity as text, so that it stays JSON."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return {k: _finite(v) for k, v in value.items()} if isinstance(value, dict) else value


def with_elements(
    specs: Sequence[TensorSpec], role: str, names: Sequence[str], props: Mapping[str, Any]
) -> list[TensorSpec]:
    """Return the tensors with the names of their last axis, for those of ``role`` whose length the names have."""
    found = [_names(props.get(key)) for key in names]
    known = [n for n in found if n]
    result = []
    for spec in specs:
        width = spec.shape[-1] if spec.shape else None
        fitting = next((n for n in known if len(n) == width), None) if spec.role == role else None
        result.append(spec if fitting is None else replace(spec, elements=fitting))
    return result


def _names(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, dict):  # {"policy": [...]} of several observation groups
        value = next(iter(value.values())) if len(value) == 1 else None
    if isinstance(value, list) and value and all(isinstance(v, str) for v in value):
        return tuple(value)
    return None
