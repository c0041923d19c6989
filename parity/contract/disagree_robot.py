"""Disagreements about the robot: joints and their order, control rate, action scale, default positions, gains.

Formats name these things differently; `CONCEPTS` holds the names that real artifacts use, best first.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from parity.contract.disagree_tensors import elements
from parity.contract.disagreement import Disagreement, Kind, Sides
from parity.contract.model import Contract
from parity.finding import Severity

FLOAT32 = 1e-6  # a relative gap that storing a number in float32 explains
SLIGHT = 0.01  # a relative gap that matters to no robot, where it comes from rounding


@dataclass(frozen=True, slots=True)
class Concept:
    """One thing about a robot: how findings call it, and the keys under which artifacts hold it."""

    kind: Kind
    words: str
    type: Literal["names", "numbers", "rate", "period"]
    keys: tuple[str, ...]


CONCEPTS: dict[str, Concept] = {
    "joints": Concept(
        "elements",
        "joint names",
        "names",
        ("joint_names", "dof_names", "policy_joint_names", "joint_order", "wheel_joint_names"),
    ),
    "action_scale": Concept("action_scale", "action scale", "numbers", ("action_scale", "action_scales")),
    "default_positions": Concept(
        "default_positions",
        "default joint positions",
        "numbers",
        (
            "default_joint_pos",
            "default_dof_pos",
            "default_joint_positions",
            "default_joint_angles",
            "default_angles",
            "default_qpos",
        ),
    ),
    "stiffness": Concept("gains", "joint stiffness", "numbers", ("joint_stiffness", "rl_kp", "stiffness", "kps", "kp")),
    "damping": Concept("gains", "joint damping", "numbers", ("joint_damping", "rl_kd", "damping", "kds", "kd")),
    "control_rate": Concept(
        "control_rate", "control rate", "rate", ("control_hz", "control_frequency", "policy_hz", "policy_frequency")
    ),
    "step_dt": Concept("control_rate", "control period", "period", ("control_dt", "policy_dt", "step_dt")),
}

Fact = tuple[str, ...] | tuple[float, ...]


def robot_facts(contract: Contract) -> dict[str, Fact]:
    """Return what the contract says about the robot, by concept: names, or numbers (one, or one per joint).

    The metadata is searched down to four levels; the best known key wins, then the least nested. What cannot be read
    as names or numbers is left out. The control rate is in hertz, from the window where that has it.
    """
    facts: dict[str, Fact] = {}
    for name, concept in CONCEPTS.items():
        found = _find(contract.metadata, concept.keys)
        fact = _names(found) if concept.type == "names" else _numbers(found)
        if fact is not None:
            facts[name] = fact
    period = facts.pop("step_dt", None)
    if contract.window.control_hz is not None:
        facts["control_rate"] = (float(contract.window.control_hz),)
    elif "control_rate" not in facts and period and isinstance(period[0], float) and period[0] > 0:
        facts["control_rate"] = (1.0 / period[0],)
    if "joints" not in facts:
        named = [t.elements for t in contract.outputs if t.elements and t.role == "action"]
        if len(named) == 1:
            facts["joints"] = named[0]
    return facts


def robot_disagreements(sides: Sides) -> Iterator[Disagreement]:
    """Yield the disagreements about the robot; numbers per joint are compared joint by joint where joints are named."""
    ours, theirs = robot_facts(sides.a), robot_facts(sides.b)
    joints = _joints(ours), _joints(theirs)
    if joints[0] and joints[1] and joints[0] != joints[1]:
        yield elements(sides, "joint names", joints[0], joints[1])
    for name, concept in CONCEPTS.items():
        if concept.type != "names" and name in ours and name in theirs:
            yield from _compare(sides, concept, ours[name], theirs[name], joints)


def _joints(facts: Mapping[str, Fact]) -> tuple[str, ...]:
    return tuple(str(n) for n in facts.get("joints", ()))


def _compare(
    sides: Sides, concept: Concept, a: Fact, b: Fact, joints: tuple[tuple[str, ...], tuple[str, ...]]
) -> Iterator[Disagreement]:
    """Yield at most one disagreement of two lists of numbers, with the joint where it is largest."""
    left, right = sides.names
    x, y = [float(v) for v in a], [float(v) for v in b]
    labels: Sequence[str] = joints[0]
    same = sorted(joints[0]) == sorted(joints[1]) and len(set(joints[0])) == len(joints[0])
    if len(x) == len(y) == len(joints[0]) > 1 and same:
        y = [y[joints[1].index(j)] for j in joints[0]]  # the same joints in another order: compare by name
    if len(x) != len(y) and 1 not in (len(x), len(y)):
        text = f"{concept.words}: {len(x)} numbers in {left}, {len(y)} in {right}"
        yield sides.disagree(concept.kind, concept.words, len(x), len(y), text)
        return
    n = max(len(x), len(y))
    x, y = x * n if len(x) == 1 else x, y * n if len(y) == 1 else y
    gaps = [_gap(u, v) for u, v in zip(x, y, strict=True)]
    if not any(gaps):
        return
    at = max(range(n), key=gaps.__getitem__)
    rounded = concept.type == "numbers" and all(_is_rounded(u, v) for u, v, g in zip(x, y, gaps, strict=True) if g)
    place = f" of {labels[at]}" if len(labels) == n > 1 else (f"[{at}]" if n > 1 else "")
    unit = " Hz" if concept.kind == "control_rate" else ""
    text = f"{concept.words}{place}: {x[at]:.6g}{unit} in {left}, {y[at]:.6g}{unit} in {right}"
    text += f"; {sum(map(bool, gaps))} of {n} differ" if n > 1 else ""
    text += " (rounded on export)" if rounded else ""
    severity: Severity = "error" if not rounded else ("info" if gaps[at] <= SLIGHT else "warning")
    yield sides.disagree(concept.kind, f"{concept.words}{place}", list(a), list(b), text, severity)


def _gap(x: float, y: float) -> float:
    """Return how far two numbers are apart, of the larger one; 0 within float32's rounding, infinite for NaN."""
    if x == y:
        return 0.0
    if not (math.isfinite(x) and math.isfinite(y)):
        return math.inf
    gap = abs(x - y) / max(abs(x), abs(y))
    return gap if gap > FLOAT32 else 0.0


def _is_rounded(x: float, y: float) -> bool:
    """Whether one of two numbers is the other with three decimals, as some exporters write them."""
    return math.isfinite(x) and math.isfinite(y) and any(abs(round(u, 3) - v) < 1e-9 for u, v in ((x, y), (y, x)))


def _find(metadata: Any, keys: Sequence[str]) -> Any:
    """Return the value under the first of ``keys`` that is anywhere in the metadata, nearest to its top."""
    for key in keys:
        level = [metadata]
        for _ in range(4):
            for table in level:
                for name, value in table.items():
                    if str(name).lower() == key and value is not None:
                        return value
            level = [v for table in level for v in table.values() if isinstance(v, Mapping)]
    return None


def _listed(value: Any) -> list[Any]:
    """Return a value as a list; text may be JSON or separated by commas, as ONNX metadata is text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = [part.strip() for part in value.split(",")]
    if isinstance(value, Mapping):
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _names(value: Any) -> tuple[str, ...] | None:
    """Return a list of names; patterns such as ``.*_hip_joint`` (Isaac Lab) do not tell which joints they mean."""
    listed = _listed(value)
    named = all(isinstance(v, str) and v and not set(v) & set("*+?^$|()[]{}\\") for v in listed)
    return tuple(listed) if listed and named else None


def _numbers(value: Any) -> tuple[float, ...] | None:
    """Return a number or a flat list of numbers, else None. NaN stays: it disagrees with everything."""
    try:
        numbers = tuple(float(v) for v in _listed(value) if not isinstance(v, bool | list | dict) and v is not None)
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if numbers and len(numbers) == len(_listed(value)) else None
