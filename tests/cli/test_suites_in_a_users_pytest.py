"""`pytest suites --parity parity.toml` gives the same findings inside a user's own pytest, with pytest's exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from models import mlp, toml

SUITES = Path(__file__).resolve().parents[2] / "suites"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    mlp(tmp_path / "reference.onnx")
    mlp(tmp_path / "right.onnx", doc="exported again")
    toml(tmp_path, {"ort": "right.onnx"})
    return tmp_path


def suites(folder: Path, *args: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", str(SUITES), "--parity", str(folder / "parity.toml"), "-q", *args]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("args", [(), ("-n", "2"), ("-p", "randomly"), ("-p", "rerunfailures", "--reruns", "1")])
def test_right_passes_and_wrong_fails(release: Path, args: tuple[str, ...]) -> None:
    if "-p" in args:
        pytest.importorskip(f"pytest_{args[1]}")
    code, text = suites(release, *args)
    assert code == 0, text
    assert "passed" in text
    mlp(release / "right.onnx", seed=1)
    code, text = suites(release, *args)
    assert code == 1, text
    assert "test_may_ship[ort]" in text


def test_what_cannot_be_judged_does_not_pass(release: Path) -> None:
    toml(release, {"ort": "reference.onnx"})
    code, text = suites(release)
    assert code == 1
    assert "same file" in text


def test_an_unreadable_toml_is_a_usage_error(release: Path) -> None:
    (release / "parity.toml").write_text("[release")
    code, text = suites(release)
    assert code == 4
    assert "not valid TOML" in text


def test_the_plugin_imports_nothing_until_it_is_asked() -> None:
    program = (
        "import sys, pytest, parity.pytest_plugin\n"
        "heavy = {'numpy', 'h5py', 'onnx', 'pydantic', 'click', 'rich', 'yaml'} & set(sys.modules)\n"
        "print(sorted(heavy)); sys.exit(bool(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
