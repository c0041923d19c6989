"""Pre- and post-processing of every LeRobot folder of the corpus against its golden inputs and outputs.

The three eras hold the same weights: each era's own statistics and formulas around the same network give the golden
actions. Of folders whose network runs nowhere here, the way out is shown on the golden trajectory, bit for bit.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from lerobot_python import lerobot_interpreter
from networks import VANILLA, export_networks
from parity.stats.pipeline import Pipeline, applied, read_pipeline
from parity.stats.steps import Executed, Window

pytestmark = pytest.mark.corpus

ERAS = {"lerobot-0.3.3-legacy": "lerobot-0.3", "lerobot-0.4.4": "lerobot-0.4", "lerobot-0.6.1": "lerobot-0.4"}
DIFFUSION = ("dp_pusht_keypoints_ddim10", "dp_pusht_image_narrowresnet", "dp_pusht_2cam_bn_h64")
FOLDERS = (*DIFFUSION, "act_envstate", "act_aloha_image_narrowresnet")


def folder_of(corpus: Path, era: str, name: str) -> tuple[Path, dict[str, np.ndarray], Pipeline]:
    folder = corpus / "made" / era / name
    return folder, load_file(folder / "golden_io.safetensors"), read_pipeline(folder)


def raw(golden: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {k.removeprefix("obs/"): v for k, v in golden.items() if k.startswith("obs/")}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("name", DIFFUSION)
def test_the_golden_trajectory_becomes_the_golden_actions(corpus: Path, era: str, name: str) -> None:
    folder, golden, pipeline = folder_of(corpus, era, name)
    assert pipeline.era == ERAS[era]
    config = json.loads((folder / "config.json").read_text())
    first, count = config["n_obs_steps"] - 1, config["n_action_steps"]
    executed = Executed("action", config["horizon"], first, count)
    normalized = executed.apply({"action": golden["trajectory_normalized"]})
    action = pipeline.outputs(normalized)["action"]
    assert action.shape == (1, count, 2)
    np.testing.assert_array_equal(action[0, :4], golden["select_action"])


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("name", FOLDERS)
def test_raw_observations_are_normalized_as_the_configuration_declares(corpus: Path, era: str, name: str) -> None:
    folder, golden, pipeline = folder_of(corpus, era, name)
    config = json.loads((folder / "config.json").read_text())
    observations = raw(golden)
    normalized = pipeline.inputs(observations)
    assert normalized.keys() == observations.keys() == set(config["input_features"])
    other = next(e for e in ERAS if ERAS[e] != ERAS[era])
    there = read_pipeline(corpus / "made" / other / name).inputs(observations)
    for key, value in normalized.items():
        mode = config["normalization_mapping"][config["input_features"][key]["type"]]
        assert mode in ("MEAN_STD", "MIN_MAX")
        assert value.dtype == np.float32
        assert value.shape == observations[key].shape
        assert np.abs(value - observations[key]).max() > 0.01  # it was no identity
        np.testing.assert_allclose(value, there[key], rtol=2e-6, atol=2e-7)  # the eras differ by eps alone
        if not key.startswith("observation.image"):
            assert np.abs(value).max() < 1.5  # the generator made them inside ±0.75 of the normalized range


@pytest.fixture(scope="module")
def networks(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return export_networks(corpus, lerobot_interpreter(), tmp_path_factory.mktemp("networks"))


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("name", VANILLA)
def test_raw_observations_through_the_network_give_the_golden_actions(
    corpus: Path, networks: dict[str, Path], era: str, name: str
) -> None:
    import onnxruntime

    folder, golden, pipeline = folder_of(corpus, era, name)
    config = json.loads((folder / "config.json").read_text())
    fed = pipeline.inputs(raw(golden))
    after = pipeline.after
    if name in DIFFUSION:
        fed = applied([Window(config["n_obs_steps"], dict.fromkeys(fed, 1))], fed) | {"noise": golden["noise"]}
        first = config["n_obs_steps"] - 1
        after = (Executed("action", config["horizon"], first, config["n_action_steps"]), *after)
    given = onnxruntime.InferenceSession(networks[name]).run(["action"], fed)[0]
    action = applied(after, {"action": given})["action"][0, :4]
    scale = float(np.abs(golden["select_action"]).max())
    np.testing.assert_allclose(action, golden["select_action"], rtol=0, atol=2e-6 * scale)


def test_a_renamed_camera_is_an_error_and_not_the_identity(corpus: Path) -> None:
    from parity.errors import ArtifactError

    with pytest.raises(ArtifactError, match=r"no statistics for observation.images.wrist_cam, which is declared MEAN"):
        read_pipeline(corpus / "made" / "lerobot-0.4.4-migrated-badstats" / "dp_pusht_image_wrist_cam")
