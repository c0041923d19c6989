"""Told to end by Ctrl-C or a signal, nothing stays behind: no program, no folder, no report that passes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models import mlp
from processes import gone, heard

SLOW = """#!/bin/sh
echo $$ > {pid}
sleep 600
"""
RELEASE = """
[release]
name = "slow"
[reference]
path = "reference.onnx"
[[candidate]]
name = "board"
command = ["./slow.sh", "{inputs}", "{outputs}"]
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_nothing_stays_behind(tmp_path: Path, number: signal.Signals) -> None:
    mlp(tmp_path / "reference.onnx")
    pid, script, temporary = tmp_path / "pid", tmp_path / "slow.sh", tmp_path / "tmp"
    script.write_text(SLOW.format(pid=pid))
    script.chmod(0o755)
    temporary.mkdir()
    (tmp_path / "parity.toml").write_text(RELEASE)
    command = [sys.executable, "-m", "parity", "run", str(tmp_path / "parity.toml"), "--out", str(tmp_path / "out")]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with heard(number):
        run = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not (pid.is_file() and pid.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.05)
    run.send_signal(number)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 3, errors
    assert "Traceback" not in errors
    assert gone(int(pid.read_text()))
    assert not list(temporary.glob("parity-*"))
    if number != signal.SIGINT:  # after Ctrl-C what was measured is judged, and is NOT_JUDGED
        assert not (tmp_path / "out" / "report.json").exists()


def test_a_policy_that_hangs_while_it_loads_is_let_go(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    mlp(tmp_path / "reference.onnx")
    started = tmp_path / "started"
    (tmp_path / "hanging.py").write_text(
        f"import pathlib, time\npathlib.Path({str(started)!r}).touch()\ntime.sleep(600)\n"
    )
    release = '[release]\nname = "h"\n[reference]\npath = "reference.onnx"\n[[candidate]]\nname = "c"\n'
    (tmp_path / "parity.toml").write_text(release + 'path = "hanging:build"\n')
    command = [sys.executable, "-m", "parity", "run", str(tmp_path / "parity.toml"), "--out", str(tmp_path / "out")]
    with heard(signal.SIGINT):
        run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not started.is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=30)  # its own limit for loading is 300 s
    assert run.returncode == 3, errors


@pytest.mark.parametrize(("closed", "code"), [("0<&-", 0), ("2>&-", 0), ("1>&-", 3)])
def test_closed_descriptors(tmp_path: Path, closed: str, code: int) -> None:
    mlp(tmp_path / "reference.onnx")
    mlp(tmp_path / "right.onnx", doc="again")
    command = f"{sys.executable} -m parity compare reference.onnx right.onnx --out out {closed}"
    assert subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, check=False).returncode == code
