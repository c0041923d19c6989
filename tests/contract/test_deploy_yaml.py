"""Deployment YAMLs of robots, as they are in the corpus and with what may be wrong in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from parity.artifact import Artifact
from parity.contract import Contract, read_contract
from parity.contract.deploy_yaml import READER
from parity.errors import ArtifactError

# file: (format, observations, actions, hertz)
REAL = {
    "pairs/rl_sar_g1_dance_102/config.yaml": ("rl_sar", 154, 29, 50.0),
    "pairs/rl_sar_g1_dance_102/base.yaml": ("rl_sar robot", None, None, 50.0),
    "pairs/rl_sar_go2w_pass/config.yaml": ("rl_sar", 57, 16, None),
    "pairs/rl_sar_go2w_stale_HEAD/config.yaml": ("rl_sar", 57, 16, None),
    "stateful_jit/g1/g1.yaml": ("unitree_rl_gym", 47, 12, 50.0),
    "pairs/booster_t1_ckpt10000_pass/T1_deploy.yaml": ("booster deploy", 47, 12, 50.0),
    "pairs/booster_t1_ckpt10000_pass/train_config.yaml": ("legged_gym", 47, 12, 50.0),
    "pairs/ogre_e0ee1102_ros2_stale/policy_controller_params.yaml": ("ros parameters", None, 4, 30.0),
    "pairs/ur10_reach_pass/env.yaml": ("isaac lab environment", None, None, 30.0),
    "pairs/ur10_reach_pass/agent.yaml": ("isaac lab agent", None, None, None),
    "pairs/merkoval_pass/env.yaml": ("isaac lab environment", None, None, 50.0),
    "pairs/merkoval_pass/agent.yaml": ("isaac lab agent", None, None, None),
}


def width(specs: Any) -> int | None:
    return specs[0].shape[0] if specs else None


@pytest.mark.corpus
@pytest.mark.parametrize("name", REAL)
def test_real_files(corpus: Path, name: str) -> None:
    c = read_contract(corpus / name)
    json.dumps(c.as_json(), allow_nan=False)
    assert (c.metadata["format"], width(c.inputs), width(c.outputs), c.window.control_hz) == REAL[name]
    assert not c.complete
    assert all(not t.batched for t in (*c.inputs, *c.outputs))


@pytest.mark.corpus
def test_no_other_yaml_of_the_corpus_is_taken_for_one(corpus: Path) -> None:
    taken = {p.relative_to(corpus).as_posix() for p in corpus.rglob("*.yaml") if READER.matches(Artifact(p, "yaml"))}
    assert taken == set(REAL)


@pytest.mark.corpus
def test_joints_of_rl_sar_are_in_the_policys_order(corpus: Path) -> None:
    c = read_contract(corpus / "pairs/rl_sar_g1_dance_102/config.yaml")
    joints = c.outputs[0].elements
    assert joints is not None
    assert joints[:3] == ("left_hip_pitch_joint", "right_hip_pitch_joint", "waist_yaw_joint")
    positions = dict(zip(joints, c.metadata["default_dof_pos"], strict=True))
    assert positions["left_knee_joint"] == positions["right_knee_joint"] == 0.669
    assert len(c.metadata["action_scale"]) == 29
    assert c.metadata["observation_terms"][:2] == [
        "whole_body_tracking/motion_command",
        "whole_body_tracking/motion_anchor_ori_b",
    ]
    # the robot's own file speaks of the robot's order, which must not be taken for the policy's
    robot = read_contract(corpus / "pairs/rl_sar_g1_dance_102/base.yaml")
    assert "joint_names" not in robot.metadata
    assert "default_dof_pos" not in robot.metadata


@pytest.mark.corpus
def test_words_of_the_files_are_kept(corpus: Path) -> None:
    gym = read_contract(corpus / "stateful_jit/g1/g1.yaml").metadata
    assert (gym["action_scale"], gym["cmd_scale"], len(gym["default_angles"])) == (0.25, [2.0, 2.0, 0.25], 12)
    ogre = read_contract(corpus / "pairs/ogre_e0ee1102_ros2_stale/policy_controller_params.yaml")
    assert ogre.outputs[0].elements == ("fl_joint", "fr_joint", "rl_joint", "rr_joint")
    assert ogre.metadata["action_scale"] == 25.0
    env = read_contract(corpus / "pairs/merkoval_pass/env.yaml").metadata
    assert env["observation_terms"][-1] == "height_scan"
    assert (env["observation_clips"], env["action_scale"]) == ({"height_scan": [-1.0, 1.0]}, 0.5)
    assert env["init_joint_pos"]["Joint_.*_0"] == 0.0
    agent = read_contract(corpus / "pairs/ur10_reach_pass/agent.yaml").metadata["agent"]
    assert agent["empirical_normalization"] is False
    booster = read_contract(corpus / "pairs/booster_t1_ckpt10000_pass/T1_deploy.yaml").metadata
    assert booster["deployment"]["normalization"]["dof_vel"] == 0.1
    go2w = read_contract(corpus / "pairs/rl_sar_go2w_pass/config.yaml")
    assert go2w.inputs[0].elements is not None
    assert go2w.inputs[0].elements[3] == "gravity_vec[0]"


def rl_sar(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "num_observations": 12,
        "observations": ["ang_vel", "dof_pos", "dof_vel", "actions"],
        "observations_history": [],
        "num_of_dofs": 3,
        "joint_mapping": [2, 0, 1],
        "joint_names": ["a", "b", "c"],
        "dt": 0.005,
        "decimation": 4,
    }
    return {"robot/walk": {k: v for k, v in {**body, **changes}.items() if v is not None}}


def read(tmp_path: Path, data: Any, name: str = "config.yaml") -> Contract:
    path = tmp_path / name
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
    return read_contract(path)


def test_elements_and_history(tmp_path: Path) -> None:
    c = read(tmp_path, rl_sar())
    assert c.outputs[0].elements == ("c", "a", "b")
    assert c.inputs[0].elements == (
        *("ang_vel[0]", "ang_vel[1]", "ang_vel[2]", "dof_pos[c]", "dof_pos[a]", "dof_pos[b]"),
        *("dof_vel[c]", "dof_vel[a]", "dof_vel[b]", "actions[c]", "actions[a]", "actions[b]"),
    )
    stacked = read(tmp_path, rl_sar(observations_history=[0, 1, 2, 3, 4]))
    assert (stacked.inputs[0].shape, stacked.window.n_obs_steps) == ((60,), 5)
    assert stacked.inputs[0].elements is None


def test_base_yaml_above_completes_a_policy(tmp_path: Path) -> None:
    folder = tmp_path / "robot" / "walk"
    folder.mkdir(parents=True)
    base = {"robot": {"dt": 0.01, "decimation": 2, "joint_names": ["x", "y", "z"], "action_scale": 9}}
    (tmp_path / "robot" / "base.yaml").write_text(yaml.safe_dump(base))
    c = read(folder, rl_sar(dt=None, decimation=None, joint_names=None, action_scale=0.5))
    assert (c.window.control_hz, c.outputs[0].elements) == (50.0, ("z", "x", "y"))
    assert c.metadata["action_scale"] == 0.5
    other = {"other_robot": base["robot"]}
    (tmp_path / "robot" / "base.yaml").write_text(yaml.safe_dump(other))
    c = read(folder, rl_sar(dt=None, decimation=None, joint_names=None))
    assert (c.window.control_hz, c.outputs[0].elements) == (None, None)


WRONG = [
    {"joint_mapping": [0, 1, 3]},
    {"joint_mapping": [0, 1, 1]},
    {"joint_mapping": "012"},
    {"num_observations": "twelve"},
    {"num_observations": -1},
    {"num_observations": 10**12},
    {"num_of_dofs": 2.5},
    {"dt": 0},
    {"dt": float("nan")},
    {"decimation": True},
    {"joint_names": [1, 2, 3]},
    {"observations": {"a": 1}},
]


@pytest.mark.parametrize("changes", WRONG)
def test_what_is_wrong_is_said_with_the_file(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError, match=r"config\.yaml") as e:
        read(tmp_path, rl_sar(**changes))
    assert "recognized as" not in str(e.value)


def test_isaac_joints_only_where_the_order_is_the_policys(tmp_path: Path) -> None:
    def env(**action: Any) -> dict[str, Any]:
        term = {"joint_names": ["j1", "j0"], "scale": 0.5, "preserve_order": True, **action}
        return {"decimation": 2, "sim": {"dt": 0.01}, "scene": {}, "actions": {"joint_pos": term}, "action_space": 2}

    assert read(tmp_path, env(), "env.yaml").outputs[0].elements == ("j1", "j0")
    assert read(tmp_path, env(preserve_order=False), "env.yaml").outputs[0].elements is None
    assert read(tmp_path, env(joint_names=[".*"]), "env.yaml").outputs[0].elements is None


def test_tags_build_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "pwned"
    text = yaml.safe_dump(rl_sar()) + f"x: !!python/object/apply:os.system ['touch {marker}']\n"
    with pytest.raises(ArtifactError):
        read(tmp_path, text)
    nested = yaml.safe_dump(rl_sar()).replace("dt: 0.005", f"dt: !!python/object/apply:os.system ['touch {marker}']")
    with pytest.raises(ArtifactError, match="dt is"):
        read(tmp_path, nested)
    assert not marker.exists()


@pytest.mark.parametrize("text", ["a: 1", "- 1", "just text: here", "{}", "3: 4", "policy: {num_actions: 3}"])
def test_other_yaml_is_left_to_others(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    assert not READER.matches(Artifact(path, "yaml"))
