"""What a robot logged, observation in and action out, is itself a candidate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import replay_release as made


def _report(folder: Path, change: Any = None) -> dict[str, Any]:
    given = made.weights()
    made.write_policy(folder / "reference.onnx", given)
    rng = np.random.default_rng(3)
    obs = np.cumsum(rng.normal(size=(60, made.STATE)) * 0.2, axis=0).astype(np.float32)
    action = made.answers(given, obs)
    logged = change(action) if change else action
    np.savez(folder / "log.npz", **{"inputs/obs": obs[:, None], "outputs/action": logged.astype(np.float32)[:, None]})
    toml = folder / "parity.toml"
    toml.write_text(
        '[release]\nname = "log"\n[reference]\npath = "reference.onnx"\n'
        '[[candidate]]\nname = "robot"\npath = "log.npz"\n[replay]\ndataset = "log.npz"\n'
    )
    return made.replay(toml)[1]


def test_a_log_of_the_policy_itself_passes(tmp_path: Path) -> None:
    report = _report(tmp_path)
    assert report["verdict"] == "PASS", report["reasons"]
    assert report["replay"]["frames"] == 60


@pytest.mark.parametrize("joint", range(made.ACTIONS))
def test_a_robot_that_moves_a_joint_half_as_far_is_found(tmp_path: Path, joint: int) -> None:
    def half(action: np.ndarray) -> np.ndarray:
        action[..., joint] *= 0.5
        return action

    report = _report(tmp_path, half)
    assert report["verdict"] == "FAIL"
    assert f"gain 0.5 in action[{joint}]" in report["reasons"][0]


def test_a_log_that_holds_nan_is_not_the_policy(tmp_path: Path) -> None:
    def lost(action: np.ndarray) -> np.ndarray:
        action[17] = np.nan
        return action

    assert _report(tmp_path, lost)["verdict"] == "FAIL"
