"""The first two minutes: the README's two commands from a wheel that was just installed, with nothing else there.

The wheel is built from this tree and installed, with what it needs, into an environment of its own. Each command runs
with an empty home and hardly any environment variables.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMPARE = ("compare", "demo/artifacts/policy.onnx", "demo/artifacts/stale.onnx")


def measure() -> list[dict[str, str]]:
    """Return one row per command: how long it took, what its processes computed, how busy the machine was."""
    with tempfile.TemporaryDirectory(prefix="parity-bench-") as made:
        work = Path(made)
        command = _installed(work)
        (work / "home").mkdir()
        return [
            _row("parity demo, the first time", work, [command, "demo", "--out", "demo"], 0),
            _row("parity demo, again", work, [command, "demo", "--out", "demo"], 0),
            _row(f"parity {' '.join(COMPARE)}", work, [command, *COMPARE], 1),
        ]


def _installed(work: Path) -> str:
    """Return the path of the command `parity`, installed from a wheel of this tree."""
    pip = [sys.executable, "-m", "pip"]
    subprocess.run([*pip, "wheel", "-q", "--no-deps", "-w", str(work / "wheel"), str(ROOT)], check=True)
    (wheel,) = (work / "wheel").iterdir()
    subprocess.run([sys.executable, "-m", "venv", str(work / "venv")], check=True)
    python = work / "venv" / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "-q", "--no-cache-dir", str(wheel)], check=True)
    return str(work / "venv" / "bin" / "parity")


def _row(what: str, work: Path, command: Sequence[str], expected: int) -> dict[str, str]:
    """Run a command in ``work`` and return how long it took.

    Raises:
        RuntimeError: it ended with another exit status than ``expected``: what was measured is not what was meant.
    """
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(work / "home")}
    load = os.getloadavg()[0]
    before, begin = os.times(), time.perf_counter()
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - begin, os.times()
    if done.returncode != expected:
        raise RuntimeError(f"{what}: exit status {done.returncode}, expected {expected}: {done.stderr}")
    busy = after.children_user + after.children_system - before.children_user - before.children_system
    return {"what": what, "time": f"{wall:.1f} s", "processor time": f"{busy:.1f} s", "load before": f"{load:.1f}"}
