"""The interpreter that has the real lerobot: `make lerobot-venv` makes it, PARITY_LEROBOT_PYTHON names another one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def lerobot_interpreter() -> str:
    """Return the interpreter with lerobot 0.4; without it the test is skipped, or fails where it is required."""
    named = os.environ.get("PARITY_LEROBOT_PYTHON")
    python = Path(named or ROOT / ".venv-lerobot" / "bin" / "python")
    if python.exists():
        return str(python)
    if named or os.environ.get("PARITY_REQUIRE_LEROBOT") == "1":
        pytest.fail(f"there is no interpreter at {python}: run `make lerobot-venv`")
    pytest.skip("no interpreter with lerobot here: run `make lerobot-venv`")
