"""The deployment configurations of legged and wheeled robots, one function per format, from plain data to `Deployment`.

Sources: rl_sar (fan-ziqi) ``policy/<robot>/base.yaml`` and ``policy/<robot>/<policy>/config.yaml``; unitree_rl_gym
``deploy/deploy_mujoco/configs/*.yaml``; booster_gym and booster_deploy ``T1.yaml``; ROS 2 parameters with a policy;
Isaac Lab ``params/env.yaml`` and ``params/agent.yaml``; legged_gym-like training configurations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from parity.errors import ArtifactError

MAX_WIDTH = 1_000_000
_PLAIN_NAME = re.compile(r"^[\w/-]+$")

Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a deployment configuration says. Widths count numbers; a field is None where it does not say.

    ``joints`` are in the order of the policy's action; ``terms`` are the parts of the observation, in order, and
    ``history`` how many observations are stacked. ``facts`` keeps the artifact's own words.
    """

    format: str
    observations: int | None = None
    actions: int | None = None
    joints: tuple[str, ...] | None = None
    terms: tuple[str, ...] = ()
    history: int | None = None
    control_hz: float | None = None
    policy: str | None = None
    facts: Data = field(default_factory=dict)


class Fields:
    """Typed access to a configuration, with messages that name the file and the key."""

    def __init__(self, where: str) -> None:
        self.where = where

    def number(self, data: Data, key: str) -> float | None:
        """Return a finite number, None where the key is missing or null.

        Raises:
            ArtifactError: it is something else.
        """
        value = data.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
            raise ArtifactError(f"{self.where}: {key} is {value!r}"[:300], expected="a finite number")
        return float(value)

    def width(self, data: Data, *keys: str) -> int | None:
        """Return the first of several counts that is there.

        Raises:
            ArtifactError: it is no whole number between 1 and a million.
        """
        for key in keys:
            value = data.get(key)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MAX_WIDTH:
                raise ArtifactError(f"{self.where}: {key} is {value!r}"[:300], expected="a number of elements above 0")
            return value
        return None

    def names(self, data: Data, key: str) -> tuple[str, ...] | None:
        """Return a list of texts, None where the key is missing.

        Raises:
            ArtifactError: it is something else.
        """
        value = data.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise ArtifactError(f"{self.where}: {key} is no list of names", expected="a list of texts")
        return tuple(value)

    def rate(self, dt: float | None, decimation: float | None) -> float | None:
        """Return the control rate in hertz of a simulation step and a decimation.

        Raises:
            ArtifactError: they are not above 0.
        """
        if dt is None or decimation is None:
            return None
        if dt <= 0 or decimation <= 0:
            raise ArtifactError(f"{self.where}: dt {dt} and decimation {decimation}", expected="numbers above 0")
        return round(1.0 / (dt * decimation), 9)


def table(data: Data, key: str) -> Data:
    """Return a nested mapping, an empty one where there is none."""
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def rl_sar(data: Data, fields: Fields) -> Deployment | None:
    """rl_sar: one key ``robot`` or ``robot/policy``; the policy's joints are ``joint_names[joint_mapping]``.

    A policy's own configuration lacks ``joint_names``, ``dt`` and ``decimation``, which the robot's ``base.yaml`` has:
    `deploy_yaml` merges the two before it asks here.
    """
    if len(data) != 1:
        return None
    name, body = next(iter(data.items()))
    if not isinstance(body, dict) or not ({"num_of_dofs", "joint_mapping"} & set(body)):
        return None
    rate = fields.rate(fields.number(body, "dt"), fields.number(body, "decimation"))
    if "observations" not in body and "num_observations" not in body:
        robot = {f"robot_{k}": v for k, v in body.items() if k not in ("dt", "decimation")}
        return Deployment("rl_sar robot", control_hz=rate, facts={"robot": str(name), **robot})
    history = body.get("observations_history")
    stacked = len(history) if isinstance(history, list) and history else None
    facts = {k: v for k, v in body.items() if k not in ("joint_names", "joint_controller_names")}
    return Deployment(
        "rl_sar",
        fields.width(body, "num_observations"),
        fields.width(body, "num_of_dofs"),
        _mapped(body, fields),
        fields.names(body, "observations") or (),
        stacked,
        rate,
        str(name),
        facts,
    )


def _mapped(body: Data, fields: Fields) -> tuple[str, ...] | None:
    """Return the joints in the policy's order: policy joint i is the robot's joint ``joint_mapping[i]``."""
    names, order = fields.names(body, "joint_names"), body.get("joint_mapping")
    if names is None or order is None:
        return None
    valid = isinstance(order, list) and all(type(i) is int and 0 <= i < len(names) for i in order)
    if not valid or len(set(order)) != len(order):
        raise ArtifactError(
            f"{fields.where}: joint_mapping is not an order of the {len(names)} joint_names",
            expected=f"distinct numbers from 0 to {len(names) - 1}",
        )
    return tuple(names[i] for i in order)


def unitree_rl_gym(data: Data, fields: Fields) -> Deployment | None:
    """unitree_rl_gym: a flat file with ``num_obs``, ``num_actions``, ``policy_path`` and ``control_decimation``."""
    if not {"policy_path", "num_actions", "num_obs"} <= set(data):
        return None
    dt = fields.number(data, "control_dt")
    rate = fields.rate(fields.number(data, "simulation_dt"), fields.number(data, "control_decimation"))
    return Deployment(
        "unitree_rl_gym",
        fields.width(data, "num_obs"),
        fields.width(data, "num_actions"),
        control_hz=rate if rate is not None or dt is None else fields.rate(dt, 1.0),
        facts=data,
    )


def booster_deploy(data: Data, fields: Fields) -> Deployment | None:
    """Booster's deployment file: ``policy`` with its sizes, scales and decimation, ``common.dt``."""
    policy, common = table(data, "policy"), table(data, "common")
    if not {"num_actions", "num_observations"} <= set(policy):
        return None
    control = table(policy, "control")
    decimation = fields.number(control, "decimation")
    # common's gains and positions are those of the whole robot (23 joints), not of the policy's actions
    robot = {f"robot_{k}": v for k, v in common.items() if k != "dt"}
    return Deployment(
        "booster deploy",
        fields.width(policy, "num_observations"),
        fields.width(policy, "num_actions"),
        control_hz=fields.rate(fields.number(common, "dt"), decimation),
        facts={"deployment": policy, "robot": robot},
    )


def legged_gym(data: Data, fields: Fields) -> Deployment | None:
    """A training configuration like legged_gym's or booster_gym's: ``env``, ``control``, ``normalization``, ``sim``."""
    env, control = table(data, "env"), table(data, "control")
    if "num_actions" not in env or not ({"num_observations", "num_obs"} & set(env)) or not control:
        return None
    kept = {k: data[k] for k in ("control", "normalization", "init_state", "commands") if k in data}
    rate = fields.rate(fields.number(table(data, "sim"), "dt"), fields.number(control, "decimation"))
    name = table(data, "basic").get("task")
    return Deployment(
        "legged_gym",
        fields.width(env, "num_observations", "num_obs"),
        fields.width(env, "num_actions"),
        control_hz=rate,
        policy=name if isinstance(name, str) else None,
        facts={"training_config": kept},
    )


def ros_parameters(data: Data, fields: Fields) -> Deployment | None:
    """A ROS 2 parameter file of a node that runs a policy (``<node>.ros__parameters`` with a model path)."""
    if len(data) != 1:
        return None
    node, body = next(iter(data.items()))
    parameters = table(body, "ros__parameters") if isinstance(body, dict) else {}
    if not ({"model_path", "policy_path", "model_type"} & set(parameters)) or "action_scale" not in parameters:
        return None
    joints = fields.names(parameters, "wheel_joint_names") or fields.names(parameters, "joint_names")
    rate = fields.number(parameters, "control_frequency")
    observations = fields.width(parameters, "num_observations", "num_obs")
    actions = fields.width(parameters, "num_actions") or (len(joints) if joints else None)
    return Deployment("ros parameters", observations, actions, joints, (), None, rate, str(node), parameters)


def isaac_env(data: Data, fields: Fields) -> Deployment | None:
    """Isaac Lab's ``env.yaml``: observation terms in order, actions with scale and joints, step and decimation."""
    sim = table(data, "sim")
    if "decimation" not in data or "dt" not in sim or not ({"scene", "observations"} & set(data)):
        return None
    rate = fields.rate(fields.number(sim, "dt"), fields.number(data, "decimation"))
    group = table(table(data, "observations"), "policy")
    terms = {k: v for k, v in group.items() if isinstance(v, dict) and "func" in v}
    actions = {k: v for k, v in table(data, "actions").items() if isinstance(v, dict)}
    robot = table(table(table(data, "scene"), "robot"), "init_state")
    facts: dict[str, Any] = {
        "decimation": data["decimation"],
        "dt": sim["dt"],
        "observation_terms": list(terms),
        "observation_scales": {k: v["scale"] for k, v in terms.items() if v.get("scale") is not None},
        "observation_clips": {k: v["clip"] for k, v in terms.items() if v.get("clip") is not None},
        "observation_history": {k: v["history_length"] for k, v in terms.items() if v.get("history_length")},
        "actions": {k: {n: v.get(n) for n in ("joint_names", "scale", "offset", "clip")} for k, v in actions.items()},
        "init_joint_pos": table(robot, "joint_pos"),
    }
    only = next(iter(actions.values())) if len(actions) == 1 else {}
    if isinstance(only.get("scale"), int | float):
        facts["action_scale"] = only["scale"]
    observations, count = data.get("observation_space", data.get("num_observations")), data.get("action_space")
    return Deployment(
        "isaac lab environment",
        observations if type(observations) is int and observations > 0 else None,
        count if type(count) is int and count > 0 else None,
        _action_joints(only),
        tuple(terms),
        None,
        rate,
        facts=facts,
    )


def _action_joints(action: Data) -> tuple[str, ...] | None:
    """Return the joints of an action term, if they are written one by one and in the policy's order."""
    names = action.get("joint_names")
    if action.get("preserve_order") is not True or not isinstance(names, list):
        return None
    plain = all(isinstance(n, str) and _PLAIN_NAME.match(n) for n in names)
    return tuple(names) if plain and names else None


def isaac_agent(data: Data, fields: Fields) -> Deployment | None:
    """Isaac Lab's ``agent.yaml`` for rsl_rl: whether observations are normalized, actions clipped, and the network."""
    algorithm = table(data, "algorithm")
    if "num_steps_per_env" not in data or "class_name" not in algorithm:
        return None
    kept = ("empirical_normalization", "clip_actions", "obs_groups", "policy", "actor", "experiment_name", "run_name")
    facts = {"agent": {k: data[k] for k in kept if k in data}}
    name = data.get("experiment_name")
    return Deployment("isaac lab agent", policy=name if isinstance(name, str) and name else None, facts=facts)


FORMATS: tuple[Callable[[Data, Fields], Deployment | None], ...] = (
    rl_sar,
    unitree_rl_gym,
    booster_deploy,
    isaac_env,
    isaac_agent,
    legged_gym,
    ros_parameters,
)
