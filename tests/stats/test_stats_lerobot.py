"""LeRobot policies of every era: what is stored, how it is looked up, and which side and dataset it belongs to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from parity.errors import ArtifactError
from parity.stats.model import FeatureStats, NormStats
from parity.stats.registry import read_stats
from tensor_files import save_tensors

POLICIES = (
    "act_aloha_image_narrowresnet",
    "act_envstate",
    "dp_pusht_2cam_bn_h64",
    "dp_pusht_image_narrowresnet",
    "dp_pusht_keypoints_ddim10",
)
CONFIG: dict[str, Any] = {
    "type": "act",
    "chunk_size": 4,
    "n_action_steps": 4,
    "input_features": {"observation.state": {"type": "STATE", "shape": [2]}},
    "output_features": {"action": {"type": "ACTION", "shape": [2]}},
    "normalization_mapping": {"STATE": "MEAN_STD", "ACTION": "MIN_MAX"},
}
PAIR = {"mean": [1.0, 2.0], "std": [3.0, 4.0], "min": [0.0, 0.0], "max": [5.0, 5.0]}


def flat(features: Any) -> dict[str, Any]:
    return {f"{key}.{name}": v for key, one in features.items() for name, v in one.values.items()}


def same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value.dtype == np.float64
        np.testing.assert_array_equal(value, theirs[name].astype(np.float64), err_msg=name)


def write_policy(folder: Path, config: dict[str, Any] | None = None, **weights: Any) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config or CONFIG))
    save_tensors(folder / "model.safetensors", weights or {"w": [1.0]})
    return folder


def write_processors(folder: Path, stats: dict[str, Any], *, out: dict[str, Any] | None = None, **more: Any) -> Path:
    features = {**CONFIG["input_features"], **CONFIG["output_features"]}
    step = {"eps": 1e-6, "features": features, "norm_map": CONFIG["normalization_mapping"], **more}
    for side, name, state in (("pre", "normalizer", stats), ("post", "unnormalizer", stats if out is None else out)):
        file = f"policy_{side}processor_step_0_{name}_processor.safetensors"
        save_tensors(folder / file, state)
        steps = [{"registry_name": f"{name}_processor", "config": step, "state_file": file}]
        (folder / f"policy_{side}processor.json").write_text(json.dumps({"name": side, "steps": steps}))
    return folder


def feature(stats: NormStats, key: str) -> FeatureStats:
    return stats.features[key]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("era", ["lerobot-0.4.4", "lerobot-0.6.1"])
def test_processors_hold_what_their_state_files_hold(corpus: Path, era: str, policy: str) -> None:
    folder = corpus / "made" / era / policy
    (stats,) = read_stats(folder)
    assert (stats.kind, stats.era, stats.label, stats.findings) == ("lerobot_processor", "lerobot-0.4", str(folder), ())
    (before,) = folder.glob("policy_preprocessor_step_*.safetensors")
    (after,) = folder.glob("policy_postprocessor_step_*.safetensors")
    same(flat(stats.features), load_file(before))
    same(flat(stats.outputs), load_file(after))
    config = json.loads((folder / "config.json").read_text())
    for name, told in {**config["input_features"], **config["output_features"]}.items():
        (declared,) = [d for d in stats.declared if d.name == name]
        assert (declared.key, declared.type, declared.shape) == (name, told["type"], tuple(told["shape"]))
        assert declared.mode == feature(stats, name).mode == config["normalization_mapping"][told["type"]]
        assert declared.output == (name == "action")
        assert feature(stats, name).eps == 1e-8
        assert feature(stats, name).sources["mean"] == f"{before.name}: {name}.mean"
    assert stats.chunk == config.get("chunk_size", config.get("horizon"))


@pytest.mark.parametrize("policy", POLICIES)
def test_legacy_buffers_are_the_statistics_of_the_later_era(corpus: Path, policy: str) -> None:
    folder = corpus / "made/lerobot-0.3.3-legacy" / policy
    (old,) = read_stats(folder)
    (new,) = read_stats(corpus / "made/lerobot-0.4.4" / policy)
    assert (old.kind, old.era) == ("lerobot_legacy", "lerobot-0.3")
    raw = load_file(folder / "model.safetensors")
    buffers = {n.removeprefix("normalize_inputs.buffer_"): v for n, v in raw.items() if n.startswith("normalize_inp")}
    same(flat(old.features), buffers)
    outputs = {n.removeprefix("unnormalize_outputs.buffer_"): v for n, v in raw.items() if n.startswith("unnorm")}
    same(flat(old.outputs), outputs)
    for declared in old.declared:
        side = old.outputs if declared.output else old.features
        later = new.features[declared.name]
        assert side[declared.key].mode == later.mode == declared.mode
        for name, value in side[declared.key].values.items():
            np.testing.assert_array_equal(value, later.values[name])
    assert old.chunk == new.chunk


def test_a_weights_file_alone_has_the_modes_of_the_configuration_beside_it(corpus: Path) -> None:
    (stats,) = read_stats(corpus / "made/lerobot-0.3.3-legacy/act_envstate/model.safetensors")
    assert stats.features["observation_state"].mode == "MEAN_STD"


def test_the_migrated_camera_is_stored_under_another_name(corpus: Path) -> None:
    (stats,) = read_stats(corpus / "made/lerobot-0.4.4-migrated-badstats/dp_pusht_image_wrist_cam")
    assert "observation.images.wrist.cam" in stats.features
    assert stats.features["observation.images.wrist.cam"].mode is None  # nothing looks it up
    (camera,) = [d for d in stats.declared if d.type == "VISUAL"]
    assert camera.key == "observation.images.wrist_cam"
    assert camera.key not in stats.features


def test_a_migrated_folder_beside_a_legacy_one_is_read_too(corpus: Path, tmp_path: Path) -> None:
    old = corpus / "made/lerobot-0.3.3-legacy/act_envstate"
    new = corpus / "made/lerobot-0.4.4/act_envstate"
    shutil.copytree(old, tmp_path / "act")
    shutil.copytree(new, tmp_path / "act_migrated")
    found = read_stats(tmp_path / "act")
    assert [(s.kind, Path(s.label).name) for s in found] == [
        ("lerobot_legacy", "act"),
        ("lerobot_processor", "act_migrated"),
    ]
    assert [s.kind for s in read_stats(tmp_path / "act_migrated")] == ["lerobot_processor"]


def test_a_migrated_link_that_leads_away_is_not_followed(corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus / "made/lerobot-0.3.3-legacy/act_envstate", tmp_path / "here/act", copy_function=shutil.copy)
    (tmp_path / "here/act_migrated").symlink_to(corpus / "made/lerobot-0.4.4/act_envstate")
    assert [s.kind for s in read_stats(tmp_path / "here/act")] == ["lerobot_legacy"]


def test_buffers_of_several_datasets_are_a_set_each(tmp_path: Path) -> None:
    weights = {}
    for i, prefix in enumerate(("so100_", "so101-blue_", "aloha_", "")):
        for side, name in (("normalize_inputs", "observation_state"), ("unnormalize_outputs", "action")):
            for s, v in (("mean", i), ("std", 1)) if name != "action" else (("min", i), ("max", i + 1)):
                weights[f"{side}.{prefix}buffer_{name}.{s}"] = [float(v)] * 2
    found = read_stats(write_policy(tmp_path / "p", **weights))
    assert [s.facts["dataset"] for s in found] == ["so100", "so101-blue", "aloha", ""]
    assert [Path(s.label).name for s in found] == ["p [so100]", "p [so101-blue]", "p [aloha]", "p"]
    # 0.3.3 takes "so100_" away before it looks a buffer up, and nothing else
    assert [list(s.features) for s in found] == [["observation_state"]] * 2 + [
        ["aloha_buffer_observation_state"],
        ["observation_state"],
    ]
    assert [next(iter(s.features.values())).values["mean"][0] for s in found] == [0, 1, 2, 3]
    assert {one.mode for s in found for one in s.features.values()} == {"MEAN_STD"}
    assert all(s.facts["datasets"] == ["so100", "so101-blue", "aloha", ""] for s in found)


def test_processor_keys_of_a_dataset_stay_as_they_are_stored(tmp_path: Path) -> None:
    state = {f"so100.buffer.{f}.{n}": v for f in ("action", "observation.state") for n, v in PAIR.items()}
    (stats,) = read_stats(write_processors(write_policy(tmp_path / "p"), state))
    assert list(stats.features) == ["so100.buffer.action", "so100.buffer.observation.state"]
    assert stats.facts["datasets"] == ["so100"]
    assert {one.mode for one in stats.features.values()} == {None}


def test_the_processor_decides_what_is_applied(tmp_path: Path) -> None:
    state = {f"{f}.{n}": v for f in ("action", "observation.state", "timestamp") for n, v in PAIR.items()}
    folder = write_processors(write_policy(tmp_path / "p"), state, norm_map={"STATE": "QUANTILES"})
    (stats,) = read_stats(folder)
    assert {k: one.mode for k, one in stats.features.items()} == {
        "action": "IDENTITY",
        "observation.state": "QUANTILES",
        "timestamp": None,
    }
    assert {d.name: d.mode for d in stats.declared} == {"observation.state": "MEAN_STD", "action": "MIN_MAX"}
    assert {one.eps for one in stats.features.values()} == {1e-6}


def test_what_a_step_does_not_list_is_the_identity(tmp_path: Path) -> None:
    state = {f"{f}.{n}": v for f in ("action", "observation.state") for n, v in PAIR.items()}
    (stats,) = read_stats(write_processors(write_policy(tmp_path / "p"), state, features=CONFIG["output_features"]))
    assert stats.features["observation.state"].mode == "IDENTITY"
    (stats,) = read_stats(write_processors(tmp_path / "p", state, normalize_observation_keys=["observation.other"]))
    assert stats.features["observation.state"].mode == "IDENTITY"


def test_each_processor_file_alone_is_its_own_side(tmp_path: Path) -> None:
    one, two = {"action.mean": [1.0], "action.std": [1.0]}, {"action.mean": [2.0], "action.std": [1.0]}
    folder = write_processors(write_policy(tmp_path / "p"), one, out=two)
    (before,) = read_stats(folder / "policy_preprocessor.json")
    (after,) = read_stats(folder / "policy_postprocessor.json")
    assert (before.features["action"].values["mean"][0], before.outputs) == (1.0, {})
    assert (after.outputs["action"].values["mean"][0], after.features) == (2.0, {})


def test_a_missing_state_file_is_a_finding(tmp_path: Path) -> None:
    folder = write_processors(write_policy(tmp_path / "p"), {"action.mean": [1.0]})
    next(folder.glob("policy_pre*.safetensors")).unlink()
    (stats,) = read_stats(folder)
    assert [f.code for f in stats.findings] == ["CONTRACT008"]
    assert (stats.features, list(stats.outputs)) == ({}, ["action"])


def test_buffers_left_beside_processors_are_a_second_set(tmp_path: Path) -> None:
    weights = {
        "normalize_inputs.buffer_observation_state.mean": [0.0],
        "normalize_inputs.buffer_observation_state.std": [1.0],
    }
    folder = write_processors(write_policy(tmp_path / "p", None, **weights), {"action.mean": [1.0]})
    assert [s.kind for s in read_stats(folder)] == ["lerobot_processor", "lerobot_legacy"]


def test_a_policy_without_any_statistics_still_declares_its_features(tmp_path: Path) -> None:
    (stats,) = read_stats(write_policy(tmp_path / "p"))
    assert (stats.kind, stats.features, len(stats.declared)) == ("lerobot", {}, 2)


def test_a_state_file_cut_short_is_refused(tmp_path: Path) -> None:
    folder = write_processors(write_policy(tmp_path / "p"), {"action.mean": [1.0, 2.0]})
    state = next(folder.glob("policy_pre*.safetensors"))
    state.write_bytes(state.read_bytes()[:-3])
    with pytest.raises(ArtifactError):
        read_stats(folder)


def test_statistics_that_stand_in_the_configuration(tmp_path: Path) -> None:
    config = {**CONFIG, "type": "sac", "dataset_stats": {"observation.state": {"mean": [1, 2], "std": [3, 4]}}}
    folder = write_policy(tmp_path / "p", config)
    for path in (folder, folder / "config.json"):
        (stats,) = read_stats(path)
        one = stats.features["observation.state"]
        assert ({n: v.tolist() for n, v in one.values.items()}, one.mode) == (
            {"mean": [1, 2], "std": [3, 4]},
            "MEAN_STD",
        )
        assert one.sources["std"] == "config.json: dataset_stats.observation.state.std"
        assert (stats.kind, stats.era, len(stats.declared), stats.chunk) == ("lerobot", "lerobot-0.3", 2, 4)
