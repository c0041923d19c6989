"""Single LeRobot files: what they say is kept, what they leave out stays None, what is wrong is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from parity.artifact import recognize
from parity.contract import Contract, Sampler, Window
from parity.contract.lerobot import READER
from parity.contract.lerobot_processor import READER as PROCESSOR
from parity.errors import ArtifactError

STATE = {"observation.state": {"type": "STATE", "shape": [6]}}
ACTION = {"action": {"type": "ACTION", "shape": [6]}}
CONFIG = {"type": "act", "n_obs_steps": 1, "input_features": STATE, "output_features": ACTION}


def read(tmp_path: Path, data: Any, name: str = "config.json") -> Contract:
    path = tmp_path / name
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    artifact = recognize(path)
    assert READER.matches(artifact)
    return READER.read(artifact)


def test_nothing_missing_is_filled(tmp_path: Path) -> None:
    contract = read(tmp_path, {"type": "diffusion", "n_obs_steps": 2})
    assert contract.policy == "diffusion"
    assert contract.window == Window(n_obs_steps=2)
    assert contract.sampler is None
    assert (contract.inputs, contract.outputs, contract.complete) == ((), (), False)
    assert dict(contract.normalization.modes) == {}
    assert [(f.code, f.severity) for f in contract.findings] == [("CONTRACT002", "info")]


@pytest.mark.parametrize("features", [None, {}])
def test_features_that_are_null_or_empty(tmp_path: Path, features: Any) -> None:
    contract = read(tmp_path, {**CONFIG, "input_features": features})
    assert contract.inputs == ()
    assert [t.name for t in contract.outputs] == ["action"]
    assert not contract.complete
    assert contract.findings[0].title.startswith("no inputs declared")


def test_roles_by_type(tmp_path: Path) -> None:
    types = {
        "a": "VISUAL",
        "b": "STATE",
        "c": "ENV",
        "d": "LANGUAGE",
        "e": "REWARD",
        "f": "FeatureType.STATE",
        "g": None,
    }
    features = {name: {"type": kind, "shape": [3]} for name, kind in types.items()}
    contract = read(tmp_path, {**CONFIG, "input_features": features})
    roles = [t.role for t in contract.inputs]
    assert roles == ["image", "state", "environment_state", "tokens", None, "state", None]
    assert contract.outputs[0].role == "action"
    assert [t.dtype for t in contract.inputs] == [None] * 7


def test_unknown_fields_are_kept(tmp_path: Path) -> None:
    contract = read(tmp_path, {**CONFIG, "brand_new": {"x": [1, None]}, "dim_model": 512})
    assert contract.metadata["config"] == {"brand_new": {"x": [1, None]}, "dim_model": 512}
    assert contract.as_json()["metadata"]["config"]["dim_model"] == 512


def test_channels_last_is_kept_and_found(tmp_path: Path) -> None:
    image = {"observation.images.front": {"type": "VISUAL", "shape": [480, 640, 3]}}
    contract = read(tmp_path, {**CONFIG, "input_features": {**STATE, **image}})
    assert contract.inputs[1].shape == (480, 640, 3)
    assert [(f.code, f.severity, f.where) for f in contract.findings] == [
        ("CONTRACT001", "warning", "observation.images.front")
    ]


def test_the_sampler_as_it_is_written(tmp_path: Path) -> None:
    fields = {
        "noise_scheduler_type": "DDPM",
        "num_train_timesteps": 100,
        "num_inference_steps": None,
        "beta_schedule": "squaredcos_cap_v2",
        "beta_start": 0.0001,
        "beta_end": 0.02,
        "prediction_type": "epsilon",
        "clip_sample": True,
        "clip_sample_range": 1,
    }
    contract = read(tmp_path, {**CONFIG, **fields, "type": "diffusion"})
    assert contract.sampler == Sampler(
        "DDPM", 100, None, "squaredcos_cap_v2", 0.0001, 0.02, "epsilon", clip_sample=True, clip_sample_range=1.0
    )


def test_a_flow_policy_counts_its_own_steps(tmp_path: Path) -> None:
    assert read(tmp_path, {**CONFIG, "type": "pi0", "num_steps": 10}).sampler == Sampler(
        "flow_matching", inference_steps=10
    )
    assert read(tmp_path, {**CONFIG, "type": "pi0"}).sampler == Sampler("flow_matching")


def test_statistics_written_in_the_configuration(tmp_path: Path) -> None:
    image = {"observation.images.front": {"type": "VISUAL", "shape": [3, 128, 128]}}
    stats = {
        "observation.images.front": {"mean": [0.4, 0.5, 0.6], "std": [0.1, 0.2, 0.3]},
        "observation.state": {"min": [0] * 6, "max": [1] * 6},
        "action": {"min": [0] * 5, "max": [1] * 5},
    }
    contract = read(tmp_path, {**CONFIG, "input_features": {**STATE, **image}, "dataset_stats": stats})
    state, front = (t.range for t in contract.inputs)
    assert state is not None
    assert front is not None
    assert (state.kind, state.shape, state.source) == (
        "min_max",
        (6,),
        "config.json: dataset_stats.observation.state",
    )
    assert (front.kind, front.first, front.shape) == ("mean_std", (0.4, 0.5, 0.6), (3, 1, 1))
    assert contract.outputs[0].range is None
    assert [f.code for f in contract.findings] == ["CONTRACT006"]


def test_a_training_configuration_keeps_what_is_around_the_policy(tmp_path: Path) -> None:
    data = {
        "dataset": {"repo_id": "a/b"},
        "env": {"fps": 10, "task": "x"},
        "policy": CONFIG,
        "seed": 1,
        "rename_map": {"observation.images.cam": "observation.images.front"},
    }
    contract = read(tmp_path, data, "train_config.json")
    assert contract.policy == "act"
    assert contract.window.control_hz == 10.0
    assert contract.metadata["dataset"] == {"repo_id": "a/b"}
    assert contract.metadata["train_config"]["seed"] == 1
    assert contract.metadata["rename_map"] == {"observation.images.cam": "observation.images.front"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_obs_steps": "two"}, "n_obs_steps is 'two'"),
        ({"n_obs_steps": True}, "n_obs_steps is True"),
        ({"n_obs_steps": -1}, "n_obs_steps is -1"),
        ({"n_obs_steps": 1.5}, "n_obs_steps is 1.5"),
        ({"horizon": 10**30}, "beyond 10^15"),
        ({"chunk_size": [1]}, "chunk_size is a list"),
        ({"input_features": [1]}, "input_features is a list"),
        ({"input_features": {"a": [3]}}, "'a' is a list"),
        ({"input_features": {"a": {"type": 3, "shape": [1]}}}, "type of 'a'"),
        ({"input_features": {"a": {"type": "STATE", "shape": 3}}}, "shape of a is 3"),
        ({"input_features": {"a": {"type": "STATE", "shape": [10**30]}}}, "beyond 10^15"),
        ({"input_features": {"a": {"type": "STATE", "shape": [2**31]}}}, "2147483648"),
        ({"input_features": {"a": {"type": "STATE", "shape": [-1]}}}, "holds -1"),
        ({"input_features": {"a": {"type": "STATE", "shape": [True]}}}, "holds True"),
        ({"input_features": {"a": {"type": "STATE", "shape": [1] * 40}}}, "shape of a is a list"),
        ({"normalization_mapping": {"STATE": 1}}, "normalization_mapping of 'STATE'"),
        ({"normalization_mapping": "MEAN_STD"}, "normalization_mapping is a text"),
        ({"noise_scheduler_type": 3}, "noise_scheduler_type is 3"),
        ({"clip_sample": 1}, "clip_sample is 1"),
        ({"num_train_timesteps": -1}, "num_train_timesteps is -1"),
        ({"beta_start": "x"}, "beta_start is 'x'"),
        ({"dataset_stats": {"a": {"min": ["x"]}}}, "not an array of numbers"),
        ({"dataset_stats": {"a": {"min": [[1], [1, 2]]}}}, "not an array of numbers"),
    ],
)
def test_wrong_fields_are_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(ArtifactError) as e:
        read(tmp_path, {**CONFIG, **change})
    assert said in str(e.value)
    assert "config.json" in str(e.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"type": "act", "input_features": {', "line 1, column 36"),
        ('{"type": "act",\n "n_obs_steps": }', "line 2, column 17"),
        ("{" + '"a": {' * 100_000, "nested deeper"),
        ('{"type": "act", "type": "diffusion", "n_obs_steps": 1}', "'type' appears twice"),
        ('{"type": "act", "n_obs_steps": ' + "1" * 5000 + "}", "4300 digits"),
    ],
)
def test_text_that_cannot_be_parsed(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ArtifactError, match=r"config\.json") as e:
        read(tmp_path, text)
    assert said in str(e.value)


@pytest.mark.parametrize("text", ["[1, 2]", '{"a": 1}', '{"policy": {"a": 1}}', '{"policy": [1]}', "[]", "{}"])
def test_other_json_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    artifact = recognize(path)
    assert not READER.matches(artifact)
    assert not PROCESSOR.matches(artifact)
    with pytest.raises(ArtifactError, match=r"expected: a LeRobot"):
        READER.read(artifact)


def process(tmp_path: Path, data: Any) -> Contract:
    path = tmp_path / "policy_preprocessor.json"
    path.write_text(json.dumps(data))
    artifact = recognize(path)
    assert PROCESSOR.matches(artifact)
    return PROCESSOR.read(artifact)


def test_a_processor_on_its_own(tmp_path: Path) -> None:
    norm = {"features": {**STATE, **ACTION}, "norm_map": {"STATE": "MEAN_STD", "ACTION": "NormalizationMode.MIN_MAX"}}
    steps = [
        {"registry_name": "rename_observations_processor", "config": {"rename_map": {"a": "observation.state"}}},
        {"class": "some.package.NotImported", "config": {"x": 1}},
        {"registry_name": "normalizer_processor", "config": norm, "state_file": "state.safetensors"},
        {"registry_name": "device_processor"},
    ]
    contract = process(tmp_path, {"name": "policy_preprocessor", "steps": steps})
    assert contract.metadata["steps"] == [
        "rename_observations_processor",
        "some.package.NotImported",
        "normalizer_processor",
        "device_processor",
    ]
    assert contract.metadata["rename_map"] == {"a": "observation.state"}
    assert contract.normalization.modes == {"STATE": "MEAN_STD", "ACTION": "MIN_MAX"}
    assert contract.normalization.stats == ("state.safetensors",)
    assert [t.name for t in (*contract.inputs, *contract.outputs)] == ["observation.state", "action"]
    assert [f.code for f in contract.findings] == ["CONTRACT008"]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"registry_name": 3}, "named by a number"),
        ({"registry_name": "a", "config": [1]}, "configuration of a is a list"),
        ({"registry_name": "a", "state_file": "../x"}, "in the same folder"),
        ({"registry_name": "a", "config": {"rename_map": [1]}}, "rename_map is a list"),
        ({"registry_name": "normalizer_processor", "config": {"norm_map": {"STATE": 1}}}, "norm_map of 'STATE'"),
        ({"registry_name": "normalizer_processor", "config": {"features": [1]}}, "features is a list"),
    ],
)
def test_wrong_steps_are_named(tmp_path: Path, step: dict[str, Any], said: str) -> None:
    with pytest.raises(ArtifactError, match=said):
        process(tmp_path, {"steps": [step]})


def test_a_processor_without_steps(tmp_path: Path) -> None:
    contract = process(tmp_path, {"name": "policy_preprocessor", "steps": []})
    assert (contract.inputs, contract.complete, contract.metadata["steps"]) == ((), False, [])


ODD: list[Any] = [
    None,
    True,
    -1,
    10**30,
    1.5,
    float("nan"),
    "x",
    "",
    "${a.b}",
    [],
    {},
    [1],
    [[1]],
    {"a": 1},
    {"shape": [1]},
]


def places(data: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [p for key, value in pairs for p in [(*at, key), *places(value, (*at, key))]]


def replaced(data: Any, place: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(data))
    inner = copy
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return copy


def test_any_value_anywhere_is_a_contract_or_a_message(tmp_path: Path) -> None:
    whole = {
        **CONFIG,
        "normalization_mapping": {"STATE": "MEAN_STD"},
        "noise_scheduler_type": "DDIM",
        "num_inference_steps": 10,
        "dataset_stats": {"action": {"min": [0] * 6, "max": [1] * 6}},
    }
    step = {"registry_name": "normalizer_processor", "config": {"features": STATE, "norm_map": {"STATE": "IDENTITY"}}}
    documents = [
        ("config.json", whole),
        ("train_config.json", {"policy": whole, "env": {"fps": 10}, "rename_map": {"a": "b"}}),
        ("policy_preprocessor.json", {"name": "x", "steps": [{**step, "state_file": "s.safetensors"}]}),
    ]
    outcomes = {"contract": 0, "message": 0, "other": 0}
    for name, document in documents:
        for place in places(document):
            for value in ODD:
                (tmp_path / name).write_text(json.dumps(replaced(document, place, value)))
                artifact = recognize(tmp_path / name)
                reader = next((r for r in (PROCESSOR, READER) if r.matches(artifact)), None)
                try:
                    outcome = "other" if reader is None else "contract" if reader.read(artifact) else "message"
                except ArtifactError:
                    outcome = "message"
                outcomes[outcome] += 1
    assert min(outcomes.values()) > 0
