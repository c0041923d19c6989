"""How soon something is on the screen: the command line's start, and whole comparisons of a real pair."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROUNDS = 9
CORPUS = Path(os.environ.get("PARITY_CORPUS") or Path(__file__).resolve().parents[3] / "shared" / "corpus")
PAIRS = ("rl_sar_g1_dance_102", "ogre_e0ee1102_ros2_stale")


def measure() -> list[dict[str, str]]:
    """Return one row per command."""
    nothing = _best([sys.executable, "-c", "pass"], ROUNDS)
    start = _best([sys.executable, "-m", "parity", "--help"], ROUNDS)
    rows = [
        {"what": "python -c pass", "time": f"{nothing * 1e3:.0f} ms"},
        {"what": "parity --help", "time": f"{start * 1e3:.0f} ms (+ {(start - nothing) * 1e3:.0f} ms)"},
    ]
    for name in PAIRS:
        pair = CORPUS / "pairs" / name
        if pair.is_dir():
            command = [sys.executable, "-m", "parity", "compare", str(pair / "policy.pt"), str(pair / "policy.onnx")]
            rows.append({"what": f"parity compare {name} (.pt, .onnx)", "time": f"{_best(command, 3):.1f} s"})
    return rows


def _best(command: Sequence[str], rounds: int) -> float:
    """Return the shortest wall time of the command in seconds."""
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        times.append(time.perf_counter() - begin)
    return min(times)
