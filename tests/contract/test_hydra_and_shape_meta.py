"""Hydra YAML: references are looked up where the file or its defaults say, and stay text everywhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from parity.artifact import recognize
from parity.contract import Contract, Sampler, Window
from parity.contract.hydra import load_hydra, resolve
from parity.contract.lerobot_hydra import READER as HYDRA
from parity.contract.shape_meta import READER as SHAPES
from parity.contract.shape_meta import contract_of
from parity.errors import ArtifactError

POLICY = """
dataset_repo_id: lerobot/pusht
policy:
  name: diffusion
  n_obs_steps: 2
  horizon: 16
  n_action_steps: 8
  input_shapes:
    observation.image: [3, 96, 96]
    observation.state: ["${env.state_dim}"]
  output_shapes:
    action: ["${env.action_dim}"]
  input_normalization_modes:
    observation.image: mean_std
    observation.state: min_max
  output_normalization_modes:
    action: min_max
"""
SHAPE_META = """
shape_meta: &shape_meta
  obs:
    image: {shape: [3, 96, 96], type: rgb}
    agent_pos: {shape: [2]}
    depth: {shape: [1, 96, 96], type: depth}
    other: {shape: [4], type: spectral}
  action: {shape: [2]}
dataset: {shape_meta: *shape_meta}
"""


def read(path: Path, text: str, reader: Any = HYDRA) -> Contract:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    artifact = recognize(path)
    assert reader.matches(artifact)
    contract = reader.read(artifact)
    assert isinstance(contract, Contract)
    return contract


def test_references_that_nobody_answers_stay(tmp_path: Path) -> None:
    contract = read(tmp_path / "diffusion.yaml", POLICY)
    assert contract.inputs[1].shape == ("${env.state_dim}",)
    assert contract.outputs[0].shape == ("${env.action_dim}",)
    assert [(f.code, f.severity) for f in contract.findings] == [("CONTRACT003", "info")]
    assert contract.findings[0].evidence == {"observation.state": ["${env.state_dim}"], "action": ["${env.action_dim}"]}
    assert [t.role for t in (*contract.inputs, *contract.outputs)] == ["image", "state", "action"]


def test_references_within_the_file(tmp_path: Path) -> None:
    contract = read(tmp_path / "c.yaml", POLICY + "env: {state_dim: 2, action_dim: '${env.state_dim}', fps: 10}\n")
    assert contract.inputs[1].shape == contract.outputs[0].shape == (2,)
    assert contract.window == Window(2, 16, None, 8, 10.0)
    assert contract.findings == ()
    assert contract.metadata["references"]["policy.output_shapes.action.0"] == "${env.action_dim}"


def test_the_defaults_list_is_joined(tmp_path: Path) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "env").mkdir()
    (tmp_path / "policy" / "diffusion.yaml").write_text("# @package _global_\n" + POLICY)
    (tmp_path / "env" / "pusht.yaml").write_text("# @package _global_\nfps: 10\nenv: {state_dim: 2, action_dim: 3}\n")
    main = "defaults:\n  - _self_\n  - env: pusht\n  - policy: diffusion\ndataset_repo_id: x\npolicy: {}\n"
    contract = read(tmp_path / "default.yaml", main.replace("policy: {}\n", ""))
    assert contract.policy == "diffusion"
    assert (contract.inputs[1].shape, contract.outputs[0].shape) == ((2,), (3,))
    assert contract.metadata["sources"] == ["default.yaml", "pusht.yaml", "diffusion.yaml"]


def test_a_main_file_whose_policy_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="describes no LeRobot policy"):
        read(tmp_path / "default.yaml", "defaults: [{policy: diffusion}]\ndataset_repo_id: x\n")


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "a/../../b", "~/x", "x y"])
def test_the_defaults_list_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.yaml").write_text("state_dim: 1\n")
    (tmp_path / "b.yaml").write_text("state_dim: 1\n")
    path = tmp_path / "in" / "c.yaml"
    path.parent.mkdir()
    path.write_text(f"defaults: [{{env: '{name}'}}]\na: ${{env.state_dim}}\n")
    assert load_hydra(path).data["a"] == "${env.state_dim}"
    assert load_hydra(path).sources == (path,)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("state_dim: 1\n")
    (tmp_path / "in" / "env").mkdir(parents=True)
    (tmp_path / "in" / "env" / "x.yaml").symlink_to(tmp_path / "secret.yaml")
    path = tmp_path / "in" / "c.yaml"
    path.write_text("defaults: [{env: x}]\na: ${env.state_dim}\n")
    assert load_hydra(path).data["a"] == "${env.state_dim}"


@pytest.mark.parametrize(
    ("data", "place", "wanted"),
    [
        ({"a": "${b}", "b": "${c.0}", "c": [7]}, "a", 7),
        ({"a": "${a}"}, "a", "${a}"),
        ({"a": "${b}", "b": "${a}"}, "a", "${b}"),
        ({"a": "x ${b}", "b": 1}, "a", "x ${b}"),
        ({"a": "${now:%Y}"}, "a", "${now:%Y}"),
        ({"a": "${oc.env:HOME}"}, "a", "${oc.env:HOME}"),
        ({"a": "${eval:'${b}+${c}'}", "b": 8, "c": 1}, "a", 9),
        ({"a": "${eval:'${b}-1+${c}'}", "b": 8, "c": 1}, "a", 8),
        ({"a": "${eval:'${b}+${d}'}", "b": 8}, "a", "${eval:'${b}+${d}'}"),
        ({"a": "${eval:'__import__(\"os\").getcwd()'}"}, "a", "${eval:'__import__(\"os\").getcwd()'}"),
        ({"a": "${eval:'9**9'}"}, "a", "${eval:'9**9'}"),
        ({"a": "${.b}", "b": 1}, "a", "${.b}"),
        ({"a": "${b[0]}", "b": [1]}, "a", "${b[0]}"),
        ({"a": "${task.b}", "b": 4}, "a", 4),
        ({"a": "${task.b}", "b": 4, "task": {}}, "a", "${task.b}"),
    ],
)
def test_what_is_looked_up_and_what_is_not(data: dict[str, Any], place: str, wanted: Any) -> None:
    assert resolve(data, "f").data[place] == wanted


def test_references_that_multiply_are_refused() -> None:
    data: dict[str, Any] = {"a0": [1] * 9}
    data |= {f"a{i}": [f"${{a{i - 1}}}"] * 9 for i in range(1, 30)}
    with pytest.raises(ArtifactError, match="multiply"):
        resolve(data, "f")
    deep: dict[str, Any] = {"a0": 1}
    for i in range(1, 15):
        value: Any = f"${{a{i - 1}}}"
        for _ in range(90):
            value = [value]
        deep[f"a{i}"] = value
    with pytest.raises(ArtifactError, match="multiply"):
        resolve(deep, "f")


def test_the_hydra_era_sampler_and_statistics(tmp_path: Path) -> None:
    more = (
        "  noise_scheduler_type: DDPM\n  num_train_timesteps: 100\n  num_inference_steps: null\n"
        "  prediction_type: epsilon\n  clip_sample: True\n  clip_sample_range: 1.0\n"
        "override_dataset_stats:\n"
        "  observation.image: {mean: [[[0.5]], [[0.5]], [[0.5]]], std: [[[0.5]], [[0.5]], [[0.5]]]}\n"
        "  observation.state: {min: [1, 2], max: [3, 4]}\n"
    )
    contract = read(tmp_path / "c.yaml", POLICY + more)
    assert contract.sampler == Sampler("DDPM", 100, prediction_type="epsilon", clip_sample=True, clip_sample_range=1.0)
    image, state = (t.range for t in contract.inputs)
    assert image is not None
    assert state is not None
    assert (image.kind, image.shape, image.first) == ("mean_std", (3, 1, 1), (0.5, 0.5, 0.5))
    assert (state.kind, state.second, state.source) == (
        "min_max",
        (3.0, 4.0),
        "c.yaml: override_dataset_stats.observation.state",
    )


@pytest.mark.corpus
def test_a_shape_meta_inside_a_lerobot_file(corpus: Path) -> None:
    path = corpus / "lerobot_configs" / "hydra_yaml" / "005b0517_diffusion.yaml"
    artifact = recognize(path)
    assert HYDRA.matches(artifact)
    assert not SHAPES.matches(artifact)
    contract = HYDRA.read(artifact)
    assert contract.window == Window(2, 16, None, 8)
    assert [t.name for t in (*contract.inputs, *contract.outputs)] == ["image", "agent_pos", "action"]
    assert contract.complete
    assert contract.sampler == Sampler(
        "DDPM",
        100,
        100,
        "squaredcos_cap_v2",
        0.0001,
        0.02,
        "epsilon",
        clip_sample=True,
        variance_type="fixed_small",
        use_ema=True,
    )


def test_shape_meta_roles(tmp_path: Path) -> None:
    contract = read(tmp_path / "task.yaml", SHAPE_META, SHAPES)
    assert [(t.name, t.role) for t in contract.inputs] == [
        ("image", "image"),
        ("agent_pos", "state"),
        ("depth", "image"),
        ("other", None),
    ]
    assert contract.outputs[0].shape == (2,)
    assert contract.complete
    assert contract.window == Window()
    assert contract.sampler is None


def test_a_training_configuration_of_diffusion_policy(tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "pusht.yaml").write_text("name: pusht\nimage_shape: [3, 96, 96]\n" + SHAPE_META)
    main = """
defaults: [_self_, {task: pusht}]
_target_: diffusion_policy.workspace.X
shape_meta: ${task.shape_meta}
horizon: 16
n_obs_steps: 2
n_action_steps: 8
n_latency_steps: 1
policy:
  _target_: diffusion_policy.policy.diffusion_unet_image_policy.DiffusionUnetImagePolicy
  horizon: ${horizon}
  n_action_steps: ${eval:'${n_action_steps}+${n_latency_steps}'}
  num_inference_steps: 16
  noise_scheduler:
    {_target_: diffusers.DDIMScheduler, num_train_timesteps: 50, prediction_type: epsilon, clip_sample: true}
training: {use_ema: true}
"""
    contract = read(tmp_path / "train.yaml", main, SHAPES)
    assert contract.policy == "DiffusionUnetImagePolicy"
    assert contract.window == Window(2, 16, None, 9)
    assert contract.sampler == Sampler("DDIM", 50, 16, prediction_type="epsilon", clip_sample=True, use_ema=True)
    assert [t.name for t in contract.inputs] == ["image", "agent_pos", "depth", "other"]
    assert contract.findings == ()


def test_a_training_configuration_whose_task_is_elsewhere(tmp_path: Path) -> None:
    contract = read(tmp_path / "t.yaml", "defaults: [{task: x}]\nshape_meta: ${task.shape_meta}\nhorizon: 16\n", SHAPES)
    assert not contract.complete
    assert contract.window.horizon == 16
    assert [f.code for f in contract.findings] == ["CONTRACT002"]


def test_umi_says_the_window_in_every_key(tmp_path: Path) -> None:
    keys = "    a: {shape: [3], horizon: 2}\n    b: {shape: [1], horizon: N}\n"
    text = f"shape_meta:\n  obs:\n{keys}  action: {{shape: [10], horizon: 32}}\n"
    agreed, torn = text.replace("N", "2"), text.replace("N", "1")
    assert read(tmp_path / "a.yaml", agreed, SHAPES).window == Window(n_obs_steps=2, horizon=32)
    assert read(tmp_path / "b.yaml", torn, SHAPES).window == Window(horizon=32)


def test_the_configuration_inside_a_checkpoint_is_read_alike() -> None:
    contract = contract_of({"shape_meta": {"obs": {"a": {"shape": [3]}}, "action": {"shape": [2]}}}, Path("x.ckpt"))
    assert (contract.inputs[0].shape, contract.outputs[0].shape) == ((3,), (2,))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("shape_meta: 3", "shape_meta is a number"),
        ("shape_meta: {obs: [1], action: {shape: [2]}}", r"shape_meta\.obs is a list"),
        ("shape_meta: {obs: {a: [3]}}", "observation 'a' is a list"),
        ("shape_meta: {obs: {a: {shape: x}}}", "shape of a is 'x'"),
        ("shape_meta: {obs: {a: {shape: [3], horizon: x}}}", "horizon of a is 'x'"),
        ("shape_meta: {action: 3}", r"shape_meta\.action is a number"),
        ("shape_meta: {obs: {}}\nhorizon: [1]", "horizon is a list"),
        ("shape_meta: {obs: {}}\npolicy: {_target_: a.B, noise_scheduler: {beta_end: x}}", "beta_end is 'x'"),
    ],
)
def test_wrong_shape_meta_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ArtifactError, match=said):
        read(tmp_path / "x.yaml", text, SHAPES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("policy: {name: act, input_shapes: {a: [3, 4}", "line 1, column"),
        ("policy:\n  name: act\n name: b\n", "line 3"),
        ("a: " + "[" * 100_000, "nested deeper"),
        ("policy: {name: act, input_shapes: [3]}", "input_shapes is a list"),
        ("policy: {name: act, input_shapes: {a: [x]}}", "shape of a holds 'x'"),
        ("policy: {name: act, n_obs_steps: x, input_shapes: {}}", "n_obs_steps is 'x'"),
        (
            "policy: {name: act, input_shapes: {}, input_normalization_modes: {a: 1}}",
            "input_normalization_modes of 'a'",
        ),
    ],
)
def test_wrong_hydra_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ArtifactError, match=said):
        read(tmp_path / "x.yaml", text)


@pytest.mark.parametrize(
    "text",
    [
        "a: 1",
        "policy: {name: walk, path: x.onnx}",
        "policy: [1]",
        "- 1",
        "!!python/object/apply:os.system [id]",
        "just text",
    ],
)
def test_other_yaml_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    artifact = recognize(path)
    assert not SHAPES.matches(artifact)
    assert not HYDRA.matches(artifact)
