"""Peak memory of comparing two HDF5 files that are far larger than it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

HERE = Path(__file__).resolve().parent
WIDTH = 32
GIGABYTES = 2


def make_pair(folder: Path, size: int) -> list[Path]:
    """Write two float32 data sets of ``size`` bytes each, which differ by rounding, and return their files."""
    rows = size // 4 // WIDTH
    step = min(rows, 1 << 17)
    paths = [folder / "reference.h5", folder / "candidate.h5"]
    rng = np.random.default_rng(1)
    with h5py.File(paths[0], "w", track_order=False) as one, h5py.File(paths[1], "w", track_order=False) as other:
        sets = [f.create_dataset("action", (rows, WIDTH), "f4", track_times=False) for f in (one, other)]
        for start in range(0, rows, step):
            block = rng.standard_normal((min(step, rows - start), WIDTH), dtype=np.float32)
            sets[0][start : start + len(block)] = block
            sets[1][start : start + len(block)] = block * np.float32(1 + 1e-6)
    return paths


def compare(paths: list[Path]) -> dict[str, Any]:
    """Compare the files in a process of its own and return what it printed."""
    command = [sys.executable, str(HERE / "compare_files.py"), str(paths[1]), str(paths[0])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def measure() -> list[dict[str, str]]:
    """Return the peak resident memory for files of 1 MB (the interpreter itself) and of 2 GB."""
    rows = []
    for name, size in (("1 MB", 1 << 20), (f"{GIGABYTES} GB", GIGABYTES << 30)):
        with tempfile.TemporaryDirectory() as folder:
            found = compare(make_pair(Path(folder), size))
        rows.append(
            {
                "what": f"two HDF5 files of {name} each, whole set of metrics",
                "peak memory": f"{found['peak_mb']:.0f} MB",
                "time": f"{found['seconds']:.2f} s",
            }
        )
    return rows
