"""Policies that keep state: episodes go through step by step, and state does not reach the next one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from recurrent import OBS, LstmOutside, exported, lstm, scripted  # noqa: E402
from replay_release import replay  # noqa: E402


def _report(folder: Path, candidate: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    lengths = [12, 7, 9]
    obs = np.cumsum(rng.normal(size=(sum(lengths), OBS)) * 0.3, axis=0).astype(np.float32)
    np.savez(folder / "data.npz", obs=obs, episode_lengths=np.array(lengths))
    text = f"""[release]
name = "recurrent"
[reference]
path = "reference.pt"
[[candidate]]
name = "ort"
path = "{candidate.name}"
[contract.inputs.obs]
shape = [1, {OBS}]
dtype = "float32"
[contract.outputs.actions]
role = "action"
[replay]
dataset = "data.npz"
"""
    toml = folder / "parity.toml"
    toml.write_text(text)
    return replay(toml)[1]


def _candidate(folder: Path, fault: str = "") -> Path:
    policy = lstm()
    scripted(policy, folder / "reference.pt")
    outside = LstmOutside(policy, fault)
    return exported(outside, folder / "ort.onnx", ["obs", "h_in", "c_in"], ["actions", "h_out", "c_out"])


def test_state_in_and_out_is_that_kept_inside(tmp_path: Path) -> None:
    report = _report(tmp_path, _candidate(tmp_path))
    assert report["verdict"] == "PASS", report["reasons"]


@pytest.mark.parametrize("fault", ["forgets", "swapped", "stale"])
def test_state_that_is_not_carried_over_fails(tmp_path: Path, fault: str) -> None:
    report = _report(tmp_path, _candidate(tmp_path, fault))
    assert report["verdict"] == "FAIL", report["reasons"]
