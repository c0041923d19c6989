"""A policy folder is read as what it would run: five policies in three eras agree, and what is not applied is found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity.artifact import recognize
from parity.contract import Contract
from parity.contract.lerobot import READER
from parity.errors import ArtifactError
from parity.tensor import Range, TensorSpec
from tensor_files import save_tensors

ERAS = ("lerobot-0.3.3-legacy", "lerobot-0.4.4", "lerobot-0.6.1")
POLICIES = (
    "act_aloha_image_narrowresnet",
    "act_envstate",
    "dp_pusht_2cam_bn_h64",
    "dp_pusht_image_narrowresnet",
    "dp_pusht_keypoints_ddim10",
)


def read(path: Path) -> Contract:
    artifact = recognize(path)
    assert READER.matches(artifact)
    return READER.read(artifact)


def found(contract: Contract) -> list[tuple[str, str]]:
    return [(f.code, f.severity) for f in contract.findings]


def without_source(specs: Iterable[TensorSpec]) -> list[TensorSpec]:
    return [t if t.range is None else replace(t, range=replace(t.range, source="")) for t in specs]


CONFIG = {
    "type": "act",
    "n_obs_steps": 1,
    "input_features": {
        "observation.state": {"type": "STATE", "shape": [2]},
        "observation.images.wrist_cam": {"type": "VISUAL", "shape": [3, 4, 5]},
    },
    "output_features": {"action": {"type": "ACTION", "shape": [2]}},
    "normalization_mapping": {"VISUAL": "MEAN_STD", "STATE": "MIN_MAX", "ACTION": "MEAN_STD"},
    "chunk_size": 10,
    "n_action_steps": 5,
}
STATS = {
    "observation.state.min": [0, 1],
    "observation.state.max": [2, 3],
    "observation.images.wrist_cam.mean": np.full((3, 1, 1), 0.5),
    "observation.images.wrist_cam.std": np.full((3, 1, 1), 0.25),
    "action.mean": [0.5, 0.5],
    "action.std": [1, 2],
}


def normalizer(name: str, features: dict[str, Any], file: str, **changes: Any) -> dict[str, Any]:
    config = {"eps": 1e-8, "features": features, "norm_map": CONFIG["normalization_mapping"], **changes}
    return {"registry_name": name, "config": config, "state_file": file}


def make(
    folder: Path, before: dict[str, Any] | None = None, after: dict[str, Any] | None = None, **changes: Any
) -> Path:
    """Write a policy folder of the processor era; ``before`` and ``after`` are the two files of statistics."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    everything: dict[str, Any] = {**CONFIG["input_features"], **CONFIG["output_features"]}  # type: ignore[dict-item]
    sides = (("pre", "normalizer_processor", before, everything), ("post", "unnormalizer_processor", after, everything))
    for side, name, arrays, features in sides:
        file = f"policy_{side}processor_step_0_{name}.safetensors"
        steps = [{"registry_name": "device_processor", "config": {}}, normalizer(name, features, file)]
        (folder / f"policy_{side}processor.json").write_text(json.dumps({"name": f"policy_{side}", "steps": steps}))
        save_tensors(folder / file, STATS if arrays is None else arrays)
    return folder


@pytest.mark.corpus
@pytest.mark.parametrize("policy", POLICIES)
def test_one_policy_in_three_eras_is_one_contract(corpus: Path, policy: str) -> None:
    first, *others = (read(corpus / "made" / era / policy) for era in ERAS)
    assert all(t.range is not None for t in (*first.inputs, *first.outputs))
    assert first.findings == ()
    assert first.complete
    for other in others:
        assert without_source(other.inputs) == without_source(first.inputs)
        assert without_source(other.outputs) == without_source(first.outputs)
        assert (other.policy, other.window, other.sampler) == (first.policy, first.window, first.sampler)
        assert other.normalization.modes == first.normalization.modes
        assert other.findings == ()
        json.dumps(other.as_json())


@pytest.mark.corpus
def test_the_sampler_of_a_made_policy(corpus: Path) -> None:
    sampler = read(corpus / "made" / "lerobot-0.4.4" / "dp_pusht_keypoints_ddim10").sampler
    assert sampler is not None
    assert (sampler.scheduler, sampler.train_steps, sampler.inference_steps) == ("DDIM", 100, 10)
    assert (sampler.beta_schedule, sampler.beta_start, sampler.beta_end) == ("squaredcos_cap_v2", 0.0001, 0.02)
    assert (sampler.prediction_type, sampler.clip_sample, sampler.clip_sample_range) == ("epsilon", True, 1.0)
    assert (sampler.variance_type, sampler.use_ema) == (None, None)
    assert read(corpus / "made" / "lerobot-0.4.4" / "act_envstate").sampler is None


@pytest.mark.corpus
def test_statistics_that_were_migrated_to_a_wrong_name_are_found(corpus: Path) -> None:
    contract = read(corpus / "made" / "lerobot-0.4.4-migrated-badstats" / "dp_pusht_image_wrist_cam")
    assert found(contract) == [("CONTRACT004", "error")]
    assert contract.findings[0].title == (
        "normalization statistics exist for observation.images.wrist.cam but the policy's feature is "
        "observation.images.wrist_cam: silently the identity"
    )
    wrist = contract.input("observation.images.wrist_cam")
    assert wrist is not None
    assert wrist.range is None


def test_a_folder_of_the_processor_era(tmp_path: Path) -> None:
    contract = read(make(tmp_path / "p"))
    assert contract.path == tmp_path / "p"
    assert contract.findings == ()
    source = "policy_preprocessor_step_0_normalizer_processor.safetensors: observation.state"
    assert contract.inputs[0].range == Range("min_max", (0.0, 1.0), (2.0, 3.0), (2,), source)
    assert contract.inputs[1].range is not None
    assert contract.inputs[1].range.shape == (3, 1, 1)
    assert contract.outputs[0].range is not None
    assert contract.outputs[0].range.kind == "mean_std"
    processors = contract.metadata["processors"]
    assert processors["policy_preprocessor.json"]["steps"] == ["device_processor", "normalizer_processor"]


def test_a_checkpoint_folder_holds_the_policy_one_level_down(tmp_path: Path) -> None:
    make(tmp_path / "pretrained_model")
    assert read(tmp_path).policy == "act"


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (
            {"observation.state.min": None, "observation.state.max": None},
            "CONTRACT005",
            "there are no statistics for it",
        ),
        ({"observation.state.min": None}, "CONTRACT005", "needs min and max; there are max"),
        (
            {"observation.state.min": [0, 1, 2], "observation.state.max": [1, 2, 3]},
            "CONTRACT006",
            "have the shape [3]; it is [2]",
        ),
        ({"observation.state.max": [np.inf, np.nan]}, "CONTRACT007", "2 values that are NaN or infinite"),
    ],
)
def test_statistics_that_cannot_be_applied(tmp_path: Path, change: dict[str, Any], code: str, said: str) -> None:
    arrays = {k: v for k, v in {**STATS, **change}.items() if v is not None}
    contract = read(make(tmp_path / "p", before=arrays))
    assert found(contract) == [(code, "error")]
    assert said in contract.findings[0].title
    assert contract.findings[0].where == "observation.state"


@pytest.mark.parametrize("stored", ["so100.buffer.observation.state", "observation_state", "observation/state"])
def test_statistics_under_another_name(tmp_path: Path, stored: str) -> None:
    arrays = {k.replace("observation.state", stored): v for k, v in STATS.items()}
    contract = read(make(tmp_path / "p", before=arrays))
    assert found(contract) == [("CONTRACT004", "error")]
    assert contract.findings[0].evidence["stored"] == stored


def test_statistics_that_differ_before_and_after(tmp_path: Path) -> None:
    contract = read(make(tmp_path / "p", after={**STATS, "action.std": [1, 2.5]}))
    assert found(contract) == [("CONTRACT011", "error")]
    assert contract.findings[0].evidence["statistics"] == ["std"]


def test_a_state_file_that_is_not_there(tmp_path: Path) -> None:
    folder = make(tmp_path / "p")
    (folder / "policy_preprocessor_step_0_normalizer_processor.safetensors").unlink()
    assert found(read(folder)) == [("CONTRACT008", "error")]


def test_a_processor_without_a_normalizer_does_not_normalize(tmp_path: Path) -> None:
    folder = make(tmp_path / "p")
    (folder / "policy_postprocessor.json").write_text(json.dumps({"name": "x", "steps": [{"registry_name": "device"}]}))
    contract = read(folder)
    assert found(contract) == [("CONTRACT005", "error")]
    assert contract.findings[0].title.startswith("policy_postprocessor.json does not normalize action (MEAN_STD)")
    (folder / "policy_postprocessor.json").unlink()
    assert found(read(folder)) == [("CONTRACT005", "error")]


def test_a_feature_that_the_normalizer_does_not_know(tmp_path: Path) -> None:
    folder = make(tmp_path / "p")
    path = folder / "policy_preprocessor.json"
    data = json.loads(path.read_text())
    del data["steps"][1]["config"]["features"]["observation.state"]
    path.write_text(json.dumps(data))
    contract = read(folder)
    assert found(contract) == [("CONTRACT005", "error")]
    assert "observation.state (MIN_MAX)" in contract.findings[0].title


def test_the_processors_modes_win_and_the_contradiction_is_named(tmp_path: Path) -> None:
    mapping = {"VISUAL": "MEAN_STD", "STATE": "IDENTITY", "ACTION": "MEAN_STD"}
    contract = read(make(tmp_path / "p", normalization_mapping=mapping))
    assert contract.normalization.modes["STATE"] == "MIN_MAX"
    assert [f.code for f in contract.findings] == ["CONTRACT012", "CONTRACT012"]


def legacy(folder: Path, arrays: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    save_tensors(folder / "model.safetensors", {"model.weight": [1.0], **arrays})
    return folder


BUFFERS = {
    "normalize_inputs.buffer_observation_state.min": [0, 1],
    "normalize_inputs.buffer_observation_state.max": [2, 3],
    "normalize_inputs.buffer_observation_images_wrist_cam.mean": np.zeros((3, 1, 1)),
    "normalize_inputs.buffer_observation_images_wrist_cam.std": np.ones((3, 1, 1)),
    "normalize_targets.buffer_action.mean": [9, 9],
    "normalize_targets.buffer_action.std": [9, 9],
    "unnormalize_outputs.buffer_action.mean": [0.5, 0.5],
    "unnormalize_outputs.buffer_action.std": [1, 2],
}


def test_legacy_buffers(tmp_path: Path) -> None:
    contract = read(legacy(tmp_path / "p", BUFFERS))
    assert contract.findings == ()
    assert [t.range is not None for t in (*contract.inputs, *contract.outputs)] == [True] * 3
    assert contract.outputs[0].range is not None
    assert contract.outputs[0].range.first == (0.5, 0.5)
    assert contract.outputs[0].range.source == "model.safetensors: unnormalize_outputs.buffer_action"


def test_legacy_buffers_of_one_dataset_and_of_several(tmp_path: Path) -> None:
    one = {k.replace("buffer_", "so100_buffer_"): v for k, v in BUFFERS.items()}
    contract = read(legacy(tmp_path / "one", one))
    assert contract.findings == ()
    assert all(t.range is not None for t in (*contract.inputs, *contract.outputs))
    two = {**one, **{k.replace("buffer_", "so100-red_buffer_"): v for k, v in BUFFERS.items()}}
    contract = read(legacy(tmp_path / "two", two))
    assert {c for c, _ in found(contract)} == {"CONTRACT010"}
    assert all(t.range is None for t in (*contract.inputs, *contract.outputs))


def test_legacy_buffers_that_were_never_set(tmp_path: Path) -> None:
    contract = read(legacy(tmp_path / "p", {**BUFFERS, "unnormalize_outputs.buffer_action.mean": [np.inf, np.inf]}))
    assert found(contract) == [("CONTRACT007", "error")]


def test_weights_without_any_statistics(tmp_path: Path) -> None:
    contract = read(legacy(tmp_path / "p", {}))
    assert found(contract) == [("CONTRACT005", "error")]
    shutil.rmtree(tmp_path / "p")
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "config.json").write_text(json.dumps(CONFIG))
    assert found(read(tmp_path / "p")) == []  # no weights: nothing would run


def test_a_training_configuration_beside_it(tmp_path: Path) -> None:
    folder = make(tmp_path / "p")
    train = {"dataset": {"repo_id": "a/b"}, "env": {"fps": 10}, "policy": CONFIG, "rename_map": {"a": "b"}}
    (folder / "train_config.json").write_text(json.dumps(train))
    contract = read(folder)
    assert contract.findings == ()
    assert contract.window.control_hz == 10.0
    assert contract.metadata["dataset"] == {"repo_id": "a/b"}
    (folder / "train_config.json").write_text(json.dumps({**train, "policy": {**CONFIG, "n_action_steps": 8}}))
    contract = read(folder)
    assert found(contract) == [("CONTRACT009", "warning")]
    assert contract.window.n_action_steps == 5
    assert contract.findings[0].title == "config.json and train_config.json disagree about window"


def test_only_a_training_configuration(tmp_path: Path) -> None:
    (tmp_path / "train_config.json").write_text(json.dumps({"policy": CONFIG}))
    assert read(tmp_path).window.chunk_size == 10


def test_the_first_folders_name_their_policy_in_yaml(tmp_path: Path) -> None:
    config = {
        "input_shapes": {"observation.image": [3, 96, 96], "observation.state": [2]},
        "output_shapes": {"action": [2]},
        "input_normalization_modes": {"observation.image": "mean_std", "observation.state": "min_max"},
        "output_normalization_modes": {"action": "min_max"},
        "n_obs_steps": 2,
        "horizon": 16,
        "n_action_steps": 8,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "config.yaml").write_text("policy:\n  name: diffusion\n")
    contract = read(tmp_path)
    assert contract.policy == "diffusion"
    assert [t.role for t in (*contract.inputs, *contract.outputs)] == ["image", "state", "action"]
    assert contract.normalization.modes["action"] == "min_max"


def test_a_corrupt_part_is_named(tmp_path: Path) -> None:
    folder = make(tmp_path / "p")
    file = folder / "policy_preprocessor_step_0_normalizer_processor.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(ArtifactError, match=r"normalizer_processor\.safetensors"):
        read(folder)
    (folder / "policy_preprocessor.json").write_text('{"steps": [')
    with pytest.raises(ArtifactError, match=r"policy_preprocessor\.json: not valid JSON in line 1"):
        read(folder)
    (folder / "config.json").write_text('{"type": "act",')
    with pytest.raises(ArtifactError, match=r"config\.json: not valid JSON in line 1"):
        read(folder)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/b", "..\\x", ""])
def test_state_files_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    folder = make(tmp_path / "p")
    path = folder / "policy_preprocessor.json"
    data = json.loads(path.read_text())
    data["steps"][1]["state_file"] = name
    path.write_text(json.dumps(data))
    with pytest.raises(ArtifactError, match="in the same folder"):
        read(folder)


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    assert not READER.matches(recognize(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bert", "hidden_size": 3}')
    assert not READER.matches(recognize(tmp_path))
