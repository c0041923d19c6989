"""`parity replay`, killed without a warning, goes on where it stopped and ends with the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import replay_release as made


def _command(toml: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "parity", "replay", str(toml), "--out", str(out), "--every", "1"]


def _killed(toml: Path, out: Path) -> None:
    """Start a replay and kill it, with all it started, once a shard is done."""
    process = subprocess.Popen(
        _command(toml, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    end = time.monotonic() + 120
    while not list(out.glob(".replay-*/*.npz")):
        assert process.poll() is None, "it was over before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _report(out: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    return {**report, "release": {**report["release"], "created": ""}, "reproduce": []}


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="process groups are needed to kill a whole run")
@pytest.mark.parametrize(
    "lengths",
    [
        pytest.param([2500] * 12, id="30,000 frames"),
        pytest.param([10_000] * 100, id="a million frames", marks=pytest.mark.soak),
    ],
)
def test_a_killed_replay_goes_on(tmp_path: Path, lengths: list[int]) -> None:
    toml = made.write_release(tmp_path, {"ort": None}, lengths=lengths)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    subprocess.run(_command(toml, whole), check=True, capture_output=True)
    _killed(toml, cut)
    assert not (cut / "report.json").exists(), "no verdict of a run that was killed"
    done = subprocess.run(_command(toml, cut), check=True, capture_output=True, text=True)
    assert "went on after" in done.stderr
    assert (cut / "replay.npz").read_bytes() == (whole / "replay.npz").read_bytes()
    assert _report(cut) == _report(whole)
    assert not list(cut.glob(".replay-*"))
    assert not list(cut.glob(".parity*"))
