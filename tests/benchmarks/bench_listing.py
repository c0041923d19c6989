"""How long it takes to say what a checkpoint of 2 GB holds, and how much memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import large_files

HERE = Path(__file__).resolve().parent
SIZE = 2 << 30
ROUNDS = 5
FORMATS: dict[str, Callable[[Path, int], Path]] = {
    ".safetensors": large_files.safetensors,
    ".pt (torch.save)": large_files.torch_zip,
    ".om": large_files.om,
}


def listed(path: Path) -> dict[str, Any]:
    """List the tensors of a file in a process of its own and return what it printed."""
    command = [sys.executable, str(HERE / "list_weights.py"), str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def measure() -> list[dict[str, str]]:
    """Return the shortest time and the largest memory of five listings, by format."""
    rows = []
    for name, make in FORMATS.items():
        with tempfile.TemporaryDirectory() as folder:
            path = make(Path(folder) / "weights", SIZE)
            found = [listed(path) for _ in range(ROUNDS)]
        rows.append(
            {
                "what": f"{name} of 2 GB, {found[0]['tensors']:,} tensors: names, shapes, types",
                "peak memory": f"{max(f['peak_mb'] for f in found):.0f} MB",
                "time": f"{min(f['seconds'] for f in found):.2f} s",
                "of the CPU": f"{min(f['cpu_seconds'] for f in found):.2f} s",
            }
        )
    return rows
