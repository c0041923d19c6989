"""The suites inside a user's own pytest: they pass what `parity run` passes, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from models import mlp, toml

SUITES = Path(__file__).resolve().parents[2] / "suites"


def suites(folder: Path, *args: str, **environment: str) -> int:
    """Run the suites in ``folder`` as a user would, and return pytest's exit code."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", str(SUITES), *args]
    return subprocess.run(command, cwd=folder, env={**kept, **environment}, capture_output=True, check=False).returncode


@pytest.fixture
def release(tmp_path: Path) -> Path:
    mlp(tmp_path / "reference.onnx")
    mlp(tmp_path / "right.onnx", doc="again")
    mlp(tmp_path / "wrong.onnx", seed=1)
    return tmp_path


EXPIRED = '[[waiver]]\nfinding = "STATS007"\nreason = "r"\nowner = "o"\nuntil = 2020-01-01\n'


@pytest.mark.parametrize(
    ("candidates", "more", "code"),
    [
        ({"ort": "right.onnx"}, "", 0),
        ({"ort": "right.onnx", "other": "wrong.onnx"}, "", 1),
        ({"ort": "reference.onnx"}, "", 1),
        ({"ort": "nowhere.onnx"}, "", 1),
        ({"ort": "right.onnx"}, EXPIRED, 1),
        ({"ort": "right.onnx"}, "[cases]\nnominal = 0\nedge = false\n", 1),
        ({"ort": "right.onnx"}, "[cases]\nnominal = 1\nedge = false\n", 1),
    ],
)
def test_they_pass_what_may_ship(release: Path, candidates: Mapping[str, str], more: str, code: int) -> None:
    toml(release, dict(candidates), more=more)
    assert suites(release, "--parity", "parity.toml") == code


def test_without_a_release_they_do_not_pass(release: Path) -> None:
    assert suites(release) not in (0, 5)


@pytest.mark.parametrize("options", [("--assert=plain",), ("-n", "2")])
def test_no_mode_of_python_or_pytest_makes_them_pass(release: Path, options: tuple[str, ...]) -> None:
    toml(release, {"ort": "wrong.onnx"})
    assert suites(release, "--parity", "parity.toml", *options, PYTHONOPTIMIZE="1") == 1
