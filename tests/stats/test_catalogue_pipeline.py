"""The catalogue's faults of normalization as the pipeline shows them on a real observation: N2, N3, N4, N5, N7."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import planting
from parity.checkpoint.safetensors import open_safetensors
from parity.contract import read_contract
from parity.errors import ParityError
from parity.stats.check import check_stats
from parity.stats.formula import FORMULAS
from parity.stats.pipeline import read_pipeline
from parity.stats.registry import read_stats

pytestmark = pytest.mark.corpus

ACT = "made/lerobot-0.4.4/act_envstate"
POLICIES = ("made/lerobot-0.3.3-legacy/act_envstate", ACT, "made/lerobot-0.6.1/dp_pusht_keypoints_ddim10")


def observation(folder: Path) -> dict[str, np.ndarray]:
    """Return the raw observation that the policy's golden outputs were recorded from."""
    golden = open_safetensors(folder / "golden_io.safetensors")
    return {n.removeprefix("obs/"): np.array(golden.read(n)) for n in golden.names if n.startswith("obs/")}


@pytest.mark.parametrize("name", POLICIES)
def test_n2_an_observation_alone_is_normalized_as_one_with_its_action(corpus: Path, name: str) -> None:
    """dexbotic 82: the normalizer returned early where there was no action, which is so whenever a policy runs."""
    pipeline, raw = read_pipeline(corpus / name), observation(corpus / name)
    dims = read_contract(corpus / name).outputs[0].shape
    assert dims is not None
    alone = pipeline.inputs(raw)
    trained = pipeline.inputs({**raw, "action": np.zeros((1, *map(int, dims)), np.float32)})  # type: ignore[arg-type]
    for key in raw:
        assert np.array_equal(alone[key], trained[key])
        assert not np.array_equal(alone[key], raw[key])


def test_n3_the_first_stage_that_differs_is_the_state(corpus: Path, tmp_path: Path) -> None:
    """physical-ai-studio 522: without its normalizer the state reaches the graph raw."""
    folder = planting.copy(corpus / ACT, tmp_path)
    raw = observation(folder)
    right = read_pipeline(corpus / ACT).inputs(raw)
    planting.edit_json(folder / planting.PRE, planting.without_normalizer)
    wrong = read_pipeline(folder).inputs(raw)
    assert [k for k in raw if not np.array_equal(wrong[k], right[k])] == list(raw)
    assert all(np.array_equal(wrong[k], raw[k]) for k in raw)


def test_n4_n5_without_the_way_out_actions_stay_normalized(corpus: Path, tmp_path: Path) -> None:
    """starVLA 355, vla-evaluation-harness 3: within [-1, 1] or around 0, while the robot's actions range wider."""
    folder = planting.copy(corpus / ACT, tmp_path)
    given = {"action": np.linspace(-1, 1, 20 * 14, dtype=np.float32).reshape(1, 20, 14)}
    right = read_pipeline(corpus / ACT).outputs(given)["action"]
    assert not np.array_equal(right, given["action"])
    planting.edit_json(folder / planting.POST, planting.without_normalizer)
    assert np.array_equal(read_pipeline(folder).outputs(given)["action"], given["action"])


@pytest.mark.parametrize("name", POLICIES)
def test_n7_every_era_s_own_pair_comes_back(corpus: Path, name: str) -> None:
    """lerobot 1498: the round trip through each era's real formulas, on the range of the data."""
    for stats in read_stats(corpus / name):
        assert stats.era in FORMULAS
        assert check_stats(stats, formulas=FORMULAS) == ()


def test_n1_the_renamed_camera_is_refused_and_never_the_identity(corpus: Path) -> None:
    """Where LeRobot goes on without a word, the pipeline says which statistics are missing."""
    folder = corpus / "made/lerobot-0.4.4-migrated-badstats/dp_pusht_image_wrist_cam"
    with pytest.raises(ParityError, match="wrist_cam"):
        read_pipeline(folder).inputs(
            {
                "observation.state": np.zeros((1, 2), np.float32),
                "observation.images.wrist_cam": np.zeros((1, 3, 96, 96), np.float32),
            }
        )
