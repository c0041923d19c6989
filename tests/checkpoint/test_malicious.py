"""Files made to run something when they are loaded: read, inspected and converted, and nothing runs."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from malicious import CONTAINERS, MARKS, MODULE, REAL, bodies, disguised, gadget, program, register
from parity.checkpoint.checkpoint import read_checkpoint
from parity.cli.shell import run
from parity.errors import ParityError

BODIES = sorted(bodies(Path()))
DISGUISED = sorted(disguised(Path()))


def marks(folder: Path) -> list[str]:
    return [m for m in MARKS if (folder / m).exists()]


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose module would leave a mark if anything imported it."""
    folder = tmp_path / "trap"
    folder.mkdir()
    gadget(folder)
    monkeypatch.syspath_prepend(str(folder))
    register()
    return folder


def all_bodies(folder: Path) -> dict[str, bytes]:
    return {**bodies(folder), **disguised(folder)}


def test_python_itself_runs_every_one_of_them(tmp_path: Path) -> None:
    """Without this the tests below would pass on pickles that are merely broken."""
    gadget(tmp_path)
    data = {name: program(body).hex() for name, body in all_bodies(tmp_path).items()}
    done = subprocess.run(
        [sys.executable, "-c", REAL, str(tmp_path)], input=json.dumps(data), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    ran = set(json.loads(done.stdout))
    needs_torch = {"an argument of a tensor", "the storage of a tensor", "a type of a tensor"}
    assert set(data) - ran <= needs_torch | {"a default factory"}  # the last is called for a missing key only


@pytest.mark.parametrize("container", sorted(CONTAINERS))
def test_reading_runs_none_of_them(trap: Path, tmp_path: Path, container: str) -> None:
    for name, body in all_bodies(trap).items():
        path = tmp_path / "policy.pt"
        path.write_bytes(CONTAINERS[container](body))
        with contextlib.suppress(ParityError):
            found = read_checkpoint(path)
            for weight in found.weights.values():
                weight.as_float()
        assert marks(trap) == [], name
    assert MODULE not in sys.modules


@pytest.mark.parametrize("container", ["state_dict", "torch zip", "legacy torch", "workspace"])
@pytest.mark.parametrize("body", ["REDUCE", "NEWOBJ", "INST", "BUILD __setstate__"])
def test_what_stayed_inert_is_listed(trap: Path, tmp_path: Path, container: str, body: str) -> None:
    path = tmp_path / "policy.pt"
    path.write_bytes(CONTAINERS[container](bodies(trap)[body]))
    assert any(c.startswith(MODULE) for c in read_checkpoint(path).classes)


@pytest.mark.parametrize("body", [*BODIES, *DISGUISED])
def test_no_command_runs_them(trap: Path, tmp_path: Path, body: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "policy.ckpt"
    codes: dict[str, Any] = {}
    for container in ("torch zip", "workspace"):
        path.write_bytes(CONTAINERS[container](all_bodies(trap)[body]))
        codes[f"{container} inspect"] = run(["inspect", str(path)])
        codes[f"{container} convert"] = run(["convert", str(path), "-o", str(tmp_path / "out.safetensors"), "--force"])
    assert marks(trap) == []
    assert MODULE not in sys.modules
    assert set(codes.values()) <= {0, 1, 2}
    assert "Traceback" not in capfd.readouterr().err
    if (tmp_path / "out.safetensors").exists():
        assert MODULE.encode() not in (tmp_path / "out.safetensors").read_bytes()
