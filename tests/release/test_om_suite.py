"""`suites/test_om.py`: what an OM tells without a device, in a user's own pytest; nothing where a release has none."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from compiled_om import compiled
from judged import run_release, with_code
from models import mlp, toml
from om_writer import Port

SUITE = Path(__file__).resolve().parents[2] / "suites" / "test_om.py"
BOARD = """
[[candidate]]
name = "board"
runner = "recorded"
path = "device.h5"
precision = "float16"
artifact = "policy.om"
"""


def policy(folder: Path, seed: int = 0) -> Path:
    kept: dict[str, object] = {}
    mlp(folder / "weights.onnx", seed=seed, edit=kept.update)
    (folder / "weights.onnx").unlink()
    ports = {"inputs": (Port("obs", (1, 6)),), "outputs": (Port("out:0:action", (1, 3), source="out:0"),)}
    return compiled(folder / "policy.om", kept, **ports, attributes={"soc_version": "Ascend310P3"})


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release with a recording of an ONNX in place of a board's, and an OM compiled from the reference."""
    mlp(tmp_path / "reference.onnx")
    mlp(tmp_path / "device.onnx", doc="device")
    toml(tmp_path, {"other": "reference.onnx"}, reference="device.onnx")
    assert run_release(tmp_path, "--record", str(tmp_path / "device.h5"))[0] == 0
    policy(tmp_path)
    toml(tmp_path, {}, more=BOARD)
    return tmp_path


def suite(folder: Path, *args: str) -> tuple[int, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", str(SUITE), "--parity", "parity.toml", *args]
    done = subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_one_test_for_each_om(release: Path) -> None:
    code, said = suite(release, "-vv")
    assert code == 0, said
    assert re.findall(r"test_om\[(.+?)\]", said) == ["board"]


def test_other_weights_fail_it(release: Path) -> None:
    policy(release, seed=1)
    code, said = suite(release)
    assert code == 1
    assert "1 failed" in said


def test_an_om_that_cannot_be_read_fails_it(release: Path) -> None:
    (release / "policy.om").write_bytes((release / "policy.om").read_bytes()[:300])
    code, said = suite(release)
    assert code == 1
    assert "1 failed" in said


def test_a_release_without_an_om_collects_nothing(release: Path) -> None:
    toml(release, {}, more=BOARD.replace('artifact = "policy.om"\n', ""))
    assert suite(release)[0] == 5  # pytest: no tests were collected


def test_the_prediction_goes_by_the_om_and_is_no_part_of_the_suite(release: Path) -> None:
    code, report = run_release(release)
    assert code == 0
    told = report["predicted"][0]
    assert (told["candidate"], told["source"]) == ("board", "reference.onnx")
    assert "the OM's own nodes" in told["basis"]
    assert with_code(report, "PRED001")[0]["severity"] == "info"


def test_a_good_prediction_passes_nothing(release: Path) -> None:
    """No device is here: the OM itself cannot be run, and what is predicted of it changes nothing about that."""
    toml(release, {}, more='\n[[candidate]]\nname = "npu"\npath = "policy.om"\nprecision = "float16"\n')
    code, report = run_release(release)
    assert report["predicted"][0]["survives"]
    assert (code, report["verdict"]) == (3, "NOT_JUDGED")
    assert {c["verdict"] for c in report["comparisons"]} == {"NOT_JUDGED"}
